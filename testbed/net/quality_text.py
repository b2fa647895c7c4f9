"""What a link does to packets, as a person writes it: ``delay=20ms,loss=1%``, or ``delay 20ms loss 1%``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from testbed.net.model import PERFECT, Quality

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BITS_PER_SECOND = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}


class QualityError(ValueError):
    """A text that says no quality of a link; says what was given and what may be."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of the text: the field of Quality that it sets, the units it takes, how a value is written, an example."""

    field: str
    units: Mapping[str, float]
    write: Callable[[float], str]
    example: str
    whole: bool = False


def _time_text(seconds: float) -> str:
    return f"{seconds * 1e3:g}ms" if seconds < 1 else f"{seconds:g}s"


def _share_text(share: float) -> str:
    return f"{share * 100:g}%"


def _rate_text(rate_bps: float) -> str:
    unit = next((unit for unit, bits in reversed(_BITS_PER_SECOND.items()) if rate_bps >= bits), "bit")
    return f"{rate_bps / _BITS_PER_SECOND[unit]:.12g}{unit}"


_WORDS = {
    "delay": _Word("delay_s", _SECONDS, _time_text, "20ms"),
    "jitter": _Word("jitter_s", _SECONDS, _time_text, "2ms"),
    "loss": _Word("loss", {"%": 0.01}, _share_text, "1%"),
    "duplicate": _Word("duplicate", {"%": 0.01}, _share_text, "0.5%"),
    "reorder": _Word("reorder", {"%": 0.01}, _share_text, "5%"),
    "rate": _Word("rate_bps", _BITS_PER_SECOND, _rate_text, "10mbit", whole=True),
    "queue": _Word("queue_packets", {"": 1}, "{:g}".format, "100", whole=True),
}


def parse_quality(text: str) -> Quality:
    """The quality that a text says, perfect in all that it leaves out; an empty one is perfect. Raises QualityError."""
    return replace(PERFECT, **parse_properties(text))


def parse_properties(text: str) -> dict[str, Any]:
    """What a text says of a quality, by field of Quality. Raises QualityError."""
    words = [word for word in re.split(r"[\s,=]+", text.strip()) if word]
    asked: dict[str, Any] = {}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if name not in _WORDS:
            raise QualityError(f"{name!r} in {text!r}: a link has {', '.join(_WORDS)}")
        word = _WORDS[name]
        if word.field in asked:
            raise QualityError(f"{text!r} gives {name} twice")
        asked[word.field] = _value(name, word, value)
    return asked


def property_names(fields: Iterable[str]) -> str:
    """Fields of Quality as a person writes them."""
    return ", ".join(name for name, word in _WORDS.items() if word.field in set(fields))


def quality_text(quality: Quality) -> str:
    """The text that says this quality, which `parse_quality` reads; "perfect" for a perfect one."""
    values = {name: (word, getattr(quality, word.field)) for name, word in _WORDS.items()}
    return ",".join(f"{name}={word.write(value)}" for name, (word, value) in values.items() if value) or "perfect"


def _value(name: str, word: _Word, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z%]*)", text.lower())
    if match is None or match[2] not in word.units:
        units = ", ".join(filter(None, word.units))
        raise QualityError(
            f"{name} {text!r}: write a number{f' and one of {units}' if units else ''}, such as {word.example}"
        )
    value = float(match[1]) * word.units[match[2]]
    return round(value) if word.whole else value

"""Parameters of a lab: their units, bounds and defaults, and how a person's text becomes a value.

Durations are written with a unit ("50ms", "0.1s") and become seconds; a bare number is refused, because nobody knows
whether 50 means seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from testbed.net.model import Family, Lab

_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(us|ms|s|min)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}

Value = float | int | str | Path | tuple[str, ...] | None
_Kind = TypeVar("_Kind", float, int, str, tuple[str, ...])


class Values:
    """The values of a run's parameters by name, each asked for as what its option makes of it.

    ``asked``: the names of those that a person has given; the others have their defaults.
    """

    def __init__(self, values: Mapping[str, Value], asked: Collection[str] = ()) -> None:
        self._values, self.asked = dict(values), frozenset(asked)

    def __contains__(self, name: object) -> bool:
        """Whether the lab has this option."""
        return name in self._values

    def seconds(self, name: str) -> float:
        """A duration."""
        return self._of(name, float)

    def decimal(self, name: str) -> float:
        """A number with a fraction."""
        return self._of(name, float)

    def milliseconds(self, name: str) -> float:
        """A duration, for results."""
        return round(self._of(name, float) * 1000, 3)

    def number(self, name: str) -> int:
        """A whole number."""
        return self._of(name, int)

    def word(self, name: str) -> str:
        """One of a choice."""
        return self._of(name, str)

    def words(self, name: str) -> tuple[str, ...]:
        """Some of a choice, in order."""
        return self._of(name, tuple)

    def file(self, name: str) -> Path | None:
        """A file, or None where none was given, or where the lab takes none."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, Path):
            raise TypeError(f"option {name} is no file")
        return value

    def given(self, name: str) -> Value:
        """Whatever it is; None where nothing was given and there is no default."""
        return self._values[name]

    @property
    def family(self) -> Family:
        """The IP version, of ``family_option``."""
        return 4 if self.word("family") == "4" else 6

    def _of(self, name: str, kind: type[_Kind]) -> _Kind:
        value = self._values[name]
        if not isinstance(value, kind):
            raise TypeError(f"option {name} gives {type(value).__name__}, not {kind.__name__}")
        return value


class OptionError(ValueError):
    """A value that a parameter does not take; says what was given, and what may be."""


def _never(_values: Values, _model: Lab) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Option:
    """One parameter: ``name`` as on the command line without dashes, the default as a person would write it.

    ``joined_by``: what stands between the texts of one that may be given several times; empty of others. ``idle(values, model)``:
    with what it changes nothing, in words; empty where it does change something. One that is given in vain is refused.
    """

    name: str
    help: str
    default: str | None
    parse: Callable[[str], Value]
    metavar: str
    joined_by: str = ""
    idle: Callable[[Values, Lab], str] = _never


def duration(text: str, least_s: float, most_s: float) -> float:
    """Seconds from "50ms" and the like, within bounds (seconds)."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        if re.fullmatch(r"-?\d+(\.\d+)?", text.strip()):
            raise OptionError(f"{text!r} has no unit: write {text}ms or {text}s")
        raise OptionError(f"{text!r} is no duration: write a number and us, ms, s or min, such as 50ms")
    value = float(match[1]) * _SECONDS[match[2]]
    if not least_s <= value <= most_s:
        raise OptionError(f"{text} is out of bounds: {seconds(least_s)} to {seconds(most_s)}")
    return value


def seconds(value: float) -> str:
    """A duration as a person writes it: "50ms" below a second, "2.5s" from there on."""
    value = round(value, 9)  # what is left of a difference of two times is no part of it
    return f"{value * 1000:g}ms" if value < 1 else f"{value:g}s"


def duration_option(name: str, help_text: str, default: str | None, least_s: float, most_s: float) -> Option:
    """A duration between two bounds in seconds."""
    bounds = f"{seconds(least_s)} to {seconds(most_s)}"
    return Option(name, f"{help_text} ({bounds})", default, lambda text: duration(text, least_s, most_s), "DURATION")


def number_option(name: str, help_text: str, default: str, least: int, most: int, unit: str = "") -> Option:
    """A whole number between two bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise OptionError(f"{text!r} is no whole number{f' of {unit}' if unit else ''}") from None
        if not least <= value <= most:
            raise OptionError(f"{text} is out of bounds: {least} to {most}{f' {unit}' if unit else ''}")
        return value

    bounds = f"{least} to {most}{f' {unit}' if unit else ''}"
    return Option(name, f"{help_text} ({bounds})", default, parse, "NUMBER")


def decimal_option(name: str, help_text: str, default: str, least: float, most: float, unit: str = "") -> Option:
    """A number with a fraction between two bounds."""
    bounds = f"{least:g} to {most:g}{f' {unit}' if unit else ''}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise OptionError(f"{text!r} is no number{f' of {unit}' if unit else ''}") from None
        if not least <= value <= most:  # false for NaN too
            raise OptionError(f"{text} is out of bounds: {bounds}")
        return value

    return Option(name, f"{help_text} ({bounds})", default, parse, "NUMBER")


def choice_option(name: str, help_text: str, default: str, choices: tuple[str, ...]) -> Option:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise OptionError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return Option(name, help_text, default, parse, "|".join(choices))


def family_option() -> Option:
    """The IP version of a lab."""
    return choice_option("family", "IP version", "4", ("4", "6"))


def list_option(name: str, help_text: str, default: str, choices: tuple[str, ...]) -> Option:
    """Some of a few words, separated by commas, each once."""

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        for word in words:
            if word not in choices:
                raise OptionError(f"{word!r} is not one of {', '.join(choices)}")
        if not words or len(set(words)) != len(words):
            raise OptionError(f"{text!r}: give one or more of {', '.join(choices)}, each once, separated by commas")
        return words

    return Option(name, f"{help_text} (of {', '.join(choices)})", default, parse, "LIST")


def file_option(name: str, help_text: str) -> Option:
    """A file that exists; none by default."""

    def parse(text: str) -> Path:
        path = Path(text).resolve()
        if not path.is_file():
            raise OptionError(f"{text}: there is no such file")
        return path

    return Option(name, help_text, None, parse, "FILE")

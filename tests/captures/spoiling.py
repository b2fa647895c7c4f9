"""Ways to spoil a scripted link or lab that any protocol's cases use, and what must be noticed of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from captures.rules.engine import judge
from captures.rules.judgement import Judgement
from captures.rules.packs import all_packs
from captures.rules.packs.pack import Settings
from tests.captures.scripted_lab import ScriptedLab
from tests.captures.scripted_link import ScriptedLink

Spoil = Callable[[ScriptedLink], object]

_RULES = [rule for pack in all_packs(Settings()) for rule in pack.rules if pack.name != "gmp"]
KNOWING = {rule.name for rule in _RULES if rule.knowing is not None}
"""The rules that ask who is who in labs of MMCP; those of GMP have labs of their own (`tests.captures.test_gmp_knowing`)."""
WITHOUT_HANDOVERS = {
    f"mmcp-{name}" for name in (
        "handover-answered", "transfer-answered", "handover-confirm-asked", "transfer-ack-asked", "transfer-first",
        "handover-pace", "transfer-pace", "handover-count", "transfer-count", "same-confirm",
    )
}  # fmt: skip
"""The rules that only packets of handovers bring up: unseen in a lab without any."""
"""Those that are undecided where nobody says it."""


def bigger(frame_data: bytes) -> bytes:
    """The IP packet of a frame with hop limit 2."""
    at = 22 if frame_data[12:14] == b"\x08\x00" else 21
    return frame_data[:at] + b"\x02" + frame_data[at + 1 :]


def hops(pattern: str) -> Spoil:
    return lambda link: link.change(pattern, lambda frame: replace(frame, data=bigger(frame.data)))


def flip_last(pattern: str) -> Spoil:
    """Damage the payload behind its checksum."""
    return lambda link: link.change(
        pattern, lambda frame: replace(frame, data=frame.data[:-1] + bytes([frame.data[-1] ^ 1]))
    )


def both(*spoils: Spoil) -> Spoil:
    return lambda link: [spoil(link) for spoil in spoils]


def assert_noticed(case: Sequence[Any], lab: ScriptedLab, folder: Path) -> Judgement:
    """A spoiled lab fails the rules of its case, no others, and those of which it says so follow from these."""
    spoil, failing, *more = case
    spoil(lab)
    judgement = judge(lab.write(folder / "lab.pcapng"))
    failed = judgement.with_verdict("failed")
    assert {verdict.rule for verdict in failed} == failing, [(verdict.rule, verdict.message) for verdict in failed]
    follows = {verdict.rule for verdict in judgement.decided if verdict.follows} - failing
    assert follows == (more[0] if more else set())
    return judgement

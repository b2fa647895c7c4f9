"""Every rule of GMP, on a capture that keeps it and on one that does not."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from captures.files.reading import CaptureReader
from captures.gmp.rules.wire import gmp_pack
from captures.rules.engine import verify
from captures.rules.judgement import Judgement
from captures.rules.packs.pack import Settings
from tests.captures.scripted_gmp import good_gmp
from tests.captures.scripted_link import ScriptedLink, ip
from tests.captures.spoiled_gmp import BROKEN

RULES = {rule.name for rule in gmp_pack(Settings()).rules if rule.check is not None}


def verified(link: ScriptedLink, folder: Path) -> Judgement:
    return verify(CaptureReader(link.write(folder / "gmp.pcapng")))


def outcome(judgement: Judgement, verdict: str) -> set[str]:
    return {found.rule for found in judgement.verdicts if found.verdict == verdict}


def test_good_gmp_keeps_every_rule(tmp_path: Path) -> None:
    judgement = verified(good_gmp(), tmp_path)
    assert [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"] == []
    assert outcome(judgement, "passed") >= RULES
    assert judgement.warnings == []
    assert judgement.passed_over == {}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_noticed(tmp_path: Path, case: str) -> None:
    spoil, failing = BROKEN[case]
    link = good_gmp()
    spoil(link)
    judgement = verified(link, tmp_path)
    failed = [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"]
    assert {rule for rule, _ in failed} == {f"gmp-{name}" for name in failing}, failed


def over_tcp(link: ScriptedLink) -> ScriptedLink:
    """The same messages, each in a segment of the connection between its ports, behind its length [G-2]."""
    sent: Counter[bytes] = Counter()
    frames = []
    for frame in link.ordered():
        ends, message = frame.data[26:38], frame.data[42:]
        octets = len(message).to_bytes(2) + message
        header = struct.pack("!IIBBHHH", 1 + sent[ends], 1, 5 << 4, 0x18, 1000, 0, 0)
        sent[ends] += len(octets)
        source, destination = (str(ip_address(ends[at : at + 4])) for at in (0, 4))
        frames.append(replace(frame, data=frame.data[:14] + ip(source, destination, 6, ends[8:] + header + octets)))
    return ScriptedLink(frames)


def test_over_tcp_the_same_holds_but_nothing_is_said_thrice(tmp_path: Path) -> None:
    link = good_gmp()
    link.drop("eve.1.[12].LVREQ").drop("*.[12].KDUPT")
    judgement = verified(over_tcp(link), tmp_path)
    assert [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"] == []
    assert outcome(judgement, "passed") >= {"gmp-asks-active", "gmp-key-renewed", "gmp-end-told", "gmp-resend-pace"}
    assert failing_of(over_tcp(link.drop("kern.3.KAREQ")), tmp_path) == {
        "gmp-keep-alive-asked",
        "gmp-keep-alive-period",
    }
    assert failing_of(over_tcp(good_gmp().drop("late.TRIND")), tmp_path) == {"gmp-end-told"}


def failing_of(link: ScriptedLink, folder: Path) -> set[str]:
    return outcome(verified(link, folder), "failed")


def test_every_rule_has_a_capture_that_breaks_it() -> None:
    assert {f"gmp-{name}" for _, failing in BROKEN.values() for name in failing} == RULES

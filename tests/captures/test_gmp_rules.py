"""Every rule of GMP, on a capture that keeps it and on one that does not."""

from __future__ import annotations

import random
import struct
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from captures.files.reading import CaptureReader
from captures.gmp.constants import FROM_SERVER
from captures.gmp.dissector import MM_PACKETS, SM_PACKETS, build
from captures.gmp.rules.wire import gmp_pack
from captures.report.material import find_material
from captures.report.page import write_report
from captures.rules.engine import verify
from captures.rules.judgement import Judgement
from captures.rules.packs.pack import Settings
from tests.captures.scripted_gmp import MM, SERVER, SM, ScriptedGMP, good_gmp
from tests.captures.scripted_gmp_lab import written
from tests.captures.scripted_link import ScriptedLink, ip, udp
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


_OPTIONS = {1: 3, 6: 3, 7: 4, 8: 4, 9: 4, 16: 4, 17: 16, 18: 40, 19: 4, 20: 2, 21: 2, 22: 1, 23: 4, 99: 2}
"""Type of an option, and octets of its value."""


def _any_message(order: random.Random) -> tuple[dict[str, Any], bool]:
    """Fields of a message among few sessions and users, and whether the server says it; not always what the server can say."""
    module = order.choice(("SM", "MM"))
    packet = order.choice(list((SM_PACKETS if module == "SM" else MM_PACKETS).values()))
    fields: dict[str, Any] = {"module": module, "packet": packet}
    fields |= {name: order.randrange(3) for name in ("session_id", "user_id")}
    if module == "SM":
        fields |= {bit: order.randrange(2) for bit in "qsm"}
    else:
        fields |= {"mode": order.choice((1, 2)), "member_type": order.choice((1, 2, 4)), "r": order.randrange(2)}
        fields |= {"ss": order.randrange(2), "ui": int(packet == "UIRES"), "reserved": order.randrange(4)}
        fields |= {"period": order.choice((0, 5, 10)), "timeout": order.choice((0, 15, 30)), "port": 5004}
    if packet == "SAREQ":
        fields["mm_port"] = order.choice((0, 42000))
    elif packet == "UIRES":
        fields["members"] = [[order.randrange(3), order.choice((1, 2, 4))] for _ in range(order.randrange(4))]
    else:
        codes = order.sample(list(_OPTIONS), order.randrange(5))
        fields["options"] = [[code, order.choice(("00", "01", "61")) * _OPTIONS[code]] for code in codes]
        fields["i"] = int(packet == "SCINF" and bool(codes))
    from_server = packet in FROM_SERVER
    return fields, from_server if order.random() < 0.95 else not from_server


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_said_is_judged(tmp_path: Path, seed: int) -> None:
    """Messages in any order, by the right side or the wrong one: verdicts, and nothing else."""
    order, link, at_s = random.Random(seed), ScriptedLink(), 0.0
    for number in range(400):
        fields, from_server = _any_message(order)
        server = (SERVER, SM if fields["module"] == "SM" else MM)
        client = (order.choice(("10.1.0.10", "10.1.0.11")), order.choice((41000, 42000)))
        (source, sport), (destination, dport) = (server, client) if from_server else (client, server)
        at_s += order.choice((0.001, 0.001, 0.1, 1.0, 4.0))
        link.add(at_s, f"{number}", "mcs", udp(source, destination, sport, dport, build(fields)))
    judgement = verify(CaptureReader(written(ScriptedGMP(link.frames), tmp_path)))
    assert {v.verdict for v in judgement.verdicts} == {"passed", "failed", "unseen"}
    assert judgement.packs[0].name == "gmp"
    assert judgement.records["members"]
    write_report(find_material(str(tmp_path / "lab.pcapng")), tmp_path / "report.html")

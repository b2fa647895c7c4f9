"""Every rule, on a capture that keeps it and on captures that do not.

A good lab passes them all; each case spoils one thing in it and names the rules that must notice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from captures.files.capture import CaptureError, Frame
from captures.files.reading import CaptureReader
from captures.rules.engine import judge, verify
from captures.rules.findings import Excuse, Failure, Finding, Outcomes
from captures.rules.judgement import Judgement
from captures.rules.packs import all_packs
from captures.rules.packs.pack import Settings
from captures.rules.reading import Reading
from tests.captures.scripted_joins import good_join_lab
from tests.captures.scripted_lab import (
    INTERFACES,
    MACS,
    MN_ID,
    T0,
    TO_EXCLUDE,
    ScriptedLab,
    Sent,
    ethernet,
    good_lab,
    ip,
    udp,
)
from tests.captures.scripted_leaves import good_leave_lab
from tests.captures.scripted_status import good_status_lab
from tests.captures.spoiled_joins import BROKEN_JOINS
from tests.captures.spoiled_leaves import BROKEN_LEAVES
from tests.captures.spoiled_status import BROKEN_STATUS
from tests.captures.spoiling import KNOWING, assert_noticed

Spoil = Callable[[ScriptedLab], object]

MN, GROUP_PORT = [["mn_id", MN_ID]], bytes.fromhex("138c")


def probe(lab: ScriptedLab, at_ms: float) -> ScriptedLab:
    return lab.mmcp(at_ms, "probe.USP", "lmc2", "mn")


def from_cell_1(lab: ScriptedLab, at_ms: float, name: str, source: str, destination: str, f: int = 0) -> ScriptedLab:
    """A message between nodes while the MN has its address of cell 1."""
    cell, lab.cell = lab.cell, 1
    lab.mmcp(at_ms, name, source, destination, MN if name.endswith(("ULR", "LJR", "USR", "HIR")) else [], f=f)
    lab.cell = cell
    return lab


def again_with_new_lmc(
    lab: ScriptedLab, at_ms: float, name: str, source: str, destination: str, f: int = 0
) -> ScriptedLab:
    """A message between nodes while the MN has its address of cell 2."""
    cell, lab.cell = lab.cell, 2
    lab.mmcp(at_ms, name, source, destination, MN if name.endswith(("SJR", "LJR", "USR")) else [], f=f)
    lab.cell = cell
    return lab


def assigned(lab: ScriptedLab, lmc: str) -> list[list[Any]]:
    """What an SJC says that assigns an LMC; the MN is in its cell."""
    lab.cell = int(lmc[-1])
    return [["multicast", lab.addresses["group"], 5004], ["lmc", lab.addresses[lmc], 24793]]


def changed(address: str) -> tuple[bytes, bytes]:
    """The octets of an address, and those of its neighbour."""
    packed = ipaddress.ip_address(address).packed
    return packed, bytes([*packed[:-1], 9])


def raw_frame(lab: ScriptedLab, at_ms: float, node: str, payload: bytes) -> None:
    packet = ip(lab.addresses["sm"], lab.addresses["lmc1"], 17, udp(24793, 24793, payload))
    lab.frames.append(Sent(at_ms, INTERFACES[node], ethernet(MACS[node], packet), "raw"))


# What is spoiled, and the rules that must fail for it, these and no others; then those whose failure follows from theirs.
BROKEN: dict[str, tuple[Spoil, *tuple[set[str], ...]]] = {
    # session join
    "join without SJR": (lambda lab: lab.drop("join.SJR@*"), {"mmcp-join-order"}),
    "join without SJC": (lambda lab: lab.drop("join.SJC@*"), {"mmcp-join-order"}, {"mmcp-no-report-before-confirm"}),
    "join without LJR": (lambda lab: lab.drop("join.LJR@*"), {"mmcp-join-order"}, {"mmcp-asr-complete"}),
    "join without LJC": (lambda lab: lab.drop("join.LJC@*"), {"mmcp-join-order"}, {"mmcp-asr-complete", "mmcp-report-after-join", "mmcp-report-after-local-join"}),
    "LJR before SJC": (lambda lab: lab.move("join.LJR@*", -3), {"mmcp-join-order"}),
    "LJC before LJR": (lambda lab: lab.move("join.LJC@*", -3), {"mmcp-join-order"}, {"mmcp-asr-complete", "mmcp-report-after-local-join"}),
    "SJC before SJR": (lambda lab: lab.move("join.SJC@*", -5), {"mmcp-join-order"}, {"mmcp-session-join-answered"}),
    "LJR to another than the SJC named": (
        lambda lab: lab.patch("join.LJR@*", *changed(lab.addresses["lmc1"])),
        {"mmcp-join-order"}, {"mmcp-asr-complete"},
    ),
    "report before SJC": (
        lambda lab: lab.move("join.report@mn", -8),
        {"mmcp-no-report-before-confirm"}, {"mmcp-report-follows-join"},
    ),
    "early report besides the later one": (
        lambda lab: lab.copy("join.report@mn", -10),
        {"mmcp-no-report-before-confirm"}, {"mmcp-report-follows-join"},
    ),
    "report before LJC": (lambda lab: lab.move("join.report@mn", -3), {"mmcp-report-follows-join"}),
    # handover exchange
    "no HIR": (
        lambda lab: lab.drop("h1.HIR@*"),
        {"mmcp-handover-order"}, {"mmcp-fallback-join", "mmcp-handover-confirm-asked", "mmcp-new-cell-cold"},
    ),
    "no HCT": (lambda lab: lab.drop("h1.HCT@*"), {"mmcp-handover-order"}),
    "HCT lost on its way, yet acknowledged": (lambda lab: lab.drop("h1.HCT@lmc2"), {"mmcp-handover-order"}),
    "no report of the new LMC": (lambda lab: lab.drop("h1.report@*"), {"mmcp-handover-order"}),
    "report of the new LMC is a leave": (lambda lab: lab.patch("h1.report@*", b"\x04\0\0\0", b"\x03\0\0\0"), {"mmcp-handover-order"}),
    "no HTA": (lambda lab: lab.drop("h1.HTA@*"), {"mmcp-handover-order"}, {"mmcp-transfer-first"}),
    "HTA refused": (lambda lab: lab.patch("h1.HTA@*", b"\x0c\x01", b"\x0c\x00"), {"mmcp-handover-order"}, {"mmcp-transfer-first"}),
    "HTA to another port": (lambda lab: lab.patch("h1.HTA@*", (5151).to_bytes(2), (5152).to_bytes(2)), {"mmcp-handover-order"}, {"mmcp-transfer-ack-asked", "mmcp-transfer-answered", "mmcp-transfer-first"}),
    "HCT before HIR": (lambda lab: lab.move("h1.HCT@*", -1.5), {"mmcp-handover-order"}, {"mmcp-transfer-first"}),
    "HTA before the report": (lambda lab: lab.move("h1.HTA@*", -2), {"mmcp-handover-order"}),
    "HIC before HTA": (lambda lab: lab.move("h1.HIC@*", -1.5), {"mmcp-handover-order"}, {"mmcp-transfer-first"}),
    "report before HCT": (lambda lab: lab.move("h1.report@*", -9), {"mmcp-handover-order"}),
    "HIC lost": (lambda lab: lab.drop("h1.HIC@mn"), {"mmcp-fallback-join"}, {"mmcp-handover-answered"}),
    "HIC refused": (lambda lab: from_cell_1(lab.drop("h1.HIC@*"), 3017, "x.HIC", "lmc1", "mn"), {"mmcp-transfer-first"}, {"mmcp-asr-complete", "mmcp-fallback-join"}),
    "HCT for another group": (
        lambda lab: lab.patch("h1.HCT@*", *changed(lab.addresses["group"])),
        {"mmcp-handover-context"}, {"mmcp-one-group"},
    ),
    "HCT for another port": (lambda lab: lab.patch("h1.HCT@*", GROUP_PORT, b"\0\1"), {"mmcp-handover-context"}, {"mmcp-one-group"}),
    "HIC names another LMC": (
        lambda lab: lab.patch("h1.HIC@*", *changed(lab.addresses["lmc2"])),
        {"mmcp-handover-context"}, {"mmcp-transfer-first"},
    ),
    # arrival
    "no LJR after link up": (lambda lab: lab.drop("h1.LJR@*"), {"mmcp-local-join-after-link-up"}, {"mmcp-asr-complete", "mmcp-local-confirm-asked"}),
    "LJR before link up": (lambda lab: lab.move("h1.LJR@*", -110), {"mmcp-local-join-after-link-up"}),
    "no LJC": (lambda lab: lab.drop("h1.LJC@*"), {"mmcp-local-join-after-link-up"}, {"mmcp-asr-complete", "mmcp-report-after-local-join", "mmcp-usr-to-parent"}),
    "LJC refused": (
        lambda lab: lab.patch("h1.LJC@*", b"\x04\x01", b"\x04\x00"),
        {"mmcp-local-join-after-link-up"}, {"mmcp-asr-complete", "mmcp-report-after-local-join", "mmcp-usr-to-parent"},
    ),
    "no report of the MN": (lambda lab: lab.drop("h1.mnreport@*"), {"mmcp-report-on-new-link"}),
    "SJR although HIC came": (
        lambda lab: again_with_new_lmc(lab, 3358, "x.SJR", "mn", "sm"),
        {"mmcp-no-session-join-after-confirm"},
    ),
    "old LMC probes the MN it gave away": (
        lambda lab: from_cell_1(lab, 3100, "x.USP", "lmc1", "mn"),
        {"mmcp-old-lmc-forgets"}, {"mmcp-probe-schedule"},
    ),
    "old LMC repeats its HIC unasked": (lambda lab: lab.copy("h1.HIC@lmc1", 50), {"mmcp-old-lmc-forgets"}, {"mmcp-handover-confirm-asked"}),
    "old LMC probes the MN at its new address": (
        lambda lab: again_with_new_lmc(lab, 6000, "x.USP", "lmc1", "mn"),
        {"mmcp-old-lmc-forgets"},
    ),
    # stream
    "no data at the MN": (lambda lab: lab.drop("data.*@mn"), {"mmcp-stream-after-handover"}),
    "no data after link up": (
        lambda lab: [lab.drop(f"data.{tens}*@mn") for tens in ("326", "327", "328", "329", "33", "34", "35", "36", "37", "38", "39", "40", "41", "42", "4300")],
        {"mmcp-stream-after-handover"},
    ),
    "the new cell was warm": (lambda lab: lab.copy("data.3020@lmc2", -15), {"mmcp-new-cell-cold"}),
    "the new cell was warm, reactive": (lambda lab: lab.copy("data.10380@lmc1", -200), {"mmcp-new-cell-cold"}),
    "the new cell was warm, reactive, its LMC still joined": (
        lambda lab: lab.copy("data.10380@lmc1", -200).report(10_100, "x", "lmc1"),
        {"mmcp-new-cell-cold"},
    ),
    "no data waiting": (
        lambda lab: [lab.drop(f"data.{tens}*@lmc2") for tens in ("302", "303", "304", "305", "306", "307", "308", "309", "31", "320", "321", "322", "323", "324", "325")],
        {"mmcp-data-waits-for-mn"},
    ),
    "handover without end": (lambda lab: lab.drop_step("handover_end", handover=1), {"mmcp-stream-after-handover"}),
    # monitoring
    "a USR is missing": (lambda lab: lab.drop("3.USR@*"), {"mmcp-usr-period"}),
    "no USR at all": (lambda lab: lab.drop("?.USR@*"), {"mmcp-probe-schedule", "mmcp-usr-period"}),
    "a USR is early": (lambda lab: lab.move("3.USR@*", -300), {"mmcp-usr-period"}),
    "a USR is late": (lambda lab: lab.move("3.USR@*", 300), {"mmcp-usr-period"}),
    "a USR too many": (lambda lab: lab.copy("3.USR@*", 600), {"mmcp-usr-period"}),
    "a USR only when asked": (
        lambda lab: (lab.move("3.USR@*", 1000), probe(lab, 8360)),
        {"mmcp-usr-period"},
    ),
    "an ASR is missing": (lambda lab: lab.drop("lmc2.3.ASR@*"), {"mmcp-asr-period"}),
    "no ASR": (lambda lab: lab.drop("lmc1.?.ASR@*"), {"mmcp-asr-period", "mmcp-probe-schedule"}),
    "the last ASRs are missing": (lambda lab: lab.drop("lmc1.[56].ASR@*"), {"mmcp-asr-period"}),
    "an ASR is late": (lambda lab: lab.move("lmc1.3.ASR@*", 250), {"mmcp-asr-period"}),
    # form
    "a malformed message": (lambda lab: raw_frame(lab, 500, "lmc1", bytes.fromhex("0300000800000001")), {"mmcp-well-formed"}),
}  # fmt: skip

# What looks odd but is right.
TOLERATED: dict[str, Spoil] = {
    "HIR sent twice, answered twice": lambda lab: (lab.copy("h1.HIR@*", 20), lab.copy("h1.HIC@*", 22)),
    "HCT sent twice": lambda lab: (lab.copy("h1.HCT@*", 260), lab.copy("h1.HTA@*", 260)),
    "old LMC answers a leave": lambda lab: (
        from_cell_1(lab, 3100, "x.ULR", "mn", "lmc1"),
        from_cell_1(lab, 3101, "x.ULC", "lmc1", "mn", f=1),
    ),
    "old LMC confirms to the MN that has come back, twice": lambda lab: (
        from_cell_1(lab, 12_100, "x.LJR", "mn", "lmc1"),
        from_cell_1(lab, 12_101, "x.LJC", "lmc1", "mn", f=1),
        from_cell_1(lab, 12_499, "y.LJR", "mn", "lmc1"),
        from_cell_1(lab, 12_500, "y.LJC", "lmc1", "mn", f=1),
    ),
    "the join state report that answers a query": lambda lab: lab.report(6000, "x", "mn", kind=2),
    "reports of other groups before SJC": lambda lab: lab.patch(
        "join.report@mn", lab_group(lab), other_group(lab)
    ).report(121, "late", "mn"),
    "a leave of the group before SJC": lambda lab: lab.report(105, "x", "mn", kind=3),
    "SJR after a refused LJC": lambda lab: (
        lab.patch("h1.LJC@*", b"\x04\x01\0\x08", b"\x04\0\0\x08"),
        again_with_new_lmc(lab, 3362, "x.SJR", "mn", "sm"),
        lab.mmcp(3363, "x.SJC", "sm", "mn", assigned(lab, "lmc2"), f=1),
        again_with_new_lmc(lab, 3364, "x.LJR", "mn", "lmc2"),
        lab.mmcp(3365, "x.LJC", "lmc2", "mn", f=1),
    ),
    "a USR that was due while the link was down": lambda lab: lab.move("1.USR@*", -800),
    "the old phase of USR kept through the handover": lambda lab: (
        lab.move("2.USR@*", -1245),
        lab.move("3.USR@*", -1245),
        again_with_new_lmc(lab, 8116, "4.USR", "mn", "lmc2"),
    ),
    "a USR put off by the handover, the next ones on the old phase": lambda lab: (
        lab.move("1.USR@*", -1000),
        again_with_new_lmc(lab, 3362, "x.USR", "mn", "lmc2"),
        lab.move("2.USR@*", -245),
        lab.move("3.USR@*", -245),
    ),
    "a probe answered, the period restarted": lambda lab: (
        probe(lab, 6360),
        again_with_new_lmc(lab, 6361, "x.USR", "mn", "lmc2"),
        lab.move("3.USR@*", 1000),
    ),
    "a probe answered, the period kept": lambda lab: (
        probe(lab, 6360),
        again_with_new_lmc(lab, 6361, "x.USR", "mn", "lmc2"),
    ),
    "an ASR split in two": lambda lab: lab.copy("lmc1.3.ASR@*", 1),
    "an ASR at once after a leave": lambda lab: (
        from_cell_1(lab, 11_000, "x.ULR", "mn", "lmc1"),
        from_cell_1(lab, 11_001, "x.ULC", "lmc1", "mn", f=1),
        lab.copy("lmc1.5.ASR@*", 990),
    ),
    "an MMCP message of another session": lambda lab: (
        from_cell_1(lab, 3100, "x.USP", "lmc1", "mn"),
        lab.patch("x.USP@*", b"\x09\0\0\x08\0\0\0\x01", b"\x09\0\0\x08\0\0\0\x02"),
    ),
}


def lab_group(lab: ScriptedLab) -> bytes:
    return bytes([239, 1, 1, 1]) if lab.family == 4 else bytes.fromhex("ff1e0000000000000000000000010001")


def other_group(lab: ScriptedLab) -> bytes:
    return bytes([*lab_group(lab)[:-1], 9])


def judged(lab: ScriptedLab, folder: Path) -> Judgement:
    return judge(lab.write(folder / "lab.pcapng"))


def failing(judgement: Judgement) -> set[str]:
    return {verdict.rule for verdict in judgement.with_verdict("failed")}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("fallback", [False, True])
def test_good_lab_passes(tmp_path: Path, family: int, fallback: bool) -> None:
    judgement = judged(good_lab(family, fallback=fallback), tmp_path)
    assert [verdict.message for verdict in judgement.with_verdict("failed")] == []
    assert judgement.warnings == []
    assert judgement.exit_code() == 0


def test_good_labs_show_every_rule_passing(tmp_path: Path) -> None:
    passed = set()
    handovers = [good_lab(), good_lab(fallback=True), good_lab(source_specific=True)]
    for lab in (*handovers, good_join_lab(), good_leave_lab(), good_status_lab()):
        passed |= {verdict.rule for verdict in judged(lab, tmp_path).with_verdict("passed")}
    assert passed >= KNOWING


def test_every_rule_is_broken_by_some_case() -> None:
    cases = [*BROKEN.values(), *BROKEN_JOINS.values(), *BROKEN_LEAVES.values(), *BROKEN_STATUS.values()]
    elsewhere = {"mmcp-source-specific-join"}  # another good lab is spoiled for it
    assert set().union(elsewhere, *(rules for _, *several in cases for rules in several)) >= KNOWING


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("node", ["mn", "lmc2"])
def test_source_specific_group_is_joined_from_its_source_alone(tmp_path: Path, family: int, node: str) -> None:
    lab = good_lab(family, source_specific=True)
    judgement = judged(lab, tmp_path)
    assert failing(judgement) == set()
    passed = [verdict.subject for verdict in judgement.verdicts if verdict.rule == "mmcp-source-specific-join"]
    assert passed == ["lmc1", "lmc2", "mn"]
    lab.report(6000, "x", node, kind=TO_EXCLUDE)
    judgement = judged(lab, tmp_path)
    assert failing(judgement) == {"mmcp-source-specific-join"}
    [verdict] = judgement.with_verdict("failed")
    assert (verdict.subject, "from any source" in verdict.message, len(verdict.frames)) == (node, True, 1)
    wrong = good_lab(family, source_specific=True)
    wrong.steps[0] = {**wrong.steps[0], "source": wrong.addresses["sm"]}
    assert "mmcp-source-specific-join" in failing(judged(wrong, tmp_path))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", BROKEN)
def test_broken_capture_fails_its_rule(tmp_path: Path, case: str, family: int) -> None:
    judgement = assert_noticed(BROKEN[case], good_lab(family), tmp_path)
    assert judgement.exit_code() == 1
    for verdict in judgement.with_verdict("failed"):
        assert verdict.message
        assert verdict.clause
        assert verdict.rule != "mmcp-handover-order" or verdict.frames


@pytest.mark.parametrize(("answered_at_ms", "verdict"), [(None, "unseen"), (2900, "failed"), (3180, "unseen")])
def test_a_node_that_has_only_arrived_owes_no_request(
    tmp_path: Path, answered_at_ms: float | None, verdict: str
) -> None:
    """It asks whose member it is; where it was not answered in time before its link went, it falls back."""
    lab = good_lab(fallback=True).drop("h1.H?R@*").drop("h1.HCT@*")
    lab.step(2500, "handover_begin", handover=0, mode="reactive", mn="mn", **{"from": "poa2", "to": "poa1"})
    lab.step(2600, "link_down", handover=0)
    lab.step(2700, "link_up", handover=0)
    lab.step(2990, "handover_end", handover=0)
    if answered_at_ms is not None:
        lab.mmcp(answered_at_ms, "h0.LJC", "lmc1", "mn", f=1)
    told = judged(lab, tmp_path)
    [order] = [v for v in told.verdicts if v.rule == "mmcp-handover-order" and v.subject.startswith("handover 1 ")]
    assert (order.verdict, "sent no HIR" in order.message) == (verdict, verdict == "failed")


def without_waiting_data(lab: ScriptedLab) -> ScriptedLab:
    """No data in the new cell before link up at 3255 ms."""
    BROKEN["no data waiting"][0](lab)
    return lab


@pytest.mark.parametrize(
    ("expected", "verdict"), [("prepared", "failed"), ("either", "unseen"), ("unprepared", "unseen")]
)
def test_data_may_come_late_where_the_lab_does_not_promise_it(tmp_path: Path, expected: str, verdict: str) -> None:
    lab = without_waiting_data(good_lab())
    for step in lab.steps:
        if step.get("expected"):
            step |= {"expected": expected, "because": "a slow link"}
    [found] = [each for each in judged(lab, tmp_path).decided if each.rule == "mmcp-data-waits-for-mn"]
    assert found.verdict == verdict
    assert found.message.endswith(": a slow link") is (verdict == "unseen")


@pytest.mark.parametrize(("down_ms", "verdict"), [(3400, "passed"), (3256, "failed")])
def test_with_two_radios_data_is_to_wait_until_the_old_link_goes(tmp_path: Path, down_ms: float, verdict: str) -> None:
    lab = without_waiting_data(good_lab()).drop_step("link_down", handover=1)
    lab.step(down_ms, "link_down", handover=1)
    lab.steps.sort(key=lambda step: step["t_ns"])
    [found] = [each for each in judged(lab, tmp_path).decided if each.rule == "mmcp-data-waits-for-mn"]
    assert (found.verdict, "before link down" in found.message) == (verdict, True)


def test_a_consequence_stands_under_its_cause(tmp_path: Path) -> None:
    """One fault, one failed rule: what another rule makes of it is told, names that rule, and counts as no failure."""
    judgement = judged(good_lab().drop("join.SJC@*"), tmp_path)
    assert failing(judgement) == {"mmcp-join-order"}
    [told] = [verdict for verdict in judgement.decided if verdict.rule == "mmcp-no-report-before-confirm"]
    assert (told.verdict, told.follows, told.as_dict()["follows"]) == ("unseen", "mmcp-join-order", "mmcp-join-order")
    assert told.message.startswith("follows from mmcp-join-order: mn sent")
    assert told.frames


def test_a_failure_of_another_node_explains_nothing(tmp_path: Path) -> None:
    """Both rules fail, and each for another node."""
    lab = good_lab().drop("join.SJC@*")
    lab.report(9150, "x", "lmc2", hop_limit=64)
    packs = {
        pack.name: {v.rule for v in pack.verdicts if v.verdict == "failed"} for pack in judged(lab, tmp_path).packs
    }
    assert packs["mmcp"] == {"mmcp-join-order"}
    assert "igmp-hop-limit" in packs["igmp"]


def wrong_asr(lab: ScriptedLab, at_ms: float, lmc: str) -> ScriptedLab:
    return lab.mmcp(at_ms, "x.ASR", lmc, "sm", [["membership", 1], ["mn_id", "ff01"]])


def test_who_is_shared_by_everybody_makes_nothing_belong_together(tmp_path: Path) -> None:
    """Soon after a join that went wrong another LMC reports what is wrong: both only have the SM in common."""
    lab = wrong_asr(good_lab().drop("join.LJC@*"), 1000, "lmc2")
    [own] = [v for v in judged(lab, tmp_path).with_verdict("failed") if v.rule == "mmcp-asr-complete"]
    assert own.subject == "lmc2"


def test_what_begins_long_after_a_failure_does_not_follow_from_it(tmp_path: Path) -> None:
    lab = good_lab().move("join.LJR@*", -3)
    soon = judged(wrong_asr(lab, 1000, "lmc1"), tmp_path)
    assert "mmcp-asr-complete" not in failing(soon)
    assert "mmcp-asr-complete" in {v.rule for v in soon.decided if v.follows == "mmcp-join-order"}
    late = judged(wrong_asr(good_lab().move("join.LJR@*", -3), 9000, "lmc1"), tmp_path)
    assert "mmcp-asr-complete" in failing(late)


def test_one_multicast_group_makes_nothing_belong_together(tmp_path: Path) -> None:
    """All IGMP reports go to one address."""
    lab = good_lab()
    for node in ("lmc1", "lmc2"):
        lab.report(1000, "x", node)
    reading = Reading(CaptureReader(lab.write(tmp_path / "lab.pcapng")), {})
    reading.read()
    numbers = [number for number, sent in reading._sent.items() if sent.t_ns == T0 + 1_000_000_000 and sent.ends]
    causes = [Failure("a subject", "", (number,)) for number in numbers]
    assert len(causes) == 2
    assert [reading.explains(causes[0], other) for other in causes] == [True, False]


@pytest.mark.parametrize(("later_s", "expected"), [(1, True), (9, False)])
def test_one_subject_is_not_enough_without_a_time(tmp_path: Path, later_s: float, expected: bool) -> None:
    """Evidence that is data: who sent it tells nothing, when it came does."""
    lab = good_lab()
    reading = Reading(CaptureReader(lab.write(tmp_path / "lab.pcapng")), {})
    frames = [
        (frame.t_ns - T0, frame.number) for frame in CaptureReader(tmp_path / "lab.pcapng") if isinstance(frame, Frame)
    ]
    reading.read()
    first, then = (next(number for t_ns, number in frames if t_ns >= at) for at in (2e9, 2e9 + later_s * 1e9))
    first_then = Failure("the subject", "", (first,)), Failure("the subject", "", (then,))
    assert reading.explains(*first_then) is expected


def test_a_dead_capture_of_one_node_casts_no_doubt_on_another(tmp_path: Path) -> None:
    """Of two MNs the first's interface saw nothing; that the second reports to a stranger is seen all the same."""
    lab = good_lab()
    mmcp = lab.steps[0]["mmcp"]
    [mn] = mmcp["mns"]
    ghost = {**mn, "name": "ghost", "id": "aabb", "interface": "ghost:eth0", "addresses": {"poa1": "10.0.1.77"}}
    lab.steps[0]["mmcp"] = {**mmcp, "mns": [ghost, mn]}
    [begin, *_] = [step for step in lab.steps if step["step"] == "session_begin"]
    lab.steps.insert(lab.steps.index(begin), {**begin, "mn": "ghost"})
    again_with_new_lmc(lab, 7000, "x.USR", "mn", "sm")
    judgement = judged(lab, tmp_path)
    [wrong] = [verdict for verdict in judgement.decided if verdict.rule == "mmcp-usr-to-parent"]
    assert (wrong.verdict, "reported to" in wrong.message) == ("failed", True)
    [blind] = [v for v in judgement.decided if v.rule == "mmcp-join-order" and "ghost" in v.subject]
    assert blind.message.startswith("ghost:eth0: nothing was captured there")


def behind(lab: ScriptedLab, node: str, ms: float) -> ScriptedLab:
    """The lab with the clock of a node's interface so much behind the others'."""
    place = INTERFACES[node]
    lab.frames = [replace(f, at_ms=f.at_ms - ms) if f.interface == place else f for f in lab.frames]
    return lab


@pytest.mark.parametrize(
    ("good", "node"),
    [
        *((good, node) for good in (good_leave_lab, good_lab) for node in ("sm", "lmc1", "lmc2", "mn")),
        *((good, node) for good in (good_join_lab, good_status_lab) for node in ("sm", "lmc1", "mn")),
    ],
)
@pytest.mark.parametrize("ms", [3000, -900])
def test_where_a_clock_is_wrong_nothing_fails(
    tmp_path: Path, good: Callable[[], ScriptedLab], node: str, ms: float
) -> None:
    """What one interface saw seems to have been too late or too early."""
    lab = behind(good(), node, ms)
    judgement = verify(CaptureReader(lab.write(tmp_path / "lab.pcapng")))
    assert [text for text in judgement.warnings if text.startswith(f"the clock of {INTERFACES[node]} is")]
    assert [v for v in judgement.verdicts if v.verdict == "failed"] == []


def test_where_a_clock_is_wrong_what_is_no_matter_of_time_fails(tmp_path: Path) -> None:
    lab = good_lab()
    raw_frame(lab, 500, "lmc1", bytes.fromhex("0300000800000001"))
    assert failing(judged(behind(lab, "lmc1", 3000), tmp_path)) == {"mmcp-well-formed"}


def test_equal_failures_are_all_excused() -> None:
    """Two that look alike are two: no failed verdict without a text is left."""
    outcomes = Outcomes()
    for _ in range(2):
        outcomes.failed("mn", "the same", (7,))
    [finding] = outcomes.findings(lambda _failure: Excuse("follows from another", "another"))
    assert finding == Finding("mn", "unseen", "follows from another: the same", (7,), "another")


def test_failures_that_were_not_kept_are_told_of() -> None:
    outcomes = Outcomes()
    for number in range(25):
        outcomes.failed("mn", "too many", (number,))
    [finding] = outcomes.findings(lambda _failure: Excuse("follows from another", "another"))
    assert (finding.verdict, len(finding.frames)) == ("unseen", 20)
    assert finding.message == "follows from another: too many (and 5 that were not kept)"


def test_a_rule_that_is_left_out_explains_nothing(tmp_path: Path) -> None:
    """Nobody asks for the cause: then what it would have explained is a failure of its own."""
    lab = good_lab().drop("join.SJC@*")
    lab.steps[0]["left_out"] = {"mmcp-join-order": "the lab cannot keep it"}
    judgement = judged(lab, tmp_path)
    assert failing(judgement) == {"mmcp-no-report-before-confirm"}
    assert judgement.exit_code() == 1
    [told] = [verdict for verdict in judgement.decided if verdict.rule == "mmcp-join-order"]
    assert (told.verdict, told.message) == ("unseen", "the lab cannot keep it")


def test_a_failure_that_a_broken_capture_does_not_decide_explains_nothing(tmp_path: Path) -> None:
    """What is told as unseen because the capture breaks off is no cause of what the wire shows all the same."""
    path = good_lab().drop("h1.LJC@*").drop_step("handover_end", handover=1).write(tmp_path / "lab.pcapng")
    path.write_bytes(path.read_bytes()[:-4])
    judgement = judge(path)
    [cause] = [v for v in judgement.decided if v.rule == "mmcp-local-join-after-link-up" and v.verdict != "passed"]
    assert (cause.verdict, "breaks off meanwhile" in cause.message) == ("unseen", True)
    assert "mmcp-report-after-local-join" in failing(judgement)


def test_a_lab_of_which_every_rule_is_left_out_shows_nothing(tmp_path: Path) -> None:
    lab = good_lab()
    own = [rule.name for pack in all_packs(Settings()) for rule in pack.rules if rule.topics == ("handover",)]
    lab.steps[0]["left_out"] = dict.fromkeys(own, "it cannot")
    with pytest.raises(CaptureError, match="shows no handover that a rule could judge"):
        judged(lab, tmp_path)


def test_leaving_out_what_is_no_rule_is_warned_of(tmp_path: Path) -> None:
    lab = good_lab()
    lab.steps[0]["left_out"] = {"mmcp-join-oder": "a slip of the pen"}
    assert judged(lab, tmp_path).warnings == ["left_out names mmcp-join-oder, which is no rule"]


def test_no_rule_explains_itself() -> None:
    """Not even over others: of two that explain each other neither would fail."""
    by = {rule.name: set(rule.explained_by) for pack in all_packs(Settings()) for rule in pack.rules}
    assert set().union(*by.values()) <= by.keys()
    for _ in by:
        by = {name: causes.union(*(by[cause] for cause in causes)) for name, causes in by.items()}
    assert [name for name, causes in by.items() if name in causes] == []


UNSEEN_WITHOUT = {
    "mn": {
        "mmcp-fallback-join", "mmcp-handover-context", "mmcp-handover-order", "mmcp-join-order", "mmcp-local-join-after-link-up",
        "mmcp-new-cell-cold", "mmcp-no-report-before-confirm", "mmcp-report-on-new-link", "mmcp-stream-after-handover",
        "mmcp-usr-period",
    },
    "lmc2": {"mmcp-asr-period", "mmcp-data-waits-for-mn", "mmcp-handover-order", "mmcp-new-cell-cold"},
    "sm": set(),  # what it says is judged where it arrives
}  # fmt: skip


@pytest.mark.parametrize("node", UNSEEN_WITHOUT)
def test_a_dead_capture_of_one_interface_leaves_its_rules_unseen(tmp_path: Path, node: str) -> None:
    lab = good_lab()
    lab.frames = [frame for frame in lab.frames if frame.interface != INTERFACES[node]]
    judgement = judge(lab.write(tmp_path / "lab.pcapng"))
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []
    told = {v.rule for v in judgement.with_verdict("unseen") if "nothing was captured there: " in v.message}
    assert told == UNSEEN_WITHOUT[node]
    # What the others saw is judged all the same.
    assert "mmcp-well-formed" in {verdict.rule for verdict in judgement.with_verdict("passed")}


@pytest.mark.parametrize("by_ms", [-40, 40])
def test_an_interface_whose_clock_is_shifted_leaves_its_rules_unseen(tmp_path: Path, by_ms: float) -> None:
    lab = good_lab()
    lab.frames = [
        replace(frame, at_ms=frame.at_ms + by_ms) if frame.interface == INTERFACES["lmc2"] else frame
        for frame in lab.frames
    ]
    judgement = judge(lab.write(tmp_path / "lab.pcapng"))
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []
    [order] = [v for v in judgement.decided if v.rule == "mmcp-handover-order"]
    which = "ahead of" if by_ms > 0 else "behind"
    assert f"{INTERFACES['lmc2']}: its clock is 40.0 ms {which} the others'" in order.message
    assert order.verdict == "unseen"
    assert [warning for warning in judgement.warnings if "the clock of" in warning]


def test_copies_of_a_frame_are_judged_once(tmp_path: Path) -> None:
    lab = good_lab()
    # Every 10 ms a data packet comes in between.
    control = [frame for frame in lab.frames if not frame.tag.startswith("data") and frame.at_ms % 10]
    lab.frames += [replace(frame, at_ms=frame.at_ms + 0.002) for frame in control]
    judgement = judge(lab.write(tmp_path / "lab.pcapng"))
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []
    assert judgement.passed_over["copies of the frame before at the same interface"] > 20
    again = good_lab().copy("join.SJC@*", 0.3)
    assert failing(judged(again, tmp_path)) == {"mmcp-session-confirm-asked"}


@pytest.mark.parametrize(("family", "pack"), [(4, "igmp"), (6, "mld")])
def test_a_report_with_another_hop_limit_fails_the_lab(tmp_path: Path, family: int, pack: str) -> None:
    """The rule is that of another pack, and decides in a lab of MMCP; where nobody says who is who it is told beside."""
    lab = good_lab(family)
    lab.report(5000, "x", "lmc2", hop_limit=64)
    judgement = judged(lab, tmp_path)
    assert failing(judgement) == {f"{pack}-hop-limit"}
    [beside] = [found for found in judgement.beside if found.name == pack]
    assert f"{pack}-hop-limit" not in {verdict.rule for verdict in beside.verdicts}
    assert sum(verdict.rule == f"{pack}-hop-limit" for verdict in judgement.verdicts) == 2  # where reports were seen
    assert judgement.exit_code() == 1
    del lab.steps[0]["mmcp"]
    assert failing(judged(lab, tmp_path)) == set()


def join_again(lab: ScriptedLab, order: str) -> ScriptedLab:
    """The MN joins anew in cell 2 at 8 s, with its messages in an order."""
    data = [["multicast", lab.addresses["group"], 5004], ["lmc", lab.addresses["lmc2"], 24793]]
    messages: dict[str, tuple[str, str, list[list[Any]], int]] = {
        "SJR": ("mn", "sm", MN, 0), "SJC": ("sm", "mn", data, 1), "LJR": ("mn", "lmc2", MN, 0), "LJC": ("lmc2", "mn", [], 1),
    }  # fmt: skip
    lab.cell = 2
    for at_ms, name in enumerate(order.split(), 8000):
        source, destination, params, f = messages[name]
        lab.mmcp(at_ms, f"again.{name}", source, destination, params, f=f)
    return lab


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "order",
    [
        "SJR SJC LJR LJC",
        "SJR SJR SJC LJR LJC",
        "SJR LJR SJC LJC",
        "SJR LJR LJC",
        "SJR LJR LJC SJC",
        "LJR LJC",
        "SJR SJC",
    ],
)
def test_a_later_join_goes_in_order_too(tmp_path: Path, order: str, family: int) -> None:
    judgement = judged(join_again(good_lab(family), order), tmp_path)
    told = [v for v in judgement.decided if v.rule == "mmcp-join-order" and "join from frame" in v.subject]
    verdict = "failed" if "SJR LJR" in order else "passed"
    assert [v.verdict for v in told] == ([verdict] if "SJC LJR" in order or verdict == "failed" else [])
    assert ("mmcp-join-order" in failing(judgement)) == (verdict == "failed")


def test_every_part_of_a_split_asr_has_the_full_count(tmp_path: Path) -> None:
    """Two in a row of lmc1 at 2011 ms: of one MN, the first counts one and names nobody yet, the second counts nine."""
    for counts, fails in (((1, 1), False), ((1, 9), True), ((9, 1), True)):
        lab = good_lab().drop("lmc1.1.ASR@*")
        lab.mmcp(2011, "x.1.ASR", "lmc1", "sm", [["membership", counts[0]]])
        lab.mmcp(2012, "y.1.ASR", "lmc1", "sm", [["membership", counts[1]], *MN])
        assert ("mmcp-asr-complete" in failing(judged(lab, tmp_path))) == fails, counts


def unseen(judgement: Judgement) -> set[str]:
    return {verdict.rule for verdict in judgement.with_verdict("unseen")}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", TOLERATED)
def test_tolerated_capture_passes(tmp_path: Path, case: str, family: int) -> None:
    lab = good_lab(family)
    TOLERATED[case](lab)
    judgement = judged(lab, tmp_path)
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []


@pytest.mark.parametrize("missing", ["SJR", "SJC", "LJR", "LJC"])
def test_fallback_needs_the_whole_join(tmp_path: Path, missing: str) -> None:
    judgement = judged(good_lab(fallback=True).drop(f"h1.{missing}@*"), tmp_path)
    assert "mmcp-fallback-join" in failing(judgement)


def test_fallback_in_another_order_fails(tmp_path: Path) -> None:
    judgement = judged(good_lab(fallback=True).move("h1.LJR@*", -4), tmp_path)
    assert "mmcp-fallback-join" in failing(judgement)


def test_absence_is_not_believed_without_presence(tmp_path: Path) -> None:
    """No report of the MN at all, and no data ever on the new cell: nothing can be said of them before their time."""
    lab = good_lab().drop("*report@mn").drop("data.*@lmc2")
    found = {(verdict.rule, verdict.verdict) for verdict in judged(lab, tmp_path).verdicts}
    assert ("mmcp-no-report-before-confirm", "unseen") in found
    assert ("mmcp-new-cell-cold", "unseen") in found
    assert ("mmcp-new-cell-cold", "passed") in found  # of the handover back, to the other cell


def test_reactive_sessions_owe_no_mmcp(tmp_path: Path) -> None:
    """Reports without SJC are no violation while the MN runs without MMCP."""
    lab = good_lab()
    lab.frames = [f for f in lab.frames if f.at_ms > 9000 or "lmc" in f.tag.split("@")[0] or f.tag.startswith("data")]
    lab.steps = [
        step for step in lab.steps if step["step"] == "parameters" or step["t_ns"] > lab.steps[0]["t_ns"] + 9e9
    ]
    judgement = judged(lab, tmp_path)
    assert failing(judgement) == {"mmcp-asr-complete"}  # of whom no join is left
    assert {"mmcp-join-order", "mmcp-no-report-before-confirm", "mmcp-handover-order", "mmcp-usr-period"} <= unseen(
        judgement
    )


def test_evidence_names_the_frames(tmp_path: Path) -> None:
    """The frames of a verdict, looked up in the file, are the messages it speaks of."""
    lab = good_lab()
    lab.move("h1.HTA@*", -2)
    judgement = judged(lab, tmp_path)
    verdict = next(v for v in judgement.with_verdict("failed") if v.rule == "mmcp-handover-order")
    ordered: list[tuple[float, int, str]] = [(step["t_ns"] / 1e6 - 1.7e12, 0, step["step"]) for step in lab.steps]
    ordered += [(frame.at_ms, 1, frame.tag) for frame in lab.frames]
    tags = [tag for _, _, tag in sorted(ordered, key=lambda thing: thing[:2])]
    assert {tags[number - 1] for number in verdict.frames} == {
        "h1.HIR@mn", "h1.HCT@lmc1", "h1.HCT@lmc2", "h1.report@lmc2", "h1.HTA@lmc2", "h1.HTA@lmc1", "h1.HIC@lmc1", "h1.HIC@mn",
    }  # fmt: skip
    assert "HTA F=1 sent by lmc2" in verdict.message


def test_same_lmc_on_both_cells_has_nothing_to_transfer(tmp_path: Path) -> None:
    lab = good_lab()
    lmcs = [
        dict(lmc, address=lab.addresses["lmc1"], interface=INTERFACES["lmc1"]) for lmc in lab.steps[0]["mmcp"]["lmcs"]
    ]
    lab.steps[0]["mmcp"] = {**lab.steps[0]["mmcp"], "lmcs": lmcs}
    found = {verdict.rule: verdict.verdict for verdict in judged(lab, tmp_path).verdicts}
    assert found["mmcp-handover-order"] == "unseen"


def test_vlan_tagged_frames_are_judged_the_same(tmp_path: Path) -> None:
    lab = good_lab()
    lab.frames = [replace(f, data=f.data[:12] + bytes.fromhex("81000005") + f.data[12:]) for f in lab.frames]
    assert judged(lab, tmp_path).exit_code() == 0


def misled(lab: ScriptedLab, to: str = "poa9") -> ScriptedLab:
    """The link trigger of the first handover has named another place than the one where the node goes."""
    (trigger,) = [step for step in lab.steps if step["step"] == "link_trigger" and step["handover"] == 1]
    trigger["next"] = to
    return lab


def test_a_node_that_goes_by_a_promise_for_another_place_is_found_out(tmp_path: Path) -> None:
    assert failing(judged(misled(good_lab(), "poa2"), tmp_path)) == set()
    judgement = judged(misled(good_lab()), tmp_path)
    assert failing(judgement) == {"mmcp-fallback-join"}
    (verdict,) = judgement.with_verdict("failed")
    assert "HIC was about poa9, and after link up these were not seen: SJR, SJC F=1" in verdict.message


def test_a_node_that_was_misled_and_joins_again_has_fallen_back(tmp_path: Path) -> None:
    lab = misled(good_lab()).drop("h1.LJ?@*")
    again_with_new_lmc(lab, 3362, "x.SJR", "mn", "sm")
    lab.mmcp(3363, "x.SJC", "sm", "mn", assigned(lab, "lmc2"), f=1)
    again_with_new_lmc(lab, 3364, "x.LJR", "mn", "lmc2")
    lab.mmcp(3365, "x.LJC", "lmc2", "mn", f=1)
    judgement = judged(lab, tmp_path)
    assert [verdict.message for verdict in judgement.with_verdict("failed")] == []
    (first, *_) = [v.message for v in judgement.with_verdict("passed") if v.rule == "mmcp-fallback-join"]
    assert first == "HIC was about poa9: fell back to SJR, SJC F=1, LJR, LJC F=1"

"""The rules of GMP that need to know who is who, each on a lab that keeps it and on one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from captures.gmp.rules import knowing
from captures.rules.engine import judge
from captures.rules.language import rules_in
from tests.captures.scripted_gmp import ScriptedGMP, place
from tests.captures.scripted_gmp_lab import announce, good_lab, joins, written
from tests.captures.scripted_link import Sent

RULES = {rule.name for rule in rules_in(knowing)}


def test_a_good_lab_keeps_every_rule(tmp_path: Path) -> None:
    judgement = judge(written(good_lab(), tmp_path))
    assert [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"] == []
    assert {v.rule for v in judgement.verdicts if v.verdict == "passed"} >= RULES


def _data_before(link: ScriptedGMP) -> None:
    for index in range(5):
        link.rtp(1.0 + index / 20, f"early.{index}", 65531 + index)


def _data_after(link: ScriptedGMP) -> None:
    for index in range(5):
        link.rtp(25.0 + index / 20, f"late.{index}", 370 + index)


def _join_late(link: ScriptedGMP) -> None:
    link.drop("late.join")
    joins(link, 9.0, "late")
    joins(link, 9.4, "late")


def _announced_late(link: ScriptedGMP) -> None:
    link.drop("sap.deletion")
    announce(link, 30.0, "sap.late")
    announce(link, 31.0, "sap.deletion", deletes=True)


BROKEN: dict[str, tuple[Callable[[ScriptedGMP], object], dict[str, Any], set[str]]] = {
    "another speaks as the server": (
        lambda link: link.gmp(7.0, "paul.x.SRRES", 5, 0, at=(place("late")[0], 41000)).change(
            "paul.x.SRRES", lambda frame: _from(frame, "10.1.0.77")
        ),
        {}, {"parties"},
    ),
    "another period": (lambda _link: None, {"period_s": 2.0}, {"as-agreed"}),
    "another core member": (lambda _link: None, {"core_members": ["kern", "paul"]}, {"as-agreed"}),
    "open, and to be closed": (lambda _link: None, {"closed": True}, {"as-agreed"}),
    "data before the creator is active": (_data_before, {}, {"data-while-active"}),
    "data after the end": (_data_after, {}, {"data-while-active"}),
    "joined too late": (_join_late, {}, {"joins-when-active"}),
    "not taken back": (lambda link: link.drop("sap.deletion"), {}, {"announcement-deleted"}),
    "announced after the end": (_announced_late, {}, {"announcement-deleted"}),
}  # fmt: skip


def _from(frame: Sent, source: str) -> Sent:
    """The frame with another source; UDP's checksum is left out."""
    data = frame.data[:26] + ip_address(source).packed + frame.data[30:40] + bytes(2) + frame.data[42:]
    return replace(frame, data=data)


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_noticed(tmp_path: Path, case: str) -> None:
    spoil, section, failing = BROKEN[case]
    link = good_lab()
    spoil(link)
    judgement = judge(written(link, tmp_path, **section))
    failed = [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"]
    mine = {rule for rule, _ in failed if rule in RULES}
    assert mine == {f"gmp-{name}" for name in failing}, failed


def test_what_nobody_confirms_a_killed_server_may_forget(tmp_path: Path) -> None:
    """A leave that nobody has acted on, and an end that nobody was told of."""
    link = good_lab()
    link.drop("late.TRIND").drop("paul.[12].?.LVREQ")
    link.mm(11.202, "paul.9.KAREQ", 5, 3, 1).mm(11.204, "paul.9.KARES", 5, 3, 1)
    told = judge(written(link, tmp_path))
    assert {v.rule for v in told.verdicts if v.verdict == "failed"} >= {"gmp-end-told", "gmp-asks-active"}
    for killed_s, forgiven in ((10.7, "gmp-asks-active"), (20.65, "gmp-end-told")):
        judgement = judge(written(link, tmp_path, killed_s=killed_s))
        assert forgiven not in {v.rule for v in judgement.verdicts if v.verdict == "failed"}


def test_every_rule_is_broken_by_a_case() -> None:
    assert {f"gmp-{name}" for *_, failing in BROKEN.values() for name in failing} == RULES

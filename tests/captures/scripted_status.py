"""A lab of silences that never ran: lost reports, a stopped MN, a killed LMC, a killed MN of the SM."""

from __future__ import annotations

from typing import Any

from tests.captures.scripted_joins import group
from tests.captures.scripted_lab import INTERFACES, MMCP_PORT, MN_ID, ScriptedLab

MN = ["mn_id", MN_ID]
END_MS = 24_700
LMC_KILLED_MS, MN_KILLED_MS = 11_500, 18_300
STAYS_MS = ((116, 3616 + 6000), (10_203, LMC_KILLED_MS))  # with lmc1: the first ends 4 SPT after the last report


def good_status_lab(family: int = 4) -> ScriptedLab:
    """SRT is 500 ms, SPT 1500 ms, JWT 500 ms; one cell with lmc1, and one session."""
    lab = ScriptedLab(family)
    a = lab.addresses
    lmc = {"name": "lmc1", "address": a["lmc1"], "interface": INTERFACES["lmc1"], "point_of_attachment": "poa1"}
    lab.parameters({"srt_s": 0.5, "jwt_s": 0.5, "lmcs": [lmc]}, expects=["status"])
    lab.mmcp(10, "lmc1.SJR", "lmc1", "sm", [["mn_id", b"lmc1".hex()], ["lmc", a["lmc1"], MMCP_PORT]])
    lab.mmcp(12, "lmc1.SJC", "sm", "lmc1", [group(lab)], f=1)
    for due in range(512, LMC_KILLED_MS, 500):
        here = [MN] if any(begin <= due < end for begin, end in STAYS_MS) else []
        lab.mmcp(due, f"{due}.ASR", "lmc1", "sm", [["membership", len(here)], *here])
    _joined(lab)
    _reports_lost(lab)
    _stopped(lab)
    _controller_killed(lab)
    _killed(lab)
    lab.step(END_MS, "session_end", mode="proactive", mn="mn")
    lab.data(20, END_MS, lambda t: {"mcs", "mn"} if 130 <= t < MN_KILLED_MS + 100 else {"mcs"})
    return lab


def _reports(lab: ScriptedLab, begin_ms: int, end_ms: int, to: str) -> None:
    for due in range(begin_ms, end_ms, 500):
        lab.mmcp(due, f"{due}.USR", "mn", to, [MN])


def _join(lab: ScriptedLab, at_ms: float, name: str, *, with_lmc: bool) -> None:
    """SJR, SJC, and LJR to the LMC that it names."""
    lmc: list[list[Any]] = [["lmc", lab.addresses["lmc1"], MMCP_PORT]] if with_lmc else []
    lab.mmcp(at_ms, f"{name}.SJR", "mn", "sm", [MN, ["poa_id", b"poa1".hex()]])
    lab.mmcp(at_ms + 2, f"{name}.SJC", "sm", "mn", [group(lab), *lmc], f=1)
    if with_lmc:
        lab.mmcp(at_ms + 4, f"{name}.LJR", "mn", "lmc1", [MN])


def _joined(lab: ScriptedLab) -> None:
    lab.step(100, "session_begin", mode="proactive", mn="mn", expected="lmc")
    _join(lab, 110, "join", with_lmc=True)
    lab.mmcp(116, "join.LJC", "lmc1", "mn", f=1)
    lab.report(118, "join.report", "mn")
    _reports(lab, 616, 1200, "lmc1")


def _reports_lost(lab: ScriptedLab) -> None:
    """What was sent at 1616 and 2116 is on no link; the answer to the probe is, and what follows."""
    lab.step(1200, "silence_begin", role="mn", why="reports lost", answers=True)
    lab.mmcp(2616, "lost.USP", "lmc1", "mn")
    lab.mmcp(2617, "answer.USR", "mn", "lmc1", [MN])
    lab.step(2650, "silence_end", role="mn")
    _reports(lab, 3116, 3700, "lmc1")


def _stopped(lab: ScriptedLab) -> None:
    """Three probes in vain; when it goes on, it answers all three, unknown to lmc1, and then renews its membership."""
    lab.step(3700, "silence_begin", role="mn", why="stopped")
    for number in (1, 2, 3):
        lab.mmcp(3616 + 1500 * number, f"stopped.{number}.USP", "lmc1", "mn")
    lab.step(10_200, "silence_end", role="mn")
    for number in (1, 2, 3):
        lab.mmcp(10_201 + number / 10, f"late.{number}.USR", "mn", "lmc1", [MN])
    lab.mmcp(10_202, "again.LJR", "mn", "lmc1", [MN])
    lab.mmcp(10_203, "again.LJC", "lmc1", "mn", f=1)
    _reports(lab, 10_701, 16_202, "lmc1")


def _controller_killed(lab: ScriptedLab) -> None:
    """The SM probes; the MN renews three times in vain, and is assigned lmc1 twice more before the SM has given it up."""
    lab.step(LMC_KILLED_MS, "silence_begin", role="lmc1", why="killed")
    for number in (1, 2, 3):
        lab.mmcp(11_012 + 1500 * number, f"lmc1.{number}.USP", "sm", "lmc1")
        lab.mmcp(10_203 + 1500 * number, f"vain.{number}.LJR", "mn", "lmc1", [MN])
    _join(lab, 16_203, "first", with_lmc=True)
    _join(lab, 16_706, "second", with_lmc=True)
    _join(lab, 17_209, "third", with_lmc=False)
    _reports(lab, 17_701, MN_KILLED_MS, "sm")
    lab.mmcp(17_212, "17212.USR", "mn", "sm", [MN])


def _killed(lab: ScriptedLab) -> None:
    lab.step(MN_KILLED_MS, "silence_begin", role="mn", why="killed")
    lab.report(MN_KILLED_MS + 3, "killed.leave", "mn", kind=3)
    for number in (1, 2, 3):
        lab.mmcp(18_201 + 1500 * number, f"direct.{number}.USP", "sm", "mn")

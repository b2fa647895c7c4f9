"""What can be wrong about silences, and what only looks so: each spoils one thing in `scripted_status.good_status_lab`."""

from __future__ import annotations

from collections.abc import Callable

from tests.captures.scripted_joins import group
from tests.captures.scripted_lab import MMCP_PORT, ScriptedLab
from tests.captures.scripted_status import MN

Spoil = Callable[[ScriptedLab], object]


def assigned_anew(lab: ScriptedLab) -> ScriptedLab:
    return lab.mmcp(17_900, "x.SJC", "sm", "mn", [group(lab), ["lmc", lab.addresses["lmc1"], MMCP_PORT]], f=1)


def aggregate(lab: ScriptedLab, due: int, *members: list[str]) -> ScriptedLab:
    """Another ASR in place of the one at that time."""
    return lab.drop(f"{due}.ASR@*").mmcp(due, f"x.{due}.ASR", "lmc1", "sm", [["membership", len(members)], *members])


# What is spoiled, and the rules that must fail for it, these and no others; then those whose failure follows from theirs.
BROKEN_STATUS: dict[str, tuple[Spoil, *tuple[set[str], ...]]] = {
    # one that is there
    "the probe is not answered": (lambda lab: lab.drop("answer.USR@*"), {"mmcp-probe-answered"}),
    "the probe is answered late": (lambda lab: lab.move("answer.USR@*", 250), {"mmcp-probe-answered"}),
    "the answer goes elsewhere": (
        lambda lab: lab.drop("answer.USR@*").mmcp(2617, "x.USR", "mn", "sm", [MN]),
        {"mmcp-usr-to-parent"}, {"mmcp-probe-answered"},
    ),
    "no probe of one whose reports are lost": (
        lambda lab: lab.drop("lost.USP@*").drop("answer.USR@*"),
        {"mmcp-probe-schedule"},
    ),
    "a probe of one that reports": (
        lambda lab: lab.mmcp(1000, "x.USP", "lmc1", "mn").mmcp(1001, "x.USR", "mn", "lmc1", [MN]),
        {"mmcp-probe-schedule"},
    ),
    "an LMC does not answer": (
        lambda lab: lab.mmcp(9000, "x.USP", "sm", "lmc1").drop("9012.ASR@*"),
        {"mmcp-probe-answered", "mmcp-probe-schedule"}, {"mmcp-asr-period"},
    ),
    # one that is not
    "an early probe": (lambda lab: lab.move("stopped.2.USP@*", -250), {"mmcp-probe-schedule"}),
    "a late probe": (lambda lab: lab.move("stopped.2.USP@*", 250), {"mmcp-probe-schedule"}),
    "a fourth probe": (lambda lab: lab.copy("stopped.3.USP@*", 1500), {"mmcp-probe-schedule"}),
    "only two probes": (
        lambda lab: lab.drop("stopped.3.USP@*"),
        {"mmcp-probe-schedule"}, {"mmcp-asr-complete", "mmcp-silent-child-given-up"},
    ),
    "no probes of the SM": (
        lambda lab: lab.drop("direct.?.USP@*"),
        {"mmcp-probe-schedule"}, {"mmcp-silent-child-given-up"},
    ),
    "given up too early": (lambda lab: aggregate(lab, 9012), {"mmcp-asr-complete"}),
    "not given up": (
        lambda lab: aggregate(aggregate(lab, 10_012, MN), 10_512, MN).move("9512.ASR@*", 0),
        {"mmcp-silent-child-given-up"}, {"mmcp-asr-complete"},
    ),
    "never given up": (
        lambda lab: [aggregate(lab, due, MN) for due in (10_012, 10_512, 11_012)] and lab.drop("again.*@*"),
        {"mmcp-silent-child-given-up"}, {"mmcp-asr-complete"},
    ),
    # an LMC that is not there
    "a dead LMC is assigned": (assigned_anew, {"mmcp-failed-lmc-not-assigned"}, {"mmcp-session-confirm-asked"}),
    "back to SJR after two renewals": (lambda lab: lab.drop("vain.2.LJR@*"), {"mmcp-lost-parent"}),
    "no SJR": (
        lambda lab: [lab.drop(f"{name}.*@*") for name in ("first", "second", "third")],
        {"mmcp-lost-parent"}, {"mmcp-usr-period", "mmcp-usr-to-parent"},
    ),
    "a late SJR": (
        lambda lab: lab.drop("first.*@*").drop("second.*@*").move("third.*@*", 500).drop("17212.USR@*"),
        {"mmcp-lost-parent"}, {"mmcp-usr-period", "mmcp-usr-to-parent"},
    ),
    "no membership again": (
        lambda lab: lab.drop("third.SJC@*").drop("17???.USR@*").drop("18???.USR@*"),
        {"mmcp-session-join-answered"}, {"mmcp-lost-parent"},
    ),
    "the group is left meanwhile": (lambda lab: lab.report(13_000, "x", "mn", kind=3), {"mmcp-lost-parent"}),
    "no USR to the SM": (
        lambda lab: lab.drop("17701.USR@*"),
        {"mmcp-usr-period"},
    ),
}  # fmt: skip


def controller_probed(lab: ScriptedLab) -> None:
    """What lmc1 reports of itself is lost for three seconds, and it answers what the SM asks."""
    lab.drop("[6-8]???.ASR@*").drop("5512.ASR@*")
    lab.step(5500, "silence_begin", role="lmc1", why="reports lost", answers=True)
    for at_ms in (6512, 8013):
        lab.mmcp(at_ms, f"{at_ms}.USP", "sm", "lmc1")
        lab.mmcp(at_ms + 1, f"answer.{at_ms}.ASR", "lmc1", "sm", [["membership", 1], MN])
    lab.step(8600, "silence_end", role="lmc1")


def back_in_time(lab: ScriptedLab) -> None:
    """The stopped node goes on after two probes, and is not given up."""
    lab.drop("stopped.3.USP@*").drop("10???.USR@*").drop("late.?.USR@*").drop("again.*@*")
    lab.drop_step("silence_end", t_ns=lab.steps[0]["t_ns"] + 10_200_000_000)
    lab.step(7000, "silence_end", role="mn")
    for due in range(7201, 10_702, 500):
        lab.mmcp(due, f"{due}.USR", "mn", "lmc1", [MN])
    aggregate(lab, 10_012, MN)
    lab.mmcp(10_203, "again.LJR", "mn", "lmc1", [MN]).mmcp(10_203.5, "again.LJC", "lmc1", "mn", f=1)


def parent_silenced(lab: ScriptedLab) -> None:
    """Before the SM has given up the last one, it is killed itself."""
    lab.drop("direct.3.USP@*")
    lab.step(21_500, "silence_begin", role="sm", why="killed")


# What looks odd but is right.
TOLERATED_STATUS: dict[str, Spoil] = {
    "the SM probes an LMC that answers": controller_probed,
    "a USR that was put off until it had a parent, and the next on schedule": lambda lab: (
        lab.move("17212.USR@*", -10).move("third.*@*", -11).mmcp(17_202.5, "x.USR", "mn", "sm", [MN])
    ),
    "the parent falls silent too": parent_silenced,
    "a last report just after the scenario struck": lambda lab: lab.move("18201.USR@*", 101).move(
        "direct.?.USP@*", 101
    ),
    "the stopped one comes back before it is given up": back_in_time,
}

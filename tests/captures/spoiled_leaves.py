"""What can be wrong with leaves, and what only looks so: each spoils one thing in `scripted_leaves.good_leave_lab`."""

from __future__ import annotations

from collections.abc import Callable

from tests.captures.scripted_lab import MN_ID, ScriptedLab, at_cell
from tests.captures.scripted_leaves import FAILED_MS

Spoil = Callable[[ScriptedLab], object]
MN = ["mn_id", MN_ID]


def aggregates(lab: ScriptedLab, at_ms: float, tag: str, *members: list[str], count: int | None = None) -> ScriptedLab:
    """Another ASR of lmc1 or lmc2 in place of the one at that time."""
    lmc, due = tag.split(".")
    lab.drop(f"{lmc}.{due}.ASR@*")
    counted = len(members) if count is None else count
    return lab.mmcp(at_ms, f"x.{tag}.ASR", lmc, "sm", [["membership", counted], *members])


def more_data(lab: ScriptedLab, begin_ms: float, end_ms: float) -> None:
    lab.data(begin_ms, end_ms, lambda _: {"mn"})


# What is spoiled, and the rules that must fail for it, these and no others; then those whose failure follows from theirs.
BROKEN_LEAVES: dict[str, tuple[Spoil, *tuple[set[str], ...]]] = {
    "no ULR": (
        lambda lab: lab.drop("lmc1.ULR@*").drop("lmc1.ULC@*"),
        {"mmcp-leave-request"}, {"mmcp-asr-complete", "mmcp-probe-schedule"},
    ),
    "ULR to the SM in spite of an LMC": (
        lambda lab: (
            lab.drop("lmc1.ULR@*").drop("lmc1.ULC@*"),
            at_cell(lab, 1).mmcp(2001, "x.ULR", "mn", "sm", [MN]).mmcp(2002, "x.ULC", "sm", "mn", f=1),
        ),
        {"mmcp-leave-request", "mmcp-probe-schedule"}, {"mmcp-asr-complete"},
    ),
    "ULR of one that is killed": (
        lambda lab: at_cell(lab, 2).mmcp(4401, "x.ULR", "mn", "lmc2", [MN]).mmcp(4401.5, "x.ULC", "lmc2", "mn", f=1),
        {"mmcp-leave-request"}, {"mmcp-asr-complete", "mmcp-asr-on-leave", "mmcp-probe-schedule"},
    ),
    "no ULC of the SM": (lambda lab: lab.drop("direct.ULC@*"), {"mmcp-leave-answered"}),
    "a late ULC": (lambda lab: lab.move("direct.ULC@*", 600), {"mmcp-leave-answered"}),
    "ULC of somebody else": (
        lambda lab: at_cell(lab.drop("lmc1.ULC@mn"), 1).mmcp(2002, "x.ULC", "sm", "mn", f=1),
        {"mmcp-leave-answered"}, {"mmcp-leave-confirm-asked"},
    ),
    "the group is not left": (lambda lab: lab.drop("lmc1.leave@*"), {"mmcp-leave-group"}),
    "the group is left late": (lambda lab: lab.move("direct.leave@*", 550), {"mmcp-leave-group"}),
    "the group is not left by one that is killed": (lambda lab: lab.drop("killed.leave@*"), {"mmcp-leave-group"}),
    "the group is joined again": (lambda lab: lab.report(2300, "x", "mn"), {"mmcp-leave-group"}),
    "data goes on": (lambda lab: more_data(lab, 2200, 2560), {"mmcp-leave-ends-stream"}),
    "USR after the leave": (
        lambda lab: at_cell(lab, 1).mmcp(2316, "x.USR", "mn", "lmc1", [MN]),
        {"mmcp-leave-is-final"}, {"mmcp-silent-after-leave"},
    ),
    "LJR after the leave": (
        lambda lab: at_cell(lab, 1).mmcp(2316, "x.LJR", "mn", "lmc1", [MN]),
        {"mmcp-leave-is-final"},
    ),
    "no ASR at once": (lambda lab: lab.drop("atonce.ASR@*").move("lmc2.3252.ASR@*", 160), {"mmcp-asr-on-leave"}),
    "the ASR at once still has it": (
        lambda lab: lab.drop("atonce.ASR@*").mmcp(3203, "x.ASR", "lmc2", "sm", [["membership", 1], MN]),
        {"mmcp-asr-complete"},
    ),
    # whom an LMC has
    "the next ASR still has it": (lambda lab: aggregates(lab, 2252, "lmc1.2252", MN), {"mmcp-asr-complete"}),
    "an ASR without a member": (lambda lab: aggregates(lab, 1752, "lmc1.1752"), {"mmcp-asr-complete"}),
    "an ASR that miscounts": (lambda lab: aggregates(lab, 1752, "lmc1.1752", MN, count=2), {"mmcp-asr-complete"}),
    "an ASR with a stranger": (
        lambda lab: aggregates(lab, 1752, "lmc1.1752", MN, ["mn_id", "77"]),
        {"mmcp-asr-complete"},
    ),
    "one that failed is still reported": (
        lambda lab: aggregates(lab, FAILED_MS + 536, "lmc2.10752", MN),
        {"mmcp-asr-complete"},
    ),
    # probes of one that was killed
    "no probe": (
        lambda lab: lab.drop("killed.?.USP@*"),
        {"mmcp-probe-schedule"}, {"mmcp-asr-complete"},
    ),
    "the second probe is missing": (lambda lab: lab.drop("killed.2.USP@*"), {"mmcp-probe-schedule"}, {"mmcp-asr-complete"}),
    "the first probe too early": (lambda lab: lab.move("killed.1.USP@*", -250), {"mmcp-probe-schedule"}),
    "the second probe too late": (lambda lab: lab.move("killed.2.USP@*", 250), {"mmcp-probe-schedule"}),
    "a fourth probe": (lambda lab: lab.copy("killed.3.USP@*", 1500), {"mmcp-probe-schedule"}),
    "a fourth probe, late": (lambda lab: lab.copy("killed.3.USP@*", 1520), {"mmcp-probe-schedule"}),
    "a probe of one that left": (lambda lab: at_cell(lab, 1).mmcp(2300, "x.USP", "lmc1", "mn"), {"mmcp-probe-schedule"}),
}  # fmt: skip

# What looks odd but is right.
TOLERATED_LEAVES: dict[str, Spoil] = {
    "ULR sent twice": lambda lab: (lab.copy("lmc1.ULR@*", 0.5), lab.copy("lmc1.ULC@*", 0.5)),
    "ULC with F=0": lambda lab: lab.patch("lmc1.ULC@*", b"\x06\x01\0\x08", b"\x06\0\0\x08"),
    "the group is left twice, as the kernel says it": lambda lab: lab.copy("lmc1.leave@mn", 30),
    "a renewal that is not answered before the node leaves": lambda lab: at_cell(lab, 2).mmcp(
        3190, "x.LJR", "mn", "lmc2", [MN]
    ),
    "another leave that the scenario does not announce": lambda lab: (
        at_cell(lab, 1).mmcp(2100, "x.ULR", "mn", "lmc1", [MN]).mmcp(2101, "x.ULC", "lmc1", "mn", f=1)
    ),
    "an ASR in two parts": lambda lab: aggregates(lab, 1752, "lmc1.1752", count=1).mmcp(
        1752.5, "x.ASR", "lmc1", "sm", [["membership", 1], MN]
    ),
    "one that fails is still in an ASR at that moment": lambda lab: aggregates(lab, FAILED_MS + 36, "lmc2.10252", MN),
}

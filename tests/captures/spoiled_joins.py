"""What can be wrong with joins, and what only looks so: each spoils one thing in `scripted_joins.good_join_lab`."""

from __future__ import annotations

from collections.abc import Callable

from tests.captures.scripted_joins import STRANGER_ID, group
from tests.captures.scripted_lab import MMCP_PORT, MN_ID, ScriptedLab, at_cell

Spoil = Callable[[ScriptedLab], object]


def data_at_mn(lab: ScriptedLab) -> None:
    lab.frames = [f for f in lab.frames if f.tag != "data.1200@mn"]
    lab.data(1200, 1210, lambda _: {"mn"})


# What is spoiled, and the rules that must fail for it, these and no others; then those whose failure follows from theirs.
BROKEN_JOINS: dict[str, tuple[Spoil, *tuple[set[str], ...]]] = {
    "the SM admits a stranger": (
        lambda lab: at_cell(lab.drop("refused-by-sm.SJC@*"), 1).mmcp(1112, "x.SJC", "sm", "mn", [group(lab)], f=1),
        {"mmcp-join-outcome"},
        {"mmcp-probe-schedule"},
    ),
    "the SM does not answer a stranger": (
        lambda lab: lab.drop("refused-by-sm.SJC@*"),
        {"mmcp-join-outcome"},
    ),
    "the SM refuses a member": (
        lambda lab: lab.drop("lmc.SJC@*").mmcp(112, "x.SJC", "sm", "mn"),
        {"mmcp-join-outcome"},
        {"mmcp-join-order", "mmcp-no-report-before-confirm"},
    ),
    "the LMC refuses a member": (
        lambda lab: lab.patch("lmc.LJC@*", b"\x04\x01\0\x08", b"\x04\0\0\x08"),
        {"mmcp-join-outcome"},
        {"mmcp-asr-complete", "mmcp-join-order", "mmcp-report-after-join", "mmcp-report-after-local-join"},
    ),
    "the LMC takes an MN into a session it does not serve": (
        lambda lab: lab.patch("refused-by-lmc.LJC@*", b"\x04\0\0\x08", b"\x04\x01\0\x08"),
        {"mmcp-join-outcome"},
    ),
    "the LMC does not answer": (lambda lab: lab.drop("refused-by-lmc.LJC@*"), {"mmcp-join-outcome"}),
    "the SM assigns an LMC where there is none": (
        lambda lab: lab.drop("direct.SJC@*").mmcp(
            2112, "x.SJC", "sm", "mn", [group(lab), ["lmc", lab.addresses["lmc1"], MMCP_PORT]], f=1
        ),
        {"mmcp-join-outcome"},
        {"mmcp-join-order"},
    ),
    "no SJR of one that is to stay without answer": (lambda lab: lab.drop("*unanswered.SJR@*"), {"mmcp-join-outcome"}),
    "a refusal with the group in it": (
        lambda lab: at_cell(lab.drop("refused-by-sm.SJC@*"), 1).mmcp(1112, "x.SJC", "sm", "mn", [group(lab)]),
        {"mmcp-refusal-empty"},
    ),
    "LJR after a refusal": (
        lambda lab: lab.mmcp(1120, "x.LJR", "mn", "lmc1", [["mn_id", STRANGER_ID]]),
        {"mmcp-nothing-after-refusal"},
    ),
    "USR after a refusal by the LMC": (
        lambda lab: lab.mmcp(1900, "x.USR", "mn", "lmc1", [["mn_id", MN_ID]]),
        {"mmcp-nothing-after-refusal"},
    ),
    "USR without an answer": (
        lambda lab: lab.mmcp(4000, "x.USR", "mn", "sm", [["mn_id", MN_ID]]),
        {"mmcp-nothing-after-refusal"},
    ),
    "report after a refusal": (lambda lab: lab.report(1120, "x", "mn"), {"mmcp-no-report-when-refused"}),
    "report after a refusal by the LMC": (lambda lab: lab.report(1700, "x", "mn"), {"mmcp-no-report-when-refused"}),
    "report without an answer": (lambda lab: lab.report(4000, "x", "mn"), {"mmcp-no-report-when-refused"}),
    "data for one that is refused": (data_at_mn, {"mmcp-no-data-when-refused"}),
    "no second SJR": (lambda lab: lab.drop("copy.unanswered.SJR@mn"), {"mmcp-join-retries"}),
    "a third SJR": (lambda lab: lab.copy("copy.unanswered.SJR@mn", 500), {"mmcp-join-retries"}),
    "the second SJR too early": (
        lambda lab: lab.move("copy.unanswered.SJR@mn", -250),
        {"mmcp-join-retries"},
        {"mmcp-session-join-pace"},
    ),
    "the second SJR too late": (lambda lab: lab.move("copy.unanswered.SJR@mn", 250), {"mmcp-join-retries"}),
    "report before LJC": (lambda lab: lab.move("lmc.report@mn", -3), {"mmcp-report-follows-join"}),
    "report before SJC": (
        lambda lab: lab.move("direct.report@mn", -3),
        {"mmcp-no-report-before-confirm"},
        {"mmcp-report-follows-join"},
    ),
    "no report": (lambda lab: lab.drop("direct.report@mn"), {"mmcp-report-follows-join"}),
    "USR to the SM in spite of an LMC": (
        lambda lab: lab.drop("lmc.USR@*").mmcp(616, "x.USR", "mn", "sm", [["mn_id", MN_ID]]),
        {"mmcp-usr-to-parent"},
    ),
    "USR to an LMC that was not assigned": (
        lambda lab: lab.drop("direct.USR@*").mmcp(2612, "x.USR", "mn", "lmc1", [["mn_id", MN_ID]]),
        {"mmcp-usr-to-parent"},
    ),
    "no USR to the SM": (lambda lab: lab.drop("direct.USR@*"), {"mmcp-usr-period"}),
}

# What looks odd but is right.
TOLERATED_JOINS: dict[str, Spoil] = {
    "a refused MN tries again": lambda lab: lab.copy("refused-by-sm.*@*", 200),
    "report of another group": lambda lab: lab.report(1120, "x", "mn", kind=3),
    "LJC lost, LJR sent again": lambda lab: (
        at_cell(lab.drop("lmc.LJC@mn").drop("lmc.USR@*").move("lmc.report@mn", 502), 1)
        .mmcp(615, "x.LJR", "mn", "lmc1", [["mn_id", MN_ID]])
        .mmcp(617, "x.LJC", "lmc1", "mn", f=1)
    ),
    "a USR to the parent before crosses the LJC of the new one": lambda lab: lab.mmcp(
        2499, "x.LJR", "mn", "lmc1", [["mn_id", MN_ID]]
    ).mmcp(2500, "x.LJC", "lmc1", "mn", f=1).mmcp(2501, "x.USR", "mn", "sm", [["mn_id", MN_ID]]).drop("direct.USR@*"),
}  # fmt: skip

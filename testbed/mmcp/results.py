"""What MMCP's labs measure and conclude: their tables, handovers, outages and cases.

A row of ``handovers`` has handover (its number), mode, outcome, mn, from, to, l2_gap_ms, overlap_ms, address_delay_ms, expected
("prepared", "unprepared" or "either": what these allow, see `testbed.mmcp.expectation`), because (why not "prepared"),
longest_silence_ms (without a packet), disruption_ms (what of that the source has not paused), excess_ms, packets, lost, duplicates,
hir_hic_ms, first_packet_after_link_up_ms, and receiver (what that counted in the same window). A row of ``outages`` says what a handover's disruption was spent on, see `captures.mmcp.outages`: handover,
mode, disruption_ms, and what the judge's record has as its outage. A row of ``cases``, of a lab that is no walk, has case, seen (what happened, in words) and the judge's
figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.run.laboratory import Conclusion, Measurements
from testbed.run.results import Column, Table

HANDOVERS = Table(
    "handovers",
    # Short titles, so that the table fits 80 columns.
    (
        Column("#", "handover"),
        Column("mode", "mode"),
        Column("gap", "l2_gap_ms", "ms"),
        Column("disruption", "disruption_ms", "ms"),
        Column("excess", "excess_ms", "ms"),
        Column("lost", "lost", "packets"),
        Column("dup", "duplicates", "packets"),
        Column("HIR-HIC", "hir_hic_ms", "ms"),
        Column("arrival", "first_packet_after_link_up_ms", "ms"),
    ),
    row="handover",
    note="times in ms, lost and dup in packets; arrival: first packet after link up",
)
OUTAGES = Table(
    "outages",
    (
        Column("#", "handover"),
        Column("mode", "mode"),
        Column("outage", "disruption_ms", "ms"),
        Column("link", "link_ms", "ms"),
        Column("address", "address_ms", "ms"),
        Column("join", "join_ms", "ms"),
        Column("tree", "tree_ms", "ms"),
        Column("other", "other_ms", "ms"),
        Column("tree was", "tree"),
        Column("address after", "address_after_ms", "ms"),
    ),
    row="outage",
    note="tree ahead: the data was there first; address after: link up until usable",
    more=True,
)
CASES = Table("cases", (Column("case", "case"), Column("what was seen", "seen")))
TABLES = (HANDOVERS, OUTAGES, CASES)

Row = Mapping[str, Any]


@dataclass(slots=True)
class SessionMeasurements(Measurements):
    """``windows``: by handover, what the receiver counted in its window, or {"error": why not}. ``cases``: what roles said."""

    windows: dict[int, Row] = field(default_factory=dict)
    cases: list[dict[str, Any]] = field(default_factory=list)


def conclude_handovers(
    measurements: SessionMeasurements, judged: Sequence[Row], problems: Callable[[Row, Row], list[str]]
) -> Conclusion:
    """A row for each handover that the judge saw. ``problems``: what is wrong with it, of the judge's row and the window."""
    conclusion = Conclusion(
        {HANDOVERS.name: [], OUTAGES.name: []}, _counts_differ("handovers", measurements.windows, judged)
    )
    for row in judged:
        window = measurements.windows.get(row["handover"], {"error": "not measured"})
        own = {"receiver": window, "problems": problems(row, window), "verdict": _verdict(row)}
        conclusion.rows[HANDOVERS.name].append({**row, **own})
        if row.get("outage") is not None:
            conclusion.rows[OUTAGES.name].append(_outage(row))
    return conclusion


def conclude_cases(
    measurements: SessionMeasurements,
    judged: Sequence[Row],
    what: str,
    problems: Callable[[Row, Row], list[str]],
    in_words: Callable[[Row, Row], str],
) -> Conclusion:
    """A row for each case, in order. ``problems`` and ``in_words`` are asked with what was measured and the judge's row."""
    rows = [
        {
            **row,
            **measured,
            "seen": in_words(measured, row),
            "problems": [*measured["problems"], *problems(measured, row)],
        }
        for measured, row in zip(measurements.cases, judged, strict=False)
    ]
    return Conclusion({CASES.name: rows}, _counts_differ(what, measurements.cases, judged))


def _counts_differ(what: str, made: Sequence[Any] | Mapping[int, Any], judged: Sequence[Row]) -> list[str]:
    if len(made) == len(judged):
        return []
    return [f"{len(made)} {what} were made, the capture shows {len(judged)}"]


def _outage(row: Row) -> dict[str, Any]:
    outage = row["outage"]
    which = {name: row[name] for name in ("handover", "mode", "disruption_ms")}
    return {**which, **outage, "tree": "ahead" if outage["tree_is_ahead"] else "made", "problems": []}


def _verdict(row: Row) -> str:
    """How a handover without problems went."""
    if row["outcome"] == "predictive" and row.get("expected") == "unprepared":
        return "pass: unprepared"  # it was confirmed in time, and what that prepared was over before the node came
    if row["outcome"] in ("predictive", row["mode"]):
        return "pass"
    # A lab that kills roles lets a node join again after the window in which its handover was measured.
    return "pass: later" if row["outcome"] == "failed" else f"pass: {row['outcome']}"

"""What GMP's labs measure and conclude: the stays of members, and what else happened.

A row of ``stays`` is one activation of a member: stay (its number), member, entry ("first", "late": the stream was there already,
"again"), activation_to_data_ms (from the command to the first packet), until (what ended it), seconds (with the stream), packets,
lost (of those between the first and the last), after (packets later than 0.5 s after its end). A row of ``cases`` has case and seen
(what happened, in words).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed.run.laboratory import Conclusion, Measurements
from testbed.run.options import Values
from testbed.run.results import Column, Table

STAYS = Table(
    "stays",
    (
        Column("#", "stay"),
        Column("member", "member"),
        Column("entry", "entry"),
        Column("to data", "activation_to_data_ms", "ms"),
        Column("until", "until"),
        Column("stayed", "seconds", "s"),
        Column("packets", "packets"),
        Column("lost", "lost", "packets"),
        Column("after", "after", "packets"),
    ),
    row="stay",
    note="to data: activation until the first packet, ms; stayed: with the stream, s; after: packets after its end",
)
CASES = Table("cases", (Column("case", "case"), Column("what was seen", "seen")))
TABLES = (STAYS, CASES)

Row = dict[str, Any]


@dataclass(slots=True)
class SessionMeasurements(Measurements):
    """The rows of both tables, as the scenario found them."""

    stays: list[Row] = field(default_factory=list)
    cases: list[Row] = field(default_factory=list)

    def add_case(self, case: str, seen: str, problem: str | None = None, **more: object) -> None:
        """Something that happened, and what was wrong with it."""
        self.cases.append({"case": case, "seen": seen, "problems": [problem] if problem else [], **more})


def conclude(_values: Values, measurements: SessionMeasurements, _verdict: Mapping[str, Any]) -> Conclusion:
    """The rows as they are: the judge's rules are told beside them."""
    return Conclusion({STAYS.name: measurements.stays, CASES.name: measurements.cases})

"""What a lab does to its routers, counted from events: who joined where, and for how many streams there was state at once."""

from __future__ import annotations

from typing import Any

import pytest

from captures.dissectors.igmp_mld import MODE_IS_EXCLUDE, TO_EXCLUDE, TO_INCLUDE, Query, Record, Report
from captures.history.events import Event
from captures.history.router_load import RouterLoad

SECOND = 1_000_000_000
MODEL = {
    "nodes": [
        {"name": "r1", "kind": "router"},
        {"name": "r2", "kind": "router"},
        {"name": "mn1", "kind": "host"},
        {"name": "mn2", "kind": "host"},
    ],
    "links": [
        {
            "first": {"node": "r1", "interface": "r1-r2", "address": "10.0.0.1/30"},
            "second": {"node": "r2", "interface": "r2-r1", "address": "10.0.0.2/30"},
        }
    ],
    "attachments": [
        {"end": {"node": "r2", "interface": "r2-poa", "address": "10.1.0.1/24"}, "point_of_attachment": "poa"}
    ],
    "radios": [
        {"node": "mn1", "interface": "mn1-radio", "addresses": [["poa", "10.1.0.11/24"]]},
        {"node": "mn2", "interface": "mn2-radio", "addresses": [["poa", "10.1.0.12/24"]]},
    ],
}
A, B = "239.1.1.1", "239.1.1.2"


class Story:
    """Events one after the other, a second apart."""

    def __init__(self) -> None:
        self.load, self.number = RouterLoad(), 0
        self.step("model", model=MODEL)

    def tell(self, interface: str, protocol: str, kind: str, source: str, **fields: Any) -> None:
        self.number += 1
        self.load.event(
            Event(self.number, self.number * SECOND, interface, protocol, kind, source, "224.0.0.22", fields)
        )

    def step(self, name: str, **fields: Any) -> None:
        self.tell("", "step", name, "", **fields)

    def report(self, source: str, *records: tuple[int, str], leave: bool = False) -> None:
        told = [Record(kind, group, ()) for kind, group in records]
        self.tell("r2:r2-poa", "igmp", "leave" if leave else "report", source, message=Report(3, leave, tuple(told)))

    def query(self) -> None:
        self.tell("r2:r2-poa", "igmp", "query", "10.1.0.1", message=Query(3, "", (), 1.0, False, 2, 10))

    def pim(self, joins: list[tuple[str, str]], prunes: list[tuple[str, str]], holdtime: int = 210) -> None:
        told = {"upstream": "10.0.0.1", "holdtime": holdtime, "joins": joins, "prunes": prunes}
        self.tell("r1:r1-r2", "pim", "join-prune", "10.0.0.2", **told)

    def of(self, router: str) -> dict[str, Any]:
        return next(record for record in self.load.records() if record["router"] == router)


def test_each_message_counts_once_at_whom_it_concerns() -> None:
    story = Story()
    story.query()
    story.report("10.1.0.11", (TO_EXCLUDE, A))
    story.tell(
        "mn1:mn1-radio",
        "igmp",
        "report",
        "10.1.0.11",
        message=Report(3, leave=False, records=(Record(TO_EXCLUDE, A, ()),)),
    )
    story.pim([("*", A), ("10.9.0.1", A)], [])
    story.report("10.1.0.11", (TO_INCLUDE, A), leave=True)
    story.pim([], [("*", A)])
    none = {"queries": 0, "reports": 0, "leaves": 0, "joins_sent": 0, "prunes_sent": 0}
    assert story.of("r1") == {
        "router": "r1", **none, "joins_received": 2, "prunes_received": 1, "peak_entries": 2,
    }  # fmt: skip
    assert story.of("r2") == {
        "router": "r2", "queries": 1, "reports": 1, "leaves": 1, "joins_sent": 2, "prunes_sent": 1,
        "joins_received": 0, "prunes_received": 0, "peak_entries": 1,
    }  # fmt: skip


def test_a_group_has_state_while_anybody_is_in_it() -> None:
    story = Story()
    story.report("10.1.0.11", (TO_EXCLUDE, A))
    story.report("10.1.0.12", (MODE_IS_EXCLUDE, A))
    story.report("10.1.0.11", (TO_INCLUDE, A), leave=True)
    story.report("10.1.0.11", (TO_EXCLUDE, B))
    assert story.of("r2")["peak_entries"] == 2  # the other is in A still
    story = Story()
    story.report("10.1.0.11", (TO_EXCLUDE, A))
    story.report("10.1.0.11", (TO_INCLUDE, A), leave=True)
    story.report("10.1.0.11", (TO_EXCLUDE, B))
    assert story.of("r2")["peak_entries"] == 1


def test_a_join_that_is_not_refreshed_is_no_state_any_more() -> None:
    story = Story()
    story.pim([("*", A)], [], holdtime=3)
    for _ in range(4):
        story.query()
    story.pim([("*", B)], [])
    assert story.of("r1")["peak_entries"] == 1


@pytest.mark.parametrize("source", ["10.1.0.1", "10.1.0.11"])
def test_what_stays_on_the_link_or_is_a_routers_own_is_no_state(source: str) -> None:
    story = Story()
    story.report(source, (TO_EXCLUDE, "224.0.0.251" if source == "10.1.0.11" else A))
    assert story.of("r2")["peak_entries"] == story.of("r2")["reports"] == 0


def test_where_handovers_are_told_of_only_what_happens_during_one_counts() -> None:
    story = Story()
    story.report("10.1.0.11", (TO_EXCLUDE, A))
    story.step("handover_begin", handover=1)
    story.step("handover_begin", handover=2)
    story.report("10.1.0.12", (TO_EXCLUDE, A))
    story.step("handover_end", handover=1)
    story.pim([("*", A)], [])
    story.step("handover_end", handover=2)
    story.pim([("*", A)], [])
    assert (story.of("r2")["reports"], story.of("r2")["joins_sent"]) == (1, 1)

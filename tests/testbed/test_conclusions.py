"""What labs conclude from figures that are not as they should be: each fault is said, with its handover."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.mmcp import handover_figures
from testbed.mmcp.handover_figures import gain_lost, source_pauses
from testbed.mmcp.results import HANDOVERS, TABLES, SessionMeasurements
from testbed.run.laboratory import breaks_a_rule
from testbed.run.options import Values
from testbed.run.results import Column, Table, filled, show
from topologies import leave, vertical

VALUES = Values({"family": "4", "repeat": 1, "max-excess": 0.05, "rate": 1000})
ROW = {
    "handover": 1,
    "mode": "proactive",
    "outcome": "predictive",
    "expected": "prepared",
    "address_delay_ms": 100.0,
    "longest_silence_ms": 2.0,
    "disruption_ms": 1.0,
    "excess_ms": 1.0,
    "packets": 1300,
    "lost": 0,
    "duplicates": 300,
}
DELIVERED = {"lost": 0, "duplicates": 0, "reordered": 0}
WINDOW = {"packets": 1200, "lost": 0, "duplicates": 200, "longest_gap_ns": 2_000_000, "delivered": DELIVERED}


def failures(row: dict[str, Any], window: dict[str, Any]) -> list[str]:
    measurements = SessionMeasurements(windows={1: {**WINDOW, **window}})
    conclusion = vertical.conclude(VALUES, measurements, {"handovers": [{**ROW, **row}]})
    return [*conclusion.failures, *HANDOVERS.failures(conclusion.rows["handovers"])]


def test_vertical_handover_as_it_should_be() -> None:
    assert failures({}, {}) == []


@pytest.mark.parametrize(
    ("row", "window", "failure"),
    [
        ({"lost": 3}, {"lost": 3}, "handover 1: 3 packets were lost"),
        ({"duplicates": 0}, {}, "handover 1: no packet came twice"),
        ({"outcome": "fallback"}, {}, "handover 1: it was not prepared, and its overlap and gap allow it: fallback"),
        ({"disruption_ms": 80.0, "excess_ms": 80.0}, {}, "80.0 ms beyond the gap"),
        ({"longest_silence_ms": 9.0}, {}, "the receiver measured 2.0 ms without a packet, the capture 9.0"),
        ({}, {"lost": 2}, "the receiver counted 2 lost, the capture 0"),
        ({}, {"delivered": {**DELIVERED, "duplicates": 5}}, "5 duplicates among what was handed to the application"),
        ({}, {"delivered": {**DELIVERED, "lost": 1}}, "1 lost among what was handed to the application"),
        ({}, {"delivered": {}}, "None lost among what was handed to the application"),
    ],
)
def test_vertical_handover_that_is_not(row: dict[str, Any], window: dict[str, Any], failure: str) -> None:
    assert any(failure in found for found in failures(row, window))


@pytest.mark.parametrize(
    ("expected", "outcome", "excess_ms", "failure"),
    [
        ("prepared", "predictive", 3.0, ""),
        ("prepared", "predictive", 115.0, "nothing was gained: half of the 1 prepared handovers took 115.0 ms or more"),
        ("prepared", "predictive", 300.0, "300.0 ms beyond the gap, the bound is 250 ms"),
        ("prepared", "fallback", 300.0, "it was not prepared"),
        ("either", "predictive", 115.0, ""),
        ("either", "predictive", 300.0, "300.0 ms beyond the gap, the bound is 250 ms"),
        ("either", "fallback", 300.0, ""),
        ("unprepared", "predictive", 1100.0, ""),
        ("unprepared", "fallback", 300.0, ""),
        ("unprepared", "failed", 300.0, "the node did not arrive"),
    ],
)
def test_a_handover_is_held_to_what_its_parameters_allow(
    expected: str, outcome: str, excess_ms: float, failure: str
) -> None:
    values = Values({"family": "4", "max-excess": 0.25, "rate": 1000})
    row = {
        **ROW,
        "expected": expected,
        "outcome": outcome,
        "disruption_ms": 50 + excess_ms,
        "longest_silence_ms": 51 + excess_ms,
        "excess_ms": excess_ms,
    }
    window = {"packets": 1300, "lost": 0, "duplicates": 300, "longest_gap_ns": round((51 + excess_ms) * 1e6)}
    conclusion = handover_figures.conclude(values, SessionMeasurements(windows={1: window}), {"handovers": [row]})
    said = [*conclusion.failures, *HANDOVERS.failures(conclusion.rows["handovers"])]
    assert bool(said) == bool(failure), said
    assert failure in " ".join(said)


def test_half_of_the_prepared_handovers_must_have_gained() -> None:
    def rows(*excess_ms: float, **changes: object) -> list[dict[str, object]]:
        return [{**ROW, "excess_ms": each, **changes} for each in excess_ms]

    assert gain_lost(rows(2.0, 1.0, 114.0, 113.0, 118.0), 4)
    assert not gain_lost(rows(2.0, 1.0, 114.0, 3.0, 118.0), 4)
    assert not gain_lost(rows(114.0, 113.0), 6), (
        "what the kernel reports by itself cannot be told from what was prepared"
    )
    assert not gain_lost(rows(114.0, 113.0, expected="unprepared"), 4)
    assert not gain_lost(rows(114.0, 113.0, address_delay_ms=0.0), 4)


def judged(**failed: int) -> dict[str, Any]:
    """What the judge said: nothing against the lab, and so many failures in packs."""
    verdict = {
        "rule": "pim-hello-period", "clause": "RFC 7761 4.3.1", "subject": "ar1:ar1-rr", "verdict": "failed",
        "message": "late", "frames": [7],
    }  # fmt: skip
    packs = {
        name: {"passed": 10, "failed": count, "unseen": 1, "verdicts": [{"pack": name, **verdict}] * count}
        for name, count in failed.items()
    }
    return {"rules": {"checked": 5, "passed": 5, "unseen": [], "failed": [], "all": []}, "packs": packs}


def test_a_pack_rule_that_failed_is_told_and_the_labs_own_decide() -> None:
    assert not breaks_a_rule(judged(mmcp=0, pim=1))
    assert breaks_a_rule({"rules": {"failed": [{"rule": "x"}]}, "packs": {}})
    result = {
        **judged(mmcp=0, pim=1), **filled(TABLES, {}), "failures": [], "warnings": [], "verdict": "pass",
        "duration_s": 1.0, "pcap": "lab.pcapng",
    }  # fmt: skip
    text = StringIO()
    show(result, Path("run"), Console(file=text, width=200))
    assert "pack pim: FAILED pim-hello-period [RFC 7761 4.3.1] ar1:ar1-rr: late (frames 7)" in text.getvalue()
    assert "packs    20 of 21 rules passed: mmcp 10, pim 10 (1 FAILED)" in text.getvalue()


SPEEDS = Table(
    "speeds",
    (Column("way", "way"), Column("speed", "speed_kmh", "km/h"), Column("by", "by")),
    row="way",
    note="in km/h",
)
ROWS: list[dict[str, Any]] = [
    {"way": 1, "speed_kmh": 4.25, "by": "foot", "problems": []},
    {"way": 2, "speed_kmh": None, "by": "sea", "problems": ["it sank"]},
    {"way": 3, "speed_kmh": 90, "by": "rail", "problems": [], "verdict": "pass: late"},
]


def test_a_labs_own_table_is_printed_counted_and_written() -> None:
    tables = filled([SPEEDS, HANDOVERS], {"speeds": ROWS})
    assert tables["tables"][0]["columns"][1] == {"title": "speed", "key": "speed_kmh", "unit": "km/h"}
    assert [row["verdict"] for row in tables["speeds"]] == ["pass", "fail", "pass: late"]
    assert tables["handovers"] == []
    assert SPEEDS.failures(ROWS) == ["way 2: it sank"]
    result = {
        **judged(),
        **tables,
        "failures": [],
        "warnings": [],
        "verdict": "fail",
        "duration_s": 1.0,
        "pcap": "lab.pcapng",
    }
    text = StringIO()
    show(result, Path("run"), Console(file=text, width=80))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert lines[:5] == [
        "in km/h",
        "way speed by   verdict",
        "  1   4.2 foot pass",
        "  2     - sea  FAIL",
        "  3    90 rail pass: late",
    ]
    assert lines[5].startswith("FAIL  3 speeds, 5 of 5 rules passed")


def test_rows_of_a_table_that_the_lab_has_not_are_a_fault_of_the_lab() -> None:
    with pytest.raises(KeyError, match="rows of speeds"):
        filled(TABLES, {"speeds": ROWS})


@pytest.mark.parametrize(("cannot", "verdict"), [({"on-demand": "static"}, "pass: static"), ({}, "fail")])
def test_data_that_never_ends_is_told_as_such_and_only_of_static_routers(cannot: Any, verdict: str) -> None:
    judged = {
        "parent": "sm", "ulr_ulc_ms": 0.6, "latency_ms": None, "observed_ms": 851.6, "goes_on": True, "unnamed_ms": None,
    }  # fmt: skip
    measurements = SessionMeasurements(cases=[{"case": "direct", "problems": []}], cannot=cannot)
    conclusion = leave.conclude(VALUES, measurements, {"leaves": [judged]})
    (row,) = filled(TABLES, conclusion.rows)["cases"]
    assert row["verdict"] == verdict
    assert row["seen"] == "ULC of sm 0.6 ms after ULR; no end of the data while observed (0.9 s)"


def test_a_disruption_shorter_than_the_gap_is_explained_by_its_source() -> None:
    row = {**ROW, "disruption_ms": 12.0, "measured_link_gap_ms": 50.0, "source_paused_ms": 38.4}
    (told,) = source_pauses([row, {**row, "disruption_ms": 50.0}, {**row, "source_paused_ms": 0.0}])
    assert told.startswith("1 handover (1): the disruption is shorter than the gap, since the source itself paused")
    assert told.endswith("for up to 38 ms beyond its spacing")
    (many,) = source_pauses([{**row, "handover": number} for number in range(1, 8)])
    assert many.startswith("7 handovers (1, 2, 3, 4, 5, …): ")

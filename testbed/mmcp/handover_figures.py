"""The figures of one handover, by the capture and by the receiver, side by side; and the bounds that they are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from testbed.host.progress import counted
from testbed.mmcp.expectation import least_without
from testbed.mmcp.results import Row, SessionMeasurements, conclude_handovers
from testbed.run.laboratory import Conclusion
from testbed.run.options import Values

AGREEMENT_MS = 2.0  # how far the receiver's and the capture's longest time without a packet may be apart

NAMED = 5  # handovers in a note

COUNTS = ("packets", "lost", "duplicates")


def differences(judged: Row, window: Row, compared: Sequence[str] = COUNTS) -> list[str]:
    """In what the receiver's figures and the capture's, which must be there, are not the same; in words.

    ``judged``: the judge's row. ``window``: what the receiver counted between the same two moments, or {"error": why
    not}. ``compared``: the counts in which both must be equal.
    """
    if "error" in window:
        return [f"the receiver's own figures are missing: {window['error']}"]
    silence_ms = window["longest_gap_ns"] / 1e6
    found = []
    if abs(silence_ms - judged["longest_silence_ms"]) > AGREEMENT_MS:
        found.append(
            f"the receiver measured {silence_ms:.1f} ms without a packet, the capture {judged['longest_silence_ms']:.1f}"
        )
    return found + [
        f"the receiver counted {window[name]} {name}, the capture {judged[name]}"
        for name in compared
        if window[name] != judged[name]
    ]


def conclude(
    values: Values,
    measurements: SessionMeasurements,
    verdict: Mapping[str, Any],
    *,
    compared: Sequence[str] = COUNTS,
) -> Conclusion:
    """All handovers of a run, each with what is wrong with it: it must go as its parameters allow (`testbed.mmcp.expectation`).

    One that was prepared (predictive), and could be, is bounded by option max-excess beyond the link gap. Others have no bound,
    since they show what happens without preparation, and none has one over routers whose latencies are their clock's; but one
    that must be prepared has to be.
    """
    bound_ms = values.milliseconds("max-excess")

    def problems(judged: Row, window: Row) -> list[str]:
        if judged.get("disruption_ms") is None:
            return [f"not measured: {judged.get('error', 'no figures in the capture')}"]
        found = differences(judged, window, compared)
        expected, outcome = judged.get("expected"), judged["outcome"]
        bounded = outcome == "predictive" and expected != "unprepared" and "prompt" not in measurements.cannot
        if bounded and judged["excess_ms"] > bound_ms:
            found.append(f"{judged['excess_ms']:.1f} ms beyond the gap, the bound is {bound_ms:g} ms")
        if outcome == "failed":
            found.append("the node did not arrive")
        elif outcome == "fallback" and expected == "prepared":
            found.append("it was not prepared, and its overlap and gap allow it: fallback")
        return found

    conclusion = conclude_handovers(measurements, verdict["handovers"], problems)
    conclusion.failures += gain_lost(verdict["handovers"], values.family)
    measurements.notes += source_pauses(verdict["handovers"])
    return conclusion


def source_pauses(judged: Sequence[Row]) -> list[str]:
    """Of handovers whose disruption is shorter than their gap, in words: the source had nothing to send for a part of it."""
    short = [
        row
        for row in judged
        if row.get("source_paused_ms") is not None
        and row["disruption_ms"] is not None
        and row["source_paused_ms"] > AGREEMENT_MS
        and row["disruption_ms"] + AGREEMENT_MS < row["measured_link_gap_ms"]
    ]
    if not short:
        return []
    paused_ms = max(row["source_paused_ms"] for row in short)
    which = f"{counted(len(short), 'handover')} ({', '.join(str(row['handover']) for row in short[:NAMED])}"
    more = ", …)" if len(short) > NAMED else ")"
    why = f"since the source itself paused meanwhile, for up to {paused_ms:.0f} ms beyond its spacing"
    return [f"{which}{more}: the disruption is shorter than the gap, {why}"]


def gain_lost(judged: Sequence[Row], family: int) -> list[str]:
    """Whether what was prepared has come to nothing: half of the handovers took as long as if nothing had been.

    One alone may have met a busy machine.
    """
    compared = [
        (row["excess_ms"], least_ms)
        for row in judged
        if row["outcome"] == "predictive" and row.get("expected") == "prepared" and row.get("excess_ms") is not None
        for least_ms in (least_without(row, family),)
        if least_ms is not None
    ]
    if not compared:
        return []
    excess_ms, least_ms = (median(column) for column in zip(*compared, strict=True))
    if excess_ms < least_ms:
        return []
    took = f"half of the {len(compared)} prepared handovers took {excess_ms:.1f} ms or more beyond the gap"
    return [
        f"nothing was gained: {took}, and a node that nothing was prepared for waits {least_ms:g} ms for its address"
    ]

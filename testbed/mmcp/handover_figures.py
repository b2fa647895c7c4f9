"""Two witnesses of one handover, the capture and the receiver, side by side; and the bounds that both are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.run.laboratory import Conclusion

AGREEMENT_MS = 2.0  # how far the receiver's and the capture's disruption may be apart

COUNTS = ("packets", "lost", "duplicates")


def problems(
    judged: Mapping[str, Any],
    window: Mapping[str, Any],
    nominal_spacing_ns: int,
    bound_ms: float,
    compared: Sequence[str] = COUNTS,
) -> list[str]:
    """What is wrong with a handover's figures, in words; nothing if nothing.

    ``judged``: the judge's row. ``window``: what the receiver counted between the same two moments, or {"error": why
    not}. ``bound_ms``: a prepared (predictive) handover's disruption beyond the link gap, at most; others have none,
    since they show what happens without preparation. ``compared``: the counts in which both must be equal.
    """
    if judged.get("disruption_ms") is None:
        return [f"not measured: {judged.get('error', 'no figures in the capture')}"]
    found = differences(judged, window, nominal_spacing_ns, compared)
    if judged["outcome"] == "predictive" and judged["excess_ms"] > bound_ms:
        found.append(f"{judged['excess_ms']:.1f} ms beyond the gap, the bound is {bound_ms:g} ms")
    if judged["outcome"] == "failed":
        found.append("the node did not arrive")
    return found


def differences(
    judged: Mapping[str, Any], window: Mapping[str, Any], nominal_spacing_ns: int, compared: Sequence[str] = COUNTS
) -> list[str]:
    """In what the receiver's figures and the capture's, which must be there, are not the same; in words."""
    if "error" in window:
        return [f"the receiver's own figures are missing: {window['error']}"]
    disruption_ms = (window["longest_gap_ns"] - nominal_spacing_ns) / 1e6
    found = []
    if abs(disruption_ms - judged["disruption_ms"]) > AGREEMENT_MS:
        found.append(
            f"the receiver measured {disruption_ms:.1f} ms of disruption, the capture {judged['disruption_ms']:.1f}"
        )
    return found + [
        f"the receiver counted {window[name]} {name}, the capture {judged[name]}"
        for name in compared
        if window[name] != judged[name]
    ]


def conclude(
    judged: Sequence[Mapping[str, Any]],
    windows: Mapping[int, Mapping[str, Any]],
    *,
    expected: int,
    nominal_spacing_ns: int,
    bound_ms: float,
    compared: Sequence[str] = COUNTS,
) -> Conclusion:
    """All handovers of a run: each judged row with the receiver's window and what is wrong, and all failures in words."""
    failures: list[str] = []
    rows: list[dict[str, Any]] = []
    if len(judged) != expected:
        failures.append(f"{expected} handovers were made, the capture shows {len(judged)}")
    for row in judged:
        window = windows.get(row["handover"], {"error": "not measured"})
        found = problems(row, window, nominal_spacing_ns, bound_ms, compared)
        rows.append({**row, "receiver": window, "problems": found})
        failures += [f"handover {row['handover']} ({row['mode']}): {problem}" for problem in found]
    return Conclusion(rows, failures)


def require_prepared(conclusion: Conclusion) -> None:
    """Add a failure for each handover that was not prepared (predictive)."""
    conclusion.failures.extend(
        f"handover {row['handover']} was not prepared: {row['outcome']}"
        for row in conclusion.handovers
        if row["outcome"] != "predictive"
    )

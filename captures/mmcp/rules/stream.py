"""The data stream around a handover: there at all, and not there before anything asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from captures.mmcp.handovers import (
    Handover,
    accepted_confirm,
    first_data_after,
    handover_requests,
    is_predictive,
    stream_numbers,
)
from captures.rules.findings import Finding
from captures.rules.language import in_seconds, knowing
from captures.wire.flows import NO_DATA

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab

_PAUSE_SPACINGS, _PAUSE_MIN_NS = 10, 20_000_000  # what a source that sends all the time is silent for at most
_TREE_NS = 100_000_000  # from a report until the routers have the data there


@knowing("mmcp-stream-after-handover", "7.5", "handover")
def stream_after_handover(lab: Lab) -> Iterator[Finding]:
    """The MN receives data in the window of every handover, and again after link up."""
    for handover in lab.watched(lab.handovers):
        if not handover.complete:
            missing = [s for s in ("link_down", "link_up", "handover_end") if s not in handover.steps]
            steps = ", ".join(missing)
            yield Finding(
                handover.name,
                "failed",
                f"step {steps} was not seen: no numbers",
                tuple(handover.frames("handover_begin")),
            )
            continue
        flow = lab.flow(handover.mn.interface)
        found = stream_numbers(flow, handover.begin_ns, handover.end_ns)
        first = first_data_after(lab, handover)
        evidence = tuple(handover.frames("handover_begin", "handover_end"))
        if found is None:
            count = len(flow.span(handover.begin_ns, handover.end_ns))
            text = f"{count} data packets were seen at {handover.mn.interface} in the window: no gap can be measured"
            yield Finding(handover.name, "failed", text, evidence)
        elif first is None:
            text = f"no data packet reached {handover.mn.interface} after link up"
            yield Finding(handover.name, handover.absence, text, evidence)
        else:
            yield Finding(
                handover.name, "passed", f"{found.packets} data packets, {found.lost} lost", (flow.number[first],)
            )


@knowing("mmcp-new-cell-cold", "7.5", "handover", explained_by=("mmcp-handover-order",))
def new_cell_cold(lab: Lab) -> Iterator[Finding]:
    """No data reaches the new cell before its LMC or the MN has asked for it there, else the figures would lie."""
    for handover in lab.watched(lab.handovers):
        if handover.new_lmc is None or handover.up_ns is None or not handover.cold:
            continue
        limit, asked = _cold_until(lab, handover, handover.up_ns)
        flow = lab.flow(handover.new_lmc.interface)
        early = flow.span(handover.begin_ns, limit - 1)
        if early:
            yield Finding(
                handover.name,
                "failed",
                f"{len(early)} data packets reached {handover.new_lmc.interface} before {asked}: the cell was not cold",
                (flow.number[early[0]], flow.number[early[-1]]),
            )
        elif not flow.span(limit, lab.end_ns):
            yield Finding(
                handover.name, "unseen", f"no data was ever seen at {handover.new_lmc.interface} from {asked} on"
            )
        else:
            first = flow.number[flow.span(limit, lab.end_ns)[0]]
            yield Finding(handover.name, "passed", f"no data on the new cell before {asked}", (first,))


def _cold_until(lab: Lab, handover: Handover, up_ns: int) -> tuple[int, str]:
    """Until when nothing had asked for the group on the new cell, and what then did."""
    requests = handover_requests(lab, handover)
    if not requests:  # without HIR no LMC has a reason to be joined, nor to join, before the MN comes
        return up_ns, "link up"
    report = report_of_lmc(lab, handover)
    if report is not None and requests[0].t_ns < report[0] < up_ns:
        return report[0], "the report of its LMC"
    if is_predictive(lab, handover):
        return requests[0].t_ns, "the HIR"
    return up_ns, "link up"


def report_of_lmc(lab: Lab, handover: Handover) -> tuple[int, int] | None:
    """Time and frame number of the new LMC's first report for the group on its link, inside the window."""
    lmc = handover.new_lmc
    if lmc is None:
        return None
    return next(
        (
            (report.t_ns, report.number)
            for report in lab.reports_of(lmc.interface, [lmc.address])
            if lab.parameters.group in report.joins and handover.within(report.t_ns)
        ),
        None,
    )


@knowing("mmcp-data-waits-for-mn", "7.5", "handover")
def data_waits_for_mn(lab: Lab) -> Iterator[Finding]:
    """In a proactive handover with HIC, data flows on the new cell before the MN has no link but that there.

    An MN with two radios has its old link for a while yet. Where the lab says that its times do not allow it for certain, data
    that comes later is nobody's fault.
    """
    for handover in lab.watched(lab.proactive()):
        confirm = accepted_confirm(lab, handover)
        if confirm is None or handover.new_lmc is None or handover.up_ns is None:
            continue
        if not is_predictive(lab, handover):
            continue  # a fall-back has no data waiting
        report = report_of_lmc(lab, handover)
        since = confirm.t_ns if report is None else min(report[0], confirm.t_ns)
        flow = lab.flow(handover.new_lmc.interface)
        needed_ns = max(handover.up_ns, handover.down_ns or 0)
        two_radios = needed_ns > handover.up_ns
        needed = "link down" if two_radios else "link up"
        waiting = flow.span(since, needed_ns - 1)
        steps = handover.frames("link_down" if two_radios else "link_up")
        if waiting:
            lead = in_seconds(needed_ns - flow.t_ns[waiting[0]])
            text = f"data was at {handover.new_lmc.interface} {lead} before {needed}"
            yield Finding(handover.name, "passed", text, (flow.number[waiting[0]], *steps))
            continue
        text = f"no data at {handover.new_lmc.interface} before {needed}"
        if _paused(lab, since, needed_ns):
            yield Finding(
                handover.name, "unseen", f"{text}, and the source itself had paused", (confirm.number, *steps)
            )
            continue
        later = flow.span(needed_ns, handover.end_ns)
        if later:
            text += f", the first came {in_seconds(flow.t_ns[later[0]] - needed_ns)} after it"
        frames = (confirm.number, *steps, *(flow.number[i] for i in later[:1]))
        if handover.nominal.get("expected") in ("either", "unprepared"):
            yield Finding(handover.name, "unseen", f"{text}: {handover.nominal.get('because')}", frames)
        else:
            yield Finding(handover.name, "failed", text, frames)


def _paused(lab: Lab, since_ns: int, until_ns: int) -> bool:
    """Whether the source sent nothing at the end of this time, nor before it when a tree could have been there.

    Not known of a source whose link was not captured.
    """
    sent = lab.data.get(lab.parameters.source_interface, NO_DATA)
    before = sent.span(lab.begin_ns, until_ns)
    if not before:
        return False
    last_ns = sent.t_ns[before[-1]]
    pause_ns = max(_PAUSE_SPACINGS * lab.parameters.nominal_spacing_ns, _PAUSE_MIN_NS)
    return until_ns - last_ns > pause_ns and last_ns < since_ns + _TREE_NS

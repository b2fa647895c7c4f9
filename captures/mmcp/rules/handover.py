"""The handover exchange: context transfer ahead of the MN, its arrival, and the fall-back [7.5]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from captures.mmcp.handovers import (
    ARRIVAL_NS,
    Handover,
    accepted_confirm,
    handover_requests,
    is_confirmed,
    is_predictive,
)
from captures.mmcp.rules.stream import report_of_lmc
from captures.rules.findings import Finding, frames_of
from captures.rules.language import in_seconds, knowing

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message
    from captures.mmcp.parameters import LocalMobilityController

# An MN whose link goes down this soon after the link trigger may have had no time for its HIR, nor one that became a member
# this soon before the trigger known whom to ask.
_TIME_FOR_REQUEST_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class _Event:
    """One link of the chain: what happened, when and in which frame."""

    what: str
    t_ns: int
    number: int


def _events(
    lab: Lab, handover: Handover, old: LocalMobilityController, new: LocalMobilityController
) -> list[tuple[str, _Event | None]]:
    """The first of each event of a context transfer, in the order the clause asks for; None for what was not seen.

    What a role sends is read at its own interface, and so is what it must have received before it may go on.
    """
    mn = handover.mn
    begin, end = handover.begin_ns, handover.end_ns
    request = next(iter(handover_requests(lab, handover)), None)
    transfers = lab.said(old.interface, "HCT", begin, end, destination=new.address, mn_id=mn.mn_id)
    arrived = lab.said(new.interface, "HCT", begin, end, source=old.address, mn_id=mn.mn_id)
    # An HTA names no MN: it belongs to the HCT whose port it returns to [D M-16].
    asked = transfers or arrived
    ports = {transfer.source_port for transfer in asked}
    since = asked[0].t_ns if asked else begin  # another MN's HCT may have had the port before

    def acknowledgement(interface: str) -> Message | None:
        found = lab.said(interface, "HTA", since, end, source=new.address, destination=old.address, f=1)
        return next((message for message in found if message.destination_port in ports), None)

    report = report_of_lmc(lab, handover)
    # In a cell that is warm the LMC may be a member still, and then has nothing to report.
    reported = (
        f"IGMP or MLD report of {new.name} for the group on the new link",
        None if report is None else _Event("report", *report),
    )
    addresses = set(mn.addresses.values())
    sent = (m for m in lab.said(old.interface, "HIC", begin, end, f=1) if m.source == old.address)
    return [
        (f"HIR sent by {mn.name}", _event("HIR", request)),
        (f"HCT sent by {old.name}", _event("HCT", next(iter(transfers), None))),
        (f"HCT received by {new.name}", _event("HCT", next(iter(arrived), None))),
        *([reported] if handover.cold else []),
        (f"HTA F=1 sent by {new.name}", _event("HTA", acknowledgement(new.interface))),
        (f"HTA F=1 received by {old.name}", _event("HTA", acknowledgement(old.interface))),
        (f"HIC F=1 sent by {old.name}", _event("HIC", next((m for m in sent if m.destination in addresses), None))),
        (f"HIC F=1 received by {mn.name}", _event("HIC", accepted_confirm(lab, handover))),
    ]


def _event(what: str, message: Message | None) -> _Event | None:
    return None if message is None else _Event(what, message.t_ns, message.number)


def _two_lmcs(handover: Handover) -> tuple[LocalMobilityController, LocalMobilityController] | None:
    """Old LMC and the one announced of a handover between subnets; None where there is nothing to transfer."""
    old, new = handover.old_lmc, handover.announced_lmc
    return None if old is None or new is None or old.address == new.address else (old, new)


def _had_time_for_request(lab: Lab, handover: Handover, old: LocalMobilityController) -> bool:
    """Whether the MN was a member in the old cell some time before it was told that it would go, and its link went as late after."""
    if handover.trigger_ns is None or handover.down_ns is None:
        return True
    needed_ns = _time_for_request_ns(handover)
    if handover.down_ns - handover.trigger_ns < needed_ns:
        return False
    arrivals = [each.up_ns for each in lab.handovers_of(handover.mn.name) if each.begin_ns < handover.begin_ns]
    if not arrivals or arrivals[-1] is None:
        return True
    # A trigger that comes before it is one finds nobody to ask: it falls back in the new cell.
    known_ns = handover.trigger_ns - needed_ns
    return lab.answer(handover.mn, "LJC", arrivals[-1], known_ns, source=old.address, f=1) is not None


def _time_for_request_ns(handover: Handover) -> int:
    """More where the lab says that its times may not do: how busy the machine is decides there."""
    return ARRIVAL_NS if handover.nominal.get("expected") in ("either", "unprepared") else _TIME_FOR_REQUEST_NS


@knowing("mmcp-handover-order", "7.5", "handover")
def handover_order(lab: Lab) -> Iterator[Finding]:
    """A proactive handover goes HIR, HCT, report by the new LMC on the new link, HTA, HIC."""
    for handover in lab.watched(lab.proactive()):
        lmcs = _two_lmcs(handover)
        if lmcs is None:
            yield Finding(handover.name, "unseen", "both cells have one LMC, or a cell has none: nothing to transfer")
            continue
        events = _events(lab, handover, *lmcs)
        seen = [event for _, event in events if event is not None]
        evidence = frames_of(*seen) or tuple(handover.frames("handover_begin"))
        missing = [what for what, event in events if event is None]
        if events[0][1] is None and _had_time_for_request(lab, handover, lmcs[0]):
            yield Finding(handover.name, "failed", f"{handover.mn.name} sent no HIR", evidence)
            continue
        disorder = _disorder(events)
        if disorder is not None:
            yield Finding(handover.name, "failed", disorder, evidence)
        elif not is_confirmed(lab, handover):
            # The link went first: what is missing is no fault, and the fall-back has a rule of its own.
            text = f"the link went down before HIC (not seen: {'; '.join(missing) or 'nothing'}): a fall-back"
            yield Finding(handover.name, "unseen", text, evidence)
        elif missing:
            yield Finding(handover.name, "failed", f"not seen: {'; '.join(missing)}", evidence)
        else:
            took = in_seconds(seen[-1].t_ns - seen[0].t_ns)
            yield Finding(handover.name, "passed", f"HIR, HCT, report, HTA, HIC in {took}", evidence)


def _disorder(events: list[tuple[str, _Event | None]]) -> str | None:
    present = [(what, event) for what, event in events if event is not None]
    for (earlier, first), (later, second) in pairwise(present):
        if second.t_ns < first.t_ns:
            ahead = in_seconds(first.t_ns - second.t_ns)
            return f"{later} (frame {second.number}) came {ahead} before {earlier} (frame {first.number})"
    return None


@knowing("mmcp-handover-context", "7.5", "handover")
def handover_context(lab: Lab) -> Iterator[Finding]:
    """HCT carries the session's group, and HIC F=1 the address of the LMC that serves the PoA asked about."""
    for handover in lab.watched(lab.proactive()):
        lmcs = _two_lmcs(handover)
        if lmcs is None:
            continue
        old, new = lmcs
        transfers = lab.said(
            old.interface, "HCT", handover.begin_ns, handover.end_ns, source=old.address, mn_id=handover.mn.mn_id
        )
        confirm = accepted_confirm(lab, handover)
        if not transfers and confirm is None:
            continue
        channel = (lab.parameters.group, lab.parameters.port)
        problems = [
            f"HCT (frame {t.number}) carries {_channel(t)}" for t in transfers if t.parameter("multicast") != channel
        ]
        problems += [
            f"HCT (frame {t.number}) went to {t.destination}, not to {new.name}"
            for t in transfers
            if t.destination != new.address
        ]
        named = None if confirm is None else confirm.parameter("lmc")
        if confirm is not None and (named is None or named[0] != new.address):
            at = "nothing" if named is None else named[0]
            problems.append(f"HIC (frame {confirm.number}) names {at}, {handover.announced} is served by {new.address}")
        verdict = Finding(handover.name, "passed", "HCT and HIC name the group and the new LMC")
        if problems:
            verdict = Finding(handover.name, "failed", "; ".join(problems))
        yield Finding(verdict.subject, verdict.verdict, verdict.message, frames_of(*transfers, confirm))


def _channel(transfer: Message) -> str:
    found = transfer.parameter("multicast")
    return "no group" if found is None else f"{found[0]} port {found[1]}"


@knowing("mmcp-local-join-after-link-up", "7.5", "handover")
def local_join_after_link_up(lab: Lab) -> Iterator[Finding]:
    """After a handover the MN sends LJR to the new LMC, not before link up, and gets LJC F=1."""
    for handover in lab.watched(lab.proactive()):
        new, up = handover.new_lmc, handover.up_ns
        if new is None or up is None:
            continue
        mn, end = handover.mn, handover.end_ns
        requests = lab.said(mn.interface, "LJR", handover.begin_ns, end, destination=new.address, mn_id=mn.mn_id)
        early = [request for request in requests if request.t_ns < up]
        if early:
            ahead = in_seconds(up - early[0].t_ns)
            text = f"{mn.name} sent LJR to {new.name} {ahead} before link up"
            yield Finding(handover.name, "failed", text, frames_of(*early))
        elif not requests:
            text = f"{mn.name} sent no LJR to {new.name} after link up"
            unasked = lab.said(mn.interface, "LJC", up, end, source=new.address)
            yield Finding(handover.name, handover.absence, text, (*handover.frames("link_up"), *frames_of(*unasked)))
        else:
            confirm = lab.answer(mn, "LJC", requests[0].t_ns, end, source=new.address, f=1)
            if confirm is None:
                text = f"no LJC F=1 of {new.name} answered the LJR of {mn.name}"
                yield Finding(handover.name, handover.absence, text, frames_of(*requests))
            else:
                text = f"LJR {in_seconds(requests[0].t_ns - up)} after link up, answered"
                yield Finding(handover.name, "passed", text, frames_of(requests[0], confirm))


@knowing("mmcp-report-on-new-link", "7.5", "handover")
def report_on_new_link(lab: Lab) -> Iterator[Finding]:
    """After link up the MN makes its own IGMP or MLD join visible on the new link."""
    for handover in lab.watched(lab.proactive()):
        if handover.up_ns is None:
            continue
        mn = handover.mn
        report = next(
            (
                report
                for report in lab.reports_of(mn.interface, mn.addresses.values())
                if lab.parameters.group in report.joins and handover.up_ns <= report.t_ns <= handover.end_ns
            ),
            None,
        )
        if report is None:
            text = f"{mn.name} sent no report for {lab.parameters.group} after link up"
            yield Finding(handover.name, handover.absence, text, tuple(handover.frames("link_up", "handover_end")))
        else:
            text = f"{report.version} report {in_seconds(report.t_ns - handover.up_ns)} after link up"
            yield Finding(handover.name, "passed", text, frames_of(report))


@knowing("mmcp-no-session-join-after-confirm", "D M-14", "handover")
def no_session_join_after_confirm(lab: Lab) -> Iterator[Finding]:
    """With its HIC in hand the MN sends no SJR at the new PoA, unless its local join was refused."""
    for handover in lab.watched(lab.proactive()):
        if handover.up_ns is None or handover.new_lmc is None or not is_predictive(lab, handover):
            continue
        mn, up, end = handover.mn, handover.up_ns, handover.end_ns
        joins = lab.said(mn.interface, "SJR", handover.begin_ns, end, mn_id=mn.mn_id)
        refused = lab.said(mn.interface, "LJC", up, end, source=handover.new_lmc.address, f=0)
        requests = lab.said(mn.interface, "LJR", up, end, mn_id=mn.mn_id)
        unasked = [join for join in joins if not refused or join.t_ns < refused[0].t_ns]
        if unasked:
            text = f"{mn.name} sent SJR although its HIC had come"
            yield Finding(handover.name, "failed", text, frames_of(accepted_confirm(lab, handover), *unasked))
        elif requests:
            yield Finding(handover.name, "passed", f"{mn.name} joined locally, without SJR", frames_of(requests[0]))
        else:
            yield Finding(handover.name, "unseen", f"{mn.name} sent neither LJR nor SJR after link up")


def old_lmc_forgets_mn(lab: Lab) -> Iterator[Finding]:
    """After its HIC the old LMC sends the MN nothing unasked until the MN is with it again."""
    answers = {"HIC": "HIR", "ULC": "ULR"}  # answered always, duplicates too, also from an MN that has left
    for handover in lab.watched(lab.proactive()):
        lmcs = _two_lmcs(handover)
        if lmcs is None:
            continue
        (old, _), mn = lmcs, handover.mn
        addresses = set(mn.addresses.values())
        sent = [
            message
            for message in lab.seen_at(old.interface)
            if message.source == old.address
            and message.destination in addresses
            and message.session_id == lab.parameters.session_id
        ]
        confirm = next((m for m in sent if m.packet == "HIC" and m.f == 1 and handover.within(m.t_ns)), None)
        if confirm is None:
            continue
        last = lab.end_ns
        back = lab.said(old.interface, "LJR", confirm.t_ns, last, destination=old.address, mn_id=mn.mn_id)
        until = back[0].t_ns if back else last
        wrong = []
        for message in sent:
            if not confirm.t_ns < message.t_ns < until:
                continue
            request = answers.get(message.packet)
            asked = request is not None and lab.said(
                old.interface, request, confirm.t_ns, message.t_ns, destination=old.address, mn_id=mn.mn_id
            )
            if not asked:
                wrong.append(message)
        if wrong:
            after = in_seconds(wrong[0].t_ns - confirm.t_ns)
            text = f"{old.name} sent {mn.name} {wrong[0].packet} {after} after its HIC"
            yield Finding(handover.name, "failed", text, frames_of(confirm, *wrong))
        else:
            how_long = f"{(until - confirm.t_ns) / 1e9:.1f} s"
            text = f"{old.name} was silent for {mn.name} for {how_long} after its HIC"
            yield Finding(handover.name, "passed", text, frames_of(confirm, *back[:1]))


@knowing(
    "mmcp-fallback-join",
    "7.5",
    "handover",
    explained_by=(
        "mmcp-handover-order",
        "mmcp-transfer-first",
    ),
)
def fallback_join(lab: Lab) -> Iterator[Finding]:
    """If no HIC comes before link down, or one about another PoA, the MN joins at the new PoA with SJR, SJC, LJR, LJC."""
    for handover in lab.watched(lab.proactive()):
        if is_predictive(lab, handover) or handover.up_ns is None:
            continue
        mn, up, end = handover.mn, handover.up_ns, handover.end_ns
        request = next(iter(lab.said(mn.interface, "SJR", up, end, mn_id=mn.mn_id)), None)
        confirm = lab.answer(mn, "SJC", up, end, source=lab.parameters.session_manager, f=1)
        lmc = None if confirm is None else confirm.parameter("lmc")
        chain: list[tuple[str, Message | None]] = [("SJR", request), ("SJC F=1", confirm)]
        if confirm is None or lmc is not None:
            to = None if lmc is None else lmc[0]
            local = next(iter(lab.said(mn.interface, "LJR", up, end, mn_id=mn.mn_id, destination=to)), None)
            chain += [("LJR", local), ("LJC F=1", lab.answer(mn, "LJC", up, end, source=to, f=1))]
        events = [(name, _event(name, message)) for name, message in chain]
        evidence = frames_of(*(event for _, event in events)) or tuple(handover.frames("link_up"))
        missing = [name for name, event in events if event is None]
        disorder = _disorder(events)
        lacking = (
            f"HIC was about {handover.announced}" if is_confirmed(lab, handover) else "no HIC came before link down"
        )
        if missing:
            text = f"{lacking}, and after link up these were not seen: {', '.join(missing)}"
            yield Finding(handover.name, handover.absence, text, evidence)
        elif disorder is not None:
            yield Finding(handover.name, "failed", disorder, evidence)
        else:
            names = ", ".join(name for name, _ in events)
            yield Finding(handover.name, "passed", f"{lacking}: fell back to {names}", evidence)

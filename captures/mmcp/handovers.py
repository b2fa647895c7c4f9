"""The handovers of a lab: when what happened, how each ended, and its numbers, from the capture alone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from captures.mmcp.outages import outage_record
from captures.wire.flows import NO_DATA
from captures.wire.source_gaps import longest_outage, longest_pause

if TYPE_CHECKING:
    from captures.files.capture import Step
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message
    from captures.mmcp.parameters import LocalMobilityController, MobileNode
    from captures.wire.flows import Flow

_MILLISECOND = 1_000_000
ARRIVAL_NS = (
    200 * _MILLISECOND
)  # what a node needs with its address at most, on a busy machine too, to join and hear the stream
_SEQUENCE_NUMBERS = 1 << 16
_PLANNED = ("l2_gap_ms", "address_delay_ms", "overlap_ms", "expected", "because")


@dataclass(frozen=True, slots=True)
class StreamNumbers:
    """What the data stream looked like at an MN inside a window; times in ns, see `stream_numbers`."""

    packets: int
    lost: int
    duplicates: int
    gap_begin_ns: int
    gap_end_ns: int


@dataclass(frozen=True, slots=True)
class Handover:
    """One handover as its steps tell it; `down_ns` and `up_ns` are None where the step was not seen.

    `cold`: the scenario says that nothing of the group was left in the new cell from an earlier handover. `announced`: where the
    link trigger said that the node would go, which may be wrong, and `announced_lmc` the LMC there. `nominal`: what the scenario
    planned, and what that allows as the lab says ("prepared", "unprepared" or "either") with its reason, None where not told.
    """

    name: str
    number: Any
    mode: str
    mn: MobileNode
    origin: str
    target: str
    old_lmc: LocalMobilityController | None
    new_lmc: LocalMobilityController | None
    announced: str
    announced_lmc: LocalMobilityController | None
    begin_ns: int
    end_ns: int
    complete: bool
    cold: bool
    down_ns: int | None
    up_ns: int | None
    trigger_ns: int | None
    steps: dict[str, Step]
    nominal: dict[str, Any]

    @property
    def was_misled(self) -> bool:
        """Whether the link trigger named another place than the one where the node went."""
        return self.announced != self.target

    @property
    def is_too_short(self) -> bool:
        """Whether the node's stay was over before it could have its address and be answered there."""
        needed_ns = (self.nominal.get("address_delay_ms") or 0) * _MILLISECOND + ARRIVAL_NS
        return self.up_ns is not None and self.end_ns - self.up_ns < needed_ns

    @property
    def absence(self) -> Literal["failed", "unseen"]:
        """What it means that something did not happen after link up."""
        return "unseen" if self.is_too_short else "failed"

    def within(self, t_ns: int) -> bool:
        """Whether the time lies in the handover's window, both ends included."""
        return self.begin_ns <= t_ns <= self.end_ns

    def frames(self, *steps: str) -> list[int]:
        """Frame numbers of the named steps that were seen."""
        return [self.steps[name].number for name in steps if name in self.steps]


def find_handovers(lab: Lab) -> list[Handover]:
    """Handovers in order of time; a step that cannot be used is a warning of the lab."""
    found = []
    seen: dict[str, dict[str, Step]] = {}
    for step in lab.steps:
        if "handover" in step.fields:
            seen.setdefault(str(step.fields["handover"]), {}).setdefault(step.name, step)
    for name, steps in seen.items():
        begin = steps.get("handover_begin")
        if begin is None:
            lab.warnings.append(f"handover {name} has no handover_begin step and is passed over")
            continue
        fields = begin.fields
        mn = lab.parameters.mn(str(fields.get("mn")))
        if mn is None and fields.get("mn") in lab.parameters.elsewhere:
            continue
        if mn is None:
            lab.warnings.append(f"handover {name} (frame {begin.number}) names an unknown MN {fields.get('mn')!r}")
            continue
        end = steps.get("handover_end")
        times = {name: step.t_ns for name, step in steps.items()}
        origin, target = str(fields.get("from")), str(fields.get("to"))
        trigger = steps.get("link_trigger")
        announced = target if trigger is None else str(trigger.fields.get("next") or target)
        found.append(
            Handover(
                name=f"handover {name} ({mn.name}, {origin} to {target}, {fields.get('mode')})",
                number=fields["handover"] if isinstance(fields["handover"], int | str) else name,
                mode=str(fields.get("mode")),
                mn=mn,
                origin=origin,
                target=target,
                old_lmc=lab.parameters.lmc_at(origin),
                new_lmc=lab.parameters.lmc_at(target),
                announced=announced,
                announced_lmc=lab.parameters.lmc_at(announced),
                begin_ns=begin.t_ns,
                end_ns=lab.end_ns if end is None else end.t_ns,
                complete=all(name in steps for name in ("link_down", "link_up", "handover_end")),
                cold=bool(fields.get("cold", True)),
                down_ns=times.get("link_down"),
                up_ns=times.get("link_up"),
                trigger_ns=times.get("link_trigger"),
                steps=steps,
                nominal={name: fields.get(name) for name in _PLANNED},
            )
        )
    return sorted(found, key=lambda handover: handover.begin_ns)


def handover_requests(lab: Lab, handover: Handover) -> list[Message]:
    """HIRs the MN sent in the window, at its own interface."""
    mn = handover.mn
    return lab.said(mn.interface, "HIR", handover.begin_ns, handover.end_ns, mn_id=mn.mn_id)


def accepted_confirm(lab: Lab, handover: Handover) -> Message | None:
    """The HIC F=1 with which the MN goes: the first one its interface received after its first HIR, from that peer."""
    requests = handover_requests(lab, handover)
    if not requests:
        return None
    peers = {request.destination for request in requests}
    confirms = lab.said(handover.mn.interface, "HIC", requests[0].t_ns, handover.end_ns, f=1)
    return next((confirm for confirm in confirms if confirm.source in peers), None)


def is_predictive(lab: Lab, handover: Handover) -> bool:
    """Whether the MN had its HIC, about the place where it went, before the link went down."""
    return not handover.was_misled and is_confirmed(lab, handover)


def is_confirmed(lab: Lab, handover: Handover) -> bool:
    """Whether the MN had its HIC, about the place that was announced, before the link went down."""
    confirm = accepted_confirm(lab, handover)
    return confirm is not None and (handover.down_ns is None or confirm.t_ns < handover.down_ns)


def established_after(lab: Lab, handover: Handover) -> Message | None:
    """The LJC F=1 of the new LMC at the MN's interface after link up."""
    if handover.up_ns is None or handover.new_lmc is None:
        return None
    return lab.answer(handover.mn, "LJC", handover.up_ns, handover.end_ns, source=handover.new_lmc.address, f=1)


def outcome(lab: Lab, handover: Handover) -> str:
    """How it ended: "predictive", "fallback", "reactive", "silent", or "failed" without stream or LMC after link up.

    "too short" where there was no time for them.
    """
    failed = "too short" if handover.is_too_short else "failed"
    if handover.up_ns is None or first_data_after(lab, handover) is None:
        return failed
    if handover.mode != "proactive":
        return handover.mode
    if established_after(lab, handover) is None:
        return failed
    return "predictive" if is_predictive(lab, handover) else "fallback"


def first_data_after(lab: Lab, handover: Handover) -> int | None:
    """Index of the first data packet at the MN's interface after link up, inside the window."""
    if handover.up_ns is None:
        return None
    flow = lab.flow(handover.mn.interface)
    index = bisect_right(flow.t_ns, handover.up_ns)
    return index if index < len(flow.t_ns) and flow.t_ns[index] <= handover.end_ns else None


def extended_sequence(sequence: list[int]) -> list[int]:
    """Continue 16-bit sequence numbers past their wrap, each nearest to the highest so far [RFC 3550 A.1]."""
    extended: list[int] = []
    highest: int | None = None
    for number in sequence:
        if highest is None:
            value = highest = number
        else:
            half = _SEQUENCE_NUMBERS // 2
            value = highest + (number - highest + half) % _SEQUENCE_NUMBERS - half
            highest = max(highest, value)
        extended.append(value)
    return extended


def stream_numbers(flow: Flow, begin_ns: int, end_ns: int) -> StreamNumbers | None:
    """Count the data packets of a window, both ends included; None for fewer than two, which have no gap.

    `lost` is what is missing between the lowest and the highest sequence number, `duplicates` what came again, the gap
    the longest time between two consecutive packets, the first of equally long ones.
    """
    span = flow.span(begin_ns, end_ns)
    if len(span) < 2:
        return None
    times = flow.t_ns[span.start : span.stop]
    extended = extended_sequence(list(flow.sequence[span.start : span.stop]))
    unique = len(set(extended))
    before = max(range(len(times) - 1), key=lambda i: times[i + 1] - times[i])
    return StreamNumbers(
        packets=len(extended),
        lost=max(extended) - min(extended) + 1 - unique,
        duplicates=len(extended) - unique,
        gap_begin_ns=times[before],
        gap_end_ns=times[before + 1],
    )


def handover_record(lab: Lab, handover: Handover) -> dict[str, Any]:
    """One entry of the judgement's ``handovers``; what could not be measured is None. Times in ms unless named _ns.

    ``longest_silence_ms`` is the longest time between two packets, ``disruption_ms`` the longest for which the network answers.
    ``source_paused_ms``: how long the source sent nothing, beyond its spacing, while there was no link: so much of the gap may be
    missing in the disruption.
    """
    flow = lab.flow(handover.mn.interface)
    numbers = stream_numbers(flow, handover.begin_ns, handover.end_ns) if handover.complete else None
    silence_ms = disruption_ms = excess_ms = outage = None
    sent = lab.data.get(lab.parameters.source_interface, NO_DATA)
    spacing_ns = lab.parameters.nominal_spacing_ns
    down, up = handover.down_ns, handover.up_ns
    if numbers is not None:
        silence_ms = (numbers.gap_end_ns - numbers.gap_begin_ns) / _MILLISECOND
        span = flow.span(handover.begin_ns, handover.end_ns)
        outage = longest_outage(flow, span, sent, spacing_ns)
        assert outage is not None  # there are numbers, so there are two packets
        disruption_ms = outage.outage_ns / _MILLISECOND
        nominal_gap = handover.nominal["l2_gap_ms"]
        if isinstance(nominal_gap, int | float):
            # Where the scenario was late with giving the link back, that was the link's and no protocol's doing.
            was_ms = 0.0 if down is None or up is None else (up - down) / _MILLISECOND
            excess_ms = disruption_ms - max(nominal_gap, was_ms)
    requests = handover_requests(lab, handover)
    confirm = accepted_confirm(lab, handover) if is_predictive(lab, handover) else None
    first = first_data_after(lab, handover)
    return {
        "handover": handover.number,
        "mode": handover.mode,
        "mn": handover.mn.name,
        "from": handover.origin,
        "to": handover.target,
        "outcome": outcome(lab, handover),
        **handover.nominal,
        "longest_silence_ms": _rounded(silence_ms),
        "disruption_ms": _rounded(disruption_ms),
        "excess_ms": _rounded(excess_ms),
        "packets": numbers.packets if numbers else len(flow.span(handover.begin_ns, handover.end_ns)),
        "lost": numbers.lost if numbers else None,
        "duplicates": numbers.duplicates if numbers else None,
        "hir_hic_ms": _rounded((confirm.t_ns - requests[0].t_ns) / _MILLISECOND) if confirm else None,
        "first_packet_after_link_up_ms": (
            _rounded((flow.t_ns[first] - up) / _MILLISECOND) if first is not None and up is not None else None
        ),
        "window": {"begin_ns": handover.begin_ns, "end_ns": handover.end_ns},
        "longest_gap": {"begin_ns": numbers.gap_begin_ns, "end_ns": numbers.gap_end_ns} if numbers else None,
        "outage": outage_record(lab, handover, outage),
        "measured_link_gap_ms": (_rounded((up - down) / _MILLISECOND) if up is not None and down is not None else None),
        "source_paused_ms": (
            _rounded(longest_pause(sent, down, up, spacing_ns) / _MILLISECOND)
            if up is not None and down is not None and down < up
            else None
        ),
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 6)  # to the nanosecond

"""What a capture says of an MMCP lab: who is who, what was said, joined and received, and what the scenario did.

It is gathered from the events of a capture, while rules look at the same events. Data packets only leave their time, sequence
number and frame number, by interface. Names, addresses and interfaces come from the capture's own ``parameters`` step;
without one nothing is kept but the last events before it may come.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from captures.files.capture import CaptureError, Step
from captures.history.events import Event
from captures.history.history import History
from captures.mmcp.children import Family, Parent, find_families
from captures.mmcp.handovers import Handover, find_handovers, handover_record
from captures.mmcp.joins import OUTCOMES, Join, Session, join_record, observe_join
from captures.mmcp.leaves import Leave, leave_record, observe_leave
from captures.mmcp.messages import ByTime, Membership, Message, membership_of, message_of
from captures.mmcp.parameters import UNKNOWN, LocalMobilityController, MobileNode, Parameters
from captures.mmcp.silences import Silence, find_silences, silence_record
from captures.wire.address_signs import AddressSign
from captures.wire.flows import NO_DATA, Flow, flows_of, without_vlans
from captures.wire.rtp import Streams

_BEFORE_PARAMETERS_MAX = 4096  # events that are remembered until a parameters step comes
_Thing = TypeVar("_Thing")
_RECOVERY_NS = 500_000_000  # in which a role that speaks again answers what has gathered meanwhile


@dataclass(eq=False)
class Lab:
    """Everything that rules about who is who look at; the lists are in order of time, ties in order of frame numbers.

    `warnings`: what is odd about it. `problem`: why the capture's ``parameters`` step cannot be used, None if it can.
    """

    protocols = frozenset({"mmcp", "igmp", "mld", "step"})
    """Of which protocols it takes the events."""

    deciding = frozenset({"igmp-hop-limit", "mld-hop-limit"})
    """The memberships by which a lab's roles join are messages of theirs [7.1]."""

    parameters: Parameters = UNKNOWN
    messages: list[Message] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    data: dict[str, Flow] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problem: str | None = None
    begin_ns: int = 0
    end_ns: int = 0

    def __post_init__(self) -> None:
        """Begin to gather."""
        self._events: deque[Event] = deque(maxlen=_BEFORE_PARAMETERS_MAX)
        self._forgotten = 0
        self._others: list[Lab] = []
        self._looked_at: set[str] = set()
        self._confirms: dict[int, list[Message]] = {}  # by the frame in which their session begins
        self._blind: dict[str, str] = {}
        self._seen: ByTime[Message] = ByTime()  # by interface, and by interface and packet
        self._memberships: ByTime[Membership] = ByTime()  # by interface

    # --- gathering

    @property
    def known(self) -> bool:
        """Whether the capture says who is who."""
        return self.parameters.known

    def learn(self, step: Step, streams: Streams) -> None:
        """Take the ``parameters`` step, when it is read: ahead of the events of its time."""
        if "mmcp" not in step.fields:
            return
        try:
            self.parameters = Parameters.read(step)
        except CaptureError as error:
            self.problem = str(error)
            return
        self._events = deque(self._events)
        if self._forgotten:
            self.warnings.append(f"{self._forgotten} events before the parameters step were forgotten for lack of room")
        for parameters in (self.parameters, *self.parameters.others):
            streams.keep(_packed(parameters.group), parameters.port)

    def take_all(self, events: Iterable[Event]) -> None:
        """Take what another has gathered after the parameters step."""
        self._events = deque(events)

    def event(self, event: Event) -> None:
        """Take the next event of its `protocols`."""
        self._forgotten += len(self._events) == self._events.maxlen
        self._events.append(event)

    def finish(self, history: History, interfaces: Mapping[str, int], truncated: str | None) -> None:
        """The capture ended: `interfaces` are frames by name, `truncated` is where it broke off."""
        self._others = [Lab(parameters=replace(parameters, others=())) for parameters in self.parameters.others]
        for other in self._others:
            other.take_all(self._events)
            other.finish(history, interfaces, truncated)
        self.begin_ns, self.end_ns = history.begin_ns, history.end_ns
        places = {other: mn.interface for mn in self.parameters.mns for other in mn.other_interfaces}
        for name in history.began:
            places.setdefault(name, places.get(plain := without_vlans(name, interfaces), plain))
        self._own: dict[str, set[str]] = {}
        for mn in self.parameters.mns:
            self._own.setdefault(mn.interface, set()).update(mn.addresses.values())
        for lmc in self.parameters.lmcs:
            self._own.setdefault(lmc.interface, set()).add(lmc.address)
        for event in sorted(self._events, key=lambda event: (event.t_ns, event.number)):
            self._sort_in(event, places.get(event.interface, event.interface))
        self._events.clear()
        for sign in history.address_signs.found:
            self._signs.setdefault(places.get(sign.interface, sign.interface), []).append(sign)
        self.data = flows_of(history.streams, places, (_packed(self.parameters.group), self.parameters.port))
        for interface, flow in self.data.items():
            if len(flow.sources) > 1:
                self.warnings.append(f"{interface} saw {len(flow.sources)} RTP sources: sequence numbers may mix")
        named = [mn.interface for mn in self.parameters.mns] + [lmc.interface for lmc in self.parameters.lmcs]
        # Those that the file describes its history tells of.
        self.warnings += [f"{name} captured nothing" for name in dict.fromkeys(named) if name not in interfaces]
        heard = {places.get(name, name) for name in history.began}
        watching = [*named, self.parameters.session_manager_interface]
        self._blind = {name: "nothing was captured there" for name in watching if name and name not in heard}
        self._blind |= {
            places.get(
                name, name
            ): f"its clock is {abs(shift) / 1e6:.1f} ms {'ahead of' if shift > 0 else 'behind'} the others'"
            for name, shift in history.clock_shifts().items()
        }
        self.warnings += [text for other in self._others for text in other.warnings if text not in self.warnings]

    def _sort_in(self, event: Event, interface: str) -> None:
        number, t_ns, _, protocol, kind, source, _, fields = event
        if protocol == "step":
            self.steps.append(Step(number, t_ns, kind, dict(fields)))
            return
        if protocol != "mmcp" and kind in ("report", "leave"):
            self._memberships.add(interface, membership_of(event, interface))
        elif protocol == "mmcp" and kind not in ("malformed", "unreachable"):
            self._take(message_of(event, interface))
        if fields["mac"] and source in self._own.get(interface, ()):
            self._macs.setdefault(interface, set()).add(fields["mac"])

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        self._seen.add(message.interface, message)
        self._seen.add((message.interface, message.packet), message)

    @cached_property
    def model(self) -> Mapping[str, Any]:
        """The lab as data, as its ``model`` step has it; empty without one."""
        found = next((step.fields.get("model") for step in self.steps if step.name == "model"), None)
        return found if isinstance(found, Mapping) else {}

    def address_signs(self, interface: str) -> list[AddressSign]:
        """What the interface saw of hosts that came by addresses."""
        return self._signs.get(interface, [])

    @cached_property
    def _signs(self) -> dict[str, list[AddressSign]]:
        """By interface."""
        return {}

    @cached_property
    def _macs(self) -> dict[str, set[str]]:
        """Link-layer addresses of each MN and LMC, by its interface, learned from what it sent from its own addresses."""
        return {}

    # --- telling

    def views(self) -> tuple[Lab, ...]:
        """Itself, and the lab as each other session that has MNs sees it."""
        return (self, *self._others)

    def seen_at(self, interface: str) -> list[Message]:
        """All MMCP messages that one interface saw."""
        return self._seen.of(interface)

    def flow(self, interface: str) -> Flow:
        """Data packets seen at the interface; empty if there were none."""
        self._looked_at.add(interface)
        return self.data.get(interface, NO_DATA)

    def reports_of(self, interface: str, addresses: Iterable[str]) -> list[Membership]:
        """IGMP and MLD reports and leaves that a node sent, as its own interface saw them.

        A node is known by its addresses and by the link-layer addresses it used with them, for MLD comes from
        link-local addresses and IGMP may come from 0.0.0.0.
        """
        self._looked_at.add(interface)
        known, macs = set(addresses), self._macs.get(interface, set())
        return [
            membership
            for membership in self._memberships.of(interface)
            if membership.source in known or membership.mac in macs
        ]

    @cached_property
    def handovers(self) -> list[Handover]:
        """All handovers, in order of time."""
        return find_handovers(self)

    def handovers_of(self, mn: str) -> list[Handover]:
        """Those of one MN, in order of time."""
        return self._handovers_by_mn.get(mn, [])

    @cached_property
    def _handovers_by_mn(self) -> dict[str, list[Handover]]:
        found: dict[str, list[Handover]] = {}
        for handover in self.handovers:
            found.setdefault(handover.mn.name, []).append(handover)
        return found

    @cached_property
    def sessions(self) -> list[Session]:
        """Sessions of mode "proactive": in the other modes the MN runs without MMCP. Raises CaptureError."""
        found: list[Session] = []
        steps = self.steps
        for index, step in enumerate(steps):
            mn = self.parameters.mn(str(step.fields.get("mn")))
            if step.name != "session_begin" or step.fields.get("mode") != "proactive" or mn is None:
                continue
            ends = (s.t_ns for s in steps[index + 1 :] if s.name == "session_end" and s.fields.get("mn") == mn.name)
            expected = step.fields.get("expected")
            if expected not in (None, *OUTCOMES):
                raise CaptureError(f"session_begin (frame {step.number}) expects {expected!r}: no way a join can end")
            found.append(Session(mn, step.t_ns, next(ends, self.end_ns), step.number, expected))
        return found

    @cached_property
    def silences(self) -> list[Silence]:
        """What the scenario did to roles between its silence_begin and silence_end steps, in order of time."""
        return find_silences(self)

    def silences_of(self, role: str) -> list[tuple[int, int]]:
        """Begin and end of each of a role's silences, which ends when it has had time to say what it had to."""
        return [(s.begin_ns, s.end_ns + _RECOVERY_NS) for s in self.silences if s.role == role]

    @cached_property
    def families(self) -> list[Family]:
        """Every LMC with its MNs, and the SM with its children."""
        return find_families(self)

    @cached_property
    def joins(self) -> list[Join]:
        """The first join of each session."""
        return [observe_join(self, session) for session in self.sessions]

    @cached_property
    def leaves(self) -> list[Leave]:
        """What the scenario announces with a step ``leave``, each in the session of its MN."""
        found: list[Leave] = []
        for step in self.steps:
            if step.name == "leave":
                name, t_ns = step.fields.get("mn"), step.t_ns
                within = (s for s in self.sessions if s.mn.name == name and s.begin_ns <= t_ns <= s.end_ns)
                session = next(within, None)
                if session is None and name in self.parameters.elsewhere:
                    continue
                if session is None:
                    raise CaptureError(f"the leave in frame {step.number} is in no session of {name!r}")
                found.append(observe_leave(self, session, step, self.confirms(session)))
        return found

    def confirms(self, session: Session) -> list[Message]:
        """What made the MN a member in a session, at its interface: each LJC F=1, and each SJC F=1 without an LMC."""
        mn, begin, end = session.mn, session.begin_ns, session.end_ns
        if session.frame in self._confirms:
            self._looked_at.add(mn.interface)
            return self._confirms[session.frame]
        direct = self.received(mn, "SJC", begin, end, source=self.parameters.session_manager, f=1)
        found = [
            *self.received(mn, "LJC", begin, end, f=1),
            *(confirm for confirm in direct if confirm.parameter("lmc") is None),
        ]
        found.sort(key=lambda confirm: (confirm.t_ns, confirm.number))
        return self._confirms.setdefault(session.frame, found)

    def parent_at(self, session: Session, t_ns: int) -> str | None:
        """Address of the one whose member the MN was at a time, as its own interface shows it; None: nobody's.

        Nobody's it is from its leave on, and until it is a member again from a HIC with another LMC, or an SJR that renews
        nothing.
        """
        confirms = [confirm for confirm in self.confirms(session) if confirm.t_ns < t_ns]
        if not confirms or any(leave.session is session and leave.begin_ns < t_ns for leave in self.leaves):
            return None
        mn, since, parent = session.mn, confirms[-1].t_ns, confirms[-1].source
        gone = self.said(mn.interface, "ULR", since, t_ns, mn_id=mn.mn_id, destination=parent)
        if confirms[-1].packet == "LJC":
            gone += self.said(mn.interface, "SJR", since, t_ns, mn_id=mn.mn_id)
        handed_over = self.said(mn.interface, "HIC", since, t_ns, source=parent, f=1)
        gone += [confirm for confirm in handed_over if (confirm.parameter("lmc") or (parent,))[0] != parent]
        return None if gone else parent

    def proactive(self) -> list[Handover]:
        """Handovers the MN was to make with MMCP."""
        return [handover for handover in self.handovers if handover.mode == "proactive"]

    def said(
        self,
        interface: str,
        packet: str,
        begin_ns: int,
        end_ns: int,
        *,
        source: str | None = None,
        destination: str | None = None,
        mn_id: str | None = None,
        f: int | None = None,
    ) -> list[Message]:
        """MMCP messages of the lab's session that one interface saw in a window, both ends included."""
        self._looked_at.add(interface)
        session_id = self.parameters.session_id
        return [
            message
            for message in self._seen.between((interface, packet), begin_ns, end_ns)
            if message.session_id == session_id
            and (source is None or message.source == source)
            and (destination is None or message.destination == destination)
            and (mn_id is None or message.mn_id == mn_id)
            and (f is None or message.f == f)
        ]

    def received(
        self,
        mn: MobileNode,
        packet: str,
        begin_ns: int,
        end_ns: int,
        *,
        source: str | None = None,
        f: int | None = None,
    ) -> list[Message]:
        """As `said`, what came to one of an MN's own addresses at its interface."""
        own = set(mn.addresses.values())
        found = self.said(mn.interface, packet, begin_ns, end_ns, source=source, f=f)
        return [message for message in found if message.destination in own]

    def answer(
        self,
        mn: MobileNode,
        packet: str,
        begin_ns: int,
        end_ns: int,
        *,
        source: str | None = None,
        f: int | None = None,
    ) -> Message | None:
        """The first of what `received` gives."""
        return next(iter(self.received(mn, packet, begin_ns, end_ns, source=source, f=f)), None)

    def report_without(
        self, parent: Parent | LocalMobilityController, begin_ns: int, identifier: str
    ) -> Message | None:
        """The first ASR of an LMC, up to the last step, that does not name a child, given by its identifier in hex."""
        reports = self.said(parent.interface, "ASR", begin_ns, self.steps[-1].t_ns, source=parent.address)
        return next((report for report in reports if ("mn_id", identifier) not in report.params), None)

    # --- the judgement's facts

    def watched(self, things: Iterable[_Thing]) -> Iterator[_Thing]:
        """Things that a rule looks at one by one: what it looked at before tells nothing of the next.

        A join or leave is what the interface of its MN saw, a family what that of the parent saw; what else is looked at notes
        what does it.
        """
        for thing in things:
            self._looked_at.clear()
            match thing:
                case Join() | Leave():
                    self._looked_at.add(thing.session.mn.interface)
                case Family():
                    self._looked_at.add(thing.parent.interface)
                case _:
                    pass
            yield thing
        self._looked_at.clear()

    def doubt(self) -> str:
        """Why what was looked at of the thing that is `watched` tells nothing; empty if it does."""
        return " and ".join(f"{name}: {why}" for name, why in self._blind.items() if name in self._looked_at)

    def undecided_from(self) -> int | None:
        """Frame number from which on something was under way when the capture broke off; None if nothing was.

        That is a handover, and in a lab that is not about handovers a session, in which leaves and silences lie.
        """
        begun: dict[tuple[str, object], int] = {}
        for step in self.steps:
            topic, _, moment = step.name.rpartition("_")
            if topic == "handover" or (topic == "session" and not self.handovers):
                thing = topic, str(step.fields.get("handover" if topic == "handover" else "mn"))
                if moment == "begin":
                    begun[thing] = step.number
                elif moment == "end":
                    begun.pop(thing, None)
        return min(begun.values(), default=None)

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """What a judgement says of the lab beside verdicts, each in order of time. Raises CaptureError.

        ``handovers``: as `captures.mmcp.handovers.handover_record`; ``joins``, of each session: `captures.mmcp.joins.join_record`;
        ``leaves`` and ``silences`` that the scenario announces: `captures.mmcp.leaves.leave_record` and
        `captures.mmcp.silences.silence_record`.
        """
        handovers = [(each.begin_ns, handover_record(view, each)) for view in self.views() for each in view.handovers]
        return {
            "handovers": [record for _, record in sorted(handovers, key=lambda pair: pair[0])],
            "joins": [join_record(view, session) for view in self.views() for session in view.sessions],
            "leaves": [leave_record(view, leave) for view in self.views() for leave in view.leaves],
            "silences": [silence_record(self, self.families, silence) for silence in self.silences],
        }


def _packed(group: str) -> bytes:
    """A group as it is on the wire; empty where none is known."""
    return ipaddress.ip_address(group).packed if group else b""

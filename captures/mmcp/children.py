"""Who was whose child when, as each parent's own interface shows it: what a parent heard, confirmed and probed [7.2 to 7.4].

An LMC is the parent of its MNs; the SM is the parent of its LMCs, and of the MNs that have no LMC. A child begins with the
confirm that its parent sends, and ends with a leave, with a handover, or by failing: unheard for 4 SPT [D M-13]. A parent
that the scenario silences or kills has forgotten its children, as far as can be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from captures.files.capture import Step

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message
    from captures.mmcp.parameters import Parameters

PROBES = 3  # that a child may leave unanswered [7.4]

End = Literal["left", "handed over", "failed", "unknown", "capture ended"]


@dataclass(frozen=True, slots=True)
class Parent:
    """An LMC or the SM, and where what it sends and receives was captured."""

    name: str
    address: str
    interface: str
    is_session_manager: bool


@dataclass(slots=True)
class Child:
    """One stay of a child with a parent.

    `identifier` is its MN ID in hex, an LMC's is its name's; `heard` are its requests and reports, the first of which made
    it a child; `probes` the USPs to it. `begin_ns` is the time of its parent's confirm.
    """

    parent: Parent
    name: str
    identifier: str
    address: str
    begin_ns: int
    heard: list[Message]
    probes: list[Message] = field(default_factory=list)
    end_ns: int = 0
    ended: End = "capture ended"

    @property
    def unanswered(self) -> list[Message]:
        """Probes since it was last heard."""
        return [probe for probe in self.probes if probe.t_ns > self.heard[-1].t_ns]

    def silences(self) -> Iterator[tuple[Message, list[Message], Message | None, int]]:
        """What was heard, the probes after it, what was heard next (None: nothing) and when that, or the end, was."""
        for number, last in enumerate(self.heard):
            following = self.heard[number + 1] if number + 1 < len(self.heard) else None
            until = self.end_ns if following is None else following.t_ns
            yield last, [p for p in self.probes if last.t_ns < p.t_ns <= until], following, until


@dataclass(slots=True)
class Family:
    """A parent, its children one stay after the other, and probes that it sent to nobody who was its child then."""

    parent: Parent
    children: list[Child] = field(default_factory=list)
    strays: list[Message] = field(default_factory=list)

    def at(self, t_ns: int) -> list[Child]:
        """Its children at a time."""
        return [child for child in self.children if child.begin_ns <= t_ns < child.end_ns]


def find_families(lab: Lab) -> list[Family]:
    """Every LMC with its MNs, and the SM with its children if the lab says where it was captured."""
    parameters = lab.parameters
    parents = [Parent(lmc.name, lmc.address, lmc.interface, is_session_manager=False) for lmc in parameters.lmcs]
    if parameters.session_manager_interface:
        sm = parameters.session_manager
        parents.append(Parent("sm", sm, parameters.session_manager_interface, is_session_manager=True))
    return [_Watcher(lab, parent).family() for parent in parents]


class _Watcher:
    """Reads one parent's interface in order of time."""

    def __init__(self, lab: Lab, parent: Parent) -> None:
        self._lab, self._parent = lab, parent
        self._family = Family(parent)
        self._open: dict[str, Child] = {}
        self._asked: dict[tuple[str, str], Message] = {}  # by packet and who asks: what a confirm will answer
        self._is_silent = False
        self._elsewhere: set[str] = set()  # members that the SM knows to have an LMC
        self._spt_ns = round(lab.parameters.spt_s * 1e9)

    def family(self) -> Family:
        """What was seen, up to the last step: after it the lab is being taken down."""
        lab, parent = self._lab, self._parent
        end_ns = lab.steps[-1].t_ns if lab.steps else lab.end_ns
        happened: list[Message | Step] = [
            message for message in lab.seen_at(parent.interface) if message.session_id == lab.parameters.session_id
        ]
        happened += [step for step in lab.steps if step.fields.get("role") == parent.name]
        for thing in sorted(happened, key=lambda thing: (thing.t_ns, thing.number)):
            if thing.t_ns > end_ns:
                break
            self._expire(thing.t_ns)
            if isinstance(thing, Step):
                self._step(thing)
            elif not self._is_silent:
                self._message(thing)
        self._expire(end_ns)
        for identifier in list(self._open):
            self._close(identifier, end_ns, "capture ended")
        self._family.children.sort(key=lambda child: child.begin_ns)
        return self._family

    def _step(self, step: Step) -> None:
        """What the scenario does to the parent."""
        match step.name:
            case "crash":
                self._forget_all(step.t_ns)
            case "silence_begin" if not step.fields.get("answers"):
                self._forget_all(step.t_ns)
                self._is_silent = True
            case "silence_end":
                self._is_silent = False
            case _:
                pass

    def _message(self, message: Message) -> None:
        if message.destination == self._parent.address:
            self._received(message)
        elif message.source == self._parent.address:
            self._sent(message)

    # --- what the parent heard

    def _received(self, message: Message) -> None:
        identifier, source = message.mn_id, message.source
        match message.packet:
            case "SJR" | "LJR" | "ULR" | "HIR":
                self._asked[message.packet, source] = message
            case "USR" if identifier in self._open:
                self._open[identifier].heard.append(message)
                self._open[identifier].address = source
            case "USR" if identifier in self._elsewhere:  # the MN itself says who its parent is, by reporting here
                self._elsewhere.discard(identifier)
                self._begin(message, message.t_ns)
            case "ASR" if self._parent.is_session_manager:
                for child in self._open.values():
                    if child.address == source:
                        child.heard.append(message)
                for kind, *values in message.params:
                    if kind == "mn_id":
                        self._elsewhere.add(str(values[0]))
                        self._close(str(values[0]), message.t_ns, "handed over")
            case _:
                pass

    # --- what it confirmed and asked

    def _sent(self, message: Message) -> None:
        to = message.destination
        match message.packet:
            case "LJC" | "SJC":
                asked = ("LJR" if message.packet == "LJC" else "SJR", to)
                if message.f and asked in self._asked:
                    self._confirmed(self._asked.pop(asked), message)
            case "ULC":
                request = self._asked.pop(("ULR", to), None)
                if request is not None and request.mn_id is not None:
                    self._elsewhere.discard(request.mn_id)
                    self._close(request.mn_id, message.t_ns, "left")
            case "HIC" if message.f:
                named = message.parameter("lmc")
                for identifier, child in list(self._open.items()):
                    if child.address == to and (named is None or named[0] != self._parent.address):
                        self._close(identifier, message.t_ns, "handed over")
            case "USP":
                probed = next((child for child in self._open.values() if child.address == to), None)
                (self._family.strays if probed is None else probed.probes).append(message)
            case _:
                pass

    def _confirmed(self, request: Message, confirm: Message) -> None:
        identifier = request.mn_id
        if identifier is None:
            return
        if (
            self._parent.is_session_manager
            and request.parameter("lmc") is None
            and confirm.parameter("lmc") is not None
        ):
            self._elsewhere.add(identifier)
            self._close(identifier, confirm.t_ns, "handed over")
        elif identifier in self._open:
            self._open[identifier].heard.append(request)
            self._open[identifier].address = request.source
        else:
            self._begin(request, confirm.t_ns)

    # --- beginning and end

    def _begin(self, request: Message, t_ns: int) -> None:
        identifier = str(request.mn_id)
        name = name_of(self._lab.parameters, identifier)
        self._open[identifier] = Child(self._parent, name, identifier, request.source, t_ns, [request])

    def _close(self, identifier: str, t_ns: int, how: End) -> None:
        child = self._open.pop(identifier, None)
        if child is not None:
            child.end_ns, child.ended = t_ns, how
            self._family.children.append(child)

    def _forget_all(self, t_ns: int) -> None:
        for identifier in list(self._open):
            self._close(identifier, t_ns, "unknown")
        self._elsewhere.clear()
        self._asked.clear()

    def _expire(self, t_ns: int) -> None:
        """End the children that have left all their probes unanswered for SPT [D M-13]."""
        for identifier, child in list(self._open.items()):
            failed_ns = child.heard[-1].t_ns + (PROBES + 1) * self._spt_ns
            if t_ns > failed_ns and len(child.unanswered) >= PROBES:
                self._close(identifier, failed_ns, "failed")


def name_of(parameters: Parameters, identifier: str) -> str:
    """What the lab calls the node of an identifier."""
    for lmc in parameters.lmcs:
        if lmc.name.encode().hex() == identifier:
            return lmc.name
    return next((mn.name for mn in parameters.mns if mn.mn_id == identifier), identifier)

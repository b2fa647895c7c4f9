"""Checks of the MMCP pack that no operator makes: what spans several messages of different kinds."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Checker, Seconds, nanoseconds, on
from captures.wire.bounded import Bounded

_REQUESTS = frozenset({"SJR", "LJR", "ULR", "HIR", "HCT"})
_CONFIRMS = frozenset({"SJC", "LJC", "ULC", "HIC", "HTA"})
_BURST_NS = SECOND // 10
_COUNT_SLACK_S = 1.6  # the sender counts whole seconds, and its clock is its own
_HALF = 1 << 31
_NAMED_MAX = 4096  # MNs remembered of one report
_FRAMES_MAX = 64


def _conversation(event: Event) -> tuple[Hashable, ...]:
    sport, dport = event.fields["ports"]
    peers = frozenset(((event.source, sport), (event.destination, dport)))
    return event.interface, event.fields["session"], peers


class Profiles(Checker):
    """A confirm that has parameters has the profile of the request before it [M-2]."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("mmcp", *_REQUESTS, *_CONFIRMS)])
        self._asked: Bounded[Hashable, tuple[str, int]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        if not event.fields["params"]:
            return  # without parameters there is no profile to see
        key = _conversation(event)
        if event.kind in _REQUESTS:
            self._asked.set(key, (event.fields["profile"], event.number))
            return
        asked = self._asked.get(key)
        if asked is None:
            return
        profile, number = asked
        if event.fields["profile"] == profile:
            self.tell.passed(event.interface, (number, event.number))
        else:
            text = f"{event.kind} of {event.source} (frame {event.number}) has {event.fields['profile']}, its request {profile}"
            self.tell.failed(event.interface, text, (number, event.number))


class Unchanging(Checker):
    """All messages of a session name one group and port, wherever they are seen [7.1, M-24]."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("mmcp", "SJC", "HCT", where=lambda event: "multicast" in event.fields)])
        self._named: Bounded[int, tuple[Any, int]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        group = event.fields["multicast"]
        named, number = self._named.obtain(event.fields["session"], lambda: (group, event.number))
        if group == named:
            self.tell.passed(event.interface, [event.number])
        else:
            text = f"{event.kind} of {event.source} (frame {event.number}) names {group[0]} port {group[1]},"
            text += f" frame {number} {named[0]} port {named[1]}"
            self.tell.failed(event.interface, text, (number, event.number))


@dataclass(slots=True)
class _Burst:
    event: Event
    count: int
    named: set[str] = field(default_factory=set)
    twice: bool = False
    endless: bool = False
    frames: list[int] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take the next report of the row in, as long as there is room for its MNs."""
        self.event = event
        if len(self.frames) < _FRAMES_MAX:
            self.frames.append(event.number)
        self.endless |= len(self.named) + len(event.fields["mns"]) > _NAMED_MAX
        if not self.endless:
            before = len(self.named)
            self.named.update(event.fields["mns"])
            self.twice |= len(self.named) - before < len(event.fields["mns"])


class AggregateReports(Checker):
    """ASRs in a row are one report: each has the full count, and together they name so many MNs, each once [M-12]."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("mmcp", "ASR")])
        self._bursts: Bounded[Hashable, _Burst] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        key = (event.interface, event.fields["session"], event.source, event.destination)
        burst = self._bursts.get(key)
        if burst is not None and (event.t_ns - burst.event.t_ns > _BURST_NS or len(burst.named) >= burst.count):
            # A report that was asked for may follow the one that was due at once.
            self._judge(burst)
            burst = None
        if burst is None:
            burst = _Burst(event, event.fields["membership"])
            self._bursts.set(key, burst)
        burst.add(event)
        if event.fields["membership"] != burst.count:
            text = f"ASR of {event.source} (frame {event.number}) counts {event.fields['membership']}, the one before {burst.count}"
            self.tell.failed(event.interface, text, burst.frames)
            self._bursts.pop(key)

    def _judge(self, burst: _Burst) -> None:
        event, different = burst.event, len(burst.named)
        if burst.endless:
            self.tell.unseen(event.interface, f"a report names more than {_NAMED_MAX} MNs")
        elif burst.twice:
            text = f"ASR of {event.source} (frame {event.number}) names an MN twice"
            self.tell.failed(event.interface, text, burst.frames)
        elif different != burst.count:
            text = f"ASR of {event.source} (frame {event.number}) names {different} MNs and counts {burst.count}"
            self.tell.failed(event.interface, text, burst.frames)
        else:
            self.tell.passed(event.interface, burst.frames)

    def finish(self, end_ns: int) -> None:
        """The capture ended."""
        for burst in self._bursts.values():
            if end_ns - burst.event.t_ns > _BURST_NS:
                self._judge(burst)
            else:
                self.tell.unseen(burst.event.interface, "the capture ends before the report is whole")


class StatusCounts(Checker):
    """Data Channel Status of an MN: seconds in the session go with the clock, packets never back, modulo 2^32 [8.2.5, M-3]."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("mmcp", "USR", "SJR", "ULR")])
        self._last: Bounded[Hashable, tuple[int, int, int, int]] = Bounded()
        self._joined: Bounded[Hashable, int] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        mn = (event.fields["session"], event.fields["mn_id"])
        if event.kind != "USR":
            self._joined.set(mn, event.t_ns)
            return
        if "status" not in event.fields:
            return
        packets, seconds = event.fields["status"]
        key = (event.interface, *mn)
        before = self._last.get(key)
        self._last.set(key, (event.t_ns, packets, seconds, event.number))
        if before is None or (self._joined.get(mn) or -1) >= before[0]:
            return
        passed, counted = (event.t_ns - before[0]) / SECOND, seconds - before[2]
        text = f"USR of {event.source} (frame {event.number})"
        if abs(counted - passed) > _COUNT_SLACK_S:
            text += f" counts {counted} s more than frame {before[3]}, {passed:.3f} s earlier"
        elif (packets - before[1]) & 0xFFFFFFFF >= _HALF:
            text += f" counts {packets} packets, frame {before[3]} {before[1]}"
        else:
            self.tell.passed(event.interface, (before[3], event.number))
            return
        self.tell.failed(event.interface, text, (before[3], event.number))


@dataclass(slots=True)
class _Handover:
    """What an LMC has done for an HIR: transfers sent by new LMC, and their acknowledgements."""

    mn_id: str
    t_ns: int
    number: int
    transfers: int = 0
    frames: list[int] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)

    def saw(self, event: Event) -> None:
        """Remember the frame, and of many the last ones."""
        self.frames = [*self.frames[-5:], event.number]


class Transfers(Checker):
    """An LMC confirms a handover after the context has gone over, and refuses it only after it tried [7.5, M-8].

    Seen where the transfer is: an interface that never saw this LMC send an HCT cannot tell. `window` is how long, in
    seconds, an acknowledgement counts for an HIR that comes again.
    """

    def __init__(self, tell: Outcomes, coverage: Coverage, window: Seconds) -> None:
        super().__init__(tell, coverage, [on("mmcp", "HIR", "HCT", "HTA", "HIC")])
        self._window = window
        self._handovers: Bounded[Hashable, _Handover] = Bounded()
        self._by_mn: Bounded[Hashable, _Handover] = Bounded()
        self._by_port: Bounded[Hashable, _Handover] = Bounded()
        self._transferring: Bounded[Hashable, bool] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        scope = (event.interface, event.fields["session"])
        match event.kind:
            case "HIR":
                self._asked(event, scope)
            case "HCT":
                self._transferring.set((*scope, event.source), value=True)
                handover = self._by_mn.get((*scope, event.source, event.fields["mn_id"]))
                if handover is not None:
                    handover.transfers += 1
                    handover.saw(event)
                    self._by_port.set((*scope, event.source, event.destination, event.fields["ports"][0]), handover)
            case "HTA":
                handover = self._by_port.get((*scope, event.destination, event.source, event.fields["ports"][1]))
                if handover is not None:
                    handover.acknowledged[event.source] = event.fields["f"]
                    handover.saw(event)
            case _:
                self._confirmed(event, scope)

    def _asked(self, event: Event, scope: tuple[str, int]) -> None:
        key = (*scope, event.destination, event.source)
        handover = self._handovers.get(key)
        if handover is None or event.t_ns - handover.t_ns > nanoseconds(self._window, event):
            handover = _Handover(event.fields["mn_id"], event.t_ns, event.number)
            self._handovers.set(key, handover)
            self._by_mn.set((*scope, event.destination, handover.mn_id), handover)

    def _confirmed(self, event: Event, scope: tuple[str, int]) -> None:
        handover = self._handovers.get((*scope, event.source, event.destination))
        if handover is None:
            return
        named = event.fields.get("lmc", ("",))[0]
        frames = (handover.number, *handover.frames, event.number)
        text = f"HIC F={event.fields['f']} of {event.source} (frame {event.number})"
        if event.fields["f"] and named == event.source:
            self.tell.passed(event.interface, frames)  # the same subnet: nothing to transfer
        elif self._transferring.get((*scope, event.source)) is None:
            self.tell.unseen(event.interface, "no HCT of this sender was captured here")
        elif event.fields["f"] and handover.acknowledged.get(named) != 1:
            self.tell.failed(event.interface, f"{text} without HTA F=1 of {named}", frames)
        elif not event.fields["f"] and 0 < handover.transfers < 3 and 0 not in handover.acknowledged.values():
            text += f" after {handover.transfers} HCT and no HTA F=0"
            self.tell.failed(event.interface, text, frames)
        else:
            self.tell.passed(event.interface, frames)

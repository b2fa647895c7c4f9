"""Checks of the MMCP pack about status probes: when a parent sends them, and what a living child owes it [7.4, M-13]."""

from __future__ import annotations

from collections.abc import Hashable

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.deadlines import NOBODY_THERE, Deadlines
from captures.rules.findings import Outcomes
from captures.rules.language import Key, Seconds, in_seconds, nanoseconds, on
from captures.wire.bounded import Bounded

_JOINS = frozenset({"SJR", "LJR"})
_REPORTS = frozenset({"USR", "ASR"})
_PROBES_MAX = 3  # without an answer [M-13]
_REMEMBERED = 8  # unanswered probes of one child


def _way(event: Event, child: str, parent: str) -> tuple[Hashable, ...]:
    return event.interface, event.fields["session"], child, parent


class ProbesAnswered(Deadlines):
    """A USP is answered with USR or ASR `within` that many seconds by every child that lives.

    A dead child is silent as well, so a probe without an answer is held against a child only if the next that is heard of it
    is no join: one that joins was away, or has started again. Nor if a step says that it was stopped, or that a link changed.
    """

    def __init__(self, tell: Outcomes, coverage: Coverage, within: Seconds) -> None:
        super().__init__(tell, coverage, [on("mmcp", "unreachable", "USP", *_JOINS, *_REPORTS, "ULR", "HIR")])
        self._within = within
        self._open: Bounded[Key, Event] = Bounded()
        self._unanswered: Bounded[Key, list[Event]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        if event.kind == "USP":
            key = _way(event, event.destination, event.source)
            self._open.set(key, event)
            self.at(event.t_ns + nanoseconds(self._within, event), key)
        elif "session" in event.fields:
            self._heard(event, _way(event, event.source, event.destination))

    def _heard(self, event: Event, key: Key) -> None:
        probe = self._open.get(key)
        if event.kind == "unreachable":
            self._open.pop(key)
            if probe is not None:
                self.tell.unseen(event.interface, NOBODY_THERE)
            return
        for older in self._unanswered.pop(key) or ():
            self._judge(older, event)
        if probe is not None and event.kind in _REPORTS:
            self._open.pop(key)
            self.tell.passed(event.interface, (probe.number, event.number))

    def _judge(self, probe: Event, event: Event) -> None:
        """A probe was not answered; `event` is the first that was heard of the child afterwards."""
        if event.kind in _JOINS:
            self.tell.unseen(event.interface, "the child joined anew afterwards")
        elif self.coverage.link_changed() >= probe.t_ns or self.coverage.silenced(event.source, probe.t_ns):
            self.tell.unseen(event.interface, "a step says why the child was silent")
        else:
            text = f"USP of {probe.source} to {probe.destination} (frame {probe.number}) was not answered at once,"
            text += f" though {event.kind} came {in_seconds(event.t_ns - probe.t_ns)} later (frame {event.number})"
            self.tell.failed(event.interface, text, (probe.number, event.number))

    def expire(self, key: Key, t_ns: int) -> None:
        """A probe has gone without its answer."""
        probe = self._open.get(key)
        if probe is None or probe.t_ns + nanoseconds(self._within, probe) != t_ns:
            return
        self._open.pop(key)
        unanswered = self._unanswered.obtain(key, list)
        if len(unanswered) < _REMEMBERED:
            unanswered.append(probe)

    def finish(self, end_ns: int) -> None:
        """The capture ended."""
        super().finish(end_ns)
        for probe in self._open.values():
            self.tell.unseen(probe.interface, "the capture ends before the answer is due")
        for probes in self._unanswered.values():
            self.tell.unseen(probes[0].interface, "the child was not heard again")


class ProbeSchedule(Deadlines):
    """USPs to a child come when it has neither joined nor reported for a while, that while `apart`, and three at most.

    `apart` is in seconds; 0: not known, then only the number is judged. On a switched link not everybody hears a child report.
    """

    def __init__(self, tell: Outcomes, coverage: Coverage, apart: Seconds) -> None:
        super().__init__(tell, coverage, [on("mmcp", "USP", *_JOINS, *_REPORTS)])
        self._apart = apart
        self._heard: Bounded[Key, Event] = Bounded()
        self._sent: Bounded[Key, tuple[Event, ...]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        if event.kind != "USP":
            key = _way(event, event.source, event.destination)
            self._heard.set(key, event)
            self._sent.pop(key)
            return
        key = _way(event, event.destination, event.source)
        heard, before = self._heard.get(key), self._sent.get(key) or ()
        sent = (*before[-_PROBES_MAX:], event)
        self._sent.set(key, sent)
        last = before[-1] if before else heard
        apart = nanoseconds(self._apart, event)
        text = f"USP of {event.source} to {event.destination} (frame {event.number})"
        if last is not None and event.t_ns - last.t_ns < apart:
            text += f" came only {in_seconds(event.t_ns - last.t_ns)} after {last.kind} (frame {last.number})"
            self.tell.failed(event.interface, text, (last.number, event.number))
        elif len(sent) > _PROBES_MAX:
            frames = tuple(probe.number for probe in sent)
            self.missing(event, f"{text} is one more than {_PROBES_MAX} without a report", frames)
        elif last is None or not apart:
            self.tell.unseen(event.interface, "nobody knows SPT, or nothing of the child was heard here")
        else:
            self.tell.passed(event.interface, (last.number, event.number))

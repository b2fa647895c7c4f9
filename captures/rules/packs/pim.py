"""PIM-SM routers on their links, IPv4 and IPv6 [RFC 7761], as FRR 10 implements it.

FRR rounds a holdtime of 3.5 periods down to whole seconds, so a period is taken to lie between those that both neighbours
of the holdtime would give. Triggered hellos and joins come early by right; only lateness is judged.

Not judged, since a wire does not show them: what a router keeps in its state, and with it whether a join or prune was
due at all; the way to the rendezvous point; what a prune delay or an override would have done.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Check, Checker, Key, Pattern, Rule, Unseen, in_seconds, on
from captures.rules.on_purpose import LOSES
from captures.rules.operators import Holds
from captures.rules.operators_time import Periodic
from captures.rules.packs.pack import Pack
from captures.wire.bounded import Bounded

ALL_PIM_ROUTERS = ("224.0.0.13", "ff02::d")
_HELLO_PERIOD_S = 30  # the default of neighbours whose holdtime was not seen [RFC 7761 4.11]
_RATIO = 3.5  # holdtime over period, of hellos and of joins [RFC 7761 4.11]
_FOR_EVER = 0xFFFF
_ON_THE_LINK = frozenset({"hello", "join-prune", "assert", "graft", "bootstrap"})
_JOIN_MIN_HOLDTIME = 2


def _longest_period(holdtime: int | None) -> float:
    """The longest period whose holdtime that can be; 0 for holdtimes that tell none."""
    return 0.0 if not holdtime or holdtime == _FOR_EVER else (holdtime + 1) / _RATIO


def _link_local_hops(event: Event) -> str | None:
    hops = event.fields["hop_limit"]
    if event.kind == "bootstrap" and event.destination not in ALL_PIM_ROUTERS:
        return Unseen("sent to one router")  # may be unicast to a new neighbour [RFC 5059 3.5.1]
    return None if hops == 1 else f"TTL or hop limit {hops}, not 1"


def _destination(event: Event) -> str | None:
    return None if event.destination in ALL_PIM_ROUTERS else f"sent to {event.destination}, not to ALL-PIM-ROUTERS"


def _source(event: Event) -> str | None:
    address = ip_address(event.source)
    return None if address.version == 4 or address.is_link_local else "comes from no link-local address"


def checksum_problem(event: Event) -> str | None:
    """As a function for `Holds`."""
    if event.fields["checksum"] is None:
        return Unseen("the checksum was left to the network card")
    return None if event.fields["checksum"] else "its checksum is wrong"


def malformed_problem(event: Event) -> str | None:
    """As a function for `Holds`."""
    return str(event.fields["reason"]) if event.kind == "malformed" else None


@dataclass(slots=True)
class _Neighbour:
    hello_ns: int | None = None
    holdtime: int | None = None
    waiting: list[tuple[Event, str]] = field(default_factory=list)


class _Known(Checker):
    """What a rule says about a neighbour holds only once its hello was seen; without one, what came before waits for it."""

    def __init__(
        self, tell: Outcomes, coverage: Coverage, pattern: Pattern, whom: Callable[[Event], str | None], text: str
    ) -> None:
        super().__init__(tell, coverage, [on("pim", "hello"), pattern])
        self._pattern, self._whom, self._text = pattern, whom, text
        self._neighbours: Bounded[Key, _Neighbour] = Bounded()

    def event(self, event: Event) -> None:
        if event.kind == "hello":
            for address in (event.source, *event.fields["addresses"]):
                self._hello(event, address)
            return
        whom = self._whom(event)
        if whom is None:
            return
        neighbour = self._neighbours.obtain((event.interface, whom), _Neighbour)
        if neighbour.hello_ns is not None:
            self.tell.passed(event.interface, [event.number])
        elif len(neighbour.waiting) < 16:
            neighbour.waiting.append((event, whom))

    def _hello(self, event: Event, address: str) -> None:
        neighbour = self._neighbours.obtain((event.interface, address), _Neighbour)
        if neighbour.hello_ns is None:
            period = _longest_period(event.fields["holdtime"]) or _HELLO_PERIOD_S
            self._settle(neighbour, period)
        neighbour.hello_ns = event.t_ns

    def _settle(self, neighbour: _Neighbour, period_s: float) -> None:
        for event, whom in neighbour.waiting:
            # A hello less than a period before the capture began was not seen.
            if self.coverage.covered_ns(event) > period_s * SECOND:
                text = f"{event.kind} of {event.source} (frame {event.number}): {self._text.format(whom)}"
                self.tell.failed(event.interface, text, [event.number])
            else:
                self.tell.unseen(event.interface, "the capture began too late to show the hello")
        neighbour.waiting.clear()

    def finish(self, end_ns: int) -> None:
        for neighbour in self._neighbours.values():
            self._settle(neighbour, _HELLO_PERIOD_S)


def _known(pattern: Pattern, whom: Callable[[Event], str | None], text: str) -> Check:
    return lambda tell, coverage: _Known(tell, coverage, pattern, whom, text)


def _upstream(event: Event) -> str | None:
    upstream = str(event.fields["upstream"])
    return None if ip_address(upstream).is_unspecified else upstream


@dataclass(slots=True)
class _Refreshed:
    t_ns: int
    number: int
    holdtime: int
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=16))


class _HelloHoldtime(Checker):
    """Holdtimes of hellos are 3.5 times the period in which they come; judged where three intervals alike were seen."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("pim", "hello")])
        self._refreshed: Bounded[Key, _Refreshed] = Bounded()

    def event(self, event: Event) -> None:
        key, holdtime = (event.interface, event.source), event.fields["holdtime"]
        if not holdtime or holdtime == _FOR_EVER:
            return
        before = self._refreshed.get(key)
        if before is not None and before.holdtime == holdtime:
            if self.coverage.link_changed(event.interface) >= before.t_ns:
                before.t_ns = event.t_ns  # somewhere else meanwhile
                return
            before.intervals.append(event.t_ns - before.t_ns)
            before.t_ns, before.number = event.t_ns, event.number
        else:
            self._refreshed.set(key, _Refreshed(event.t_ns, event.number, holdtime))

    def finish(self, end_ns: int) -> None:
        for key, seen in zip(self._refreshed.keys(), self._refreshed.values(), strict=True):
            interface, source, *_ = key
            if len(seen.intervals) < 3:
                self.tell.unseen(str(interface), "too few came to tell their period")
                continue
            period = statistics.median(seen.intervals) / SECOND
            if max(seen.intervals) - min(seen.intervals) > 0.2 * period * SECOND:
                self.tell.unseen(str(interface), "some were triggered, and tell no period")
                continue
            if abs(seen.holdtime - _RATIO * period) > 1 + 0.2 * _RATIO * period:
                text = f"{source} sends every {period:.3f} s a holdtime of {seen.holdtime} s (frame {seen.number})"
                self.tell.failed(str(interface), text, [seen.number])
            else:
                self.tell.passed(str(interface), [seen.number])


class _JoinsRefreshed(Checker):
    """A join is sent again once in its period until it is pruned."""

    def __init__(self, tell: Outcomes, coverage: Coverage) -> None:
        super().__init__(tell, coverage, [on("pim", "join-prune")])
        self._joined: Bounded[Key, _Refreshed] = Bounded()

    def event(self, event: Event) -> None:
        fields = event.fields
        route = (event.interface, event.source, fields["upstream"])
        for pruned in fields["prunes"]:
            self._joined.pop((*route, pruned))
        for joined in fields["joins"]:
            before = self._joined.get((*route, joined))
            if before is not None:
                self._judge(event, joined, before)
            if fields["holdtime"] >= _JOIN_MIN_HOLDTIME:
                self._joined.set((*route, joined), _Refreshed(event.t_ns, event.number, fields["holdtime"]))

    def _judge(self, event: Event, joined: tuple[str, str], before: _Refreshed) -> None:
        passed = event.t_ns - before.t_ns
        if passed > before.holdtime * SECOND:
            self.tell.unseen(event.interface, "joined anew after the holdtime")
        elif passed > (1.5 * _longest_period(before.holdtime) + 0.5) * SECOND:
            # Half as much again: a router that hears another's join puts its own off, by up to 1.4 [RFC 7761 4.5.4].
            text = (
                f"join of {event.source} for {joined} (frame {event.number}) came {in_seconds(passed)} after the one"
                f" before, late for a holdtime of {before.holdtime} s"
            )
            self.tell.failed(event.interface, text, [before.number, event.number])
        else:
            self.tell.passed(event.interface, [before.number, event.number])


def pim_pack() -> Pack:
    """The pack."""
    anything, on_the_link = on("pim"), on("pim", *_ON_THE_LINK)
    return Pack(
        "pim",
        rules=(
            Rule("pim-well-formed", "RFC 7761 4.9", "every PIM packet can be read", Holds(anything, malformed_problem)),
            Rule("pim-checksum", "RFC 7761 4.9", "every checksum is right", Holds(anything, checksum_problem)),
            Rule("pim-hop-limit", "RFC 7761 4.3.1, 4.9", "TTL or hop limit is 1", Holds(on_the_link, _link_local_hops)),
            Rule(
                "pim-destination",
                "RFC 7761 4.9.2, 4.9.5",
                "hellos, joins and asserts go to 224.0.0.13 or ff02::d",
                Holds(on("pim", "hello", "join-prune", "assert"), _destination),
            ),
            Rule(
                "pim-source",
                "RFC 7761 4.3.1",
                "over IPv6 hellos, joins and asserts come from link-local addresses",
                Holds(on("pim", "hello", "join-prune", "assert"), _source),
            ),
            Rule(
                "pim-hello-first",
                "RFC 7761 4.3.1",
                "a router says hello before it joins, prunes or asserts",
                _known(on("pim", "join-prune", "assert"), lambda event: event.source, "no hello of it was seen before"),
                spoiled_by=LOSES,
            ),
            Rule(
                "pim-upstream-known",
                "RFC 7761 4.5",
                "joins and prunes name an upstream neighbour that has said hello",
                _known(on("pim", "join-prune"), _upstream, "no hello of its upstream neighbour {} was seen before"),
                spoiled_by=LOSES,
            ),
            Rule(
                "pim-hello-period",
                "RFC 7761 4.3.1, 4.11",
                "hellos come once in a period, of which their holdtime is 3.5",
                Periodic(
                    pattern=on("pim", "hello", where=lambda event: bool(_longest_period(event.fields["holdtime"]))),
                    period=lambda event: _longest_period(event.fields["holdtime"]),
                    same=("source",),
                    only_late=True,
                ),
                spoiled_by=LOSES,
            ),
            Rule(
                "pim-hello-holdtime",
                "RFC 7761 4.11",
                "the holdtime of hellos is 3.5 times their period",
                _HelloHoldtime,
                spoiled_by=LOSES,
            ),
            Rule(
                "pim-join-refresh",
                "RFC 7761 4.5, 4.11",
                "joins are sent again until they are pruned",
                _JoinsRefreshed,
                spoiled_by=LOSES,
            ),
        ),
    )

"""What rules over events are made of. The operators that make them are in `captures.rules.operators`.

A rule is a name, a clause and a check::

    Rule("mmcp-handover-answered", "7.5", "HIR is answered with HIC within HIT, else sent again",
         answered(on("mmcp", "HIR"), by=on("mmcp", "HIC"), within=1.0, same=("session", "conversation")))

**Events that belong together.** `same` names what must be equal, and is looked up in each event: ``source``,
``destination``, ``peers`` (both addresses, in either direction), ``conversation`` (both addresses with their ports, in
either direction), any other word in the event's fields; a function is called. The interface always belongs to it, since
each interface is a witness of its own: what one did not see, another may have. `ANYWHERE` first in `same` drops it.
An event that lacks one of the words is none of the rule's business.

**Time.** `within`, `per` and the like are seconds, or a function of an event that gives them; both ends count. Events come
in order of time, and a deadline has passed when any event comes after it. The rest is decided at the end of the capture.

**What a check can find.** *Passed* and *failed* are about what was seen. *Unseen* means that the wire does not tell: the
capture ends before the deadline or began after what must have come before; the checksum was left to a network card; or
nothing at all was captured in the direction in which something is missing, so that its absence says nothing.

**Memory.** State is kept for the `STATE_MAX` keys that were used last; the others are forgotten, and counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from captures.history.events import Event
from captures.rules.verdict import Finding

STATE_MAX = 4096
SECOND = 1_000_000_000
_SUBJECTS_MAX = 512
_FRAMES_MAX = 20
_TEXTS_MAX = 3
_FOR_EVER = 1 << 63

ANYWHERE = "anywhere"
"""First in `same`: the interface does not matter."""

Word = str | Callable[[Event], Hashable | None]
Same = Sequence[Word]
Key = tuple[Hashable, ...]
Seconds = float | Callable[[Event], float]


@dataclass(frozen=True)
class Pattern:
    """Events of a protocol by kind, all kinds if none is named, for which `where` holds."""

    protocol: str
    kinds: frozenset[str]
    where: Callable[[Event], bool] | None = None

    def matches(self, event: Event) -> bool:
        """Whether the event is one of them."""
        if event.protocol != self.protocol or (self.kinds and event.kind not in self.kinds):
            return False
        return self.where is None or self.where(event)


def on(protocol: str, *kinds: str, where: Callable[[Event], bool] | None = None) -> Pattern:
    """Events of a protocol, of any of the kinds."""
    return Pattern(protocol, frozenset(kinds), where)


def key_of(event: Event, same: Same) -> Key | None:
    """What the event has in common with others of its kind; None if it lacks a word."""
    if same and same[0] == ANYWHERE:
        found: list[Hashable] = []
        same = same[1:]
    else:
        found = [event.interface]
    for word in same:
        value = _value(event, word)
        if value is None:
            return None
        found.append(value)
    return tuple(found)


def _value(event: Event, word: Word) -> Hashable | None:
    if callable(word):
        return word(event)
    match word:
        case "source":
            return event.source
        case "destination":
            return event.destination
        case "peers":
            return frozenset((event.source, event.destination))
        case "conversation":
            sport, dport = event.fields["ports"]
            return frozenset(((event.source, sport), (event.destination, dport)))
    value: Hashable | None = event.fields.get(word)
    return value


def nanoseconds(seconds: Seconds, event: Event) -> int:
    """A time of a rule in ns, as it is for this event."""
    return round((seconds(event) if callable(seconds) else seconds) * SECOND)


def in_seconds(ns: int) -> str:
    """A time for people."""
    return f"{ns / SECOND:.3f} s" if abs(ns) >= SECOND else f"{ns / 1_000_000:.1f} ms"


_K = TypeVar("_K")
_V = TypeVar("_V")


class Bounded(Generic[_K, _V]):
    """A mapping that forgets what was not used for longest once it is full; `evicted` counts that."""

    def __init__(self, limit: int = STATE_MAX) -> None:
        self._limit = limit
        self._found: OrderedDict[_K, _V] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: _K) -> _V | None:
        """Look up, and count as used."""
        value = self._found.get(key)
        if value is not None:
            self._found.move_to_end(key)
        return value

    def set(self, key: _K, value: _V) -> None:
        """Keep, and forget the oldest if there is no room."""
        self._found[key] = value
        self._found.move_to_end(key)
        if len(self._found) > self._limit:
            self._found.popitem(last=False)
            self.evicted += 1

    def obtain(self, key: _K, make: Callable[[], _V]) -> _V:
        """Look up, or make and keep."""
        value = self.get(key)
        if value is None:
            value = make()
            self.set(key, value)
        return value

    def pop(self, key: _K) -> _V | None:
        """Take out."""
        return self._found.pop(key, None)

    def keys(self) -> list[_K]:
        """Keys of all of them, in the order of `values`."""
        return list(self._found)

    def values(self) -> list[_V]:
        """All of them, as they are now."""
        return list(self._found.values())


@dataclass(slots=True)
class _Tally:
    passed: int = 0
    failed: int = 0
    unseen: int = 0
    texts: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    passed_frames: list[int] = field(default_factory=list)
    unseen_text: str = ""


class Outcomes:
    """What a rule has found so far, by subject (the interface, unless the rule says another); bounded."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def _tally(self, subject: str) -> _Tally:
        if subject not in self._tallies and len(self._tallies) >= _SUBJECTS_MAX:
            subject = "others"
        return self._tallies.setdefault(subject, _Tally())

    def passed(self, subject: str, frames: Iterable[int]) -> None:
        """Something was as it has to be."""
        tally = self._tally(subject)
        tally.passed += 1
        if tally.passed <= _TEXTS_MAX:
            tally.passed_frames += frames

    def failed(self, subject: str, text: str, frames: Iterable[int]) -> None:
        """Something was not; `text` says what, `frames` where."""
        tally = self._tally(subject)
        tally.failed += 1
        if len(tally.texts) < _TEXTS_MAX:
            tally.texts.append(text)
        if len(tally.frames) < _FRAMES_MAX:
            tally.frames += frames

    def unseen(self, subject: str, text: str) -> None:
        """Something came up, but the wire does not tell how it was."""
        tally = self._tally(subject)
        tally.unseen += 1
        tally.unseen_text = tally.unseen_text or text

    def findings(self) -> Iterator[Finding]:
        """One finding for each subject."""
        for subject, tally in self._tallies.items():
            looked_at = tally.passed + tally.failed
            if tally.failed:
                more = f" (and {tally.failed - len(tally.texts)} more)" if tally.failed > len(tally.texts) else ""
                text = f"{tally.failed} of {looked_at}: {'; '.join(tally.texts)}{more}"
                yield Finding(subject, "failed", text, tuple(sorted(set(tally.frames))))
            elif tally.passed:
                rest = f", {tally.unseen} unseen" if tally.unseen else ""
                yield Finding(subject, "passed", f"{tally.passed} times{rest}", tuple(sorted(set(tally.passed_frames))))
            else:
                yield Finding(subject, "unseen", f"{tally.unseen} times: {tally.unseen_text}")


def who(event: Event) -> str:
    """The node that sent it, the same whatever address it has: its link-layer address, where there is one."""
    return event.fields["mac"] or event.source


class Scene:
    """What all checks of a capture share: who was heard where. Kept up to date ahead of the checks."""

    def __init__(self) -> None:
        self.began: dict[str, int] = {}
        self._directions: Bounded[tuple[str, str, str, str], bool] = Bounded(16 * STATE_MAX)
        self._refused: Bounded[tuple[str, str, str], bool] = Bounded()
        self._last: Bounded[str, dict[str, int]] = Bounded()
        self._link_changed: dict[str, int] = {}
        self._nodes: dict[str, str] = {}
        self._walks: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}
        self._silent_until: dict[str, int] = {}

    def note(self, event: Event) -> None:
        """Take the next event in."""
        if event.protocol == "step":
            self._step(event)
            return
        port = (event.interface, event.protocol, event.source)
        if event.kind == "unreachable":
            self._refused.set(port, value=True)
            return  # said by the host, not by who should have answered
        if len(self._refused):
            self._refused.pop(port)
        self._directions.set((event.interface, event.protocol, event.source, event.destination), value=True)
        seen = self._last.obtain(who(event), dict)
        if len(seen) < 64 or event.interface in seen:
            seen[event.interface] = event.t_ns

    def _step(self, event: Event) -> None:
        """A lab's links change and its nodes fall silent on purpose: learn whose, as far as the steps tell."""
        fields = event.fields
        handover = str(fields.get("handover"))
        if event.kind == "parameters":
            for mn in _entries(fields.get("mns")):
                self._nodes[str(mn.get("name"))] = _node(str(mn.get("interface")))
            for entry in [*_entries(fields.get("mns")), *_entries(fields.get("lmcs")), *_entries([fields.get("sm")])]:
                names = {str(entry[word]) for word in ("name", "node") if word in entry}
                addresses = entry.get("addresses")
                for address in [entry.get("address"), *(addresses.values() if isinstance(addresses, dict) else ())]:
                    self._names.setdefault(str(address), set()).update(names)
        elif event.kind == "silence_begin":
            self._silent_until[str(fields.get("role"))] = _FOR_EVER
        elif event.kind in ("silence_end", "crash"):  # who was killed has nothing more to say for what was before
            self._silent_until[str(fields.get("role"))] = event.t_ns
        elif event.kind == "handover_begin":
            self._walks[handover] = self._nodes.get(str(fields.get("mn")), "")
        elif event.kind in ("link_down", "link_up"):
            self._link_changed[self._walks.get(handover, "")] = event.t_ns
        elif event.kind in ("session_begin", "session_end"):
            # Between sessions a node may be put elsewhere.
            self._link_changed[self._nodes.get(str(fields.get("mn")), "")] = event.t_ns

    def link_changed(self, interface: str | None = None) -> int:
        """When a step last said that the interface, or a node at it, went to another link, -1 for never; None: any."""
        if interface is None:
            return max(self._link_changed.values(), default=-1)
        return max(self._link_changed.get(_node(interface), -1), self._link_changed.get("", -1))

    def silenced(self, address: str, since_ns: int) -> bool:
        """Whether a step said that the node with the address was made silent for some of the time since then."""
        return any(self._silent_until.get(name, -1) >= since_ns for name in self._names.get(address, ()))

    def refused(self, interface: str, protocol: str, address: str) -> bool:
        """Whether the last that the interface saw of a protocol's port at an address was that nobody is there.

        Hosts say so no more than once a second or so, so not of each datagram.
        """
        return self._refused.get((interface, protocol, address)) is not None

    def heard(self, interface: str, protocol: str, source: str, destination: str) -> bool:
        """Whether the interface ever saw the protocol in this direction."""
        return self._directions.get((interface, protocol, source, destination)) is not None

    def last_heard(self, node: str, interface: str) -> int:
        """When the interface heard a node last, -1 for never."""
        return (self._last.get(node) or {}).get(interface, -1)

    def elsewhere(self, node: str, interface: str) -> bool:
        """Whether a node was heard after the interface heard it last; the interfaces of one link hear it within 10 ms."""
        seen = self._last.get(node) or {}
        return max(seen.values(), default=-1) > seen.get(interface, -1) + 10_000_000

    def covered_ns(self, event: Event) -> int:
        """How long the interface had been captured before the event, on the link that it is on now."""
        began = self.began.get(event.interface, event.t_ns)
        return event.t_ns - max(began, self.link_changed(event.interface))


def _entries(value: object) -> list[dict[str, Any]]:
    """Those elements of a step's list that are objects; empty where there is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _node(interface: str) -> str:
    """The node of an interface, which a lab calls ``node:interface``."""
    return interface.partition(":")[0]


class Checker:
    """One check at work. `patterns` are the events it is given; deadlines are kept by `expect`."""

    def __init__(self, tell: Outcomes, scene: Scene, patterns: Iterable[Pattern]) -> None:
        self.tell = tell
        self.scene = scene
        self.patterns = tuple(patterns)

    def event(self, event: Event) -> None:
        """Take an event that matches one of the patterns."""
        raise NotImplementedError

    def advance(self, now_ns: int) -> None:
        """It is `now_ns`: deadlines before that have passed."""

    def finish(self, end_ns: int) -> None:
        """The capture ended."""

    @property
    def evicted(self) -> int:
        """Keys that were forgotten for lack of room."""
        return sum(value.evicted for value in vars(self).values() if isinstance(value, Bounded))


Check = Callable[[Outcomes, Scene], Checker]


@dataclass(frozen=True)
class Rule:
    """A check with its name and the clause, RFC or decision it stands for; `summary` says what must hold."""

    name: str
    clause: str
    summary: str
    check: Check

"""What rules are made of. The operators that make their checks are in `captures.rules.operators`.

A rule is a name, a clause and a check::

    Rule("ping-answered", "5.2", "a request is answered within a second",
         Answered(request=on("ping", "REQUEST"), by=on("ping", "ANSWER"), within=1.0, same=("conversation", "number")))

**Two kinds of checks.** A `Checker` is given the events of its patterns one by one, and knows nobody. A check `knowing` is
given what its protocol's room has gathered of who is who (the pack's *facts*) when the capture ends. Facts come from a lab's
steps. A rule may have both: with the facts the second decides, without them the first; one that only has the second is
undecided without them.

**Events that belong together.** `same` names what must be equal, and is looked up in each event: ``source``,
``destination``, ``peers`` (both addresses, in either direction), ``conversation`` (both addresses with their ports, if any, in
either direction), any other word in the event's fields; a function is called. The interface always belongs to it, since
each interface is a witness of its own: what one did not see, another may have. `ANYWHERE` first in `same` drops it.
An event that lacks one of the words is none of the rule's business.

**Time.** `within`, `per` and the like are seconds, or a function of an event that gives them; both ends count. Events come
in order of time, and a deadline has passed when any event comes after it. The rest is decided at the end of the capture.

**What a check can find.** *Passed* and *failed* are about what was seen. *Unseen* means that the wire does not tell: the
capture ends before the deadline or began after what must have come before; the checksum was left to a network card; or
nothing at all was captured in the direction in which something is missing, so that its absence says nothing.

**One fault, one failed rule.** A rule names in `explained_by` the rules whose failure explains its own, where both are about
the same node and the other is not the later one. What is explained so is told as a consequence, and is no failure.

**Memory.** State is kept for the `STATE_MAX` keys that were used last; the others are forgotten, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Finding, Outcomes
from captures.wire.bounded import Bounded

SECOND = 1_000_000_000

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
            sport, dport = event.fields.get("ports", (0, 0))
            return frozenset(((event.source, sport), (event.destination, dport)))
    value: Hashable | None = event.fields.get(word)
    return value


def nanoseconds(seconds: Seconds, event: Event) -> int:
    """A time of a rule in ns, as it is for this event."""
    return round((seconds(event) if callable(seconds) else seconds) * SECOND)


def in_seconds(ns: int) -> str:
    """A time for people."""
    return f"{ns / SECOND:.3f} s" if abs(ns) >= SECOND else f"{ns / 1_000_000:.1f} ms"


class Unseen(str):
    """What a function that tells a problem returns where nobody can know; the text says why."""

    __slots__ = ()


class Checker:
    """One check at work. `patterns` are the events it is given; deadlines are kept by `captures.rules.deadlines`."""

    goes_by_time: ClassVar[bool] = True
    """Whether it can be wrong about an interface whose clock is; not if it judges each event by itself."""

    def __init__(self, tell: Outcomes, coverage: Coverage, patterns: Iterable[Pattern]) -> None:
        self.tell = tell
        self.coverage = coverage
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


Check = Callable[[Outcomes, Coverage], Checker]
"""What begins a check: an operator with its terms, or a `Checker`'s class."""


@dataclass(frozen=True)
class Operator:
    """The terms of a check. Called, it begins the check; its patterns are those among the terms."""

    def patterns(self) -> tuple[Pattern, ...]:
        """The events that the check is given."""
        return tuple(term for term in vars(self).values() if isinstance(term, Pattern))

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        raise NotImplementedError


Knowing = Callable[[Any], Iterator[Finding]]
"""A check of a pack's facts, at the end of the capture."""


@dataclass(frozen=True)
class Rule:
    """Checks with the name, and the clause, RFC or decision they stand for; `summary` says what must hold.

    `topics`: what a lab is about that is to show what the rule judges, none for any lab. In another lab the rule says nothing
    where a check `knowing` finds nothing to look at. `explained_by`: names of rules. `spoiled_by`: qualities of links
    (`captures.rules.on_purpose`) that make what the check looks at fail; where the lab asked for one, nobody is to blame.
    """

    name: str
    clause: str
    summary: str
    check: Check | None = None
    knowing: Knowing | None = None
    topics: tuple[str, ...] = ()
    explained_by: tuple[str, ...] = ()
    spoiled_by: tuple[str, ...] = ()


def knowing(
    name: str, clause: str, *topics: str, explained_by: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], Iterator[Finding]]], Rule]:
    """Make a rule of a check that knows who is who; the first line of its docstring is the summary."""

    def rule(check: Callable[[Any], Iterator[Finding]]) -> Rule:
        summary = (check.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return Rule(name, clause, summary, knowing=check, topics=topics, explained_by=explained_by)

    return rule


def rules_in(module: ModuleType) -> tuple[Rule, ...]:
    """The rules that a module defines, in its order."""
    return tuple(value for value in vars(module).values() if isinstance(value, Rule))

"""The message ladder: a history as participants side by side and rows in order of time, for a terminal or a page.

A packet is captured at every interface on its way; here it is one `MessageRow`, which tells where it was seen and, if it
never came to where it was sent, after which interface it was lost. "Arrived" means seen at an interface of its receiver: what
a node's own filter drops behind that is not seen on any wire. `build` makes a `Ladder` of a whole history,
`captures.ladder.builder.LadderBuilder` gives rows while the history goes on.

Everything here is plain data; `as_dict` of a ladder is the output of ``python -m captures show --json``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

from captures.history.participants import Participant

Fate = Literal["arrived", "lost", "unknown"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that failed, with the frames that show it; as the judgement has it."""

    rule: str
    clause: str
    subject: str
    message: str
    frames: tuple[int, ...]


def failures_of(verdicts: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """The ``failed`` list of a judgement's rules, or of a ``result.json``'s."""
    return [
        Failure(
            str(verdict.get("rule", "")),
            str(verdict.get("clause", "")),
            str(verdict.get("subject", "")),
            str(verdict.get("message", "")),
            tuple(verdict.get("frames", ())),
        )
        for verdict in verdicts
    ]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A packet at one interface."""

    interface: str
    frame: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One control packet, from `sender` to `receivers` (names of participants; empty if nobody is known to get it).

    `t_ns` is when it was first seen. `fate`: "unknown" where the receiver's interface is not captured. `attempt` counts equal
    packets sent shortly before, from 1. `label` and `text` are for people. `background`: goes on whatever the lab does, such as
    PIM hellos. `handovers`: those under way.
    """

    kind: ClassVar[str] = "message"
    t_ns: int
    sender: str
    receivers: tuple[str, ...]
    protocol: str
    packet: str
    label: str
    text: str
    sightings: tuple[Sighting, ...]
    fate: Fate
    attempt: int = 1
    background: bool = False
    handovers: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        """Frame numbers of all sightings."""
        return tuple(sighting.frame for sighting in self.sightings)

    @property
    def travelled_ns(self) -> int:
        """From the first sighting to the last, ns."""
        return self.sightings[-1].t_ns - self.sightings[0].t_ns

    @property
    def last_seen(self) -> str:
        """The interface where it was seen last; of a lost one, that after which it was lost."""
        return self.sightings[-1].interface

    @property
    def nodes(self) -> tuple[str, ...]:
        """The participants the row is about."""
        return (self.sender, *self.receivers)


@dataclass(frozen=True, slots=True)
class StepRow:
    """Something the scenario did, across all participants; `step` is its name, for a link "link down" and the like.

    `fields` are the step's own.
    """

    kind: ClassVar[str] = "step"
    t_ns: int
    node: str
    step: str
    text: str
    frame: int
    fields: Mapping[str, Any]
    link: bool = False
    background: bool = False
    handovers: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        """The step's frame number."""
        return (self.frame,)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The participant the step is about, if there is one."""
        return (self.node,) if self.node else ()


@dataclass(frozen=True, slots=True)
class StreamRow:
    """The data stream begins, stops or is back at an interface; `silence_ns` is how long it was away, for "back".

    `node` is the interface's, or the stream's receiver where an interface's name tells of no node.
    """

    kind: ClassVar[str] = "stream"
    t_ns: int
    node: str
    interface: str
    change: Literal["begins", "stops", "back"]
    text: str
    frame: int
    silence_ns: int = 0
    background: bool = False
    handovers: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        """The first packet's frame number, or the last packet's before it stops."""
        return (self.frame,)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The participant at whose interface it was seen."""
        return (self.node,)


@dataclass(frozen=True, slots=True)
class NoteRow:
    """What a node wrote down itself; `origin` is "trace" or the daemon's name."""

    kind: ClassVar[str] = "note"
    t_ns: int
    node: str
    origin: str
    text: str
    background: bool = True
    handovers: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def frames(self) -> tuple[int, ...]:
        """None."""
        return ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The node."""
        return (self.node,)


Row = MessageRow | StepRow | StreamRow | NoteRow


@dataclass(frozen=True, slots=True)
class HandoverSpan:
    """One handover's window; `end_ns` is None if its end was not seen."""

    handover: str
    mn: str
    mode: str
    origin: str
    target: str
    begin_ns: int
    end_ns: int | None


@dataclass(frozen=True, slots=True)
class Ladder:
    """Participants and rows. Times are ns since the epoch; people are told them from `begin_ns` on.

    `hidden` counts rows that a selection left out, by why; `unplaced` are failures none of whose frames is in a row.
    """

    columns: tuple[Participant, ...]
    rows: tuple[Row, ...]
    handovers: tuple[HandoverSpan, ...]
    begin_ns: int
    end_ns: int
    unplaced: tuple[Failure, ...] = ()
    hidden: Mapping[str, int] | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols of the messages, in alphabetical order."""
        return tuple(sorted({row.protocol for row in self.rows if isinstance(row, MessageRow)}))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Every failure that was given, each once."""
        return tuple(dict.fromkeys([f for row in self.rows for f in row.failures] + list(self.unplaced)))

    def as_dict(self) -> dict[str, Any]:
        """As JSON: the fields of the dataclasses here; a row has its ``kind``, a message also ``travelled_ns``."""
        return {
            "begin_ns": self.begin_ns,
            "end_ns": self.end_ns,
            "columns": [asdict(column) for column in self.columns],
            "handovers": [asdict(span) for span in self.handovers],
            "rows": [row_as_dict(row) for row in self.rows],
            "unplaced": [asdict(failure) for failure in self.unplaced],
            "hidden": dict(self.hidden or {}),
        }


def row_as_dict(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    more = {"travelled_ns": row.travelled_ns} if isinstance(row, MessageRow) else {}
    return {"kind": row.kind, **asdict(row), **more}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are wanted; None is all. Times in ns from the ladder's beginning, both ends included.

    `background`: also what goes on whatever the lab does. `notes`: also what nodes wrote down themselves.
    """

    protocols: Collection[str] | None = None
    handover: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    background: bool = False
    notes: bool = False

    def refusal(self, row: Row, begin_ns: int) -> str | None:
        """Why a row is not wanted, empty if it lies outside of what was asked for; None if it is wanted."""
        t_ns = row.t_ns - begin_ns
        if (self.from_ns is not None and t_ns < self.from_ns) or (self.to_ns is not None and t_ns > self.to_ns):
            return ""
        if self.handover is not None and self.handover not in row.handovers:
            return ""
        if row.failures:
            return None
        if isinstance(row, NoteRow):
            return None if self.notes else "notes"
        if isinstance(row, MessageRow) and self.protocols is not None and row.protocol not in self.protocols:
            return ""
        if not row.background or self.background:
            return None
        return row.label if isinstance(row, MessageRow) else f"{row.kind}s"


def select(ladder: Ladder, selection: Selection) -> Ladder:
    """The ladder with only the rows that are wanted, and only the participants that these are about.

    Rows with a failed rule are left out by time or handover only.
    """
    rows = []
    hidden: dict[str, int] = {}
    for row in ladder.rows:
        why = selection.refusal(row, ladder.begin_ns)
        if why is None:
            rows.append(row)
        elif why:
            hidden[why] = hidden.get(why, 0) + 1
    named = {name for row in rows for name in row.nodes}
    columns = tuple(column for column in ladder.columns if column.name in named)
    return replace(ladder, columns=columns, rows=tuple(rows), hidden=hidden)

"""What the judge knows of a protocol: one record, which the protocol's room hands over as `PROTOCOL` in its module `protocol`.

A name, where its messages are found and what reads one are enough; whatever else a record leaves out is done for it in a
general way. Records are read whenever a command starts: what is slow to import, such as scapy, is imported by the
function that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

from captures.additions import Additions
from captures.wire.framing import Dissected, Framing
from captures.wire.malformed import MalformedMessageError

__all__ = [
    "SOURCE",
    "Carrier",
    "Compared",
    "Figure",
    "Framing",
    "MalformedMessageError",
    "Name",
    "Protocol",
    "Role",
    "Topic",
]

Transport = Literal["udp", "tcp", "ip"]
Name = Callable[[str], str]
"""Gives the name of the node that has an address, or the address itself."""

_REMEMBERED = 1024  # messages that were read last: every link on its way shows the same one again


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where messages of a protocol are found.

    port: by default; None where there is none, because it is announced beforehand. Of "ip" the protocol's number.
    module: which kind of messages it is, where only the port tells; `Protocol.dissect` takes it as its second argument.
    """

    transport: Transport
    port: int | None
    module: str | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """What a lab's participants can be in a protocol.

    name: as the key in a lab's parameters, in the singular.
    title: in words; `short` where there is little room.
    """

    name: str
    title: str
    short: str


SOURCE = Role("mcs", "source of the stream", "source")
"""Of whatever protocol the lab is."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that a lab can be about, and the table of it in a judgement's text.

    name: in the lab's parameters.
    title: of the table.
    records: the judgement's list with a record for each.
    columns: title, and name in a record.
    step: the one without which nothing of it was seen, if any.
    """

    name: str
    title: str
    records: str
    columns: tuple[tuple[str, str], ...]
    step: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a record; `time`: one that is far from the other run's is worth a colour."""

    name: str
    title: str
    time: bool = True


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared of two runs: the figures of those records of their judgements that have the same name.

    records: the judgement's list.
    name: of the record; `group`: what must be equal to take a median.
    note: what the figures are, for people.
    """

    records: str
    name: str
    group: str
    figures: tuple[Figure, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that the judge knows of one protocol.

    name: in lower case, that of its room.
    title: for people, its name in capitals by default.
    carriers: every way its messages travel.
    framing: how messages follow each other on a connection; needed for a carrier "tcp".
    dissect: reads one message strictly into a dict with ``packet``, its kind, and what else it says; raises
        `MalformedMessageError`. Of a protocol with `modules` its second argument is the module.
    fields: of a message and what `dissect` says, what an event of it shall say instead; None for the same without ``packet``.
    rules: of `captures.rules.packs.pack.Settings` the `Pack` of rules about it, for one capture; None if there are none yet.
    words: what a message says, for people, from its kind and fields; None for the names and values of the fields.
    background: kinds that go on whatever a lab does.
    periodic: kinds that come again and again as time passes, so that none is a repetition of the one before.
    refreshed: kinds that say again and again what still holds: the first is news, none is a repetition.
    announced: kinds that participants of a role send and get again and again: of two runs the first of each is compared.
    roles: what participants can be, in the order in which a ladder has them.
    topics: what a lab can be about.
    compared: what two runs are compared by, besides their messages.
    report: what a page shows beside messages, verdicts and what the lab's model tells. It is given what was gathered of who is
        who, the judgement's lists of records by name, and the subjects of verdicts that failed.
    """

    name: str
    carriers: tuple[Carrier, ...]
    dissect: Callable[..., dict[str, Any]]
    title: str = ""
    framing: Framing | None = None
    fields: Callable[[bytes, dict[str, Any]], dict[str, Any]] | None = None
    rules: Callable[[Any], Any] | None = None
    words: Callable[[str, Mapping[str, Any], Name], str] | None = None
    background: frozenset[str] = frozenset()
    periodic: frozenset[str] = frozenset()
    refreshed: frozenset[str] = frozenset()
    announced: Mapping[str, frozenset[str]] = field(default_factory=dict)
    roles: tuple[Role, ...] = ()
    topics: tuple[Topic, ...] = ()
    compared: tuple[Compared, ...] = ()
    report: Callable[[Any, Mapping[str, Any], Collection[str]], Additions] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a record that contradicts itself."""
        if not self.title:
            object.__setattr__(self, "title", self.name.upper())
        if self.framing is None and any(carrier.transport == "tcp" for carrier in self.carriers):
            raise ValueError(f"{self.name} is carried over TCP: say how its messages are framed there")

    @property
    def modules(self) -> list[str]:
        """Its kinds of messages, where only the port tells them apart; the first is what `dissect` reads by default."""
        return list(dict.fromkeys(carrier.module for carrier in self.carriers if carrier.module))

    def port_name(self, carrier: Carrier) -> str:
        """By what a carrier's port is named: the protocol, or ``name.module`` for one of its `modules`."""
        return self.name if carrier.module is None else f"{self.name}.{carrier.module.lower()}"

    def dissector(self, module: str | None = None) -> Callable[[bytes], dict[str, Any]]:
        """`dissect` for messages of one of its `modules`."""
        return self.dissect if module is None else partial(self.dissect, module=module)

    def reader(self, module: str | None = None) -> Callable[[bytes], Dissected]:
        """What makes an event's kind and fields of a message; of what cannot be read ``malformed`` and what `told` gives."""
        dissect, fields_of = self.dissector(module), self.fields

        @lru_cache(_REMEMBERED)
        def remembered(payload: bytes) -> Dissected:
            try:
                message = dissect(payload)
            except MalformedMessageError as error:
                return "malformed", error.told()
            kind = str(message["packet"])
            if fields_of is not None:
                return kind, fields_of(payload, message)
            return kind, {name: value for name, value in message.items() if name != "packet"}

        def read(payload: bytes) -> Dissected:
            kind, fields = remembered(payload)
            return kind, dict(fields)

        return read

"""The record that the room of a protocol hands to the house: what is in it, and how it is run from the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.core.agent import Agent, Event
from agents.core.checks import check_address
from agents.core.decision import Decision
from agents.core.errors import ConfigurationError
from agents.core.pages import Pages

LOAD_MAXIMUM = 100_000  # agents
LOAD_DURATION_MAXIMUM = 86_400.0  # s


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a role has from its start on.

    ``number``: of kind "udp" and "tcp" the port's, 0 for any; of kind "ip" the protocol's, where 255 is for whole packets,
    header and all, that are only sent. A "tcp" port listens.
    ``address``: "" for all of the IP version ``family`` (4 or 6).
    """

    name: str = ""
    number: int = 0
    kind: Literal["udp", "tcp", "ip"] = "udp"
    address: str = ""
    family: int = 4


def _nothing(_configuration: Any) -> tuple[()]:
    return ()


def _never(_configuration: Any) -> bool:
    return False


def _no_numbers(_configuration: Any, _number: int) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Role:
    """A role by its word on the command line.

    ``configuration`` is a dataclass whose ``check`` raises ConfigurationError; ``agent`` makes the role of one. Of a
    configuration ``ports`` says what is open before the start, ``interfaces`` which interfaces must be there, as pairs of
    the configuration's key and the interface; ``asks_operator`` whether the role will ask the operator's command. One that
    ``moves`` asks for addresses when it does. ``pages`` are what it has for people with a browser.
    """

    name: str
    summary: str
    configuration: type[Any]
    agent: Callable[[Any], Agent]
    ports: Callable[[Any], Sequence[Port]] = _nothing
    interfaces: Callable[[Any], Sequence[tuple[str, str]]] = _nothing
    asks_operator: Callable[[Any], bool] = _never
    moves: bool = False
    pages: Pages | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One value that a control command takes; ``kind`` is what its JSON value must be, and an int is a float too."""

    name: str
    help: str
    kind: type[int | float | str] = str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """Something that a person or program can ask of a running role through its control socket.

    ``event`` makes of the fields' values (None for one that was left out) what the role is told; a role that does not
    know the event ignores it. It may raise ValueError for a value that cannot be. Only ``roles`` take it, by their names;
    where none is named, all.
    """

    name: str
    summary: str
    event: Callable[[Mapping[str, Any]], Event]
    fields: tuple[Field, ...] = ()
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfiguration:
    """What a load is given whatever its protocol is; a protocol adds its own. Times are seconds.

    ``count`` agents, ``joining`` of them at once; ``address`` is where they all send from ("": as the routes say). They go
    on for ``duration_s`` once all have joined or failed, and then ``leave``.
    """

    count: int
    address: str = ""
    joining: int = 64
    duration_s: float = 0.0
    leave: bool = True

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        if self.address:
            check_address("address", self.address)
        if not 1 <= self.count <= LOAD_MAXIMUM:
            raise ConfigurationError("count", str(self.count), f"give 1 to {LOAD_MAXIMUM}")
        if not 1 <= self.joining <= LOAD_MAXIMUM:
            raise ConfigurationError("joining", str(self.joining), f"give 1 to {LOAD_MAXIMUM}")
        if not 0 <= self.duration_s <= LOAD_DURATION_MAXIMUM:
            raise ConfigurationError("duration_s", str(self.duration_s), f"give 0 to {LOAD_DURATION_MAXIMUM:g} s")


@dataclass(frozen=True, slots=True)
class Load:
    """Many agents of a role in one process, to load others; ``name`` is its word on the command line.

    ``agent`` makes the one of a number from 1 on, of a configuration, and ``ports`` says of which numbers its ports are by their
    names, where peers are told so; the others are of any number. ``family`` (4 or 6) is that of the peers. The time
    from a datagram that ``is_request`` to the next that ``is_answer`` is a round trip. The notices ``joined`` and
    ``failed`` settle an agent, ``leaving`` is what it is told at the end, and ``counted`` are counters that the summary
    gives under names of its own. ``who`` names the agents to people.
    """

    name: str
    summary: str
    who: str
    configuration: type[LoadConfiguration]
    agent: Callable[[Any, int], Agent]
    family: Callable[[Any], int]
    is_request: Callable[[bytes], bool]
    is_answer: Callable[[bytes], bool]
    joined: frozenset[str]
    failed: frozenset[str]
    leaving: Event
    counted: Mapping[str, str] = field(default_factory=dict)
    ports: Callable[[Any, int], Mapping[str, int]] = _no_numbers


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol's room. ``decode`` and ``encode`` are between bytes and plain values: what JSON can say.

    ``decode`` raises DecodeError, ``encode`` EncodeError. Where only the port tells of which of several ``modules`` a message
    is, ``decode`` takes the module's name as its second argument. ``specification`` and ``implementation`` are the decisions.
    """

    name: str
    title: str
    roles: tuple[Role, ...]
    decode: Callable[..., Mapping[str, object]]
    encode: Callable[[Mapping[str, object]], bytes]
    commands: tuple[Command, ...] = ()
    specification: tuple[Decision, ...] = ()
    implementation: tuple[Decision, ...] = ()
    load: Load | None = None
    modules: tuple[str, ...] = ()

    def commands_of(self, role: Role) -> list[Command]:
        """What can be asked of a running ``role``."""
        return [each for each in self.commands if not each.roles or role.name in each.roles]

"""Who is in a GMP world: sessions, their creators and participants, each a client with an application over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.gmp.configuration import CreatorConfiguration, ParticipantConfiguration, SessionDescription
from agents.gmp.creator import Creator
from agents.gmp.participant import Participant
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.node import Node

SERVER = "172.16.0.2"
INTERFACE = "lan"
GROUP_PORT = 5004


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is a function of. ``leaves_per_s`` and ``silences_per_s`` count those of all participants together.

    Participants come within ``arrival_s``; who has left or fallen silent is there again after ``away_s`` at most.
    ``streams`` is the share of clients that speak over TCP. Period and timeout are in 100 ms.
    """

    participants: int
    seed: int
    faults: Faults = PERFECT
    sessions: int = 4
    arrival_s: float = 10.0
    streams: float = 0.0
    leaves_per_s: float = 0.0
    silences_per_s: float = 0.0
    away_s: float = 30.0
    period: int = 50
    timeout: int = 150
    rekey_on_join: bool = False

    @property
    def silence_s(self) -> float:
        """Within which a silent member is dropped: the timeout, and a period in which it may have been asked last."""
        return (self.period + self.timeout) / 10


@dataclass(slots=True, eq=False)
class Person:
    """A client. ``willing``: it wants to be active. ``confirmed``: how far its role was told that it is, and has not left."""

    name: str
    configuration: CreatorConfiguration | ParticipantConfiguration
    meeting: Meeting
    is_core: bool
    node: Node = field(init=False)
    willing: bool = False
    confirmed: int = 0
    is_silent: bool = False
    silences: int = 0
    silent_since: float = 0.0

    def new_agent(self) -> Creator | Participant:
        """Its role, which has just begun."""
        if isinstance(self.configuration, CreatorConfiguration):
            return Creator(self.configuration, secret_of(self.name))
        return Participant(self.configuration, secret_of(self.name))

    @property
    def is_creator(self) -> bool:
        """Whether it is its session's creator."""
        return self is self.meeting.creator

    @property
    def described(self) -> Mapping[str, Any]:
        """What its role says of itself."""
        return self.node.agent.describe()


@dataclass(slots=True, eq=False)
class Meeting:
    """A session, another one each time it is created anew: ``session_id`` is 0 until its creator has it confirmed."""

    number: int
    people: list[Person] = field(default_factory=list)
    session_id: int = 0
    token: bytes | None = None
    keys: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)  # by session and generation

    @property
    def is_closed(self) -> bool:
        """Sessions are in turn open, closed, secure, and both."""
        return bool(self.number % 2)

    @property
    def is_secure(self) -> bool:
        """As above."""
        return self.number % 4 > 1

    @property
    def creator(self) -> Person:
        """Who creates it."""
        return self.people[0]

    @property
    def core(self) -> list[Person]:
        """Without whom it ends, beside its creator."""
        return [person for person in self.people[1:2] if person.is_core]


def secret_of(name: str) -> bytes:
    """A client's secret, which nobody in a simulation tries to learn."""
    return name.encode().ljust(32, b".")


def creator_of(meeting: Meeting, plan: Plan, *, has_core: bool, transport: str) -> Person:
    """The creator of a meeting, put into it."""
    name, group = f"creator{meeting.number}", f"239.1.{meeting.number >> 8}.{meeting.number & 255}"
    media = "\r\n".join((
        "v=0", f"o=- 1 1 IN IP4 {SERVER}", f"s={name}", f"c=IN IP4 {group}/16", "t=0 0",
        f"m=audio {GROUP_PORT} RTP/{'SAVP' if meeting.is_secure else 'AVP'} 0", "",
    ))  # fmt: skip
    description = SessionDescription(
        name=f"meeting {meeting.number}", group=group, port=GROUP_PORT, media=media, secure=meeting.is_secure,
        closed=meeting.is_closed, period=plan.period, timeout=plan.timeout,
        core_members=[name_of(meeting.number)] if has_core else [],
    )  # fmt: skip
    configuration = CreatorConfiguration(
        name=name, server=SERVER, interface=INTERFACE, session=description, until="nothing", transport=transport
    )
    return _put(Person(name, configuration, meeting, is_core=False))


def participant_of(meeting: Meeting, number: int, *, transport: str) -> Person:
    """A participant of a meeting, put into it: the first one is its core member."""
    name = name_of(number)
    configuration = ParticipantConfiguration(
        name=name, server=SERVER, interface=INTERFACE, until="nothing", transport=transport
    )
    return _put(Person(name, configuration, meeting, is_core=number == meeting.number))


def name_of(number: int) -> str:
    """A participant's name; the first of a meeting has the meeting's number."""
    return f"p{number}"


def _put(person: Person) -> Person:
    person.meeting.people.append(person)
    return person

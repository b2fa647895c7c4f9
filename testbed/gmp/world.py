"""A GMP world: a server that keeps its word on disk, and sessions with those who are in them.

In each session the first participant is a core member: it stays, as the creator does, until the session is to end; the others
come late, leave, come again and fall silent. An application stands over each client: it wants to be active while it is
``willing``, and asks again where its role has given up. What is looked at as it happens leaves its breaches with the network;
`testbed.gmp.invariants` has the rest.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator
from typing import Any

from agents.core.agent import Endpoint, Notify
from agents.core.framing import Framer
from agents.core.media_control import decode_order
from agents.gmp.configuration import TCP, UDP
from agents.gmp.constants import ID_MAXIMUM, LENGTH_SIZE, MM_PORT, REGISTRATION_TIME, REQUEST_SENDS, REQUEST_TIME, Level
from agents.gmp.events import Activate, DeleteSession, EndSession, Leave, Register
from agents.gmp.protocol import PROTOCOL
from agents.gmp.role import framer
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration
from agents.gmp.session import ACTIVE, ENROLLED, REGISTERED, Member, MemberState, Session
from testbed.gmp.people import (
    SERVER,
    Meeting,
    Person,
    Plan,
    creator_of,
    participant_of,
    secret_of,
)
from testbed.run.options import OptionError
from testbed.sim.node import Node
from testbed.sim.world import World as SimulatedWorld

_KARES, _A_MODE = 0x12, 0x40  # a KARES' first octet, and its second at least; module SM's have a packet's number there
AGAIN_S = 1.0  # from what a role has given up until its application asks again
RETRY_S = 30.0  # the longest time until a client tries again by itself [GI-3]
SLACK_S = 0.2  # what a bound is allowed for the disk, and for work that is done in pieces
ENDS = ("end", "fall silent", "core falls silent", "leave", "core leaves", "delete")
LEVELS = tuple(Level)

RANK = {REGISTERED: 1, ENROLLED: 2, ACTIVE: 3}
_TOLD = {"registered": 1, "enrolled": 2, "active": 3}
_PORTS = {role.name: role.ports for role in PROTOCOL.roles}


class World(SimulatedWorld):
    """The network with its roles."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.seed, plan.faults)
        if plan.participants + plan.sessions > ID_MAXIMUM:
            raise OptionError(f"--participants: with {plan.sessions} sessions at most {ID_MAXIMUM - plan.sessions}")
        self.plan = plan
        self.counts = dict.fromkeys(("leaves", "silences", "restarts", "ends", "again"), 0)
        self.leaves_per_s, self.silences_per_s = plan.leaves_per_s, plan.silences_per_s
        self.over: set[int] = set()  # sessions of which the server has said so
        # Until whoever waits longest has tried again, and silence was noticed at both ends.
        self.quiet_s = RETRY_S + REGISTRATION_TIME + 2 * REQUEST_SENDS * REQUEST_TIME + 3 * plan.silence_s
        self._choice = random.Random(f"people {plan.seed}")
        self._heard: dict[tuple[int, int], float] = {}  # by session and user: when the server was given a KARES last
        self._framers: dict[Hashable, Framer] = {}
        self._server_began = 0.0
        self._server_configuration = ServerConfiguration(
            address=SERVER, members=ID_MAXIMUM, sessions=ID_MAXIMUM, rekey_on_join=plan.rekey_on_join
        )
        self.meetings = [Meeting(number) for number in range(plan.sessions)]
        people = [
            creator_of(meeting, plan, has_core=meeting.number < plan.participants, transport=self._transport())
            for meeting in self.meetings
        ]
        people += [
            participant_of(self.meetings[number % plan.sessions], number, transport=self._transport())
            for number in range(plan.participants)
        ]
        self.people = {person.name: person for person in people}
        self._secrets = {name: secret_of(name) for name in self.people}
        ports = _PORTS["server"](self._server_configuration)
        self.server_node = self.add("server", self._new_server(), SERVER, ports, "server")
        for number, person in enumerate(people, 1):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            ports = _PORTS["creator" if person.is_creator else "participant"](person.configuration)
            person.node = self.add(person.name, person.new_agent(), address, ports, "clients")

    def _transport(self) -> str:
        return TCP if self._choice.random() < self.plan.streams else UDP

    def _new_server(self) -> Server:
        return Server(self._server_configuration, self._secrets)

    @property
    def server(self) -> Server:
        """The server that runs now."""
        agent = self.server_node.agent
        assert isinstance(agent, Server)
        return agent

    def member_of(self, person: Person) -> tuple[Session, Member] | None:
        """A person as the server knows it, in the session of its meeting."""
        session = self.server.sessions.get(person.meeting.session_id)
        member = None if session is None else session.members.get(self._user_of(session, person))
        return None if session is None or member is None else (session, member)

    @staticmethod
    def _user_of(session: Session, person: Person) -> int:
        found = session.by_name.get(person.name)
        return 0 if found is None else found.user_id

    # --- the run ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start all roles; sessions are created at once, and participants come."""
        super().begin()
        for person in self.people.values():
            self.later(self._choice.random() * (0.1 if person.is_creator else self.plan.arrival_s), self.come, person)
        for rate, what in (
            (self.leaves_per_s, self._someone_leaves),
            (self.silences_per_s, self._someone_falls_silent),
        ):
            if rate and any(self._movable()):
                self.later(self._choice.expovariate(rate), what)

    def calm(self) -> None:
        """No faults from now on: nobody leaves, who was silent is there again."""
        self.leaves_per_s = self.silences_per_s = 0.0
        self.fill_disk(self.server_node, "")
        for person in self.people.values():
            self.speak(person)
        super().calm()

    def restart_server(self) -> None:
        """The server's machine dies and begins again: what was confirmed to anybody must be there."""
        self.counts["restarts"] += 1
        promised = [
            (person, session.session_id, min(person.confirmed, RANK[ENROLLED], RANK.get(member.state, 0)))
            for person in self.people.values()
            if person.confirmed and (found := self.member_of(person)) is not None
            for session, member in (found,)
        ]
        self._framers.clear()
        self._server_began = self.now
        self.replace(self.server_node, self._new_server())
        for person, session_id, rank in promised:
            found = self.member_of(person)
            state = None if found is None else found[1].state
            is_ending = session_id not in self.server.sessions and session_id in self.server.ended
            if not is_ending and (state is None or RANK.get(state, 0) < rank):
                self.break_invariant("confirmed-survives", person.node, f"was told {person.confirmed}, is {state}")
        for session in self.server.sessions.values():
            if session.session_id in self.over:
                self.break_invariant("ends-for-all", self.server_node, f"session {session.session_id} is there again")
            for member in session.members.values():
                self.check_sets(session, member.user_id)

    def restart_client(self, person: Person) -> None:
        """A client's machine dies and begins again with nothing; its application wants what it wanted."""
        person.confirmed = 0
        self.replace(person.node, person.new_agent())
        if person.willing:
            self.come(person)

    # --- what people do ---------------------------------------------------------------------------------------------

    def come(self, person: Person) -> None:
        """The application wants to be active, in the session that there is now."""
        person.willing = True
        meeting = person.meeting
        if person.is_creator:
            if meeting.session_id in self.over and meeting.session_id:
                return
            self.tell(person.node, Activate())
        elif meeting.session_id and meeting.session_id not in self.over:
            if person.described["session"] not in (0, meeting.session_id):
                self.leave(person, Level.REGISTERED)
                person.willing = True
            self.tell(person.node, Register(meeting.session_id, meeting.token))
            self.tell(person.node, Activate())

    def create_again(self, meeting: Meeting) -> None:
        """The creator of a session that is over makes another one, and everybody who is willing comes to it."""
        if meeting.session_id in self.over:
            meeting.session_id, meeting.token = 0, None
            self.come(meeting.creator)

    def leave(self, person: Person, level: Level) -> None:
        """The application leaves a level and those above it."""
        self.counts["leaves"] += 1
        person.willing = False
        person.confirmed = min(person.confirmed, RANK[ENROLLED] - level)
        self.tell(person.node, Leave(level))

    def fall_silent(self, person: Person) -> None:
        """Nothing comes from a client or to it."""
        if person.is_silent:
            return
        self.counts["silences"] += 1
        person.is_silent, person.silent_since = True, self.now
        person.silences += 1
        self.lose_link(person.node)
        self.later(self._silence_bound, self._must_be_dropped, person, person.silences)

    def speak(self, person: Person) -> None:
        """Who was silent is there again."""
        if person.is_silent:
            person.is_silent = False
            self.regain_link(person.node, "clients")

    def end_meeting(self, meeting: Meeting, how: str) -> None:
        """Let a session end, in one of the ways that ENDS has."""
        self.counts["ends"] += 1
        who = meeting.core[0] if how.startswith("core") and meeting.core else meeting.creator
        match how:
            case "end":
                self.tell(who.node, EndSession())
            case "delete":
                self.tell(who.node, DeleteSession())
            case "leave" | "core leaves":
                self.leave(who, Level.ENROLLED)
            case _:
                self.fall_silent(who)

    def _movable(self) -> Iterator[Person]:
        return (person for person in self.people.values() if not person.is_core and not person.is_creator)

    def _anybody(self) -> Person:
        number = self._choice.randrange(self.plan.participants)
        return self.meetings[number % self.plan.sessions].people[1 + number // self.plan.sessions]

    def _someone_leaves(self) -> None:
        if not self.leaves_per_s:
            return
        person = self._anybody()
        if person.willing and not person.is_core:
            self.leave(person, self._choice.choice(LEVELS))
            self.later(self._choice.random() * self.plan.away_s, self.come, person)
        self.later(self._choice.expovariate(self.leaves_per_s), self._someone_leaves)

    def _someone_falls_silent(self) -> None:
        if not self.silences_per_s:
            return
        person = self._anybody()
        if not person.is_core and not person.is_silent:
            self.fall_silent(person)
            self.later(self._choice.random() * self.plan.away_s, self.speak, person)
        self.later(self._choice.expovariate(self.silences_per_s), self._someone_falls_silent)

    # --- what the world sees ----------------------------------------------------------------------------------------

    def notified(self, node: Node, notice: Notify) -> None:
        """Follow what the server and the clients say of themselves."""
        if node is self.server_node:
            self._server_told(notice.event, notice.details)
        else:
            self._client_told(self.people[node.name], notice.event, {**notice.details, **notice.secrets})

    def _server_told(self, event: str, details: Any) -> None:
        session_id, user_id = details.get("session", 0), details.get("user", 0)
        if event in {"session-ended", "session-deleted"}:
            self.over.add(session_id)
            return
        session = self.server.sessions.get(session_id)
        if session is None:
            return
        if user_id:
            self.check_sets(session, user_id)
        if event == "dropped" and details["state"] == ENROLLED.value:
            silent_s = self.now - max(self._heard.get((session_id, user_id), 0.0), self._server_began)
            if silent_s < session.timeout_s - 1e-6:
                seen = f"user {user_id} of session {session_id} was dropped {silent_s:.3f} s after its KARES"
                self.break_invariant("answering-stays", self.server_node, seen)
        if session.is_secure and event in {"dropped", "left"}:
            self.later(SLACK_S, self._check_key_of_user, session_id, user_id)

    def _client_told(self, person: Person, event: str, details: Any) -> None:
        meeting = person.meeting
        if event in _TOLD:
            person.confirmed = max(person.confirmed, _TOLD[event])
        match event:
            case "registered" if "session" in details:
                meeting.session_id, token = details["session"], details.get("token")
                meeting.token = None if token is None else bytes.fromhex(token)
                for other in meeting.people[1:]:
                    if other.willing:
                        self.later(0.0, self.come, other)
            case "key":
                self.later(SLACK_S, self._check_key, person)
            case "ended":
                person.confirmed = 0
                self._check_ended(person, details["reason"])
            case "refused" if "again_in_s" not in details:
                self.counts["again"] += 1
                self.later(AGAIN_S, self._come_again, person)

    def _come_again(self, person: Person) -> None:
        if person.willing and person.described["goal"] != "active":
            self.come(person)

    def _check_ended(self, person: Person, reason: str) -> None:
        """Nobody is told of the end of a session that is there."""
        session_id = person.described["session"]
        if session_id in self.server.sessions and session_id not in self.over:
            self.break_invariant(
                "ends-for-all", person.node, f"was told {reason} of session {session_id}, which is there"
            )
        elif person.is_creator and not person.meeting.session_id and person.willing:
            self.later(AGAIN_S, self._come_again, person)  # it was not confirmed, and forgotten meanwhile

    def check_sets(self, session: Session, user_id: int) -> None:
        """Registered, enrolled and active members are nested sets, and each member is where its state says."""
        member = session.members.get(user_id)
        state = MemberState.NOT_REGISTERED if member is None else member.state
        where = (user_id in session.enrolled, user_id in session.active)
        sums = len(session.enrolled) + len(session.active) <= len(session.members)
        if where != (state is ENROLLED, state is ACTIVE) or not sums or len(session.rounds) != len(session.active):
            seen = (
                f"user {user_id} of session {session.session_id} is {state.value}, stands in enrolled, active: {where}"
            )
            self.break_invariant("nested-sets", self.server_node, seen)

    # --- keys -------------------------------------------------------------------------------------------------------

    def delivered(self, node: Node, data: bytes) -> None:
        """One generation of a session's key is one key, whatever became of the server between."""
        order, person = decode_order(data), self.people[node.name]
        if order.key is not None:
            of = (person.described["session"], order.generation)
            if person.meeting.keys.setdefault(of, order.key) != order.key:
                self.break_invariant("one-key", node, f"has another key of generation {order.generation} than others")

    def _check_key_of_user(self, session_id: int, user_id: int) -> None:
        session = self.server.sessions.get(session_id)
        member = None if session is None else session.members.get(user_id)
        if member is not None and member.name in self.people:
            self._check_key(self.people[member.name])

    def _check_key(self, person: Person) -> None:
        """Who is not enrolled must not hold the key that the session has now."""
        described = person.described
        session = self.server.sessions.get(described["session"])
        if session is None or not described["generation"] or described["generation"] != session.generation:
            return
        member = session.by_name.get(person.name)
        if member is None or member.state not in {ENROLLED, ACTIVE}:
            self.break_invariant("key-of-enrolled", person.node, f"holds generation {session.generation}, and is none")

    # --- answers ----------------------------------------------------------------------------------------------------

    @property
    def _silence_bound(self) -> float:
        faults = self.faults
        return self.plan.silence_s + faults.delay_s + faults.jitter_s + faults.held_back_s + SLACK_S

    def _must_be_dropped(self, person: Person, silence: int) -> None:
        """A silent member is not active longer than its timeout and a period."""
        if not person.is_silent or person.silences != silence:
            return
        due = max(person.silent_since, self._server_began) + self._silence_bound
        if due > self.now:
            self.later(due - self.now, self._must_be_dropped, person, silence)
        elif (found := self.member_of(person)) is not None and found[1].state is ACTIVE:
            self.break_invariant("silent-dropped", person.node, f"silent since {person.silent_since:.3f} s, and active")

    def _arrive(self, datagram: tuple[Endpoint, bytes, Endpoint], sender: Node) -> None:
        destination, data, _ = datagram
        if not _is_answer(data) or destination.port != MM_PORT or destination.address != SERVER:
            super()._arrive(datagram, sender)
            return
        before = self._delivered
        super()._arrive(datagram, sender)
        if self._delivered > before:
            self._hear(data)

    def hand_over_stream(self, node: Node, stream: Hashable, data: bytes) -> None:
        """See which answers a stream brings to the server."""
        super().hand_over_stream(node, stream, data)
        if node is self.server_node:
            if stream not in self._framers:
                self._framers[stream] = framer()
            for message in self._framers[stream].feed(data):
                if _is_answer(message[LENGTH_SIZE:]):
                    self._hear(message[LENGTH_SIZE:])

    def _hear(self, data: bytes) -> None:
        self._heard[int.from_bytes(data[4:6]), int.from_bytes(data[6:8])] = self.now


def _is_answer(data: bytes) -> bool:
    """Whether what came to the server is a KARES."""
    return len(data) > 1 and data[0] == _KARES and data[1] >= _A_MODE

"""A server made by hand for charts of GMP's clients, and the chart that they stand in.

It grants what it is asked, with the judge's layers and not the agents' codec, unless a test says otherwise: ``answers`` has for a
packet's name what is sent back, each as fields for the judge. It keeps nothing of who is where, and asks nobody by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

from agents.core.agent import (
    Agent,
    CloseStream,
    Endpoint,
    Event,
    SendDatagram,
    SendStream,
    StreamClosed,
    StreamOpened,
)
from agents.core.room import Port
from agents.gmp.configuration import CreatorConfiguration, ParticipantConfiguration, SessionDescription
from agents.gmp.creator import Creator
from agents.gmp.keys import wrap, wrapping_key
from agents.gmp.participant import Participant
from captures.gmp import dissector as judge
from captures.wire.malformed import MalformedMessageError
from tests.agents.chart import Chart, Reading

SERVER, ALICE, BOB, STRANGER = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.66"
SM, MM = Endpoint(SERVER, 16513), Endpoint(SERVER, 16514)
SESSION, CREATOR_ID, USER = 5, 1, 2
GROUP, PORT = "239.1.1.1", 5004
SECRET = bytes(range(32))
GROUP_KEY = bytes(range(100, 130))
SDP = "v=0\r\no=- 1 1 IN IP4 10.0.0.3\r\ns=lecture\r\nc=IN IP4 239.1.1.1/16\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n"
PORTS = (
    Port("", 16513),
    Port("mm", 16514),
    Port("sm-streams", 16513, "tcp"),
    Port("mm-streams", 16514, "tcp"),
)
TO_GROUP = {"group": GROUP, "port": PORT}

Plain = dict[str, Any]
Answer = Callable[[Plain], list[Plain]]


def read(data: bytes) -> Reading:
    """What the judge reads. A checksum tells the modules apart, which the protocol leaves to the port."""
    try:
        fields = judge.dissect(data, "SM")
    except MalformedMessageError:
        fields = judge.dissect(data, "MM")
    reasons = [int(value, 16) for code, value in fields.get("options", ()) if code == 20]
    return fields["packet"], "".join(f" refused {reason}" for reason in reasons), fields


def sm(packet: str, **fields: Any) -> Plain:
    return {"module": "SM", "packet": packet, "session_id": SESSION, "user_id": USER, **fields}


def mm(packet: str, **fields: Any) -> Plain:
    return {"module": "MM", "packet": packet, "session_id": SESSION, "user_id": USER, **fields}


def keep_alive(**fields: Any) -> Plain:
    return mm("KAREQ", period=10, timeout=30, **TO_GROUP, **fields)


def refusal(packet: str, reason: int, **fields: Any) -> Plain:
    return sm(packet, options=[[20, f"{reason:04x}"]], **fields)


def key_options(
    generation: int, key: bytes = GROUP_KEY, user: int = USER, secret: bytes = SECRET, counter: int | None = None
) -> list[list[Any]]:
    wrapped = wrap(key, wrapping_key(secret, SESSION, user))
    rows: list[list[Any]] = [[18, wrapped.hex()], [19, f"{generation:08x}"]]
    return rows if counter is None else [*rows, [23, f"{counter:08x}"]]


def nothing(_: Plain) -> list[Plain]:
    return []


class HandMadeServer(Agent):
    """The server. ``heard`` has the fields of all that was sent to it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Plain] = []
        self.tails: dict[Hashable, bytes] = {}
        self.streams: dict[str, Hashable] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.answers: dict[str, Answer] = {
            "SCREQ": lambda _: [sm("SCACC", user_id=CREATOR_ID)],
            "SCINF": lambda asked: [sm("SCCON", user_id=CREATOR_ID, m=asked["m"], **TO_GROUP)],
            "SRREQ": lambda _: [sm("SRACC")],
            "SJREQ": lambda asked: [sm("SJRES", user_id=asked["user_id"], **TO_GROUP)],
            "SAREQ": lambda asked: [keep_alive(user_id=asked["user_id"])],
            "SDREQ": lambda _: [sm("SDRES", user_id=CREATOR_ID)],
            "TRREQ": lambda _: [mm("TRIND", ss=1, user_id=CREATOR_ID, member_type=4)],
            "UIREQ": lambda _: [mm("UIRES", ui=1, members=[[CREATOR_ID, 4], [USER, 1]])],
        }

    def start(self, now: float) -> None:
        pass

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        _, _, fields = read(data)
        self.heard.append(fields)
        # Each module is answered from its own port, and MM to the client's [G-17].
        for answer in self.answers.get(fields["packet"], nothing)(fields):
            module = "mm" if answer["module"] == "MM" else ""
            to = replace_port(source, 16514 if module else 16513)
            self.act(SendDatagram(judge.build(answer), to, module))

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        self.tails[stream] = self.tails.get(stream, b"") + data
        module = next(name for name, known in self.streams.items() if known == stream)
        while len(self.tails[stream]) >= 2:
            size = 2 + int.from_bytes(self.tails[stream][:2])
            if len(self.tails[stream]) < size:
                break
            message, self.tails[stream] = self.tails[stream][2:size], self.tails[stream][size:]
            fields = judge.dissect(message, module)
            self.heard.append(fields)
            for answer in self.answers.get(fields["packet"], nothing)(fields):
                self.act(SendStream(self.streams[answer["module"]], prefixed(judge.build(answer))))

    def handle(self, event: Event, now: float) -> None:
        if isinstance(event, StreamOpened):
            module = "MM" if event.port == "mm-streams" else "SM"
            self.streams[module] = event.stream
            self.opened.append(module)
        elif isinstance(event, StreamClosed):
            gone = [name for name, stream in self.streams.items() if stream == event.stream]
            self.closed += gone
            for name in gone:
                del self.streams[name]

    def drop_stream(self, module: str) -> None:
        self.act(CloseStream(self.streams.pop(module), abort=True))

    def timer_expired(self, key: object, now: float) -> None:
        pass

    def describe(self) -> Mapping[str, object]:
        return {}

    def packets(self, name: str) -> list[Plain]:
        return [fields for fields in self.heard if fields["packet"] == name]


def replace_port(endpoint: Endpoint, port: int) -> Endpoint:
    return Endpoint(endpoint.address, port)


def prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


class Lab(Chart):
    """A chart with the server, alice and bob, of whom a test starts whom it needs."""

    def __init__(self) -> None:
        super().__init__(read, PORTS)
        self.server = HandMadeServer()
        self.add("server", self.server, SERVER)
        self.start("server")

    def from_server(self, name: str, fields: Plain) -> None:
        """Hand a client a message of the server's."""
        is_mm = fields["module"] == "MM"
        self.give(name, judge.build(fields), MM if is_mm else SM, "mm" if is_mm else "")

    def state(self, name: str) -> Mapping[str, Any]:
        return self.nodes[name].agent.describe()

    def count(self, name: str, counter: str) -> int:
        return self.nodes[name].agent.counters[counter]

    def told(self, name: str) -> list[tuple[str, Mapping[str, object]]]:
        """The notices of a client."""
        return [(notice.event, notice.details) for notice in self.nodes[name].notices]


def participant(lab: Lab, name: str = "alice", secret: bytes | None = None, **changes: Any) -> Participant:
    configuration = ParticipantConfiguration(
        name=name, server=SERVER, interface="lan", session_id=SESSION, until="nothing"
    )
    configuration = replace(configuration, **changes)
    configuration.check()
    made = Participant(configuration, secret)
    lab.add(name, made, ALICE)
    return made


def creator(lab: Lab, secret: bytes | None = None, session: Mapping[str, Any] | None = None, **changes: Any) -> Creator:
    description = SessionDescription(name="lecture", group=GROUP, port=PORT, media=SDP, core_members=["alice"])
    configuration = CreatorConfiguration(
        name="bob", server=SERVER, interface="lan", session=replace(description, **(session or {})), until="nothing"
    )
    configuration = replace(configuration, **changes)
    made = Creator(configuration, secret)
    lab.add("bob", made, BOB)
    return made


def started(until: str = "active", **changes: Any) -> Lab:
    lab = Lab()
    participant(lab, until=until, **changes)
    lab.start("alice")
    lab.run_for(0.1)
    return lab


def orders(lab: Lab, name: str) -> list[tuple[str, int, str | None, int]]:
    """What the program that carries the data was told: action, generation, key, roll-over counter."""
    plain = [json.loads(data) for to, data in lab.delivered if to == name]
    return [(row["action"], row["generation"], row["key"], row["roll_over_counter"]) for row in plain]


def secure(lab: Lab, generation: int = 1, counter: int | None = None) -> None:
    lab.server.answers["SRREQ"] = lambda _: [sm("SRACC", s=1)]
    lab.server.answers["SJREQ"] = lambda _: [
        sm("SJRES", s=1, key_length=30, options=key_options(generation, counter=counter), **TO_GROUP)
    ]


def secure_member(until: str = "active", generation: int = 1, counter: int | None = None) -> Lab:
    lab = Lab()
    secure(lab, generation, counter)
    participant(lab, secret=SECRET, until=until)
    lab.start("alice")
    lab.run_for(0.1)
    return lab

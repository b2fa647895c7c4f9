"""A chart with a GMP server and its clients, all of them this project's; what is sent is read by the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.core.agent import Endpoint, SendDatagram
from agents.gmp.announcer import PORT as SAP_PORT
from agents.gmp.configuration import CreatorConfiguration, ParticipantConfiguration, SessionDescription
from agents.gmp.creator import Creator
from agents.gmp.participant import Participant
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration
from captures.gmp import dissector as judge
from testbed.sim.node import Node
from tests.agents.chart import Chart
from tests.agents.gmp.hand_made import GROUP, PORT, PORTS, SDP, SERVER, Plain, read

SESSION, CREATOR_ID = 1, 1  # the first that a server gives
FRIENDS = ("alice", "bob", "carol", "dave")
SECRETS = {name: name.encode() * 16 for name in ("host", *FRIENDS)}


class Meeting(Chart):
    """A server, the creator ``host``, and participants; ``description`` and ``changes`` are of the session and the server."""

    def __init__(self, *, secrets: Mapping[str, bytes] | None = None, **changes: Any) -> None:
        super().__init__(read, PORTS)
        self.announced: list[bytes] = []  # by SAP, which is no message of GMP's
        self.network._ways = {**self.network._ways, SendDatagram: self._send}
        self.configuration = ServerConfiguration(**changes)
        self.secrets = secrets
        self.add("server", Server(self.configuration, secrets), SERVER)
        self.start("server")

    def _send(self, node: Node, action: SendDatagram) -> None:
        if action.destination.port == SAP_PORT:
            self.announced.append(action.data)
        else:
            self.network.send_datagram(node, action)

    @property
    def server(self) -> Server:
        agent = self.nodes["server"].agent
        assert isinstance(agent, Server)
        return agent

    def host(self, until: str = "active", description: Mapping[str, Any] | None = None, **changes: Any) -> Creator:
        """Put the creator there and start it."""
        said = SessionDescription(name="lecture", group=GROUP, port=PORT, media=SDP, period=10, timeout=30)
        configuration = CreatorConfiguration(
            name="host", server=SERVER, interface="lan", session=replace(said, **(description or {})), until=until
        )
        made = Creator(replace(configuration, **changes), SECRETS["host"] if said_secure(description) else None)
        self.add("host", made, "10.0.0.9")
        self.start("host")
        return made

    def join(self, name: str, until: str = "active", *, secret: bytes | None = None, **changes: Any) -> Participant:
        """Put a participant there and start it."""
        configuration = ParticipantConfiguration(
            name=name, server=SERVER, interface="lan", session_id=SESSION, until=until
        )
        made = Participant(replace(configuration, **changes), secret)
        self.add(name, made, address_of(name))
        self.start(name)
        return made

    def begin_again(self) -> None:
        """The server's machine dies and begins again, with what was on its disk."""
        self.network.replace(self.nodes["server"], Server(self.configuration, self.secrets))

    def state(self, name: str) -> str:
        return str(self.nodes[name].agent.describe()["state"])

    def count(self, name: str, counter: str) -> int:
        return self.nodes[name].agent.counters[counter]

    def told(self, name: str = "server") -> list[tuple[str, Mapping[str, object]]]:
        """The notices of a role."""
        return [(notice.event, notice.details) for notice in self.nodes[name].notices]

    def members(self) -> dict[str, str]:
        """The members that the server knows by name, and their states."""
        return {str(row["name"]): str(row["state"]) for row in self.server.rows("members")}

    def to_server(self, fields: Plain, source: Endpoint) -> list[Plain]:
        """Hand the server a message from anywhere; what it answers to there."""
        mark = len(self.sent)
        self.give("server", judge.build(fields), source, "mm" if fields["module"] == "MM" else "")
        self.run_for(0.02)
        return [sent.fields for sent in self.sent[mark:] if sent.destination == source]

    def disk(self) -> Node:
        return self.nodes["server"]


def said_secure(description: Mapping[str, Any] | None) -> bool:
    return bool(description and description.get("secure"))


def address_of(name: str) -> str:
    return f"10.0.0.{20 + FRIENDS.index(name)}"

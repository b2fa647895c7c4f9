"""A GMP session in a lab: what each role is configured with, who is started when, what they are asked, and what the judge is told.

Roles are told what to do by their control sockets, as a person would tell them with ``agents ctl``, and what they have come to is seen
there, or with a stranger's in the server's list of members.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from testbed.gmp import places
from testbed.gmp.asking import Fields, described
from testbed.gmp.options import tenths
from testbed.gmp.places import CREATOR, GROUP, SERVER, SOURCE
from testbed.net.observation import await_count, sent_packets
from testbed.net.stream_check import check_streams
from testbed.run.laboratory import RunningLab
from testbed.run.options import Values
from testbed.run.roles import RunningRole

PORT = 5004  # UDP, of the stream
SM_PORT, MM_PORT = 16513, 16514  # of the server; clients have their module MM at the latter
DEADLINE_S = 15.0
NAME = "Lecture of the laboratory"
WEB_PORT = 8080
ANNOUNCED_S = 1.0  # between two announcements: the first one makes the tree, and may get lost meanwhile
LEAVES_SENT = 3
REGISTERED, ENROLLED, ACTIVE, ENDED = "REGISTERED", "ENROLLED", "ACTIVE", "ENDED"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the creator says of its session, as far as labs differ in it.

    ``core``, ``invited``: names of clients. ``first_number``: the stream's first packet's, see the source.
    ``until``: what the creator does by itself.
    """

    name: str = NAME
    closed: bool = False
    secure: bool = False
    core: tuple[str, ...] = ()
    invited: tuple[str, ...] = ()
    start_condition: int = 1
    first_number: int = 0
    enrolment_timeout_s: float | None = None


def description(values: Values, plan: Plan, origin: str) -> Fields:
    """The creator's session, as its configuration has it; ``origin``: the address that its SDP names."""
    is_file = values.file("media") is not None
    kind, mapped = ("33", "MP2T/90000") if is_file else ("96", "X-LAB/90000")
    profile = "RTP/SAVP" if plan.secure else "RTP/AVP"
    lines = (
        "v=0",
        f"o=- {time.time_ns()} 1 IN IP4 {origin}",  # a session of its own
        f"s={plan.name}",
        f"c=IN IP4 {GROUP}/16",
        "t=0 0",
        f"m=video {PORT} {profile} {kind}",
        f"a=rtpmap:{kind} {mapped}",
    )
    return {
        "name": plan.name,
        "group": GROUP,
        "port": PORT,
        "media": "".join(f"{line}\r\n" for line in lines),
        "content": "A stream with a number and the time in each packet.",
        "owner": "the laboratory",
        "secure": plan.secure,
        "closed": plan.closed,
        "core_members": list(plan.core),
        "invited_members": list(plan.invited),
        "period": tenths(values, "period"),
        "timeout": tenths(values, "timeout"),
        "start_condition": plan.start_condition,
    }


@dataclass(slots=True)
class Session:
    """A session: who runs, and what is known of it. ``clients``: by their nodes, the creator among them."""

    lab: RunningLab
    plan: Plan
    clients: dict[str, RunningRole] = field(default_factory=dict)
    receivers: dict[str, RunningRole] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    id: int = 0
    token: str = ""
    server: RunningRole | None = None
    source: RunningRole | None = None

    # --- starting ---------------------------------------------------------------------------------------------------

    def record_parameters(self, left_out: dict[str, str] | None = None) -> None:
        """Tell the judge who is who."""
        model = self.lab.model
        self.lab.steps.add(
            "parameters",
            lab=model.name,
            family=model.family,
            left_out=left_out or {},
            group=model.group,
            port=PORT,
            nominal_spacing_ns=round(1e9 / self.lab.values.number("rate")),
            mcs=self._place(CREATOR),
            gmp=self.parameters(),
        )

    def parameters(self) -> Fields:
        """GMP's part of what the judge is told."""
        values = self.lab.values
        return {
            "transport": values.word("transport"),
            "closed": self.plan.closed,
            "secure": self.plan.secure,
            "period_s": values.seconds("period"),
            "timeout_s": values.seconds("timeout"),
            "core_members": list(self.plan.core),
            "invited_members": list(self.plan.invited),
            "server": self._place(SERVER),
            "creator": self._place(CREATOR),
            "participants": [
                self._place(node.name)
                for node in self.lab.model.nodes
                if node.kind == "host" and node.name not in (SERVER, CREATOR)
            ],
        }

    def _place(self, node: str) -> Fields:
        model = self.lab.model
        interface = f"{node}:{places.interface_of(model, node)}"
        return {"name": node, "node": node, "address": model.address_of(node), "interface": interface}

    def start_server(self) -> RunningRole:
        """The server, first or again; it knows the secrets of all clients that have one."""
        lab = self.lab
        address = lab.model.address_of(SERVER)
        own: Fields = {
            "address": address,
            "enrolment_timeout_s": self.plan.enrolment_timeout_s,
            "announce_from": [address],
            "announce_on": places.interface_of(lab.model, SERVER),
            "announce_interval_s": ANNOUNCED_S,
        }
        if self.plan.secure:
            for node in lab.model.nodes:
                if node.kind == "host" and node.name != SERVER:
                    self.secrets.setdefault(node.name, secrets.token_hex(32))
            lines = "".join(f'{name} = "{secret}"\n' for name, secret in self.secrets.items())
            own["secrets_file"] = str(lab.roles.keep_private("secrets.toml", lines))
        self.server = lab.roles.start(SERVER, SERVER, ("gmp", "server"), own, keeps=True, web=f"{address}:{WEB_PORT}")
        lab.roles.await_ready(self.server)
        return self.server

    def create(self) -> None:
        """Start the creator and the program that sends for it; returns when the session is there."""
        lab = self.lab
        creator = self._start_client(
            CREATOR, "registered", session=description(lab.values, self.plan, lab.model.address_of(CREATOR))
        )
        media = lab.values.file("media")
        shape: Fields = {"rate": lab.values.number("rate"), "size": lab.values.number("size")}
        if media is not None:
            shape = {"media": str(media)}
        lab.roles.await_ready(creator)
        orders = str(lab.roles.application_path(CREATOR))
        self.source = lab.roles.start(
            SOURCE, CREATOR, ("media", "source"), {"orders": orders, "first_number": self.plan.first_number, **shape}
        )
        lab.roles.await_ready(self.source)
        self.await_state(CREATOR, REGISTERED)
        self.id = int(self._of_session("session"))
        if self.plan.closed:
            said = lab.network.processes.wait_for_log(creator.process, r"^registered .*token=([0-9a-f]+)", DEADLINE_S)
            self.token = said[1]

    def _of_session(self, key: str) -> Any:
        creator = self.clients[CREATOR]
        return described(creator)[key] if creator.is_ours else self.rows("sessions")[0][key]

    def add(self, *nodes: str, name: str = "", token: str | None = None, eavesdrops: bool = False) -> None:
        """Start participants and their receivers, which do nothing by themselves yet.

        ``name``, ``token``: if not the node's, and the session's own. A receiver that ``eavesdrops`` goes on when its agent has left.
        """
        for node in nodes:
            own: Fields = {"session_id": self.id}
            token_of = self.token if token is None else token
            if token_of:
                own["token_file"] = str(self.lab.roles.keep_private(f"{node}.token", token_of))
            self._start_client(node, "nothing", name=name, **own)
        roles = self.lab.roles
        roles.await_ready(*(self.clients[node] for node in nodes))
        for node in nodes:  # after its agent, to which it connects
            configuration = {"orders": str(roles.application_path(node))}
            if eavesdrops:
                configuration["eavesdrops_on"] = places.interface_of(self.lab.model, node)
            self.receivers[node] = roles.start(places.receiver_of(node), node, ("media", "receiver"), configuration)
        roles.await_ready(*(self.receivers[node] for node in nodes))

    def add_agent(self, node: str, role: str) -> None:
        """Start a participant beside another role of its node, with no receiver."""
        self._start_client(node, "nothing", role=role, session_id=self.id)
        self.lab.roles.await_ready(self.clients[node])

    def add_eavesdropper(self, node: str) -> None:
        """Start a receiver that has joined the group by itself, and has no agent that could give it a key."""
        own = {"group": GROUP, "port": PORT, "eavesdrops_on": places.interface_of(self.lab.model, node)}
        self.receivers[node] = self.lab.roles.start(places.receiver_of(node), node, ("media", "receiver"), own)
        self.lab.roles.await_ready(self.receivers[node])

    def _start_client(self, node: str, until: str, name: str = "", role: str = "", **own: object) -> RunningRole:
        lab, model = self.lab, self.lab.model
        kind = "creator" if node == CREATOR else "participant"
        configuration: Fields = {
            "name": name or node,
            "server": model.address_of(SERVER),
            "address": model.address_of(node),
            "interface": places.interface_of(model, node),
            "transport": lab.values.word("transport"),
            "until": until,
            **own,
        }
        if secret := self.secrets.get(node):
            configuration["secret_file"] = str(lab.roles.keep_private(f"{node}.secret", secret))
        self.clients[node] = lab.roles.start(role or node, node, ("gmp", kind), configuration, serves=True)
        return self.clients[node]

    # --- asking and waiting -----------------------------------------------------------------------------------------

    def ask(self, node: str, command: str, **fields: object) -> int:
        """Tell a client what to do; returns when that was, CLOCK_REALTIME ns. It is a step of the scenario."""
        moment = self.lab.steps.add("ask", role=node, command=command, **fields)
        self.clients[node].ask(command, **fields)
        return moment

    def bring(self, command: str, state: str, *nodes: str) -> dict[str, int]:
        """Tell clients to do something and wait until all have come to a state; returns when each was told."""
        told = {node: self.ask(node, command) for node in nodes}
        for node in nodes:
            self.await_state(node, state)
        return told

    def await_state(self, node: str, *states: str, deadline_s: float = DEADLINE_S) -> float:
        """Wait until a client has come to one of these states; returns the seconds that took."""

        def look() -> tuple[bool, str]:
            seen = self.state_of(node)
            return seen in states, f"it is {seen}"

        awaited = f"{node} to be {' or '.join(states)}"
        return self.lab.network.eventually(awaited, look, deadline_s, quiet=True)

    def state_of(self, node: str) -> str:
        """How far a client is: as it says itself, or as the server has a stranger."""
        client = self.clients[node]
        if client.is_ours:
            return str(described(client)["state"])
        return self.standing(node) or "IDLE"

    def standing(self, node: str) -> str | None:
        """What the server has a client as: REGISTERED, ENROLLED, ACTIVE, or None."""
        found = {row["name"]: row["state"] for row in self.rows("members") if row["session"] == self.id}
        return found[node].upper() if node in found else None

    def await_standing(self, node: str, standing: str | None, deadline_s: float = DEADLINE_S) -> float:
        """Wait until the server has a client as this; returns the seconds that took. Of a stranger's server it is not known."""
        assert self.server is not None
        if not self.server.is_ours:
            return 0.0

        def look() -> tuple[bool, str]:
            found = self.standing(node)
            return found == standing, f"it has it as {found}"

        awaited = f"the server to have {node} as {standing or 'nobody'}"
        return self.lab.network.eventually(awaited, look, deadline_s, quiet=True)

    def await_said(self, node: str) -> None:
        """Wait until a client has said for good that it leaves, three times by datagrams; a stranger's are not counted."""
        client, wanted = self.clients[node], 1 if self.lab.values.word("transport") == "tcp" else LEAVES_SENT

        def look() -> tuple[bool, str]:
            counters: Any = client.ask("counters")["counters"]
            sent = counters.get("sent.LVREQ", 0)
            return sent >= wanted, f"{sent} sent"

        if client.is_ours:
            self.lab.network.eventually(f"{node} to have sent {wanted} LVREQ", look, DEADLINE_S, quiet=True)

    def await_refusal(self, node: str) -> int | None:
        """Wait until a client says that its registration was refused; returns the reason. What a stranger says is not known."""
        client = self.clients[node]
        if not client.is_ours:
            return None
        said = self.lab.network.processes.wait_for_log(
            client.process, r"^refused request=SRREQ reason=(\d+)", DEADLINE_S
        )
        return int(said[1])

    def await_answers(self, node: str) -> None:
        """Wait until a client has answered another keep-alive request; a stranger's are not counted."""
        client = self.clients[node]
        if not client.is_ours:
            return

        def answered() -> int:
            counters: Any = client.ask("counters")["counters"]
            return int(counters.get("sent.KARES", 0))

        await_count(self.lab.network, f"{node} to be asked", answered, answered() + 1, DEADLINE_S)

    def await_generation(self, node: str, generation: int) -> None:
        """Wait until a client has the key of a generation; a stranger does not say."""
        client = self.clients[node]

        def look() -> tuple[bool, str]:
            found = described(client)["generation"]
            return found >= generation, f"generation {found}"

        if client.is_ours:
            self.lab.network.eventually(f"{node} to have key {generation}", look, DEADLINE_S, quiet=True)

    def await_decrypted(self, node: str, generation: int) -> None:
        """Wait until a receiver has read a packet under the key of a generation; a stranger does not say."""
        receiver = self.receivers[node]

        def look() -> tuple[bool, str]:
            found = described(receiver)["decrypted"]
            return bool(found.get(str(generation))), f"packets by generation: {found}"

        if receiver.is_ours:
            awaited = f"{node} to read what is under key {generation}"
            self.lab.network.eventually(awaited, look, DEADLINE_S, quiet=True)

    def undecryptable(self, node: str) -> int | None:
        """How many packets a receiver could not read; None of a stranger's."""
        receiver = self.receivers[node]
        if not receiver.is_ours:
            return None
        counters: Any = receiver.ask("counters")["counters"]
        return sum(int(count) for name, count in counters.items() if name.startswith("undecryptable."))

    def rows(self, of: str) -> list[Fields]:
        """A list of the server's, ``sessions`` or ``members``; raises RoleError."""
        assert self.server is not None
        found: list[Fields] = []
        more = True
        while more:
            page: Any = self.server.ask("list", of=of, offset=len(found))
            found += page["rows"]
            more = page["more"]
        return found

    def await_streaming(self) -> None:
        """Wait until the source sends what can arrive."""
        check_streams(self.lab.network)

    def await_data(self, *nodes: str, since_ns: int = 0) -> None:
        """Wait until receivers have taken a packet that came since; of strangers' receivers the kernel's count is looked at."""
        for node in nodes:
            receiver = self.receivers[node]

            def look(receiver: RunningRole = receiver) -> tuple[bool, str]:
                last_ns = described(receiver)["last_ns"]
                return last_ns is not None and last_ns > since_ns, f"last packet at {last_ns}"

            self.lab.network.eventually(f"the stream at {node}", look, DEADLINE_S, quiet=True)

    def let_stream_go_on(self, seconds: float, node: str = CREATOR) -> int:
        """Wait until the source has sent what it sends in so many seconds; returns when that was, CLOCK_REALTIME ns."""
        interface = places.interface_of(self.lab.model, node)
        goal = sent_packets(self.lab.network, node, interface) + round(seconds * self.lab.values.number("rate"))
        await_count(
            self.lab.network,
            f"{seconds:g} s of stream at the source",
            lambda: sent_packets(self.lab.network, node, interface),
            goal,
            seconds + DEADLINE_S,
        )
        return time.time_ns()

    # --- the end ----------------------------------------------------------------------------------------------------

    def stop(self, *, server: bool = True) -> None:
        """Stop all that runs, the server last, or not."""
        last = self.server if server else None
        for role in (*self.receivers.values(), self.source, *reversed(self.clients.values()), last):
            if role is not None and role.process.running:
                self.lab.roles.stop(role)

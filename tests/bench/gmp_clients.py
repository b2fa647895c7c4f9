"""Clients of a GMP server, as many as are wanted, behind two sockets: what they say is written before it is measured."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.gmp import constants as c
from agents.gmp.constants import MemberType, SessionPacket
from agents.gmp.messages import MembershipMessage, SessionMessage, decode_session, encode
from agents.gmp.options import NO_OPTIONS, KeepAlive, Options
from tests.bench.members import HERE
from tests.bench.servers import Server, free_ports, take

MEMBERS = 10_000
RECEIVE_BUFFER = 4 * 1024 * 1024
SESSION, FIRST_USER = 1, 2  # the creator is the first
GROUP, PORT = "239.1.1.1", 5004
SDP = f"v=0\r\no=- 1 1 IN IP4 {HERE}\r\ns=load\r\nc=IN IP4 {GROUP}/16\r\nt=0 0\r\nm=audio {PORT} RTP/AVP 0\r\n"
SECRET = bytes(range(32))


def sm(packet: SessionPacket, user: int = 0, options: Options = NO_OPTIONS, *, secure: bool = False) -> bytes:
    return encode(SessionMessage(packet, SESSION, user, secure, options=options))


@dataclass
class Clients:
    """A server and its clients' sockets; ``mm_port`` is theirs."""

    server: Server
    mm: socket.socket
    mm_port: int
    secure: bool
    control: Path

    def counters(self) -> dict[str, int]:
        """What the server has counted."""
        with socket.socket(socket.AF_UNIX) as here:
            here.connect(str(self.control))
            here.sendall(b'{"command": "counters"}\n')
            with here.makefile() as answer:
                return dict(json.loads(answer.readline())["counters"])

    def activate_all(self, window: int) -> list[int]:
        """Have all of them active; how many round trips each step took."""
        here = self.server.socket
        done = [
            exchange_between(here, here, self.registrations(), window),
            exchange_between(here, here, self.enrolments(), window),
            exchange_between(here, self.mm, self.activations(), window),
        ]
        marker = sm(c.SRREQ, 0, Options(client_name="n1"), secure=self.secure)
        responses = self.responses()
        for begin in range(0, len(responses), window):
            for response in responses[begin : begin + window]:
                self.mm.send(response)
            here.send(marker)  # its answer says that what came before is taken
            take(here)
        return done

    def ask(self, data: bytes) -> SessionMessage:
        self.server.socket.send(data)
        return decode_session(take(self.server.socket))

    def create(self, period: int = 254, timeout: int = 255) -> None:
        """Have a session, whose creator does no more than that; ``period`` and ``timeout`` in 100 ms."""
        secure = self.secure
        name = Options(client_name="n0")
        accepted = self.ask(encode(SessionMessage(c.SCREQ, secure=secure, options=name)))
        assert (accepted.packet, accepted.session_id, accepted.user_id) == (c.SCACC, SESSION, 1)
        said = Options(name="load", media=SDP, keep_alive=KeepAlive(period, timeout))
        message = SessionMessage(c.SCINF, SESSION, 1, secure, group=GROUP, port=PORT, options=said)
        assert self.ask(encode(message)).packet is c.SCCON

    @property
    def users(self) -> range:
        return range(FIRST_USER, FIRST_USER + MEMBERS)

    def registrations(self) -> list[bytes]:
        return [sm(c.SRREQ, 0, Options(client_name=f"n{user - 1}"), secure=self.secure) for user in self.users]

    def enrolments(self) -> list[bytes]:
        said = Options(client_mm_port=self.mm_port)
        return [sm(c.SJREQ, user, said, secure=self.secure) for user in self.users]

    def activations(self) -> list[bytes]:
        said = Options(client_mm_port=self.mm_port)
        return [sm(c.SAREQ, user, said, secure=self.secure) for user in self.users]

    def responses(self) -> list[bytes]:
        return [
            encode(MembershipMessage(c.KARES, SESSION, user, member_type=MemberType.PARTICIPANT)) for user in self.users
        ]


@contextlib.contextmanager
def clients(directory: Path, *, durable: bool = True, secure: bool = False, store: str = "store") -> Iterator[Clients]:
    """A server of its own in a process, and two sockets that are all of its clients."""
    sm_port, mm_port, client_sm, client_mm = free_ports(4)
    lines = [
        f'address = "{HERE}"', f"sm_port = {sm_port}", f"mm_port = {mm_port}", f"members_of_address = {MEMBERS + 1}",
        f"durable = {str(durable).lower()}",
    ]  # fmt: skip
    if secure:
        secrets = directory / "secrets.toml"
        secrets.write_text("".join(f'n{number} = "{SECRET.hex()}"\n' for number in range(MEMBERS + 1)))
        lines.append(f'secrets_file = "{secrets}"')
    control = directory / "control"
    lines += ["[runtime]", f'control = "{control}"']
    if durable:
        lines.append(f'store = "{directory / store}.sqlite"')
    path = directory / "server.toml"
    path.write_text("\n".join(lines))
    with contextlib.ExitStack() as stack:
        mm = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        mm.bind((HERE, client_mm))
        mm.connect((HERE, mm_port))
        mm.setblocking(False)
        mm.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)  # here all clients have one socket
        server = Server(stack, sm_port, client_sm, "-m", "agents", "gmp", "server", "--config", str(path))
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        yield Clients(server, mm, client_mm, secure, control)


def exchange_between(to: socket.socket, back: socket.socket, requests: Sequence[bytes], window: int) -> int:
    """As `exchange`, where the answers come to another socket."""
    for request in requests[:window]:
        to.send(request)
    for request in requests[window:]:
        take(back)
        to.send(request)
    for _ in requests[:window]:
        take(back)
    return len(requests)

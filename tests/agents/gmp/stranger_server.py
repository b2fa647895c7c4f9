"""A GMP server by a stranger, written from the protocol's page alone: knows nothing of this project but the wire.

`python stranger_server.py ADDRESS udp|tcp`. One session at a time. Whoever asks is let in, to a closed session with its token; the
secret of every client is the SHA-256 of its name. Each line it prints is what it was sent: module, type and options' types.
"""

from __future__ import annotations

import hashlib
import json
import selectors
import socket
import struct
import sys
import time

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

SCREQ, SCACC, SCREJ, SDREQ, SDRES, SCINF, SCCON, SRREQ, SRRES, SRACC, SRREJ, SJREQ, SJRES, SAREQ = range(1, 15)
KAREQ, KARES, UIREQ, UIRES, LVREQ, TRREQ, TRIND, KDUPT = range(1, 9)
Address = tuple[str, int]
SESSION, TOKEN = 4711, b"\x01\x02\x03\x04"
PERIOD, TIMEOUT = 10, 30  # 100 ms


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def tlv(code: int, value: bytes) -> bytes:
    return struct.pack("!BBH", code, 0, 4 + len(value)) + value + bytes(-len(value) % 4)


def tlvs(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        code, length = data[0], int.from_bytes(data[2:4], "big")
        found.append((code, data[4:length]))
        data = data[length + -length % 4 :]
    return found


class Member:
    def __init__(self, name: bytes, user: int, kind: int) -> None:
        self.name, self.user, self.kind = name, user, kind
        self.state = "registered"
        self.mm: Address | None = None
        self.asked = 0.0
        self.secret = hashlib.sha256(name).digest()


class Server:
    def __init__(self, address: str, transport: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.transport = transport
        self.ports: dict[str, socket.socket] = {}
        self.connections: dict[tuple[str, str], socket.socket] = {}  # by the client's address and the module
        self.tails: dict[socket.socket, bytes] = {}
        self.members: dict[int, Member] = {}
        self.secure = self.closed = False
        self.group, self.group_port = "0.0.0.0", 0
        self.generation = 1
        self.updates: list[tuple[float, Member, int]] = []  # when, of whom, sends left
        for module, number in (("SM", 16513), ("MM", 16514)):
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            port = socket.socket(socket.AF_INET, kind)
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.bind((address, number))
            if transport == "tcp":
                port.listen()
            self.ports[module] = port
            self.selector.register(port, selectors.EVENT_READ, (module, None))

    # --- on the wire

    def send(self, module: str, peer: Address | None, data: bytes) -> None:
        assert peer is not None
        if self.transport == "udp":
            self.ports[module].sendto(data, peer)
            return
        connection = self.connections.get((peer[0], module))
        if connection is not None:
            for octet in (struct.pack("!H", len(data)) + data)[:3], (struct.pack("!H", len(data)) + data)[3:]:
                connection.sendall(octet)

    def sm(self, kind: int, to: Address, user: int, *options: bytes, key_length: int = 0) -> None:
        first = 0x10 | self.secure << 2 | self.closed << 1
        data = struct.pack(
            "!BBHHHBBH4s", first, kind, 0, SESSION, user, key_length, 0, self.group_port, socket.inet_aton(self.group)
        )
        data += b"".join(options)
        self.send("SM", to, data[:2] + struct.pack("!H", checksum(data)) + data[4:])

    def mm(self, kind: int, member: Member, *options: bytes, flags: int = 0, reserved: int = 0) -> None:
        second = (2 if self.closed else 1) << 6 | member.kind << 3 | flags
        data = struct.pack("!BBHHH4sBBBB", 0x10 | kind, second, self.group_port, SESSION, member.user, socket.inet_aton(self.group),
                           PERIOD, TIMEOUT, 0, reserved)  # fmt: skip
        self.send("MM", member.mm, data + b"".join(options))

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select(0.1):
                module, peer = key.data
                if self.transport == "udp":
                    data, sender = self.ports[module].recvfrom(65536)
                    self.take(module, data, sender)
                elif peer is None:
                    connection, caller = self.ports[module].accept()
                    self.connections[caller[0], module] = connection
                    self.tails[connection] = b""
                    self.selector.register(connection, selectors.EVENT_READ, (module, caller))
                else:
                    self.take_stream(module, self.connections[peer[0], module], peer)
            self.pass_time()

    def take_stream(self, module: str, connection: socket.socket, peer: Address) -> None:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.selector.unregister(connection)
            del self.connections[peer[0], module]
            connection.close()
            return
        self.tails[connection] += data
        while len(tail := self.tails[connection]) >= 2 and len(tail) >= 2 + int.from_bytes(tail[:2], "big"):
            size = 2 + int.from_bytes(tail[:2], "big")
            self.tails[connection] = tail[size:]
            self.take(module, tail[2:size], peer)

    # --- what it means

    def take(self, module: str, data: bytes, peer: Address) -> None:
        if len(data) < 16 or data[0] >> 4 != 1 or (module == "SM" and checksum(data)):
            print(json.dumps(["malformed", module, data.hex()]), flush=True)
            return
        kind = data[1] if module == "SM" else data[0] & 15
        body = data[16:]
        options = [] if (module, kind) == ("SM", SAREQ) else tlvs(body)
        print(json.dumps([module, kind, [code for code, _ in options], data[15]]), flush=True)
        session, user = struct.unpack("!HH", data[4:8])
        if module == "SM":
            self.take_sm(kind, data, user, dict(reversed(options)), body, peer)
        else:
            member = self.members.get(user)
            if session == SESSION and member is not None and member.mm is not None and member.mm[0] == peer[0]:
                self.take_mm(kind, member, data[15])

    def take_sm(self, kind: int, data: bytes, user: int, options: dict[int, bytes], body: bytes, peer: Address) -> None:
        member = self.members.get(user)
        if kind == SCREQ:
            self.secure, self.closed = bool(data[0] & 4), bool(data[0] & 2)
            self.members = {1: Member(options[16], 1, 4)}
            self.sm(SCACC, peer, 1)
        elif kind == SCINF:
            self.group_port, self.group = int.from_bytes(data[10:12], "big"), socket.inet_ntoa(data[12:16])
            assert data[0] & 1
            assert {1, 6} <= set(options)
            self.sm(SCCON, peer, 1, *([tlv(17, TOKEN)] if self.closed else []))
        elif kind == SRREQ:
            self.register(options, peer)
        elif member is None:
            self.sm(SDRES if kind == SDREQ else SJRES, peer, user, tlv(20, b"\0\4"))
        else:
            self.take_member(kind, member, options, body, peer)

    def register(self, options: dict[int, bytes], peer: Address) -> None:
        if self.closed:
            self.sm(SRRES, peer, 0)
            if options.get(17) != TOKEN:
                self.sm(SRREJ, peer, 0, tlv(20, b"\0\5"))
                return
        known = next((each for each in self.members.values() if each.name == options[16]), None)
        if known is None:
            known = self.members[len(self.members) + 1] = Member(options[16], len(self.members) + 1, 1)
        self.sm(SRACC, peer, known.user)

    def take_member(self, kind: int, member: Member, options: dict[int, bytes], body: bytes, peer: Address) -> None:
        user = member.user
        if kind == SJREQ:
            if self.transport == "tcp":
                member.mm = peer
            elif 21 in options:
                member.mm = (peer[0], int.from_bytes(options[21], "big"))
            if member.state == "registered":
                member.state = "enrolled"
            self.sm(SJRES, peer, user, *self.key_for(member), key_length=30 if self.secure else 0)
        elif kind == SAREQ:
            member.mm = peer if self.transport == "tcp" else (peer[0], int.from_bytes(body[2:4], "big"))
            if member.state == "registered":
                self.sm(SJRES, peer, user, tlv(20, b"\0\6"))
            else:
                member.state = "active"
                self.keep_alive(member)

    def take_mm(self, kind: int, member: Member, level: int) -> None:
        if kind == UIREQ and member.state == "active":
            active = [each for each in self.members.values() if each.state == "active"]
            self.mm(UIRES, member, *(struct.pack("!HH", each.user, each.kind << 13) for each in active), flags=1)
        elif kind == LVREQ:
            if level:
                if member.state != "registered" and self.secure:
                    self.generation += 1
                    others = [
                        each for each in self.members.values() if each is not member and each.state != "registered"
                    ]
                    self.updates = [(time.monotonic(), each, 3) for each in reversed(others)]
                member.state = "registered"
            else:
                member.state = "enrolled" if member.state == "active" else member.state
        elif kind == TRREQ and member.kind == 4:
            for each in self.members.values():
                if each.mm is not None:
                    self.mm(TRIND, each, flags=2)
            self.members = {}

    def key_for(self, member: Member) -> list[bytes]:
        if not self.secure:
            return []
        salt = struct.pack("!HH", SESSION, member.user)
        under = HKDF(SHA256(), 32, salt, b"GMP group key").derive(member.secret)
        key = hashlib.sha256(b"key %d" % self.generation).digest()[:30]
        wrapped = aes_key_wrap_with_padding(under, key)
        return [tlv(18, wrapped), tlv(19, struct.pack("!I", self.generation)), tlv(23, struct.pack("!I", 2))]

    def keep_alive(self, member: Member) -> None:
        member.asked = time.monotonic()
        self.mm(KAREQ, member, reserved=self.generation & 255 if self.secure else 0)

    def pass_time(self) -> None:
        now = time.monotonic()
        for member in self.members.values():
            if member.state == "active" and now >= member.asked + PERIOD / 10:
                self.keep_alive(member)
        due = [update for update in self.updates if update[0] <= now]
        self.updates = [update for update in self.updates if update[0] > now]
        for when, member, left in due:
            self.mm(KDUPT, member, *self.key_for(member))
            if left > 1:
                self.updates.append((when + 1, member, left - 1))


if __name__ == "__main__":
    Server(sys.argv[1], sys.argv[2]).serve()

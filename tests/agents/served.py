"""A role with pages, its server, and a browser that does what it likes: for tests of `agents.web` with real sockets."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from agents.core.pages import Form, Page, Pages
from agents.web.server import WebServer
from tests.agents.roles import Asking

DEADLINE_S = 10.0


class Rooms(Asking):
    """Has rooms by name, and how often each was heard of."""

    def __init__(self, **rooms: int) -> None:
        super().__init__()
        self.rooms: dict[str, int] = rooms
        self.looked = 0

    def view(self, part: str, _offset: int) -> Mapping[str, object] | None:
        self.looked += 1
        if part == "broken":
            raise RuntimeError("the disk said <no>")
        if part == "large":
            return {"name": "x" * 10_000_000, "count": 1}
        return {"name": part, "count": self.rooms[part]} if part in self.rooms else None


PAGES = Pages(
    "Rooms",
    Path(__file__).parent / "web_templates",
    (
        Page("/", "room.html", lambda role, _, offset: {"name": "all <of> them", "count": offset or len(role.rooms)}),
        Page(
            "/rooms/{room}",
            "room.html",
            Rooms.view,
            (
                Form(
                    ".csv",
                    "text/csv",
                    lambda role, part: f"{role.rooms[part]}\n".encode() if part in role.rooms else None,
                ),
            ),
            is_live=True,
        ),
    ),
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Served:
    """A role whose pages are served."""

    def __init__(self, role: Rooms, server: WebServer, port: int) -> None:
        self.role, self.server, self.port = role, server, port
        self.raised: list[str] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, octets: bytes) -> bytes:
        """All that is answered to some octets until the connection is closed."""
        reader, writer = await self.connect()
        writer.write(octets)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await reader.read()
        finally:
            writer.close()

    async def get(self, path: str, **fields: str) -> tuple[int, dict[str, str], str]:
        return await self.ask("GET", path, **fields)

    async def ask(self, method: str, path: str, **fields: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        answer = await self.say(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body.decode()

    async def until_counted(self, counter: str, count: int = 1) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self.role.counters[counter] < count:  # noqa: ASYNC110  no event tells of a counter
                await asyncio.sleep(0.01)

    def state(self) -> Mapping[str, object]:
        return {name: value for name, value in self.server.describe().items() if name != "at"}

    async def until_state(self, **wanted: int) -> None:
        """Wait until so many are connected and look on."""
        async with asyncio.timeout(DEADLINE_S):
            while self.state() != wanted:  # noqa: ASYNC110  nor of a connection's end
                await asyncio.sleep(0.01)

    async def block(self, reader: asyncio.StreamReader) -> str:
        """The next event of a live block."""
        async with asyncio.timeout(DEADLINE_S):
            said = ""
            while not said.startswith("event"):  # a chunk for each
                size = int(await reader.readuntil(b"\r\n"), 16)
                said = (await reader.readexactly(size + 2)).decode().removesuffix("\r\n")
        return re.sub(r"^event: (\w+)\ndata: (.*)\n\n$", r"\1 \2", said)

    async def look_on(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Follow a live block, behind the head of its answer."""
        reader, writer = await self.connect()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.partition(b"\r\n")[0]
        assert b"text/event-stream" in head
        return reader, writer


@asynccontextmanager
async def serving(role: Rooms) -> AsyncIterator[Served]:
    """The pages of a role, served on the loopback interface until the end."""
    port = free_port()
    server = WebServer(f"127.0.0.1:{port}", PAGES, role)
    served = Served(role, server, port)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: served.raised.append(str(context["exception"])))
    await server.open()
    await server.serve()
    try:
        yield served
    finally:
        await server.close()
        loop.set_exception_handler(None)

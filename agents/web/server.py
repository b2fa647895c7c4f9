"""The server of a role's pages: where it listens, what is told to it, how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_address

from aiohttp import web

from agents.core.agent import Agent, Endpoint
from agents.core.errors import ConfigurationError
from agents.core.pages import Pages
from agents.runtime.datagram import PortError, socket_family
from agents.web.answers import Answers
from agents.web.connections import Connection, Door

BACKLOG = 256  # connections that are not accepted yet
END_TIMEOUT = 1.0  # s: for those that are being answered at the end


def endpoint_of(text: str) -> Endpoint:
    """What ``[runtime] web`` says, such as "127.0.0.1:8080" or "[::]:8080"; raises ConfigurationError."""
    address, _, port = text.rpartition(":")
    try:
        found = Endpoint(str(ip_address(address.removeprefix("[").removesuffix("]"))), int(port))
    except ValueError:
        found = Endpoint("", 0)
    if not 1 <= found.port <= 0xFFFF:
        raise ConfigurationError("runtime.web", repr(text), "give ADDRESS:PORT, such as 127.0.0.1:8080 or [::]:8080")
    return found


class WebServer:
    """Serves the pages of ``agent`` at an endpoint."""

    def __init__(self, where: str, pages: Pages, agent: Agent) -> None:
        self._where = endpoint_of(where)
        self._answers = Answers(pages, agent, agent.counters)
        self._door = Door(agent.counters)
        # Who has gone looks on no more.
        self._runner = web.AppRunner(self._answers.application, handler_cancellation=True, shutdown_timeout=END_TIMEOUT)
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen from now on; who connects waits until ``serve``. Raises PortError."""
        address, port = self._where
        opened = socket.socket(socket_family(6 if ":" in address else 4), socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((address, port))
            opened.listen(BACKLOG)
            await self._runner.setup()
            assert self._runner.server is not None
            make = partial(Connection, self._door, self._runner.server)
            serve = asyncio.get_running_loop().create_server
            self._server = await serve(make, sock=opened, backlog=BACKLOG, start_serving=False)
        except OSError as error:
            opened.close()
            raise PortError(address, port, error, "TCP") from error

    async def serve(self) -> None:
        """Answer from now on."""
        if self._server is not None:
            await self._server.start_serving()

    def told(self, details: Mapping[str, object]) -> None:
        """The role has told something that has ``details``."""
        self._answers.live.told(details)

    def describe(self) -> Mapping[str, object]:
        """Where it listens, and how many are connected and look on."""
        return {"at": str(self._where), "connections": self._door.open, "live": self._answers.live.count}

    async def close(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self._answers.live.close()
        await self._runner.cleanup()

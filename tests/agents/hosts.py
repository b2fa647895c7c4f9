"""Roles on the real host inside a test: on 127.0.0.1 and ::1, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from agents.core.agent import Agent, Event
from agents.core.room import Port
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.host import AgentHost
from tests.agents.roles import Asking

DEADLINE_S = 10.0
HERE = "127.0.0.1"

Kind = TypeVar("Kind", bound=Event)


@contextlib.asynccontextmanager
async def running(
    agent: Agent, *ports: Port, runtime: RuntimeConfiguration | None = None, status: int = 0
) -> AsyncIterator[AgentHost]:
    """A host that runs while this lasts, and ends with ``status``; whatever it raises is raised."""
    host = AgentHost(agent, runtime or RuntimeConfiguration(), ports=ports)
    running = asyncio.create_task(host.run())
    try:
        await until(lambda: host.is_ready or running.done())
        yield host
    finally:
        host.finish()
        assert await running == status


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110  a role announces nothing inside its process
            await asyncio.sleep(0)


async def told(agent: Asking, kind: type[Kind], count: int = 1) -> list[Kind]:
    """The first events of a kind that a role is told, once there are so many."""

    def found() -> list[Kind]:
        return [event for event in agent.told if isinstance(event, kind)]

    await until(lambda: len(found()) >= count)
    return found()


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_DGRAM, address: str = HERE) -> Sequence[int]:
    """Numbers of ports that nobody has."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(family, kind)) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]

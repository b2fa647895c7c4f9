"""A crowd of participants against a server on 127.0.0.1, all in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from agents.core.errors import ConfigurationError
from agents.core.room import Port
from agents.gmp.configuration import CreatorConfiguration, SessionDescription
from agents.gmp.creator import Creator
from agents.gmp.load import CROWD, CrowdConfiguration
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.load import Loading, LoadResult
from tests.agents.gmp.hand_made import SDP
from tests.agents.hosts import HERE, free_ports, running, until

COUNT = 40


def crowd(sm_port: int, mm_port: int, first: int, **changes: object) -> CrowdConfiguration:
    given = CrowdConfiguration(
        server=HERE, session_id=1, count=COUNT, address=HERE, server_sm_port=sm_port, server_mm_port=mm_port,
        first_mm_port=first,
    )  # fmt: skip
    return replace(given, **changes)  # type: ignore[arg-type]


def free_row(count: int) -> int:
    """The first of so many ports in a row that nobody has, below those that the kernel gives away."""
    for first in range(20_000, 32_000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((HERE, port))
            return first
    raise AssertionError(f"no {count} ports in a row are free")


def test_crowd_registers_enrols_activates_and_leaves(tmp_path: Path) -> None:
    async def scene() -> tuple[LoadResult, Server, list[str]]:
        sm_port, mm_port, creators_sm, creators_mm = free_ports(4)
        first = free_row(COUNT)
        server = Server(ServerConfiguration(address=HERE, sm_port=sm_port, mm_port=mm_port))
        said = SessionDescription(name="lecture", group="239.1.1.1", port=5004, media=SDP, period=2, timeout=20)
        creator = Creator(CreatorConfiguration(
            name="host", server=HERE, server_sm_port=sm_port, server_mm_port=mm_port, interface="lo", session=said,
            mm_port=creators_mm, until="enrolled",
        ))  # fmt: skip
        ports = Port("", sm_port, address=HERE), Port("mm", mm_port, address=HERE)
        runtime = RuntimeConfiguration(store=str(tmp_path / "store"))
        async with running(server, *ports, runtime=runtime):
            own = Port("", creators_sm, address=HERE), Port("mm", creators_mm, address=HERE)
            async with running(creator, *own):
                await until(lambda: creator.state.is_enrolled)
                result = await Loading(CROWD, crowd(sm_port, mm_port, first, duration_s=0.5)).run()
                await until(lambda: len(list(server.rows("members"))) == 1)
        return result, server, [str(row["name"]) for row in server.rows("members")]

    result, server, left = asyncio.run(scene())
    assert (result.joined, result.failed, result.round_trips) == (COUNT, 0, 3 * COUNT)
    assert result.counted["keep_alives_answered"] >= 2 * COUNT
    assert left == ["host"]
    assert server.counters["commits"] < server.counters["commits.waited-for"]  # they go to the disk in groups


def test_crowd_that_has_not_enough_ports_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="first_mm_port"):
        crowd(1, 2, 65_500).check()
    with pytest.raises(ConfigurationError, match="address"):
        crowd(1, 2, 20_000, address="::1").check()

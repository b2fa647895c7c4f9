"""Scenes of addresses with a real link: `python -m tests.labs.inner_addresses SCENE FAMILY`, in a network namespace."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from agents.core.agent import AddressConfigured, ConfigureAddress
from agents.core.links import LinkDown
from agents.runtime.addresses import AddressError, Addresses
from tests.agents.hosts import told, until
from tests.agents.roles import Asking
from tests.labs.inner_runtime import Link, do, hosted, link, run

PREFIX_LENGTH = {4: 16, 6: 64}


def wanted(between: Link) -> ConfigureAddress:
    """The address of this end, by the other end as the router, from the node's client."""
    address = f"{between.here}/{PREFIX_LENGTH[between.family]}"
    return ConfigureAddress("here0", address, between.there, is_given=True)


def take_away(between: Link) -> None:
    run("ip", f"-{between.family}", "address", "flush", "dev", "here0", "scope", "global")


async def an_address_is_waited_for_with_its_route(family: int) -> None:
    """Another address, one that is still in doubt and one without a route are not enough."""
    with link(family) as between:
        take_away(between)
        addresses, action = Addresses(), wanted(between)
        waiting = asyncio.create_task(addresses.await_address("here0", action.address, 30.0))
        do("address add " + ("192.0.2.1/24" if family == 4 else "2001:db8:9::1/64 nodad") + " dev here0")
        assert not await addresses.await_address("here0", action.address, 0.1)
        do(f"address add {action.address} dev here0" + (" nodad" if family == 6 else ""))
        assert not await addresses.await_address("here0", action.address, 0.1)
        run("ip", f"-{family}", "route", "add", "default", "via", between.there, "dev", "here0")
        assert await asyncio.wait_for(waiting, 1.0)
        await addresses.close()


async def a_role_is_told_when_its_host_has_given_it_an_address(family: int) -> None:
    """However long that takes; one whose link goes meanwhile is told nothing."""
    with link(family) as between:
        take_away(between)
        agent = Asking(wanted(between))
        async with hosted(agent) as host:
            await until(lambda: host._tasks)
            between.do_there("ip", "link", "set", "dev", "there0", "down")
            await told(agent, LinkDown)
            await until(lambda: not host._tasks)
            assert not [event for event in agent.told if isinstance(event, AddressConfigured)]
            assert "failed.address" not in agent.counters


async def a_duplicate_is_not_used(family: int) -> None:
    """The kernel looks for duplicates where it is set to, and somebody has the address already."""
    with link(family) as between:
        take_away(between)
        run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/here0/accept_dad")
        between.do_there("ip", "address", "add", f"{between.here}/64", "dev", "there0", "nodad")
        addresses = Addresses()
        try:
            await addresses.configure_address("here0", f"{between.here}/64", between.there)
        except AddressError as error:
            assert error.errno == errno.EADDRINUSE, error
        else:
            raise AssertionError("a duplicate was taken")
        await addresses.configure_address("here0", f"{between.absent(1)}/64", between.there)  # which nobody has
        await addresses.close()


SCENES: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
    "waited-for": an_address_is_waited_for_with_its_route,
    "told": a_role_is_told_when_its_host_has_given_it_an_address,
    "duplicate": a_duplicate_is_not_used,
}

if __name__ == "__main__":
    asyncio.run(SCENES[sys.argv[1]](int(sys.argv[2])))

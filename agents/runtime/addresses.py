"""Addresses of interfaces, given or waited for through netlink (pyroute2)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

# <linux/if_addr.h>, <linux/rtnetlink.h>
_NODAD, _OPTIMISTIC, _DADFAILED, _TENTATIVE = 0x02, 0x04, 0x08, 0x40
_CHANGES = 0x10 | 0x40 | 0x100 | 0x400  # RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_READ_MAXIMUM = 65536
_RTN_LOCAL = 2
_DETECTION_DEADLINE = 10.0  # s, for duplicates: Linux waits up to a second, then one more for each probe
_ADDRESS_DEADLINE = 1.0  # s
_ADDRESS_PROBE_INTERVAL = 0.0005  # s


class AddressError(OSError):
    """An interface could not be given its address or its route; the message says which and why."""

    def __str__(self) -> str:
        return str(self.strerror)


class Addresses:
    """Gives interfaces their addresses; netlink is spoken from the first one on."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._requests: Any = None

    async def configure_address(self, interface: str, address: str, gateway: str) -> None:
        """Replace the global addresses of ``interface`` by ``address`` and set the default route by ``gateway``.

        Where the kernel is set to look for duplicates of IPv6 addresses, this takes until it has found none. Raises AddressError
        for whatever it refuses, and for a duplicate.
        """
        try:
            await self._configure_address(interface, address, gateway)
        except (NetlinkError, OSError) as error:
            number = error.code if isinstance(error, NetlinkError) else error.errno
            reason = os.strerror(number) if number else str(error)
            text = f"{interface} cannot be given {address} with the router {gateway}: {reason}"
            raise AddressError(number or 0, text) from error

    async def _configure_address(self, interface: str, address: str, gateway: str) -> None:
        if self._requests is None:
            self._requests = await self._stack.enter_async_context(AsyncIPRoute())
        wanted = ip_interface(address)
        family = _family_of(wanted)
        is_doubted = family == socket.AF_INET6 and _detects_duplicates(interface)
        index = socket.if_nametoindex(interface)
        present = False
        old: list[tuple[str, int]] = []
        async for message in await self._requests.addr("dump", family=family, index=index):
            found, length, scope = message.get("address"), message["prefixlen"], message["scope"]
            if scope != 0:
                continue
            if found == str(wanted.ip) and length == wanted.network.prefixlen:
                present = True
            else:
                old.append((found, length))
        if not present:
            extra = {"flags": _NODAD} if family == socket.AF_INET6 and not is_doubted else {}
            await self._requests.addr(
                "add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen, family=family, **extra
            )
        for found, length in old:
            await self._requests.addr("del", index=index, address=found, prefixlen=length, family=family)
        await self._requests.route("replace", dst="default", gateway=gateway, oif=index, family=family)
        if is_doubted:
            await _until_no_duplicate(index, wanted)
        await _until_local(self._requests, str(wanted.ip), family)

    async def await_address(self, interface: str, address: str, within: float) -> bool:
        """Wait until others have given ``interface`` an address of the subnet of ``address`` and a default route.

        False where they have not ``within`` seconds. Raises AddressError for what the kernel refuses.
        """
        try:
            async with asyncio.timeout(within):
                await _await_address(interface, ip_interface(address))
        except TimeoutError:
            return False
        except (NetlinkError, OSError) as error:
            number = error.code if isinstance(error, NetlinkError) else error.errno
            reason = os.strerror(number) if number else str(error)
            raise AddressError(number or 0, f"the address of {interface} cannot be waited for: {reason}") from error
        return True

    async def close(self) -> None:
        """Close the netlink socket."""
        await self._stack.aclose()


def _family_of(address: IPv4Interface | IPv6Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _is_usable(flags: int) -> bool:
    """Of an address: a tentative one only if it is optimistic, too [RFC 4429]."""
    return not flags & _DADFAILED and (not flags & _TENTATIVE or bool(flags & _OPTIMISTIC))


def _detects_duplicates(interface: str) -> bool:
    """Whether the kernel is set to look for duplicates of IPv6 addresses there; the stricter one of two settings counts."""
    settings = (Path("/proc/sys/net/ipv6/conf", which, "accept_dad").read_text() for which in ("all", interface))
    return any(int(setting) > 0 for setting in settings)


def _changes() -> socket.socket:
    """A socket on which the kernel tells of every change of an address or route."""
    changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    changes.bind((0, _CHANGES))
    return changes


async def _next_change(changes: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().sock_recv(changes, _READ_MAXIMUM)
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # more has changed than it holds
            raise


async def _await_address(interface: str, wanted: IPv4Interface | IPv6Interface) -> None:
    index, family = socket.if_nametoindex(interface), _family_of(wanted)
    # A socket of its own: a question that is broken off when the time is over would keep the next one from being asked.
    async with AsyncIPRoute() as requests:
        with _changes() as changes:
            while True:
                found = [
                    each
                    for each, flags in await _addresses_of(requests, index, family)
                    if each in wanted.network and _is_usable(flags)
                ]
                if found and await _has_default_route(requests, index, family):
                    await _until_local(requests, str(found[0]), family)
                    return
                await _next_change(changes)


async def _until_no_duplicate(index: int, wanted: IPv4Interface | IPv6Interface) -> None:
    """Wait while the kernel looks for duplicates of an address."""
    try:
        async with asyncio.timeout(_DETECTION_DEADLINE), AsyncIPRoute() as requests:
            with _changes() as changes:
                while True:
                    found = dict(await _addresses_of(requests, index, socket.AF_INET6))
                    flags = found.get(wanted.ip, _DADFAILED)  # the kernel may take a duplicate away
                    if flags & _DADFAILED:
                        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
                    if _is_usable(flags):
                        return
                    await _next_change(changes)
    except TimeoutError:
        raise OSError(f"{wanted.ip} is still being looked for after {_DETECTION_DEADLINE:g} s") from None


async def _addresses_of(requests: Any, index: int, family: int) -> list[tuple[IPv4Address | IPv6Address, int]]:
    """The addresses of an interface, with their flags."""
    return [
        (ip_address(message.get("address")), message.get("flags") or 0)
        async for message in await requests.addr("dump", family=family, index=index)
    ]


async def _has_default_route(requests: Any, index: int, family: int) -> bool:
    return any(
        [
            message["dst_len"] == 0 and message.get("oif") == index and message.get("gateway") is not None
            async for message in await requests.route("dump", family=family)
        ]
    )


async def _until_local(requests: Any, address: str, family: int) -> None:
    """Wait until the kernel takes packets to ``address`` as its own.

    It gives a new IPv6 address its local route a moment after the address itself; the neighbour advertisement that
    answers the very first packet would be lost in between, and that packet with it for a second.
    """
    try:
        async with asyncio.timeout(_ADDRESS_DEADLINE):
            while True:
                routes = await requests.route("get", dst=address, family=family)
                if any(route["type"] == _RTN_LOCAL for route in routes):
                    return
                await asyncio.sleep(_ADDRESS_PROBE_INTERVAL)
    except TimeoutError:
        raise OSError(f"{address} has not become local within {_ADDRESS_DEADLINE} s") from None

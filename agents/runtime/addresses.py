"""Addresses of interfaces, given through netlink (pyroute2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from ipaddress import ip_interface
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

_NODAD = 0x02  # IFA_F_NODAD: the lab gives addresses out, nobody else has them
_RTN_LOCAL = 2
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

        Raises AddressError for whatever the kernel refuses.
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
        family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
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
            extra = {"flags": _NODAD} if family == socket.AF_INET6 else {}
            await self._requests.addr(
                "add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen, family=family, **extra
            )
        for found, length in old:
            await self._requests.addr("del", index=index, address=found, prefixlen=length, family=family)
        await self._requests.route("replace", dst="default", gateway=gateway, oif=index, family=family)
        await self._until_local(str(wanted.ip), family)

    async def _until_local(self, address: str, family: int) -> None:
        """Wait until the kernel takes packets to ``address`` as its own.

        It gives a new IPv6 address its local route a moment after the address itself; the neighbour advertisement that
        answers the very first packet would be lost in between, and that packet with it for a second.
        """
        try:
            async with asyncio.timeout(_ADDRESS_DEADLINE):
                while True:
                    routes = await self._requests.route("get", dst=address, family=family)
                    if any(route["type"] == _RTN_LOCAL for route in routes):
                        return
                    await asyncio.sleep(_ADDRESS_PROBE_INTERVAL)
        except TimeoutError:
            raise OSError(f"{address} has not become local within {_ADDRESS_DEADLINE} s") from None

    async def close(self) -> None:
        """Close the netlink socket."""
        await self._stack.aclose()

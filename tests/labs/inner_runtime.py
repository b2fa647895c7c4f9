"""Scenes of the agents' runtime with real links: `python -m tests.labs.inner_runtime SCENE FAMILY`, in a network namespace.

A scene prints what it has measured as one JSON line, and ends with an assertion where that is not what must be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.core.agent import Endpoint
from agents.core.counters import Counters
from agents.runtime import links as links_module
from agents.runtime.datagram import DatagramPort
from agents.runtime.links import Links
from testbed.net.netlink import run_in_network_namespace

PORT = 24793


@dataclass(frozen=True, slots=True)
class Link:
    """Two ends of a link: ``here0`` in this namespace, ``there0`` in that of process ``pid``."""

    family: int
    pid: int

    @property
    def here(self) -> str:
        return "10.9.0.1" if self.family == 4 else "fd09::1"

    @property
    def there(self) -> str:
        return "10.9.0.2" if self.family == 4 else "fd09::2"

    def absent(self, number: int) -> str:
        """An address of the link that nobody has."""
        return f"10.9.1.{number + 1}" if self.family == 4 else f"fd09::1:{number + 1:x}"

    def do_there(self, *words: str) -> None:
        run("nsenter", "--net", "--target", str(self.pid), *words)

    def socket_there(self) -> socket.socket:
        family = socket.AF_INET if self.family == 4 else socket.AF_INET6
        opened = run_in_network_namespace(self.pid, lambda: socket.socket(family, socket.SOCK_DGRAM))
        opened.bind((self.there, PORT))
        opened.setblocking(False)
        return opened


def run(*words: str) -> None:
    subprocess.run(words, check=True)


@contextlib.contextmanager
def link(family: int) -> Iterator[Link]:
    """A link between this namespace and another one."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            made = Link(family, other.pid)
            length = "16" if family == 4 else "64"
            run("ip", "link", "set", "lo", "up")
            run("ip", "link", "add", "here0", "type", "veth", "peer", "name", "there0", "netns", str(other.pid))
            run("ip", "address", "add", f"{made.here}/{length}", "dev", "here0", *(["nodad"] if family == 6 else []))
            run("ip", "link", "set", "here0", "up")
            made.do_there(
                "ip", "address", "add", f"{made.there}/{length}", "dev", "there0", *(["nodad"] if family == 6 else [])
            )
            made.do_there("ip", "link", "set", "there0", "up")
            yield made
        finally:
            other.kill()


# --- peers that are not there -----------------------------------------------------------------------------------------

ABSENT = 80
MEMBERS = 1000
FLOOD = 4.0  # s: beyond the 3 s after which the kernel gives a neighbour up, so that they are sent to anew
BURST = 0.025  # s


async def one_unreachable_peer_starves_no_other(family: int) -> None:
    """1,000 members at 80 absent addresses are sent to again and again; a healthy peer asks every 20 ms meanwhile."""
    with link(family) as between:
        counters = Counters()

        def answer(data: bytes, source: Endpoint) -> None:
            port.send(data, source)

        port = DatagramPort(family, between.here, PORT, counters, answer)
        port.enlarge_buffers(send=1)  # none at all, so that it fills at once, as a larger one does with more members
        peer = between.socket_there()
        loop = asyncio.get_running_loop()
        flooded, waits, unanswered = 0, list[float](), 0

        async def flood() -> None:
            nonlocal flooded
            end = loop.time() + FLOOD
            while loop.time() < end:
                for _ in range(MEMBERS // 10):
                    port.send(bytes(40), Endpoint(between.absent(flooded % ABSENT), PORT + flooded % MEMBERS))
                    flooded += 1
                await asyncio.sleep(BURST)

        flooding = asyncio.create_task(flood())
        while not flooding.done():
            asked = loop.time()
            await loop.sock_sendto(peer, b"?", (between.here, PORT))
            try:
                async with asyncio.timeout(1):
                    await loop.sock_recv(peer, 100)
            except TimeoutError:
                unanswered += 1
            else:
                waits.append(loop.time() - asked)
            await asyncio.sleep(0.02)
        await flooding
        detours = len(port._detours.open)
        port.close()
        peer.close()
        said = {
            "flooded": flooded, "asked": len(waits) + unanswered, "unanswered": unanswered, "detours": detours,
            "worst_ms": 1000 * max(waits, default=0), "median_ms": 1000 * statistics.median(waits or [0]),
            "counters": counters.snapshot(),
        }  # fmt: skip
        print(json.dumps(said), flush=True)
        assert unanswered == 0
        assert len(waits) > 50
        assert max(waits) < 0.5
        assert set(counters) == {"unsent.queue-full"}
        assert 0 < counters["unsent.queue-full"] < flooded
        assert detours == ABSENT


# --- link events ------------------------------------------------------------------------------------------------------

EVENTS = 2000


def do(*lines: str) -> None:
    """Let `ip` do all lines in one go."""
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def pair(name: str) -> tuple[str, ...]:
    """The lines that make a link with a carrier: NAME and NAME-peer."""
    return (
        f"link add name {name} type veth peer name {name}-peer",
        f"link set dev {name} up",
        f"link set dev {name}-peer up",
    )


async def link_events_that_were_lost_are_made_up_for(_family: int) -> None:
    """Not even a buffer that holds a few is needed."""
    links_module.RECEIVE_BUFFER = 64 * 1024
    assert (await link_events_while_nobody_reads())["resynchronised.links"] >= 1


async def the_buffer_holds_thousands_of_link_events(_family: int) -> None:
    """As it is."""
    assert await link_events_while_nobody_reads() == {}


async def link_events_while_nobody_reads() -> Mapping[str, int]:
    """Very many events, among them some that matter; gives what was counted."""
    told, counters, failures = asyncio.Queue[tuple[str, bool]](), Counters(), list[OSError]()
    links = Links(lambda interface, is_up: told.put_nowait((interface, is_up)), failures.append, counters)

    async def next_told(count: int) -> list[tuple[str, bool]]:
        async with asyncio.timeout(5):
            return sorted([await told.get() for _ in range(count)])

    names = ("busy", "stays", "flaps", "ends", "remade")
    do("link set dev lo up", *(line for name in names for line in pair(name)))
    links.start()
    while not all(links.is_up(name + end) for name in names for end in ("", "-peer")):
        await next_told(1)  # of a carrier of which the kernel takes note only now
    while not told.empty():
        told.get_nowait()
    do("link set dev stays-peer down", "link set dev stays-peer up")
    assert await next_told(4) == sorted((name, is_up) for name in ("stays", "stays-peer") for is_up in (False, True))
    many = [f"link set dev busy mtu {1000 + number % 2}" for number in range(EVENTS // 2)]
    some = ["link set dev flaps-peer down", "link set dev flaps-peer up", "link delete ends", "link delete remade"]
    do(*many, *some, *pair("remade"), *pair("comes"), *many)
    gone = {(name + end, False) for name in ("flaps", "ends", "remade") for end in ("", "-peer")}
    come = {(name + end, True) for name in ("flaps", "comes", "remade") for end in ("", "-peer")}
    assert await next_told(12) == sorted(gone | come)
    do("link set dev stays-peer down")
    assert await next_told(2) == [("stays", False), ("stays-peer", False)]
    assert not links.is_up("stays")
    assert links.is_up("flaps")
    assert told.empty()
    assert not failures
    links.close()
    return counters


SCENES: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
    "unreachable": one_unreachable_peer_starves_no_other,
    "links-lost": link_events_that_were_lost_are_made_up_for,
    "links-held": the_buffer_holds_thousands_of_link_events,
}

if __name__ == "__main__":
    asyncio.run(SCENES[sys.argv[1]](int(sys.argv[2])))

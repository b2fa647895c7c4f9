"""Scenes of the agents' runtime with real links: `python -m tests.labs.inner_runtime SCENE FAMILY`, in a network namespace.

A scene prints what it has measured as one JSON line, and ends with an assertion where that is not what must be.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.core.agent import Agent, Endpoint, Event, GroupJoined, JoinGroup, RenewMembership
from agents.core.counters import Counters
from agents.core.links import LinkDown, LinkUp
from agents.core.timers import TimerKey
from agents.runtime import links as links_module
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.datagram import DatagramPort
from agents.runtime.host import AgentHost
from agents.runtime.links import Links
from testbed.host.checks import eventually
from testbed.net.netlink import run_in_network_namespace
from tests.agents.hosts import until

PORT = 24793
GROUP = {4: "239.1.1.1", 6: "ff3e::4:1"}


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

    def make(self) -> None:
        """Both ends, without a carrier or addresses."""
        run("ip", "link", "add", "here0", "type", "veth", "peer", "name", "there0", "netns", str(self.pid))

    def connect(self) -> None:
        """Let both ends have a carrier."""
        run("ip", "link", "set", "here0", "up")
        self.do_there("ip", "link", "set", "there0", "up")

    def address(self) -> None:
        """Give both ends their addresses."""
        words = () if self.family == 4 else ("nodad",)
        length = 16 if self.family == 4 else 64
        run("ip", "address", "add", f"{self.here}/{length}", "dev", "here0", *words)
        self.do_there("ip", "address", "add", f"{self.there}/{length}", "dev", "there0", *words)

    def await_local(self) -> None:
        """Wait until each end takes packets to its address as its own.

        An IPv6 address gets its local route a moment later than itself: what comes in between is lost.
        """
        there = ("nsenter", "--net", "--target", str(self.pid))
        for address, at in ((self.here, ()), (self.there, there)):
            eventually(f"{address} to be local", partial(_is_local, *at, "ip", "route", "get", address), 10)

    def do_there(self, *words: str) -> None:
        run("nsenter", "--net", "--target", str(self.pid), *words)

    def socket_there(self, protocol: int | None = None) -> socket.socket:
        family = socket.AF_INET if self.family == 4 else socket.AF_INET6
        kind = socket.SOCK_DGRAM if protocol is None else socket.SOCK_RAW
        opened = run_in_network_namespace(self.pid, lambda: socket.socket(family, kind, protocol or 0))
        opened.bind((self.there, PORT if protocol is None else 0))
        opened.setblocking(False)
        return opened

    def group_there(self) -> socket.socket:
        """A socket at the other end that takes what is sent to the group."""
        family = socket.AF_INET if self.family == 4 else socket.AF_INET6
        opened = run_in_network_namespace(self.pid, lambda: socket.socket(family, socket.SOCK_DGRAM))
        index = run_in_network_namespace(self.pid, lambda: socket.if_nametoindex("there0"))
        group = socket.inet_pton(family, GROUP[self.family])
        if self.family == 4:
            request = group + bytes(4) + index.to_bytes(4, sys.byteorder)  # struct ip_mreqn
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + index.to_bytes(4, sys.byteorder))
        opened.bind((GROUP[self.family], PORT))
        opened.setblocking(False)
        return opened

    def source_there(self) -> socket.socket:
        """A socket at the other end that sends to groups on the link."""
        opened = self.socket_there()
        index = run_in_network_namespace(self.pid, lambda: socket.if_nametoindex("there0"))
        if self.family == 4:
            request = socket.inet_aton("0.0.0.0") * 2 + index.to_bytes(4, sys.byteorder)  # struct ip_mreqn
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        return opened


def run(*words: str) -> None:
    subprocess.run(words, check=True)


def _is_local(*words: str) -> tuple[bool, str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.startswith("local "), done.stdout + done.stderr


@contextlib.contextmanager
def link(family: int) -> Iterator[Link]:
    """A link between this namespace and another one."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            made = Link(family, other.pid)
            run("ip", "link", "set", "lo", "up")
            made.make()
            made.address()
            made.connect()
            made.await_local()
            yield made
        finally:
            other.kill()


# --- peers that are not there -----------------------------------------------------------------------------------------

ABSENT = 80
MEMBERS = 1000
FLOOD = 4.0  # s: beyond the 3 s after which the kernel gives a neighbour up, so that they are sent to anew
BURST = 0.025  # s


EXPERIMENTAL = 253  # an IP protocol's number [RFC 3692]


async def one_unreachable_peer_of_bare_ip_starves_no_other(family: int) -> None:
    """The same with a port of kind "ip"."""
    await one_unreachable_peer_starves_no_other(family, EXPERIMENTAL)


async def one_unreachable_peer_starves_no_other(family: int, protocol: int | None = None) -> None:
    """1,000 members at 80 absent addresses are sent to again and again; a healthy peer asks every 20 ms meanwhile."""
    with link(family) as between:
        counters = Counters()

        def answer(data: bytes, source: Endpoint) -> None:
            port.send(data, source)

        number = PORT if protocol is None else 0
        port = DatagramPort(family, between.here, number, counters, answer, protocol=protocol)
        port.enlarge_buffers(send=1)  # none at all, so that it fills at once, as a larger one does with more members
        peer, group = between.socket_there(protocol), between.group_there()
        loop = asyncio.get_running_loop()
        flooded, waits, unanswered = 0, list[float](), 0

        async def flood() -> None:
            nonlocal flooded
            end = loop.time() + FLOOD
            while loop.time() < end:
                for _ in range(MEMBERS // 10):
                    port.send(
                        bytes(40), Endpoint(between.absent(flooded % ABSENT), number and number + flooded % MEMBERS)
                    )
                    flooded += 1
                await asyncio.sleep(BURST)

        flooding = asyncio.create_task(flood())
        while not flooding.done():
            asked = loop.time()
            await loop.sock_sendto(peer, b"?", (between.here, number))
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
        if protocol is None:  # a group's datagrams do not wait either
            port.send(b"to all", Endpoint(GROUP[family], PORT), interface="here0")
            assert await asyncio.wait_for(loop.sock_recv(group, 100), 1) == b"to all"
        port.close()
        peer.close()
        group.close()
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


async def a_port_outlives_its_address(family: int) -> None:
    """What is sent while the port's own address is away is lost and counted; then all is as before."""
    with link(family) as between:
        counters = Counters()

        def answer(data: bytes, source: Endpoint) -> None:
            port.send(data, source)

        port = DatagramPort(family, between.here, PORT, counters, answer)
        peer, loop = between.socket_there(), asyncio.get_running_loop()

        async def ask() -> bytes:
            await loop.sock_sendto(peer, b"?", (between.here, PORT))
            return await asyncio.wait_for(loop.sock_recv(peer, 100), 5)

        assert await ask() == b"?"
        length = 16 if family == 4 else 64
        do(f"address delete {between.here}/{length} dev here0")
        port.send(b"lost", Endpoint(between.there, PORT))
        assert sum(counters.values()) == 1
        assert all(name.startswith("unsent.OSError.") for name in counters)
        do(f"address add {between.here}/{length} dev here0" + (" nodad" if family == 6 else ""))
        between.await_local()
        assert await ask() == b"?"
        port.close()
        peer.close()


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
    links = Links(
        lambda interface, is_up: told.put_nowait((interface, is_up)),
        lambda _: None,
        lambda _: None,
        failures.append,
        counters,
    )

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


# --- memberships ------------------------------------------------------------------------------------------------------

_IGMP_V3_REPORT, _MLD_V2_REPORT = 0x22, 143
_TAKES_ALL = (4, 2)  # CHANGE_TO_EXCLUDE_MODE, MODE_IS_EXCLUDE: of a record about a group joined for any source


class Router:
    """Sees the reports that come out at the other end of the link."""

    def __init__(self, between: Link) -> None:
        self._family = between.family
        self._packets = run_in_network_namespace(
            between.pid, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0003))
        )
        self._packets.setblocking(False)

    async def next_join(self) -> str:
        """The source address of the next report by which the group is joined."""
        group = socket.inet_pton(socket.AF_INET if self._family == 4 else socket.AF_INET6, GROUP[self._family])
        async with asyncio.timeout(5):
            while True:
                packet, address = await asyncio.get_running_loop().sock_recvfrom(self._packets, 2048)
                if address[2] == socket.PACKET_OUTGOING or packet[0] >> 4 != self._family:
                    continue
                header = 4 * (packet[0] & 15) if self._family == 4 else 48  # with the hop-by-hop header of MLD
                kind, records = packet[header], packet[header + 8 :]
                if kind != (_IGMP_V3_REPORT if self._family == 4 else _MLD_V2_REPORT) or group not in records:
                    continue
                if records[records.index(group) - 4] in _TAKES_ALL:
                    where = packet[12:16] if self._family == 4 else packet[8:24]
                    return socket.inet_ntop(socket.AF_INET if self._family == 4 else socket.AF_INET6, where)

    def forget(self) -> None:
        """What has come is of no interest any more."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._packets.recv(2048)

    def close(self) -> None:
        self._packets.close()


class Member(Agent):
    """Joins one group, and remembers what it is told of that and of links."""

    def __init__(self, join: JoinGroup) -> None:
        super().__init__()
        self.join = join
        self.heard = asyncio.Queue[bytes]()
        self.told = asyncio.Queue[Event]()

    def start(self, now: float) -> None:
        self.act(self.join)

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        self.heard.put_nowait(data)

    def handle(self, event: Event, now: float) -> None:
        self.told.put_nowait(event)

    def timer_expired(self, key: TimerKey, now: float) -> None: ...

    def describe(self) -> Mapping[str, object]:
        return {}

    async def next(self, kind: type[Event], interface: str = "here0") -> Any:
        """The next event of that kind about the interface."""
        async with asyncio.timeout(5):
            while True:
                event = await self.told.get()
                if isinstance(event, kind) and getattr(event, "interface", "") == interface:
                    return event


@contextlib.asynccontextmanager
async def hosted(agent: Agent) -> AsyncIterator[AgentHost]:
    """The agent runs on this host."""
    host = AgentHost(agent, RuntimeConfiguration())
    running = asyncio.create_task(host.run())
    yield host
    host._finished.set()
    await running


def is_member(family: int) -> bool:
    """Whether the kernel is a member of the group on here0, as it says itself."""
    file, packed = ("igmp", socket.inet_aton(GROUP[4])[::-1].hex()) if family == 4 else ("igmp6", "")
    if family == 6:
        packed = socket.inet_pton(socket.AF_INET6, GROUP[6]).hex()
        return any(line.split()[1:3] == ["here0", packed] for line in Path("/proc/net/igmp6").read_text().splitlines())
    on = ""
    for line in Path(f"/proc/net/{file}").read_text().splitlines():
        words = line.split()
        if not line.startswith("\t"):
            on = words[1]
        elif on == "here0" and words[0].lower() == packed:
            return True
    return False


async def memberships_outlive_links_and_interfaces(family: int) -> None:
    """A carrier that flaps; an interface deleted, with a carrier or without, and made again; its address that comes last."""
    with link(family) as between:
        router, agent = Router(between), Member(JoinGroup(GROUP[family], "here0", port=PORT, listen="data"))
        async with hosted(agent):
            assert (await agent.next(GroupJoined)).succeeded
            await router.next_join()
            router.forget()
            between.do_there("ip", "link", "set", "dev", "there0", "down")
            await agent.next(LinkDown)
            between.do_there("ip", "link", "set", "dev", "there0", "up")
            await agent.next(LinkUp)
            reported_from = await router.next_join()
            assert family == 6 or reported_from == between.here
            router.close()
            for has_carrier in (True, False):
                if not has_carrier:
                    do("link set dev here0 down")
                    await agent.next(LinkDown)
                do("link delete here0")
                lost = await agent.next(GroupJoined)
                assert (lost.succeeded, lost.reason) == (False, f"here0 has gone, and {GROUP[family]} with it")
                between.make()
                router = Router(between)
                between.connect()
                assert (await agent.next(GroupJoined)).succeeded
                assert is_member(family)
                between.address()
                if family == 4:
                    while await router.next_join() != between.here:
                        pass
                router.close()
                await heard_from(between, agent)
        assert not is_member(family)
        counted = {name: amount for name, amount in agent.counters.items() if "membership" in name}
        print(json.dumps(counted), flush=True)
        assert counted == {"rejoined.membership": 2} | (
            {"renewed.membership.link-up": 1, "renewed.membership.address": 2} if family == 4 else {}
        )


async def heard_from(between: Link, agent: Member) -> None:
    """The other end sends to the group, as soon as its kernel has taken note of the carrier too; the member hears it."""

    def sent() -> bool:
        try:
            source.sendto(b"data", (GROUP[between.family], PORT))
        except OSError as error:
            if error.errno != errno.ENETUNREACH:
                raise
            return False
        return True

    with between.source_there() as source:
        await until(sent)
    assert await asyncio.wait_for(agent.heard.get(), 5) == b"data"


async def a_role_that_renews_at_once_hears_by_the_new_interface(family: int) -> None:
    """An interface is deleted and made again, and the role renews its membership before the host is told of either."""
    with link(family) as between:
        agent = Member(JoinGroup(GROUP[family], "here0", port=PORT, listen="data", renews_itself=True))
        async with hosted(agent) as host:
            assert (await agent.next(GroupJoined)).succeeded
            do("link delete here0")
            between.make()
            between.address()
            between.connect()
            host.renew_membership(None, RenewMembership(GROUP[family], "here0"))
            assert (await agent.next(GroupJoined)).succeeded
            await until(lambda: host._links.is_up("here0"))
            assert is_member(family)
            await heard_from(between, agent)
        assert agent.counters["rejoined.membership"] == 1


SCENES: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
    "unreachable": one_unreachable_peer_starves_no_other,
    "unreachable-ip": one_unreachable_peer_of_bare_ip_starves_no_other,
    "links-lost": link_events_that_were_lost_are_made_up_for,
    "ports": a_port_outlives_its_address,
    "memberships": memberships_outlive_links_and_interfaces,
    "renewed-at-once": a_role_that_renews_at_once_hears_by_the_new_interface,
    "links-held": the_buffer_holds_thousands_of_link_events,
}

if __name__ == "__main__":
    asyncio.run(SCENES[sys.argv[1]](int(sys.argv[2])))

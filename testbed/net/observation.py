"""What can be seen of a node from outside, in the kernel's own counters and tables, whatever program plays its role."""

from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from testbed.net.mininet_net import EmulatedNetwork


class ObservationError(RuntimeError):
    """Something that every kernel shows is not there; says what, and on which node."""


def await_count(
    network: EmulatedNetwork,
    awaited: str,
    read: Callable[[], int],
    goal: int,
    deadline_s: float,
    *,
    quiet: bool = True,
) -> None:
    """Wait until a counter, as ``read`` reads it, has come to ``goal``. Raises NotObserved, ProcessDied."""

    def reached() -> tuple[bool, str]:
        seen = read()
        return seen >= goal, f"{seen} of {goal}"

    network.eventually(awaited, reached, deadline_s, quiet=quiet)


def udp_counter(network: EmulatedNetwork, node: str, name: str) -> int:
    """One of the kernel's UDP counters of a node, such as InDatagrams (datagrams handed to a socket)."""

    def read() -> int:
        if network.model.family == 6:
            for line in Path("/proc/thread-self/net/snmp6").read_text().splitlines():
                key, value = line.split()
                if key == f"Udp6{name}":
                    return int(value)
        else:
            rows = [row.split() for row in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
            header, values = (row for row in rows if row[0] == "Udp:")
            return int(values[header.index(name)])
        raise ObservationError(f"node {node}: this kernel has no UDP counter {name}")

    return network.namespace(node).run(read)


def sent_packets(network: EmulatedNetwork, node: str, interface: str) -> int:
    """Packets that an interface of a node has sent."""

    def read() -> int:
        for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
            found, _, numbers = line.partition(":")
            if found.strip() == interface:
                return int(numbers.split()[9])
        raise ObservationError(f"node {node} has no interface {interface}")

    return network.namespace(node).run(read)


def groups_joined(network: EmulatedNetwork, node: str) -> frozenset[str]:
    """The multicast groups that programs on a node are members of, on any interface, as text."""

    def read() -> frozenset[str]:
        if network.model.family == 6:
            rows = Path("/proc/thread-self/net/igmp6").read_text().splitlines()
            return frozenset(str(IPv6Address(bytes.fromhex(row.split()[2]))) for row in rows)
        # An interface's row begins in the first column; its groups follow, in the byte order of the machine.
        rows = Path("/proc/thread-self/net/igmp").read_text().splitlines()[1:]
        words = (row.split()[0] for row in rows if row[:1].isspace())
        return frozenset(str(IPv4Address(int(word, 16).to_bytes(4, sys.byteorder))) for word in words)

    return network.namespace(node).run(read)

"""Whether streams can get where they are to go: looked at on their origin's own link, before anybody waits for them in vain.

A router counts nothing of a multicast packet that it does not forward because its TTL is used up: who only counts what arrives
is left with a number. So the packets themselves are looked at.
"""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from ipaddress import ip_address

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, Stream
from testbed.net.observation import ObservationError
from testbed.net.walk import walk

SENT_DEADLINE_S = 15.0
_ETH_P_ALL = 0x0003  # <linux/if_ether.h>
_SNAPPED = 64  # octets of a packet: more than an IPv6 header


def check_streams(network: EmulatedNetwork) -> None:
    """Wait until each stream is sent, and see that it can reach every cell of the lab.

    Raises NotObserved where nothing is sent to the group, ObservationError where the TTL or hop limit does not do.
    """
    for stream in network.model.streams:
        limit, needed, cell = _limit_sent(network, stream), *farthest(network.model, stream.origin)
        if limit >= needed:
            continue
        name = "TTL" if network.model.family == 4 else "hop limit"
        what = (
            "no router forwards that" if limit <= 1 else f"{limit - 1} of {needed - 1} routers on the way forward that"
        )
        raise ObservationError(
            f"the source on {stream.origin} sends to {stream.group} with {name} {limit}: {what}; "
            f"let it send with {needed} or more, so that it reaches cell {cell}"
        )


def _limit_sent(network: EmulatedNetwork, stream: Stream) -> int:
    """The TTL or hop limit of the next packet to the group on the origin's first link."""
    interface = next(iter(network.model.ends_of(stream.origin))).interface
    group = ip_address(stream.group)
    elsewhere: set[str] = set()
    found: list[int] = []
    packets = network.namespace(stream.origin).run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))

    def look() -> tuple[bool, str]:
        while not found:
            try:
                packet, address = packets.recvfrom(_SNAPPED)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENETDOWN):
                    raise
                break
            if address[2] != socket.PACKET_OUTGOING or packet[0] >> 4 != group.version:
                continue
            destination = ip_address(packet[16:20] if group.version == 4 else packet[24:40])
            if destination == group:
                found.append(packet[8] if group.version == 4 else packet[7])
            elif destination.is_multicast:
                elsewhere.add(str(destination))
        return bool(found), f"packets to {', '.join(sorted(elsewhere)) or 'no group'}"

    with closing(packets):
        packets.setblocking(False)
        packets.bind((interface, _ETH_P_ALL))
        network.eventually(f"{stream.origin} to send to {stream.group} by {interface}", look, SENT_DEADLINE_S)
    return found[0]


def farthest(model: Lab, origin: str) -> tuple[int, str]:
    """What a packet's TTL must be so that it reaches every cell from a node, one more than the routers on the way; and which is last."""
    subnets, routers = model.subnets(), {node.name for node in model.routers()}
    passed = {origin: 0}
    for node, hop in walk(origin, subnets, routers).items():
        passed[node] = passed[hop.own.node] + (node in routers)
    cells: dict[str, int] = {}
    for node, count in passed.items():  # the nearest first
        if node == origin or node in routers:
            for subnet in subnets:
                if subnet.point_of_attachment is not None and any(end.node == node for end in subnet.ends):
                    cells.setdefault(subnet.point_of_attachment, count)
    return max(((count + 1, cell) for cell, count in cells.items()), default=(1, "none"))

"""What a history is made of: one type for everything that happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from captures.wire.internet import packed

STEP, DATA, TRACE, LOG = "step", "data", "trace", "log"
"""`Event.protocol` of what is no control packet; no protocol can be called so."""
_OTHERS = frozenset({STEP, DATA, TRACE, LOG})

LINK_STEP = "link_"
"""What the names of steps begin with that say what becomes of a link: ``link_down``."""


class Event(NamedTuple):
    """One thing that happened, as one interface saw it.

    Of a control packet `protocol` is "igmp", "mld", "pim", "sap" or that of a protocol at a port; `kind` the packet's
    name in it, "malformed" with ``fields["reason"]`` for one that cannot be read, "unreachable" for an ICMP message that says
    so of a control protocol's port: it goes from that port to whom it refuses, whoever sent it. A lab's interface is called
    ``node:interface``, that of a VLAN ``name.id``, that of a tunnel ``name.tunnel1``. Every packet's fields have ``mac`` (hex,
    empty without link layer), ``hop_limit``, ``alert`` (Router Alert), ``checksum`` (True, False, or None where the wire
    cannot tell) and ``octets`` (of the message), those over UDP and TCP ``transport`` ("udp", "tcp") and ``ports``, and what came in tunnels ``tunnels`` (source
    and destination of each, the outer one first).

    What else there is has one of the four protocols above:

    - a step of the scenario: `kind` is its name, `interface` the node, or the interface of a node, that it is about, if any;
    - data: RTP packets of one flow in one window of time, the first of them being frame `number`; ``port``, ``packets``,
      ``last`` (frame), ``last_ns``;
    - a trace record of an agent: `interface` is its node, `kind` what it says it did;
    - a line of a daemon's log: `interface` is its node, `kind` the daemon; ``text``, ``resolution_ns`` (how exact its time is;
      `t_ns` is the earliest it can have been).
    """

    number: int
    t_ns: int
    interface: str
    protocol: str
    kind: str
    source: str
    destination: str
    fields: Mapping[str, Any]

    @property
    def node(self) -> str:
        """The node of an interface called ``node:interface``; of any other name the name itself."""
        return node_of(self.interface)

    @property
    def is_packet(self) -> bool:
        """Whether it is a control packet."""
        return self.protocol not in _OTHERS

    @property
    def source_octets(self) -> bytes:
        """The source's address as it is on the wire."""
        return packed(self.source)

    @property
    def destination_octets(self) -> bytes:
        """The destination's address as it is on the wire."""
        return packed(self.destination)


def node_of(interface: str) -> str:
    """The node of an interface called ``node:interface``; of any other name the name itself."""
    return interface.partition(":")[0]

"""The TLVs of OMCP messages as scapy layers [D O-3]."""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from collections.abc import Iterator

from scapy.fields import (
    ByteEnumField,
    ByteField,
    FieldLenField,
    FlagsField,
    IntField,
    LongField,
    ShortEnumField,
    ShortField,
    StrLenField,
    XStrLenField,
)
from scapy.packet import Packet

from captures.dissectors.fields import AddressField, utf8_problem
from captures.dissectors.tlv import HEADER_OCTETS, TLV, TLVTable, tlv_header, value_size

(
    NODE_ID, CONTROL_ADDRESS, CHANNEL_TYPES, SUBNET, PARENT, RR_TIME, SR_TIME, DATA_CHANNEL, QOS, MEMBERSHIP, REASON, MEMBER,
    ADMISSION,
) = range(1, 14)  # fmt: skip
TLVS = {
    NODE_ID: "Node ID",
    CONTROL_ADDRESS: "control address",
    CHANNEL_TYPES: "channel types",
    SUBNET: "subnet",
    PARENT: "parent",
    RR_TIME: "RR_TIME",
    SR_TIME: "SR_TIME",
    DATA_CHANNEL: "data channel",
    QOS: "QoS",
    MEMBERSHIP: "membership",
    REASON: "reason",
    MEMBER: "member",
    ADMISSION: "admission",
}

NODE_ID_OCTETS = range(1, 65)
CHANNEL_TYPE_NAMES = {1: "unicast", 2: "multicast", 4: "IP-in-IP"}
REASONS = {
    1: "full",
    2: "unknown session",
    3: "no common channel type",
    4: "would loop",
    5: "not authorised",
    6: "closing",
}


class NodeID(TLV):
    """Who a node is, as text."""

    name = "Node ID"
    value_octets = NODE_ID_OCTETS
    fields_desc = [*tlv_header(TLVS), StrLenField("node_id", b"", length_from=value_size)]

    def value_problem(self, offset: int) -> str | None:
        """Not UTF-8."""
        return utf8_problem(self.node_id, offset)


class ControlAddress(TLV):
    """Where a node answers OMCP."""

    name = "control address"
    value_octets = (6, 18)
    fields_desc = [
        *tlv_header(TLVS), ShortField("port", 0), AddressField("address", bytes(4), length_from=lambda p: value_size(p) - 2)
    ]  # fmt: skip


class ChannelTypes(TLV):
    """The data channels that a node can have."""

    name = "channel types"
    value_octets = (1,)
    fields_desc = [*tlv_header(TLVS), FlagsField("types", 1, 8, dict(CHANNEL_TYPE_NAMES))]


class Subnet(TLV):
    """Where a node is, and whether multicast works there."""

    name = "subnet"
    value_octets = (6, 18)
    fields_desc = [
        *tlv_header(TLVS), ByteField("prefix_length", 0), ByteField("multicast_enabled", 0),
        AddressField("address", bytes(4), length_from=lambda p: value_size(p) - 2),
    ]  # fmt: skip

    def value_problem(self, offset: int) -> str | None:
        """A prefix longer than an address."""
        bits = 8 * (value_size(self) - 2)
        return (
            f"octet {offset}: prefix length {self.prefix_length} exceeds {bits}" if self.prefix_length > bits else None
        )


def _parent_readings(value: bytes) -> Iterator[tuple[int, str | None]]:
    """Each size that the address of a parent may have, with what is wrong with the Node ID behind it, or None."""
    for size in (4, 16):
        node_id = value[2 + size :]
        if len(node_id) not in NODE_ID_OCTETS:
            yield size, f"Node ID of {max(0, len(value) - 2 - size)} octets behind an address of {size}"
        else:
            yield size, "Node ID that is no UTF-8" if utf8_problem(node_id, 0) else None


def parent_address_octets(value: bytes) -> int:
    """Size of the address in a parent's value.

    Nothing but the Node ID behind it tells: where both sizes leave a text, IPv4 is believed unless its text has control
    characters, which the inside of an IPv6 address easily has and a name does not.
    """
    fitting = [size for size, problem in _parent_readings(value) if problem is None]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        return 16 if len(value) - 2 - 4 not in NODE_ID_OCTETS else 4
    return 4 if value[6:].decode().isprintable() else 16


class Parent(TLV):
    """The node to attach to."""

    name = "parent"
    value_octets = range(2 + 4 + 1, 2 + 16 + 64 + 1)
    fields_desc = [
        *tlv_header(TLVS),
        ShortField("port", 0),
        AddressField("address", bytes(4), length_from=lambda p: parent_address_octets(p.original[HEADER_OCTETS:])),
        StrLenField("node_id", b"", length_from=lambda p: max(0, value_size(p) - 2 - len(p.fields["address"]))),
    ]

    def value_problem(self, offset: int) -> str | None:
        """Neither of the two sizes of address leaves a Node ID."""
        reasons = [problem for _, problem in _parent_readings(bytes(self.original)[HEADER_OCTETS:])]
        return None if None in reasons else f"octet {offset}: " + ", ".join(filter(None, reasons))


class Interval(TLV):
    """Time until the next Relay Request (RR_TIME) or Status Report (SR_TIME), in ms."""

    name = "interval"
    value_octets = (4,)
    fields_desc = [*tlv_header(TLVS), IntField("milliseconds", 0)]


class DataChannel(TLV):
    """How the data will come."""

    name = "data channel"
    value_octets = (8, 20)
    fields_desc = [
        *tlv_header(TLVS), ByteEnumField("channel_type", 1, CHANNEL_TYPE_NAMES), ByteField("spare", 0), ShortField("port", 0),
        AddressField("address", bytes(4), length_from=lambda p: value_size(p) - 4),
    ]  # fmt: skip


class QoS(TLV):
    """What a node received: throughput in bytes/s, time since it began in s."""

    name = "QoS"
    value_octets = (24,)
    fields_desc = [
        *tlv_header(TLVS), LongField("packets", 0), LongField("octets", 0), IntField("throughput", 0), IntField("elapsed", 0)
    ]  # fmt: skip


class Membership(TLV):
    """How many receivers and relay agents there are below a node."""

    name = "membership"
    value_octets = (8,)
    fields_desc = [*tlv_header(TLVS), IntField("receivers", 0), IntField("relay_agents", 0)]


class Reason(TLV):
    """Why a request is refused."""

    name = "reason"
    value_octets = (2,)
    fields_desc = [*tlv_header(TLVS), ShortEnumField("reason", 1, REASONS)]


def _named_octets(member: Packet) -> int:
    # Never more than there are: the two counts behind the Node ID take 12.
    return min(int(member.node_id_octets), value_size(member) - 13)


class Member(TLV):
    """What a descendant received: packets, and throughput in bytes/s."""

    name = "member"
    value_octets = range(1 + 1 + 12, 1 + 64 + 12 + 1)
    fields_desc = [
        *tlv_header(TLVS),
        FieldLenField("node_id_octets", None, fmt="B", length_of="node_id"),
        StrLenField("node_id", b"", length_from=_named_octets),
        LongField("packets", 0),
        IntField("throughput", 0),
        XStrLenField("excess", b"", length_from=lambda p: value_size(p) - 13 - _named_octets(p)),
    ]

    def value_problem(self, offset: int) -> str | None:
        """Another size than its Node ID's length leads to, or no UTF-8."""
        if self.node_id_octets != (whole := value_size(self) - 13):
            return f"octet {offset}: Node ID of {self.node_id_octets} octets where there is room for {whole}"
        return utf8_problem(self.node_id, offset + 1)


class Admission(TLV):
    """The right to attach: expiry in Unix seconds, and a MAC over session, node, parent and expiry [D O-9]."""

    name = "admission"
    value_octets = (24,)
    fields_desc = [*tlv_header(TLVS), LongField("expiry", 0), XStrLenField("mac", bytes(16), length_from=lambda _p: 16)]


TABLE = TLVTable(
    TLVS,
    {
        NODE_ID: NodeID,
        CONTROL_ADDRESS: ControlAddress,
        CHANNEL_TYPES: ChannelTypes,
        SUBNET: Subnet,
        PARENT: Parent,
        RR_TIME: Interval,
        SR_TIME: Interval,
        DATA_CHANNEL: DataChannel,
        QOS: QoS,
        MEMBERSHIP: Membership,
        REASON: Reason,
        MEMBER: Member,
        ADMISSION: Admission,
    },
)

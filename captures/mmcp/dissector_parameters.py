"""The parameters of MMCP messages (X.604.1 clause 8.2) as scapy layers, in both header profiles.

Profile L16 has a header of 4 octets (Type, Reserved, 16-bit Length), L8 one of 2 (Type, 8-bit Length) [D M-2].
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from typing import Any

from scapy.fields import (
    ByteEnumField,
    ByteField,
    Field,
    IntField,
    PacketListField,
    ShortField,
    XStrLenField,
)
from scapy.packet import Packet

from captures.dissectors import message_layer
from captures.dissectors.fields import ADDRESS_OCTETS, AddressField

IDENTIFIER_MAX_OCTETS = 253  # what an 8-bit Length leaves after its own two octets [D M-2]

MN_IDENTIFIER, POA_IDENTIFIER, MULTICAST_ADDRESS, LMC_ADDRESS, DATA_CHANNEL_STATUS, MEMBERSHIP = range(1, 7)
PARAMETERS = {
    MN_IDENTIFIER: "mn_id",
    POA_IDENTIFIER: "poa_id",
    MULTICAST_ADDRESS: "multicast",
    LMC_ADDRESS: "lmc",
    DATA_CHANNEL_STATUS: "status",
    MEMBERSHIP: "membership",
}
"""Parameter Type to the name used in dissections [8.2, table 2]."""

# Octets in front of a parameter's value, and the sizes of whole parameters whose value has a fixed form [D M-2].
HEADER_OCTETS_OF = {"L16": 4, "L8": 2}
FIXED_SIZE = {DATA_CHANNEL_STATUS: 12, MEMBERSHIP: 8}


class ParameterListField(PacketListField):
    """The parameters of a message: the first tells the profile, each layer gets exactly its own octets."""

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Any]]:
        """Walk the parameters by their Lengths; what cannot be walked becomes `Undissected`."""
        parameters: list[Any] = []
        profile: str | None = None
        offset = 0
        while offset < len(s):
            if profile is None:
                profile = profile_of(s)
            size = parameter_size(s, offset, profile)
            if profile is None or size is None:
                parameters.append(Undissected(s[offset:], _parent=pkt))
                break
            chunk = s[offset : offset + size]
            parameters.append(_layer_for(profile, chunk)(chunk, _parent=pkt))
            offset += size
        return b"", parameters


def profile_of(body: bytes) -> str | None:
    """Tell L16 from L8 by the second octet of the first parameter; 1 is neither, and so is one octet alone."""
    if len(body) < 2 or body[1] == 1:
        return None
    return "L16" if body[1] == 0 else "L8"


def parameter_size(body: bytes, offset: int, profile: str | None) -> int | None:
    """Size of the parameter at `offset` in octets, None where its header is cut or its Length cannot be followed."""
    if profile is None or offset + HEADER_OCTETS_OF[profile] > len(body):
        return None
    size: int = struct.unpack_from("!H", body, offset + 2)[0] if profile == "L16" else body[offset + 1]
    if size < HEADER_OCTETS_OF[profile] or offset + size > len(body):
        return None
    return size


def _opaque(profile: str) -> list[Any]:
    header = HEADER_OCTETS_OF[profile]
    return [XStrLenField("identifier", b"", length_from=lambda parameter: parameter.length - header)]


def _address(profile: str) -> list[Any]:
    before = HEADER_OCTETS_OF[profile] + 2
    return [ShortField("port", 0), AddressField("address", bytes(4), length_from=lambda p: p.length - before)]


def _header(code: int | None, profile: str) -> list[Any]:
    kind = ByteEnumField("type", code or 0, PARAMETERS)
    if profile == "L16":
        return [kind, ByteField("reserved", 0), ShortField("length", None)]
    return [kind, ByteField("length", None)]


def _spare(profile: str) -> list[Field[Any, Any]]:
    # With the short header, 16 reserved bits keep the two fixed parameters at the sizes of table 2 [D M-2].
    return [ShortField("spare", 0)] if profile == "L8" else []


class Parameter(Packet):
    """What all parameters share: Length is filled in when it was left out."""

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in Length, which counts the header too."""
        if self.length is None:
            size = struct.pack("!H", len(pkt)) if self.profile == "L16" else bytes([len(pkt)])
            at = 2 if self.profile == "L16" else 1
            pkt = pkt[:at] + size + pkt[at + len(size) :]
        return pkt + pay

    profile = "L16"


class MNIdentifier(Parameter):
    """Who the MN is: opaque octets [8.2.1]."""

    name = "MN Identifier"
    fields_desc = [*_header(MN_IDENTIFIER, "L16"), *_opaque("L16")]


class PoAIdentifier(Parameter):
    """Where the MN is attached or going: opaque octets, of a MAC its 6 [8.2.2]."""

    name = "PoA Identifier"
    fields_desc = [*_header(POA_IDENTIFIER, "L16"), *_opaque("L16")]


class MulticastAddress(Parameter):
    """Group and port of the data channel [8.2.3]."""

    name = "Multicast Address"
    fields_desc = [*_header(MULTICAST_ADDRESS, "L16"), *_address("L16")]


class LMCAddress(Parameter):
    """Address and port of an LMC [8.2.4]."""

    name = "LMC Address"
    fields_desc = [*_header(LMC_ADDRESS, "L16"), *_address("L16")]


class DataChannelStatus(Parameter):
    """Packets received modulo 2^32 [D M-3] and seconds in the session [8.2.5]."""

    name = "Data Channel Status"
    fields_desc = [*_header(DATA_CHANNEL_STATUS, "L16"), IntField("packets", 0), IntField("seconds", 0)]


class Membership(Parameter):
    """Number of MNs attached to the LMC [8.2.6]."""

    name = "Membership"
    fields_desc = [*_header(MEMBERSHIP, "L16"), IntField("members", 0)]


class OtherParameter(Parameter):
    """An unknown parameter, skipped by its Length; also a known one whose size is not its own."""

    name = "parameter not known"
    fields_desc = [*_header(None, "L16"), XStrLenField("value", b"", length_from=lambda p: p.length - 4)]


class MNIdentifier8(Parameter):
    """As `MNIdentifier`, with the short header."""

    name = "MN Identifier (L8)"
    profile = "L8"
    fields_desc = [*_header(MN_IDENTIFIER, "L8"), *_opaque("L8")]


class PoAIdentifier8(Parameter):
    """As `PoAIdentifier`, with the short header."""

    name = "PoA Identifier (L8)"
    profile = "L8"
    fields_desc = [*_header(POA_IDENTIFIER, "L8"), *_opaque("L8")]


class MulticastAddress8(Parameter):
    """As `MulticastAddress`, with the short header."""

    name = "Multicast Address (L8)"
    profile = "L8"
    fields_desc = [*_header(MULTICAST_ADDRESS, "L8"), *_address("L8")]


class LMCAddress8(Parameter):
    """As `LMCAddress`, with the short header."""

    name = "LMC Address (L8)"
    profile = "L8"
    fields_desc = [*_header(LMC_ADDRESS, "L8"), *_address("L8")]


class DataChannelStatus8(Parameter):
    """As `DataChannelStatus`, with the short header."""

    name = "Data Channel Status (L8)"
    profile = "L8"
    fields_desc = [
        *_header(DATA_CHANNEL_STATUS, "L8"), *_spare("L8"), IntField("packets", 0), IntField("seconds", 0),
    ]  # fmt: skip


class Membership8(Parameter):
    """As `Membership`, with the short header."""

    name = "Membership (L8)"
    profile = "L8"
    fields_desc = [*_header(MEMBERSHIP, "L8"), *_spare("L8"), IntField("members", 0)]


class OtherParameter8(Parameter):
    """As `OtherParameter`, with the short header."""

    name = "parameter not known (L8)"
    profile = "L8"
    fields_desc = [*_header(None, "L8"), XStrLenField("value", b"", length_from=lambda p: p.length - 2)]


class Undissected(message_layer.Undissected):
    """Octets from which no further parameter can be read: the header is cut, or its Length leads nowhere."""

    name = "octets that are no parameter"


LAYERS: dict[str, dict[int, type[Parameter]]] = {
    "L16": {
        MN_IDENTIFIER: MNIdentifier,
        POA_IDENTIFIER: PoAIdentifier,
        MULTICAST_ADDRESS: MulticastAddress,
        LMC_ADDRESS: LMCAddress,
        DATA_CHANNEL_STATUS: DataChannelStatus,
        MEMBERSHIP: Membership,
    },
    "L8": {
        MN_IDENTIFIER: MNIdentifier8,
        POA_IDENTIFIER: PoAIdentifier8,
        MULTICAST_ADDRESS: MulticastAddress8,
        LMC_ADDRESS: LMCAddress8,
        DATA_CHANNEL_STATUS: DataChannelStatus8,
        MEMBERSHIP: Membership8,
    },
}
_OTHER: dict[str, type[Parameter]] = {"L16": OtherParameter, "L8": OtherParameter8}


def _layer_for(profile: str, chunk: bytes) -> type[Parameter]:
    if size_problem(profile, chunk[0], len(chunk)) is not None:
        return _OTHER[profile]
    return LAYERS[profile].get(chunk[0], _OTHER[profile])


def size_problem(profile: str, code: int, size: int) -> str | None:
    """Say what is wrong with the size in octets of a whole parameter, None if nothing is."""
    value = size - HEADER_OCTETS_OF[profile]
    if code in (MN_IDENTIFIER, POA_IDENTIFIER) and not 1 <= value <= IDENTIFIER_MAX_OCTETS:
        return f"{PARAMETERS[code]} has {value} octets, not 1 to {IDENTIFIER_MAX_OCTETS}"
    if code in (MULTICAST_ADDRESS, LMC_ADDRESS):
        if value < 2:
            return f"{PARAMETERS[code]} is {size} octets long, too short for a port"
        if value - 2 not in ADDRESS_OCTETS:  # the IP version follows from the size alone [8.2.3]
            return f"{PARAMETERS[code]} has an address of {value - 2} octets, not 4 or 16"
    if code in FIXED_SIZE and size != FIXED_SIZE[code]:
        return f"{PARAMETERS[code]} is {size} octets long, not {FIXED_SIZE[code]}"
    return None

"""Scapy layers of MMCP, the Mobile Multicast Control Protocol (X.604.1 clause 8).

``MMCP(data)`` dissects as far as the octets go and never raises; ``problems(layer)`` says what is wrong with it.
``dissect(data)`` is the strict reading, a plain ``dict`` or `MalformedMessageError`; ``build(fields)`` is its reverse.
Importing this module binds nothing: ``with bound_to_udp():`` lets scapy find MMCP inside UDP for as long as it lasts.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from scapy.fields import BitField, ByteEnumField, IntField, ShortField
from scapy.packet import Packet

from captures.dissectors import message_layer
from captures.dissectors.message_layer import bound, code_of, name_of, strict, whole_header_or
from captures.mmcp.constants import F_HAS_MEANING, MMCP_PORT
from captures.mmcp.dissector_parameters import (
    HEADER_OCTETS_OF,
    LAYERS,
    LMC_ADDRESS,
    MEMBERSHIP,
    MN_IDENTIFIER,
    MULTICAST_ADDRESS,
    PARAMETERS,
    POA_IDENTIFIER,
    Parameter,
    ParameterListField,
    Undissected,
    profile_of,
    size_problem,
)

HEADER_OCTETS = 8  # [8.1]

PACKETS = {
    1: "SJR", 2: "SJC", 3: "LJR", 4: "LJC", 5: "ULR", 6: "ULC", 7: "USR",
    8: "ASR", 9: "USP", 10: "HIR", 11: "HCT", 12: "HTA", 13: "HIC",
}  # fmt: skip
"""Packet Type to name [8.1, table 1]."""


_MANDATORY: dict[str, tuple[int, ...]] = {
    "SJR": (MN_IDENTIFIER,),
    "LJR": (MN_IDENTIFIER,),
    "ULR": (MN_IDENTIFIER,),
    "USR": (MN_IDENTIFIER,),
    "ASR": (MEMBERSHIP,),
    "HIR": (MN_IDENTIFIER, POA_IDENTIFIER),
    "HCT": (MN_IDENTIFIER, MULTICAST_ADDRESS),
}
_MANDATORY_WHEN_ACCEPTED: dict[str, tuple[int, ...]] = {"SJC": (MULTICAST_ADDRESS,), "HIC": (LMC_ADDRESS,)}  # [D M-4]


class CutShort(message_layer.CutShort):
    """Fewer octets than the common header has."""

    name = "MMCP (cut short)"
    protocol = "MMCP"
    header_octets = HEADER_OCTETS


class MMCP(Packet):
    """The common header [8.1] and its parameters; `accepted` is the F bit."""

    name = "MMCP"
    fields_desc = [
        ByteEnumField("type", 1, PACKETS),
        BitField("reserved", 0, 7),
        BitField("accepted", 0, 1),
        ShortField("length", None),
        IntField("session_id", 0),
        ParameterListField("parameters", [], Parameter),
    ]

    dispatch_hook = whole_header_or(CutShort)

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in Payload Length, which counts the header too."""
        if self.length is None:
            pkt = pkt[:2] + struct.pack("!H", len(pkt) + len(pay)) + pkt[4:]
        return pkt + pay

    def mysummary(self) -> str:
        """One line for scapy's summaries, with the first problem."""
        text = f"MMCP {PACKETS.get(self.type, self.type)} session {self.session_id}"
        found = problems(self)
        return f"{text} malformed: {found[0]}" if found else text


def problems(layer: Packet) -> list[str]:
    """Everything that makes a dissected `MMCP` or `CutShort` layer malformed, in wire order; empty if nothing does."""
    data = bytes(layer.original)
    if isinstance(layer, CutShort):
        return layer.own_problems()
    found = []
    if layer.length != len(data):
        found.append(f"Payload Length is {layer.length}, the datagram has {len(data)} octets")
    packet = PACKETS.get(layer.type)
    if packet is None:
        found.append(f"Packet Type {layer.type} is not one of 1 to {max(PACKETS)}")
    offset = HEADER_OCTETS
    for parameter in layer.parameters:
        if isinstance(parameter, Undissected):
            found.append(_stop_reason(parameter.load, offset, first=offset == HEADER_OCTETS, profile=_profile(layer)))
        elif problem := size_problem(parameter.profile, parameter.type, len(parameter.original)):
            found.append(f"octet {offset}: {problem}")
        offset += len(parameter.original)
    if packet is not None:
        missing = [PARAMETERS[code] for code in _mandatory(packet, layer.accepted) if not _has(layer, code)]
        found += [f"{packet} lacks its mandatory {name}" for name in missing]
    return found


def _stop_reason(rest: bytes, offset: int, *, first: bool, profile: str) -> str:
    if first and len(rest) >= 2 and rest[1] == 1:
        return f"octet {offset + 1}: 1 fits neither profile"
    header = HEADER_OCTETS_OF[profile]
    if len(rest) < header:
        return f"octet {offset}: {len(rest)} octets left, a parameter header has {header}"
    size = struct.unpack_from("!H", rest, 2)[0] if profile == "L16" else rest[1]
    if size < header:
        return f"octet {offset}: parameter Length {size} is below its minimum of {header}"
    return f"octet {offset}: parameter of {size} octets overruns the packet by {size - len(rest)}"


def _profile(layer: Packet) -> str:
    """Profile of a dissected message; L16 where no parameter tells."""
    return profile_of(bytes(layer.original)[HEADER_OCTETS:]) or "L16"


def _mandatory(packet: str, accepted: int) -> tuple[int, ...]:
    return _MANDATORY.get(packet, ()) + (_MANDATORY_WHEN_ACCEPTED.get(packet, ()) if accepted else ())


def _has(layer: Packet, code: int) -> bool:
    return any(parameter.type == code for parameter in layer.parameters if not isinstance(parameter, Undissected))


def dissect(data: bytes) -> dict[str, Any]:
    """Read one datagram strictly.

    Returns ``{"packet", "session_id", "f", "profile", "params"}``: `packet` is the name of the type, `f` is 0 where the
    bit has no meaning, `profile` "L16" or "L8" ("L16" without parameters), `params` all parameters in wire order as
    ``["mn_id", hex]``, ``["poa_id", hex]``, ``["multicast", ip, port]``, ``["lmc", ip, port]``,
    ``["status", packets, seconds]``, ``["membership", members]``, or ``["raw", hex of the whole parameter]``.

    Raises `MalformedMessageError` with every reason found and all that could be read.
    """
    layer = MMCP(data)
    return strict(layer, problems(layer), _fields)


def _fields(layer: MMCP) -> dict[str, Any]:
    packet = name_of(PACKETS, layer.type)
    return {
        "packet": packet,
        "session_id": layer.session_id,
        "f": layer.accepted if packet in F_HAS_MEANING else 0,
        "profile": _profile(layer),
        "params": [_parameter_fields(parameter) for parameter in layer.parameters],
    }


def _parameter_fields(parameter: Parameter | Undissected) -> list[Any]:
    octets = bytes(parameter.original)
    if isinstance(parameter, Undissected) or size_problem(parameter.profile, parameter.type, len(octets)):
        return ["raw", octets.hex()]
    name = PARAMETERS.get(parameter.type)
    if name in ("mn_id", "poa_id"):
        return [name, parameter.identifier.hex()]
    if name in ("multicast", "lmc"):
        return [name, parameter.address, parameter.port]
    if name == "status":
        return [name, parameter.packets, parameter.seconds]
    if name == "membership":
        return [name, parameter.members]
    return ["raw", octets.hex()]


def build(fields: Mapping[str, Any]) -> bytes:
    """Octets of a message given as `dissect` returns it; `f` defaults to 0, `profile` to "L16", `params` to none.

    Nothing is checked beyond what the layers can hold, so that wrong messages can be made too: a parameter
    ``["raw", hex]`` goes out as it stands. Raises KeyError for an unknown packet or parameter name.
    """
    profile = fields.get("profile", "L16")
    code = code_of(PACKETS, fields["packet"])
    parameters = [_parameter_layer(profile, parameter) for parameter in fields.get("params", ())]
    message = MMCP(type=code, accepted=fields.get("f", 0), session_id=fields["session_id"], parameters=parameters)
    return bytes(message)


def _parameter_layer(profile: str, parameter: Sequence[Any]) -> Packet:
    name, *values = parameter
    if name == "raw":
        return Undissected(load=bytes.fromhex(values[0]))
    layer = LAYERS[profile][code_of(PARAMETERS, name)]
    if name in ("mn_id", "poa_id"):
        return layer(identifier=bytes.fromhex(values[0]))
    if name in ("multicast", "lmc"):
        return layer(address=values[0], port=values[1])
    if name == "status":
        return layer(packets=values[0], seconds=values[1])
    return layer(members=values[0])


def bound_to_udp(port: int = MMCP_PORT) -> AbstractContextManager[None]:
    """Let scapy dissect UDP to or from `port` as MMCP inside the ``with`` block, and only there."""
    return bound(MMCP, "udp", port)

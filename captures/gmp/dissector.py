"""Scapy layers of GMP, the Group Management Protocol (X.602 clause 8).

GMP has two kinds of messages, which only the port tells apart [D G-3]: those of module SM, session management, and those
of module MM, membership management. ``GMPSM(data)`` and ``GMPMM(data)`` dissect as far as the octets go and never raise;
``problems(layer)`` says what is wrong with them. ``dissect(data, module)`` is the strict reading, a plain ``dict`` or
`MalformedMessageError`; ``build(fields)`` is its reverse. Importing this module binds nothing: inside
``with bound_to_udp():`` and ``with bound_to_tcp():`` scapy finds both by their ports.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from scapy.fields import BitEnumField, BitField, ByteEnumField, ByteField, Field, ShortField, XShortField
from scapy.packet import Packet

from captures.dissectors import message_layer, stream, tlv
from captures.dissectors.fields import AddressField, checksum_problem, with_checksum
from captures.dissectors.message_layer import JudgedLayer, bound, code_of, name_of, strict, whole_header_or
from captures.gmp.constants import FRAMING, GMP_MM_PORT, GMP_SM_PORT
from captures.gmp.dissector_options import (
    MEMBER_TYPES,
    TABLE,
    WORD_OCTETS,
    ActiveMember,
    ClientPort,
    OptionListField,
    member_type_problem,
    word_problems,
)

VERSION = 1
HEADER_OCTETS = 16  # [8.2, 8.4]

SM_PACKETS = {
    1: "SCREQ", 2: "SCACC", 3: "SCREJ", 4: "SDREQ", 5: "SDRES", 6: "SCINF", 7: "SCCON",
    8: "SRREQ", 9: "SRRES", 10: "SRACC", 11: "SRREJ", 12: "SJREQ", 13: "SJRES", 14: "SAREQ",
}  # fmt: skip
"""Type of a session management message to its name [8.2, table 2]."""

MM_PACKETS = {1: "KAREQ", 2: "KARES", 3: "UIREQ", 4: "UIRES", 5: "LVREQ", 6: "TRREQ", 7: "TRIND", 8: "KDUPT"}
"""Type of a membership management message to its name [8.4, table 4, D G-6]."""

MODES = {0b01: "open", 0b10: "closed"}
"""Mode of a session in MM messages [8.4, table 5]."""

_SAREQ, _SCINF, _UIRES = 14, 6, 4

problems = message_layer.problems


class CutShort(message_layer.CutShort):
    """Fewer octets than either header has."""

    name = "GMP (cut short)"
    protocol = "GMP"
    header_octets = HEADER_OCTETS


def _group() -> Field[Any, Any]:
    return AddressField("group", bytes(4), length_from=lambda _message: 4)


def _version_problems(layer: Packet) -> list[str]:
    return [] if layer.version == VERSION else [f"octet 0: version {layer.version} is not {VERSION}"]


class GMPSM(JudgedLayer):
    """A session management message [8.2, D G-4]."""

    name = "GMP session management"
    fields_desc = [
        BitField("version", VERSION, 4),
        BitField("q", 0, 1),
        BitField("s", 0, 1),
        BitField("m", 0, 1),
        BitField("i", 0, 1),
        ByteEnumField("type", 1, SM_PACKETS),
        XShortField("checksum", None),
        ShortField("session_id", 0),
        ShortField("user_id", 0),
        ByteField("key_length", 0),
        ByteField("reserved", 0),
        ShortField("port", 0),
        _group(),
        OptionListField("options", {_SAREQ: ClientPort}),
    ]

    dispatch_hook = whole_header_or(CutShort)

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in the Checksum, which is over the whole message [D G-5]."""
        return (with_checksum(pkt) if self.checksum is None else pkt) + pay

    def title(self) -> str:
        """What it is, for summaries."""
        return f"GMP {SM_PACKETS.get(self.type, self.type)} session {self.session_id}"

    def own_problems(self) -> list[str]:
        """What is wrong with the header, then with the option."""
        data, options = bytes(self.original), self.options
        found = _version_problems(self)
        if self.type == _SCINF and bool(self.i) is not bool(options):
            present = "is one" if options else "is none"
            found.append(f"octet 0: I is {self.i} in SCINF, but there {present}")
        if self.type not in SM_PACKETS:
            found.append(f"octet 1: SM type {self.type} is not one of 1 to {max(SM_PACKETS)}")
        if problem := checksum_problem(data):
            found.append(problem)
        if self.type != _SAREQ:
            return found + TABLE.problems(options, HEADER_OCTETS, len(data))
        if (octets := len(data) - HEADER_OCTETS) != WORD_OCTETS:
            found.append(f"octet {HEADER_OCTETS}: the option of SAREQ is {octets} octets, not one word")
        return found


class GMPMM(JudgedLayer):
    """A membership management message [8.4]; `period` and `timeout` are in 100 ms."""

    name = "GMP membership management"
    fields_desc = [
        BitField("version", VERSION, 4),
        BitEnumField("type", 1, 4, MM_PACKETS),
        BitEnumField("mode", 0b01, 2, MODES),
        BitEnumField("member_type", 0b001, 3, MEMBER_TYPES),
        BitField("r", 0, 1),
        BitField("ss", 0, 1),
        BitField("ui", 0, 1),
        ShortField("port", 0),
        ShortField("session_id", 0),
        ShortField("user_id", 0),
        _group(),
        ByteField("period", 0),
        ByteField("timeout", 0),
        ByteField("key_length", 0),
        ByteField("reserved", 0),
        OptionListField("options", {_UIRES: ActiveMember}),
    ]

    dispatch_hook = whole_header_or(CutShort)

    def title(self) -> str:
        """What it is, for summaries."""
        return f"GMP {MM_PACKETS.get(self.type, self.type)} session {self.session_id}"

    def own_problems(self) -> list[str]:
        """What is wrong with the header, then with the option."""
        found = _version_problems(self)
        if self.type not in MM_PACKETS:
            found.append(f"octet 0: MM type {self.type} is not one of 1 to {max(MM_PACKETS)}")
        if self.mode not in MODES:
            found.append(f"octet 1: mode {self.mode:02b} is neither open, 01, nor closed, 10")
        if self.member_type not in MEMBER_TYPES:
            found.append(f"octet 1: {member_type_problem(self.member_type)}")
        if self.type != _UIRES:
            return found + TABLE.problems(self.options, HEADER_OCTETS, len(self.original))
        if not self.ui:
            found.append("octet 1: UI is 0 in UIRES")
        return found + word_problems(self.options, HEADER_OCTETS)


class GMPSMStream(stream.Stream):
    """Session management messages on a TCP connection."""

    name = "GMP session management over TCP"
    framing = FRAMING
    message = GMPSM


class GMPMMStream(stream.Stream):
    """Membership management messages on a TCP connection."""

    name = "GMP membership management over TCP"
    framing = FRAMING
    message = GMPMM


_LAYERS: dict[str, type[Packet]] = {"SM": GMPSM, "MM": GMPMM}
_PACKETS = {"SM": SM_PACKETS, "MM": MM_PACKETS}
_SHOWN = {
    "SM": ("q", "s", "m", "i", "session_id", "user_id", "key_length", "port", "group"),
    "MM": (
        "mode",
        "member_type",
        "r",
        "ss",
        "ui",
        "session_id",
        "user_id",
        "port",
        "group",
        "period",
        "timeout",
        "key_length",
        "reserved",
    ),
}


def dissect(data: bytes, module: str = "SM") -> dict[str, Any]:
    """Read one message strictly, as one of module "SM" or "MM".

    Returns for SM ``{"module", "packet", "q", "s", "m", "i", "session_id", "user_id", "key_length", "port", "group"}``, for
    MM ``{"module", "packet", "mode", "member_type", "r", "ss", "ui", "session_id", "user_id", "port", "group",
    "period", "timeout", "key_length", "reserved"}``, all numbers as on the wire but `group`, which is printed. Then `mm_port`
    for SAREQ, `members` for UIRES as ``[user ID, member type]``, or ``[0, member type, number of others]`` [D G-22], for every
    other packet `options` as ``[type, value in hex]`` without padding.

    Raises `MalformedMessageError` with every reason found and all that could be read, KeyError for another module.
    """
    layer = _LAYERS[module](data)
    return strict(layer, problems(layer), partial(_fields, module=module))


def _fields(layer: Packet, module: str) -> dict[str, Any]:
    packet = name_of(_PACKETS[module], layer.type)
    fields = {"module": module, "packet": packet, **{name: getattr(layer, name) for name in _SHOWN[module]}}
    if packet == "SAREQ":
        ports = [option.mm_port for option in layer.options if isinstance(option, ClientPort)]
        fields |= {"mm_port": ports[0]} if ports else {}
    elif packet == "UIRES":
        members = [option for option in layer.options if isinstance(option, ActiveMember)]
        fields["members"] = [member.plain() for member in members]
    else:
        fields["options"] = tlv.plain(layer.options)
    return fields


def dissect_stream(data: bytes, module: str = "SM") -> tuple[list[dict[str, Any]], bytes]:
    """Read a TCP stream strictly: every whole message as `dissect` does, and the octets of one that has only begun."""
    return FRAMING.read(data, partial(dissect, module=module))


def build(fields: Mapping[str, Any]) -> bytes:
    """Octets of a message given as `dissect` returns it; what is left out is 0, in MM an open session and a participant.

    Nothing is checked beyond what the layers can hold, so that wrong messages can be made too. Raises KeyError for an
    unknown module or packet name.
    """
    module = fields["module"]
    values = {name: fields[name] for name in _SHOWN[module] if name in fields}
    options: list[Packet] = tlv.layers_of(fields.get("options", ()))
    if "mm_port" in fields:
        options.append(ClientPort(mm_port=fields["mm_port"]))
    words = (
        dict(zip(("user_id", "member_type", "reserved"), word, strict=False)) for word in fields.get("members", ())
    )
    options += [ActiveMember(**word) for word in words]
    return bytes(_LAYERS[module](type=code_of(_PACKETS[module], fields["packet"]), **values, options=options))


@contextmanager
def bound_to_udp(sm_port: int = GMP_SM_PORT, mm_port: int = GMP_MM_PORT) -> Iterator[None]:
    """Let scapy dissect UDP to or from the two ports as GMP inside the ``with`` block, and only there."""
    with bound(GMPSM, "udp", sm_port), bound(GMPMM, "udp", mm_port):
        yield


@contextmanager
def bound_to_tcp(sm_port: int = GMP_SM_PORT, mm_port: int = GMP_MM_PORT) -> Iterator[None]:
    """Let scapy dissect TCP to or from the two ports as GMP inside the ``with`` block, and only there."""
    with bound(GMPSMStream, "tcp", sm_port), bound(GMPMMStream, "tcp", mm_port):
        yield

"""What Wireshark's trees say, in the plain form of the vectors and of the judge's dissectors."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from tests.captures.tshark import Layer, Tree, raw, subtrees

MMCP_PACKETS = ("SJR", "SJC", "LJR", "LJC", "ULR", "ULC", "USR", "ASR", "USP", "HIR", "HCT", "HTA", "HIC")
MMCP_F_COUNTS = frozenset({"SJC", "LJC", "ULC", "HIC", "HTA"})
GMP_SM_PACKETS = (
    "SCREQ", "SCACC", "SCREJ", "SDREQ", "SDRES", "SCINF", "SCCON", "SRREQ", "SRRES", "SRACC", "SRREJ", "SJREQ", "SJRES",
    "SAREQ",
)  # fmt: skip
GMP_MM_PACKETS = ("KAREQ", "KARES", "UIREQ", "UIRES", "LVREQ", "TRREQ", "TRIND", "KDUPT")
OMCP_PACKETS = (
    "Join Request", "Join Confirm", "Relay Request", "Relay Confirm", "Status Report", "Status Confirm",
)  # fmt: skip
ECTP_PACKETS = (
    "CR", "CC", "TJ", "TC", "DT", "ND", "RD", "ACK", "HB", "HBACK", "JR", "JC", "UL", "CT", "TGR", "TGC", "TRR", "TRC",
)  # fmt: skip
MSMP_PACKETS = dict(
    zip(
        (*range(1, 11), *range(32, 38)),
        ("QRREQ", "QRRES", "QSREQ", "QSRES", "QUREQ", "QURES", "QVREQ", "QVRES", "QTREQ", "QTIND", "SNREQ", "SNRES",
         "MNREQ", "MNRES", "SLREQ", "SLRES"),
        strict=True,
    )
)  # fmt: skip


def settled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something: a field that is zero or empty may be left out."""
    return {name: value for name, value in fields.items() if value not in (0, "", [], None, "0.0.0.0")}


def flag(text: str) -> int:
    """A bit: 4.0 prints 1, 4.4 prints True."""
    return int(text in ("1", "True"))


def octets(text: str) -> str:
    """Bytes as hex without colons."""
    return text.replace(":", "")


def address(fields: Mapping[str, str], name: str) -> str:
    """The address of a pair of fields, of which one is for IPv4 and one for IPv6."""
    return str(ipaddress.ip_address(fields[name] if name in fields else fields[f"{name}_ipv6"]))


def mmcp(layer: Layer) -> dict[str, Any]:
    """As `captures.mmcp.dissector.dissect`."""
    top = dict(layer.tree)
    packet = MMCP_PACKETS[int(top["mmcp.type"]) - 1]
    return {
        "packet": packet,
        "session_id": int(top["mmcp.session"]),
        "f": flag(top["mmcp.f"]) if packet in MMCP_F_COUNTS else 0,
        "profile": top.get("mmcp.profile", "L16"),
        "params": [_mmcp_parameter(tree) for tree in subtrees(layer.tree, "mmcp.parameter")],
    }


def _mmcp_parameter(tree: Tree) -> list[Any]:
    fields = dict(tree)
    match int(fields["mmcp.parameter.type"]):
        case 1:
            return ["mn_id", octets(fields["mmcp.mn_id"])]
        case 2:
            return ["poa_id", octets(fields["mmcp.poa_id"])]
        case 3:
            return ["multicast", address(fields, "mmcp.group"), int(fields["mmcp.group_port"])]
        case 4:
            return ["lmc", address(fields, "mmcp.lmc"), int(fields["mmcp.lmc_port"])]
        case 5:
            return ["status", int(fields["mmcp.packets"]), int(fields["mmcp.seconds"])]
        case 6:
            return ["membership", int(fields["mmcp.members"])]
        case _:
            return ["raw", octets(fields["mmcp.parameter.unknown"])]


def elements(tree: Tree, name: str) -> list[list[Any]]:
    """[type, value in hex] of elements with a header of 4 octets, without the padding that may follow the value."""
    return [
        [int(dict(element)[f"{name}.type"]), octets[4 : int(dict(element)[f"{name}.length"])].hex()]
        for element, octets in zip(subtrees(tree, name), raw(tree, name), strict=True)
    ]


def gmp(layer: Layer) -> dict[str, Any]:
    """As the rows of vectors/gmp.toml."""
    top = dict(layer.tree)
    numbers = {"session_id": "session", "user_id": "user", "key_length": "key_length", "port": "port"}
    if "gmp.sm_type" in top:
        fields: dict[str, Any] = {"module": "SM", "packet": GMP_SM_PACKETS[int(top["gmp.sm_type"]) - 1]}
        fields |= {bit: flag(top[f"gmp.{bit}"]) for bit in "qsmi"}
        numbers |= {"mm_port": "mm_port"}
    else:
        fields = {"module": "MM", "packet": GMP_MM_PACKETS[int(top["gmp.mm_type"]) - 1]}
        fields |= {bit: flag(top[f"gmp.{bit}"]) for bit in ("r", "ss", "ui")}
        numbers |= {name: name for name in ("mode", "member_type", "period", "timeout")}
        reserved = next(top[name] for name in ("gmp.level", "gmp.generation", "gmp.reserved") if name in top)
        fields["reserved"] = int(reserved, 0)
        words = [dict(member) for member in subtrees(layer.tree, "gmp.member")]
        fields["members"] = [
            [int(word[f"gmp.{name}"]) for name in ("member.user", "member.type", "others") if f"gmp.{name}" in word]
            for word in words
        ]
    fields |= {key: int(top.get(f"gmp.{name}", 0)) for key, name in numbers.items()}
    return {**fields, "group": top["gmp.group"], "options": elements(layer.tree, "gmp.option")}


def msmp(layer: Layer) -> dict[str, Any]:
    """As the rows of vectors/msmp.toml."""
    top = dict(layer.tree)
    return {
        "packet": MSMP_PACKETS[int(top["msmp.type"])],
        "session_id": int(top["msmp.session"]),
        "user_id": int(top["msmp.user"]),
        "transaction_id": int(top["msmp.transaction"]),
        "tlvs": elements(layer.tree, "msmp.tlv"),
    }


def omcp(layer: Layer) -> dict[str, Any]:
    """As the rows of vectors/omcp.toml."""
    top = dict(layer.tree)
    return {
        "packet": OMCP_PACKETS[int(top["omcp.type"]) - 1],
        "session_id": str(int(top["omcp.session"], 0)),
        "flags": int(top["omcp.flags"], 16),
        "tlvs": elements(layer.tree, "omcp.tlv"),
    }


def ectp(layer: Layer) -> dict[str, Any]:
    """As the rows of vectors/ectp.toml: elements as [name, {field: value}]."""
    top = dict(layer.tree)
    codes = [top["ectp.next"], *(dict(tree)["ectp.element.next"] for tree in subtrees(layer.tree, "ectp.element"))]
    return {
        "packet": ECTP_PACKETS[int(top["ectp.type"]) - 1],
        "connection_id": int(top["ectp.connection"]),
        "psn": int(top["ectp.psn"]),
        "f": flag(top["ectp.f"]),
        "n": flag(top["ectp.n"]),
        "qos": flag(top["ectp.qos_on"]),
        "token_id": int(top["ectp.token"]),
        "elements": [
            _ectp_element(int(code), dict(tree))
            for code, tree in zip(codes, subtrees(layer.tree, "ectp.element"), strict=False)
        ],
        "data": octets(top.get("ectp.data", "")),
    }


def _ectp_element(code: int, fields: dict[str, str]) -> list[Any]:
    def numbers(*names: str) -> list[int]:
        return [int(fields[f"ectp.{name}"]) for name in names]

    def each(*names: str) -> dict[str, int]:
        return dict(zip((name.rpartition(".")[2] for name in names), numbers(*names), strict=True))

    match code:
        case 1:
            return ["connection", each("tco", "ro", "agn", "mss")]
        case 2:
            bits = "".join(f"{octet:08b}" for octet in bytes.fromhex(octets(fields.get("ectp.bitmap", ""))))
            statuses = numbers(*(f"status.{part}" for part in ("throughput", "delay", "jitter", "loss")))
            bitmap = bits[: int(fields["ectp.bitmap_length"])]
            return ["ack", {"status": statuses, "bitmap": bitmap, **each("adn", "lsn")}]
        case 3:
            (level, child) = numbers("tree_level", "child")
            return ["membership", {"level": level, "child_id": child}]
        case 4:
            return ["timestamp", each("timestamp")]
        case 5:
            return [
                "qos",
                {
                    **each("qos.direction", "qos.mss"),
                    "throughput": numbers(*(f"qos.throughput_{level}" for level in ("chq", "ot", "lqa"))),
                    **{part: numbers(f"qos.{part}_ot", f"qos.{part}_lqa") for part in ("delay", "jitter", "loss")},
                },
            ]
        case _:
            return ["address", {"port": int(fields["ectp.address_port"]), "address": address(fields, "ectp.address")}]

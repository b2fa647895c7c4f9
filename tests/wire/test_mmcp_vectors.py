"""Hand-made MMCP messages against both implementations of the wire format: the agents' codec and the judge's layers."""

from __future__ import annotations

from typing import Any

import pytest

from agents.core.errors import DecodeError, EncodeError
from agents.mmcp.messages import decode, encode
from agents.mmcp.plain import from_plain, to_plain
from captures.mmcp import dissector as judge
from captures.wire.malformed import MalformedMessageError
from tests.wire.mmcp_messages import PACKETS, PROFILES, fields_of, vectors

VECTORS = vectors()
WELL_FORMED = [row for row in VECTORS if not row.get("malformed")]
MALFORMED = [row for row in VECTORS if row.get("malformed")]


def named(value: Any) -> str | None:
    return value["name"] if isinstance(value, dict) else None


def test_every_packet_has_a_vector_in_both_profiles() -> None:
    seen = {(row["packet"], row["profile"]) for row in WELL_FORMED}
    assert seen == {(packet, profile) for packet in PACKETS for profile in PROFILES}
    assert len({row["name"] for row in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", WELL_FORMED, ids=named)
def test_well_formed_message_means_the_same_to_both(vector: dict[str, Any]) -> None:
    data, fields = bytes.fromhex(vector["hex"]), fields_of(vector)
    assert to_plain(decode(data)) == fields
    assert judge.dissect(data) == fields


@pytest.mark.parametrize("vector", [row for row in WELL_FORMED if row.get("canonical", True)], ids=named)
def test_both_write_the_same_octets(vector: dict[str, Any]) -> None:
    fields = fields_of(vector)
    assert encode(from_plain(fields)).hex() == vector["hex"]
    assert judge.build(fields).hex() == vector["hex"]


@pytest.mark.parametrize("vector", MALFORMED, ids=named)
def test_malformed_message_is_refused_by_both(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    with pytest.raises(DecodeError) as refused:
        decode(data)
    assert refused.value.reason == vector.get("reason", refused.value.reason)
    assert str(refused.value) == f"{refused.value.reason}: {refused.value.detail}"
    with pytest.raises(MalformedMessageError):
        judge.dissect(data)


def test_every_reason_has_a_vector() -> None:
    assert {row["reason"] for row in MALFORMED if "reason" in row} == {
        "too-short", "length-mismatch", "unknown-type", "profile-unknown", "parameter-overrun", "parameter-size",
        "address-size", "parameter-missing",
    }  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", [1, 253])
def test_identifiers_at_their_bounds(profile: str, size: int) -> None:
    fields = {"packet": "LJR", "session_id": 1, "f": 0, "profile": profile, "params": [["mn_id", "a5" * size]]}
    header = 4 if profile == "L16" else 2
    octets = encode(from_plain(fields))
    assert len(octets) == 8 + header + size
    assert octets == judge.build(fields)
    assert to_plain(decode(octets)) == judge.dissect(octets) == fields


def test_identifier_beyond_its_bound_is_refused_by_both() -> None:
    octets = bytes.fromhex("0300010a00000001 01000102") + bytes(254)
    with pytest.raises(DecodeError, match="parameter-size: identifier of 254 bytes"):
        decode(octets)
    with pytest.raises(MalformedMessageError):
        judge.dissect(octets)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"packet": "XYZ"}, "packet: 'XYZ' is not one of SJR, "),
        ({"packet": ["USP"]}, "packet: "),
        ({"session_id": None}, "session_id: None is not an integer"),
        ({"session_id": True}, "session_id: True is not an integer"),
        ({"session_id": -1}, "session id -1: not in 0 to 4294967295"),
        ({"session_id": 2**32}, "session id 4294967296"),
        ({"f": 2}, "f: 2 is not 0 or 1"),
        ({"f": "1"}, "f: '1' is not 0 or 1"),
        ({"f": 1}, "USP has no F flag"),
        ({"profile": "L32"}, "profile: 'L32' is not L16 or L8"),
        ({"colour": 1}, "unknown keys: colour"),
        ({"params": "mn_id"}, "params: not a list"),
        ({"params": [[]]}, "params: [] does not begin with one of mn_id"),
        ({"params": [[["mn_id"], "00"]]}, "does not begin with one of mn_id"),
        ({"params": ["mn_id"]}, "does not begin with one of mn_id"),
        ({"params": [["mn_id"]]}, "params: mn_id takes 1 values, not 0"),
        ({"params": [["mn_id", "6"]]}, "params: mn_id '6' is not hexadecimal"),
        ({"params": [["mn_id", 12]]}, "params: mn_id 12 is not hexadecimal"),
        ({"params": [["mn_id", ""]]}, "MN_IDENTIFIER of 0 bytes"),
        ({"params": [["poa_id", "00" * 254]]}, "POA_IDENTIFIER of 254 bytes"),
        ({"params": [["lmc", "10.0.0.256", 1]]}, "params: lmc '10.0.0.256' is not an IP address"),
        ({"params": [["lmc", 167772161, 1]]}, "params: lmc 167772161 is not an IP address"),
        ({"params": [["lmc", "10.0.0.1", 65536]]}, "port 65536 is not in 0 to 65535"),
        ({"params": [["lmc", "10.0.0.1", -1]]}, "port -1 is not in 0 to 65535"),
        ({"params": [["lmc", "10.0.0.1", "1"]]}, "params: lmc: '1' is not an integer"),
        ({"params": [["status", 1, 2**32]]}, "count 4294967296 is not in 0 to 4294967295"),
        ({"params": [["membership", -1]]}, "count -1 is not in 0 to"),
        ({"params": [["raw", "f00000"]]}, "unknown parameter"),
        ({"params": [["raw", "f0000005"]]}, "unknown parameter"),
        ({"params": [["raw", "f0010004"]]}, "unknown parameter"),
        ({"params": [["raw", "0100000500"]]}, "unknown parameter"),
        ({"profile": "L8", "params": [["raw", "f0"]]}, "unknown parameter"),
        ({"profile": "L8", "params": [["raw", "f003"]]}, "unknown parameter"),
        ({"packet": "SJC", "f": 1}, "SJC needs MulticastAddress"),
        ({"packet": "HIC", "f": 1}, "HIC needs LMCAddress"),
        ({"packet": "HIR", "params": [["mn_id", "00"]]}, "HIR needs PoAIdentifier"),
        ({"params": [["mn_id", "00" * 253]] * 260}, "no UDP datagram holds more"),
    ],
)
def test_what_no_receiver_may_accept_is_not_written(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EncodeError) as refused:
        encode(from_plain({"packet": "USP", "session_id": 1, **fields}))
    assert complaint in str(refused.value)

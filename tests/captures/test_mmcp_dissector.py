"""The dissector against hand-made messages, against itself, and against octets that are no message."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from captures.mmcp.dissector import (
    MMCP,
    PACKETS,
    CutShort,
    bound_to_udp,
    build,
    dissect,
    problems,
)
from captures.wire.malformed import MalformedMessageError

VECTORS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent.parent / "vectors" / "mmcp.toml").read_text(encoding="utf-8")
)["message"]
FIELDS = ("packet", "session_id", "f", "profile", "params")
MN, POA = ["mn_id", "6d6e31"], ["poa_id", "020000000a01"]
GROUP, LMC = ["multicast", "239.1.1.1", 5004], ["lmc", "2001:db8:1::2", 24793]
STATUS, MEMBERS = ["status", 2**32 - 1, 61], ["membership", 3]
EVERY_MESSAGE: list[tuple[str, int, list[Any]]] = [
    ("SJR", 0, [MN]), ("SJR", 0, [MN, POA]), ("SJR", 0, [MN, LMC]), ("SJC", 1, [GROUP]), ("SJC", 1, [GROUP, LMC]),
    ("SJC", 0, []), ("LJR", 0, [MN]), ("LJC", 1, []), ("LJC", 0, []), ("ULR", 0, [MN]), ("ULC", 1, []),
    ("USR", 0, [MN]), ("USR", 0, [MN, STATUS]), ("ASR", 0, [["membership", 0]]),
    ("ASR", 0, [MEMBERS, MN, STATUS, ["mn_id", "00"], ["mn_id", "ff" * 253], STATUS]), ("USP", 0, []),
    ("HIR", 0, [MN, POA]), ("HCT", 0, [MN, ["multicast", "ff1e::1:1", 5004]]), ("HTA", 1, []), ("HTA", 0, []),
    ("HIC", 1, [LMC]), ("HIC", 0, []),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _scapy_does_not_swallow_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "debug_dissector", True)


def ids(value: Any) -> str | None:
    return value["name"] if isinstance(value, dict) else None


@pytest.mark.parametrize("vector", [v for v in VECTORS if not v.get("malformed")], ids=ids)
def test_vector_is_read_and_rebuilt(vector: dict[str, Any]) -> None:
    fields = dissect(bytes.fromhex(vector["hex"]))
    assert fields == {name: vector[name] for name in FIELDS}
    assert build(fields).hex() == vector["hex"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.get("malformed")], ids=ids)
def test_malformed_vector_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError):
        dissect(bytes.fromhex(vector["hex"]))


def test_every_packet_type_is_among_the_messages() -> None:
    assert {packet for packet, _, _ in EVERY_MESSAGE} == set(PACKETS.values())


@pytest.mark.parametrize("profile", ["L16", "L8"])
@pytest.mark.parametrize(("packet", "f", "params"), EVERY_MESSAGE)
def test_built_message_is_read_back(packet: str, f: int, params: list[Any], profile: str) -> None:
    fields = {"packet": packet, "session_id": 0xFFFFFFFF, "f": f, "profile": profile, "params": params}
    expected = fields if params else {**fields, "profile": "L16"}  # nothing tells the profile of a bare header
    assert dissect(build(fields)) == expected


@pytest.mark.parametrize(
    ("parameter", "l16", "l8"),
    [(["mn_id", "01"], 5, 3), (["multicast", "239.1.1.1", 1], 10, 8), (LMC, 22, 20), (STATUS, 12, 12), (MEMBERS, 8, 8)],
)
def test_parameter_sizes_are_those_of_table_2(parameter: list[Any], l16: int, l8: int) -> None:  # M-2
    for profile, size in (("L16", l16), ("L8", l8)):
        data = build({"packet": "USP", "session_id": 1, "profile": profile, "params": [parameter]})
        assert len(data) == 8 + size


def test_the_first_parameter_tells_the_profile() -> None:  # M-2
    assert dissect(bytes.fromhex("0300000d 00000001 0105 6d6e31"))["profile"] == "L8"
    with pytest.raises(MalformedMessageError, match="octet 9: 1 fits neither profile"):
        dissect(bytes.fromhex("0300000f 00000001 0101 0007 6d6e31"))


def test_reserved_bits_are_ignored() -> None:
    later_parameter = "01fe0019 00000001 01000007 6d6e31 02ff000a 020000000a01"
    assert dissect(bytes.fromhex(later_parameter)) == {
        "packet": "SJR", "session_id": 1, "f": 0, "profile": "L16", "params": [MN, POA]
    }  # fmt: skip
    spare = "08000010 00000001 0608 ffff 00000003"
    assert dissect(bytes.fromhex(spare))["params"] == [MEMBERS]


@pytest.mark.parametrize(
    ("packet", "meaningful"), [(name, name in {"SJC", "LJC", "ULC", "HIC", "HTA"}) for name in PACKETS.values()]
)
def test_f_counts_only_where_it_has_a_meaning(packet: str, meaningful: bool) -> None:
    params = next(p for name, f, p in EVERY_MESSAGE if name == packet and (f or not meaningful))
    assert dissect(build({"packet": packet, "session_id": 1, "f": 1, "params": params}))["f"] == int(meaningful)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", "shorter than the header"),
        ("09000008000000", "shorter than the header"),
        ("0900000700000001", "Payload Length is 7"),
        ("0e00000800000001", "Packet Type 14"),
        ("0201000800000001", "SJC lacks its mandatory multicast"),
        ("0d01000800000001", "HIC lacks its mandatory lmc"),
        ("0800000800000001", "ASR lacks its mandatory membership"),
        ("0b00000f00000001010000076d6e31", "HCT lacks its mandatory multicast"),
        ("03000009 00000001 01", "1 octets left"),
        ("0300000b 00000001 010000", "3 octets left"),
        ("0300000c 00000001 01000003", "below its minimum of 4"),
        ("0300000c 00000001 01000004", "mn_id has 0 octets"),
        ("0300000a 00000001 0102", "mn_id has 0 octets"),
        ("0201000d 00000001 0300000501", "too short for a port"),
        ("0800000c 00000001 06000004", "membership is 4 octets long, not 8"),
        ("0300000c 00000001 01ff6d6e", "overruns the packet by 251"),
    ],
)
def test_what_is_wrong_is_said(octets: str, reason: str) -> None:
    data = bytes.fromhex(octets)
    with pytest.raises(MalformedMessageError, match=reason):
        dissect(data)
    assert reason in "; ".join(problems(MMCP(data)))


def test_malformed_message_is_dissected_as_far_as_it_goes() -> None:
    layer = MMCP(bytes.fromhex("0a000016 00000001 01000007 6d6e31 020000ff 706f6132"))
    assert (layer.type, layer.session_id, layer.parameters[0].identifier) == (10, 1, b"mn1")
    assert layer.parameters[1].load == bytes.fromhex("020000ff706f6132")
    assert "malformed" in layer.mysummary()
    assert isinstance(MMCP(b"\x09\x00"), CutShort)


def test_of_duplicates_all_are_shown_in_wire_order() -> None:
    fields = {"packet": "LJR", "session_id": 1, "f": 0, "profile": "L16", "params": [["mn_id", "02"], ["mn_id", "01"]]}
    assert dissect(build(fields)) == fields


def test_udp_is_bound_only_inside_the_context() -> None:
    packet = bytes(
        IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5, dport=24793) / build({"packet": "USP", "session_id": 1})
    )
    with bound_to_udp():
        assert IP(packet)[MMCP].type == 9
    assert MMCP not in IP(packet)
    assert Raw in IP(packet)


def reads_or_refuses(data: bytes) -> None:
    found = problems(MMCP(data))
    if found:
        with pytest.raises(MalformedMessageError):
            dissect(data)
    else:
        assert set(dissect(data)) == set(FIELDS)
    MMCP(data).mysummary()


@given(st.binary(max_size=80))
def test_arbitrary_octets_are_read_or_refused(data: bytes) -> None:
    reads_or_refuses(data)


@given(st.binary(max_size=60), st.integers(0, 15), st.integers(0, 1))
def test_arbitrary_parameters_are_read_or_refused(body: bytes, packet_type: int, f: int) -> None:
    reads_or_refuses(bytes([packet_type, f]) + (8 + len(body)).to_bytes(2) + bytes(4) + body)


@given(st.data())
def test_mutated_messages_are_read_or_refused(data: st.DataObject) -> None:
    packet, f, params = data.draw(st.sampled_from(EVERY_MESSAGE))
    profile = data.draw(st.sampled_from(["L16", "L8"]))
    message = bytearray(build({"packet": packet, "session_id": 1, "f": f, "profile": profile, "params": params}))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    reads_or_refuses(bytes(message))
    reads_or_refuses(bytes(message[:cut]))


identifiers = st.binary(min_size=1, max_size=253).map(bytes.hex)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ports, words = st.integers(0, 65535), st.integers(0, 2**32 - 1)
parameters = st.one_of(
    st.tuples(st.sampled_from(["mn_id", "poa_id"]), identifiers),
    st.tuples(st.sampled_from(["multicast", "lmc"]), addresses, ports),
    st.tuples(st.just("status"), words, words),
    st.tuples(st.just("membership"), words),
).map(list)


@given(st.lists(parameters, max_size=6), words, st.sampled_from(["L16", "L8"]), st.sampled_from(["USP", "LJC", "HTA"]))
def test_any_parameters_are_read_back(params: list[Any], session_id: int, profile: str, packet: str) -> None:
    fields = {
        "packet": packet,
        "session_id": session_id,
        "f": 0,
        "profile": profile if params else "L16",
        "params": params,
    }
    assert dissect(build(fields)) == fields

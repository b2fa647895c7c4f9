"""What an outage was spent on: by definition, and as the wire shows it of labs that never ran."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.history.outages import PARTS, Arrival, parts_of
from captures.rules.engine import judge
from tests.captures.scripted_lab import INTERFACES, MACS, ScriptedLab, Sent, ethernet, good_lab, ip, udp

TIMES = st.integers(0, 1000)
MOMENTS = st.none() | TIMES


@given(TIMES, TIMES, TIMES, TIMES, MOMENTS, MOMENTS, st.booleans())
def test_no_part_is_negative_and_together_they_are_the_outage(
    begin: int, end: int, down: int, up: int, addressed: int | None, joined: int | None, ahead: bool
) -> None:
    parts = parts_of(begin, end, Arrival(down, up, addressed, joined, ahead))
    assert tuple(parts) == PARTS
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == max(0, end - begin)


@pytest.mark.parametrize(
    ("arrival", "parts"),
    [
        (Arrival(110, 160, 260, 280), (50, 100, 20, 20, 10)),
        (Arrival(90, 160, 260, 280), (60, 100, 20, 20, 0)),  # the link went before a packet was due
        (Arrival(110, 160, 270, 250), (50, 0, 90, 50, 10)),  # the report did not wait for the address
        (Arrival(110, 160, None, 280), (50, 0, 120, 20, 10)),
        (Arrival(110, 160, 400, 450), (50, 0, 0, 0, 150)),  # all that came later than the stream
        (Arrival(110, 160, 170, 180, tree_is_ahead=True), (50, 0, 20, 0, 130)),
        (Arrival(110, 160, None, None, tree_is_ahead=True), (50, 0, 0, 0, 150)),
    ],
)
def test_parts_of_an_outage_from_100_to_300(arrival: Arrival, parts: tuple[int, ...]) -> None:
    assert tuple(parts_of(100, 300, arrival).values()) == parts


def test_a_report_before_the_data_counts_after_the_end_of_what_is_no_pause_of_the_source() -> None:
    arrival = Arrival(110, 160, 200, 305)
    assert parts_of(100, 300, arrival)["join"] == 0
    assert parts_of(100, 300, arrival, 310) == {"link": 50, "address": 40, "join": 100, "tree": 0, "other": 10}


def outages(lab: ScriptedLab, folder: Path) -> list[dict[str, Any]]:
    """Of the proactive handover and the reactive one, without what is None or 0."""
    found = judge(lab.write(folder / "lab.pcapng")).records["handovers"]
    return [{name: value for name, value in each["outage"].items() if value} for each in found]


def seen(lab: ScriptedLab, at_ms: float, frame: bytes) -> None:
    lab.frames.append(Sent(at_ms, INTERFACES["mn"], frame, "sign"))


def addressing(lab: ScriptedLab, mode: str, detection: str = "off", *, snooping: bool = False) -> None:
    """The lab's model says how; the scenario sets no delay then."""
    model = {
        "addressing": {"mode": mode, "duplicate_address_detection": detection},
        "points_of_attachment": [{"name": name, "mcast_snooping": snooping} for name in ("poa1", "poa2")],
    }
    lab.step(0, "model", model=model)
    if mode != "static":
        for step in lab.steps:
            step.pop("address_delay_ms", None)


def dhcp(server: str, client: str, kind: int) -> bytes:
    """A server's answer: BOOTP's fixed part, the cookie, a padding, the message type, the end."""
    fixed = struct.pack("!BBBB12x4s", 2, 1, 6, 0, ip_address(client).packed)
    message = fixed + bytes(236 - len(fixed)) + bytes.fromhex("63825363") + bytes([0, 53, 1, kind, 255])
    return ethernet(MACS["ar1"], ip(server, client, 17, udp(67, 68, message)))


def arp(sender: str, target: str) -> bytes:
    octets = bytes.fromhex("0001080006040001") + bytes.fromhex(MACS["mn"]) + ip_address(sender).packed
    octets += bytes(6) + ip_address(target).packed
    return bytes.fromhex("ff" * 6 + MACS["mn"]) + bytes.fromhex("0806") + octets


def test_an_address_that_the_node_gives_itself_is_there_when_its_delay_is_over(tmp_path: Path) -> None:
    _, reactive = outages(good_lab(), tmp_path)
    assert reactive == {
        "link_ms": 45.0, "address_ms": 100.0, "join_ms": 5.0, "tree_ms": 20.0,
        "address_after_ms": 100.0, "join_after_ms": 105.0,
    }  # fmt: skip


def test_an_address_from_dhcp_is_there_with_its_acknowledgement(tmp_path: Path) -> None:
    lab = good_lab()
    addressing(lab, "dhcp")
    seen(lab, 10_300, dhcp("10.0.1.1", "10.0.1.100", 2))  # an offer is none
    seen(lab, 10_310, dhcp("10.0.1.1", "10.0.1.99", 5))  # somebody else's
    seen(lab, 10_340, dhcp("10.0.1.1", "10.0.1.100", 5))
    _, reactive = outages(lab, tmp_path)
    assert (reactive["address_ms"], reactive["join_ms"]) == (85.0, 20.0)


def test_a_client_that_looks_for_duplicates_has_its_address_when_it_says_so(tmp_path: Path) -> None:
    lab = good_lab()
    addressing(lab, "dhcp", "on")
    seen(lab, 10_270, dhcp("10.0.1.1", "10.0.1.100", 5))
    seen(lab, 10_280, arp("0.0.0.0", "10.0.1.100"))
    seen(lab, 10_350, arp("10.0.1.100", "10.0.1.100"))
    _, reactive = outages(lab, tmp_path)
    assert (reactive["address_ms"], reactive["join_ms"]) == (95.0, 10.0)


@pytest.mark.parametrize(("detection", "after_ms"), [("off", 15.0), ("optimistic", 15.0), ("on", 1025.0)])
def test_an_address_from_slaac_is_there_when_nobody_objects(tmp_path: Path, detection: str, after_ms: float) -> None:
    """The report comes from the link-local address: it did not wait for that one."""
    lab = good_lab(6)
    addressing(lab, "slaac", detection)
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 86400, 14400, 0, ip_address("2001:db8:1::").packed)
    advertisement = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + bytes.fromhex("0101020000000501") + prefix
    seen(lab, 10_270, ethernet(MACS["ar1"], ip("fe80::1", "ff02::1", 58, advertisement, hop_limit=255)))
    probe = struct.pack("!BBHI16s", 135, 0, 0, 0, ip_address("2001:db8:1::100").packed)
    seen(lab, 10_280, ethernet(MACS["mn"], ip("::", "ff02::1:ff00:100", 58, probe, hop_limit=255)))
    _, reactive = outages(lab, tmp_path)
    assert reactive == {
        "link_ms": 45.0,
        "join_ms": 105.0,
        "tree_ms": 20.0,
        "address_after_ms": after_ms,
        "join_after_ms": 105.0,
    }


def test_a_cell_that_filters_lets_the_data_through_after_a_report_from_any_address(tmp_path: Path) -> None:
    lab = good_lab()
    addressing(lab, "static", snooping=True)
    lab.cell = 1
    lab.report(3257, "early.report", "mn")
    proactive, _ = outages(lab, tmp_path)
    assert (proactive["link_ms"], proactive["join_ms"], proactive["other_ms"]) == (45.0, 2.0, 3.0)
    assert proactive["join_after_ms"] == 104.0  # which routers heed


def test_a_report_from_no_address_is_heeded_by_routers(tmp_path: Path) -> None:
    lab = good_lab().patch("h2.mnreport@mn", ip_address("10.0.1.100").packed, bytes(4))
    _, reactive = outages(lab, tmp_path)
    assert (reactive.get("address_ms"), reactive["join_ms"]) == (None, 105.0)


def test_what_is_cut_off_or_malformed_is_no_sign(tmp_path: Path) -> None:
    lab = good_lab()
    addressing(lab, "dhcp")
    whole = dhcp("10.0.1.1", "10.0.1.100", 5)
    for octets in (42, 50, 282, len(whole) - 3):
        seen(lab, 10_300, whole[:octets])
    seen(lab, 10_301, arp("10.0.1.100", "10.0.1.1")[:40])
    _, reactive = outages(lab, tmp_path)
    assert reactive["address_after_ms"] == 105.0  # its report

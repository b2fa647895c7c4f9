"""Requests and answers that the Wireshark plugin ties together: plain, resent, copied, and read twice."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from captures.mmcp.constants import MMCP_PORT
from captures.mmcp.dissector import build
from tests.captures.exchanges import Capture, Links, mac
from tests.captures.tshark import PLUGIN, as_nobody_special, environment, scripts, tshark

pytestmark = pytest.mark.lab


def mmcp(packet: str, f: int, *params: list[Any], session: int = 1) -> bytes:
    return build({"packet": packet, "session_id": session, "f": f, "params": params})


MN, LMC1, LMC2 = ("10.0.1.100", MMCP_PORT), ("10.0.1.2", MMCP_PORT), ("10.0.2.2", MMCP_PORT)
MN_ID, POA, GROUP = ["mn_id", "6d6e31"], ["poa_id", "706f6132"], ["multicast", "239.1.1.1", 5004]
LJR, ULR, HIR, HCT = (
    mmcp("LJR", 0, MN_ID),
    mmcp("ULR", 0, MN_ID),
    mmcp("HIR", 0, MN_ID, POA),
    mmcp("HCT", 0, MN_ID, GROUP),
)
LJC, ULC, HTA, HIC = mmcp("LJC", 1), mmcp("ULC", 1), mmcp("HTA", 1), mmcp("HIC", 1, ["lmc", *LMC2])


def answered_in(frame: int, repeat_of: int = 0) -> Links:
    return Links(response_in=frame, repeat_of=repeat_of)


def answers(frame: int, milliseconds: float) -> Links:
    return Links(response_to=frame, milliseconds=milliseconds)


def test_each_request_leads_to_its_answer_and_back(tmp_path: Path) -> None:
    old_lmc = (LMC1[0], 40000)
    capture = Capture(tmp_path)
    capture.datagram(0.0, MN, LMC1, HIR)
    capture.datagram(0.001, old_lmc, LMC2, HCT)
    capture.datagram(0.0150005, LMC2, old_lmc, HTA)
    capture.datagram(0.016, LMC1, MN, HIC)
    capture.datagram(0.4, MN, LMC2, LJR)
    capture.datagram(0.401, LMC2, MN, LJC)
    capture.datagram(0.402, MN, LMC2, ULR)
    capture.datagram(0.404, LMC2, MN, ULC)
    assert capture.links("mmcp", "-2") == {
        1: answered_in(4), 2: answered_in(3), 3: answers(2, 14.0005), 4: answers(1, 16), 5: answered_in(6),
        6: answers(5, 1), 7: answered_in(8), 8: answers(7, 2),
    }  # fmt: skip


def test_on_the_only_pass_answers_are_tied_and_on_two_passes_nothing_is_counted_twice(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    for start in (0.0, 10.0):
        capture.datagram(start, MN, LMC1, LJR)
        capture.datagram(start + 0.002, LMC1, MN, LJC)
    assert capture.links("mmcp") == {1: Links(), 2: answers(1, 2), 3: Links(), 4: answers(3, 2)}
    assert capture.links("mmcp", "-2") == {1: answered_in(2), 2: answers(1, 2), 3: answered_in(4), 4: answers(3, 2)}


def test_peer_port_and_session_tell_exchanges_apart(tmp_path: Path) -> None:
    one, other = (LMC1[0], 40000), (LMC1[0], 40001)
    capture = Capture(tmp_path)
    capture.datagram(0.0, one, LMC2, HCT)
    capture.datagram(0.001, other, LMC2, HCT)
    capture.datagram(0.002, one, LMC2, mmcp("HCT", 0, MN_ID, GROUP, session=2))
    capture.datagram(0.003, MN, LMC2, LJR)
    capture.datagram(0.010, LMC2, other, HTA)
    capture.datagram(0.011, LMC2, one, mmcp("HTA", 1, session=2))
    capture.datagram(0.012, LMC2, one, HTA)
    capture.datagram(0.013, LMC2, MN, ULC)
    assert capture.links("mmcp", "-2") == {
        1: answered_in(7), 2: answered_in(5), 3: answered_in(6), 4: Links(),
        5: answers(2, 9), 6: answers(3, 9), 7: answers(1, 12), 8: Links(),
    }  # fmt: skip


def test_an_answer_that_follows_a_resend_took_as_long_as_the_requester_waited(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, MN, LMC1, HIR)
    capture.datagram(1.0, MN, LMC1, HIR)
    capture.datagram(1.016, LMC1, MN, HIC)
    assert capture.links("mmcp", "-2") == {1: answered_in(3), 2: answered_in(3, repeat_of=1), 3: answers(1, 1016)}


def test_of_requests_resent_and_all_answered_each_has_its_own(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, MN, LMC1, HIR)
    capture.datagram(1.0, MN, LMC1, HIR)
    capture.datagram(1.016, LMC1, MN, HIC)
    capture.datagram(1.5, LMC1, MN, HIC)
    capture.datagram(1.8, LMC1, MN, HIC)  # one answer more than there were requests
    capture.datagram(5.0, MN, LMC1, HIR)  # a new exchange
    capture.datagram(5.016, LMC1, MN, HIC)
    assert capture.links("mmcp", "-2") == {
        1: answered_in(3), 2: answered_in(4, repeat_of=1), 3: answers(1, 1016), 4: answers(2, 500), 5: answers(2, 800),
        6: answered_in(7), 7: answers(6, 16),
    }  # fmt: skip


def test_copies_of_one_datagram_are_tied_link_end_by_link_end(tmp_path: Path) -> None:
    # One link of 20 ms each way, captured at both ends, then a router and a second link, captured at one.
    first, second = (mac(MN[0]), "02:00:00:00:0a:01"), ("02:00:00:00:0a:02", mac(LMC1[0]))
    capture = Capture(tmp_path)
    for start in (0.0, 1.0):  # and all of it resent once
        capture.datagram(start + 0.000, MN, LMC1, LJR, macs=first, interface=0)
        capture.datagram(start + 0.020, MN, LMC1, LJR, macs=first, interface=1)
        capture.datagram(start + 0.021, MN, LMC1, LJR, macs=second, interface=2)
    capture.datagram(1.025, LMC1, MN, LJC, macs=second[::-1], interface=2)
    capture.datagram(1.026, LMC1, MN, LJC, macs=first[::-1], interface=1)
    capture.datagram(1.046, LMC1, MN, LJC, macs=first[::-1], interface=0)
    assert capture.links("mmcp", "-2") == {
        1: answered_in(9), 2: answered_in(8, repeat_of=1), 3: answered_in(7),
        4: answered_in(9, repeat_of=1), 5: answered_in(8, repeat_of=1), 6: answered_in(7, repeat_of=3),
        7: answers(3, 1004), 8: answers(2, 1006), 9: answers(1, 1046),
    }  # fmt: skip


def test_a_malformed_answer_answers_nothing(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, MN, LMC1, HIR)
    capture.datagram(0.01, LMC1, MN, mmcp("HIC", 1))
    assert capture.links("mmcp", "-2") == {1: Links(), 2: Links()}


def test_what_icmp_quotes_is_no_sighting(tmp_path: Path) -> None:
    """An error goes from whom the message did not reach to who sent it, so that a quoted request looks like one from there."""
    quoted = IP(src=MN[0], dst=LMC1[0]) / UDP(sport=MN[1], dport=LMC1[1]) / Raw(HIR)
    error = IP(src=LMC1[0], dst=MN[0]) / ICMP(type=3, code=3) / quoted
    capture = Capture(tmp_path)
    capture.datagram(0.0, MN, LMC1, HIR)
    for interface in (0, 1):
        capture.frame(0.001, error, interface=interface, macs=(mac(MN[0]), mac(LMC1[0])))
    capture.datagram(1.0, MN, LMC1, HIR)
    capture.datagram(1.016, LMC1, MN, HIC)
    assert capture.links("mmcp", "-2") == {
        1: answered_in(5), 2: Links(), 3: Links(), 4: answered_in(5, repeat_of=1), 5: answers(1, 1016)
    }  # fmt: skip


def test_an_answer_belongs_to_no_later_request(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, LMC1, MN, LJC)
    capture.datagram(1.0, MN, LMC1, LJR)
    assert capture.links("mmcp", "-2") == {1: Links(), 2: Links()}


def test_two_addresses_of_one_name_are_two_peers(tmp_path: Path) -> None:
    (tmp_path / ".config/wireshark").mkdir(parents=True)
    (tmp_path / ".config/wireshark/hosts").write_text("10.0.1.100 node\n10.0.1.101 node\n")
    one, other, ends = MN, ("10.0.1.101", MMCP_PORT), ("02:00:00:00:00:01", "02:00:00:00:00:02")
    capture = Capture(tmp_path)
    capture.datagram(0.0, one, LMC1, LJR, macs=ends)
    capture.datagram(1.0, other, LMC1, LJR, macs=ends)
    capture.datagram(1.5, LMC1, other, LJC, macs=ends[::-1])
    capture.datagram(3.0, LMC1, one, LJC, macs=ends[::-1])
    assert capture.links("mmcp", "-2", "-N", "n") == {
        1: answered_in(4), 2: answered_in(3), 3: answers(2, 500), 4: answers(1, 3000)
    }  # fmt: skip


def test_a_new_file_knows_nothing_of_the_one_before(tmp_path: Path) -> None:
    sharkd = shutil.which("sharkd")  # the one program without a window that opens a second file
    if sharkd is None:
        pytest.skip("sharkd is not installed")
    plugins = tmp_path / ".local/lib/wireshark/plugins/multicast-lab"
    plugins.mkdir(parents=True)
    for file in PLUGIN:
        shutil.copy(file, plugins)
    files = []
    for name, first in (("before", LJR), ("after", ULR)):
        (tmp_path / name).mkdir()
        capture = Capture(tmp_path / name)
        capture.datagram(0.0, MN, LMC1, first)
        capture.datagram(0.1, LMC1, MN, LJC)
        files.append(capture.write())
    calls: list[tuple[str, dict[str, Any]]] = [("load", {"file": str(file)}) for file in files]
    for frame in (2, 1, 2):
        calls.insert(1, ("frame", {"frame": frame, "proto": True}))
    calls.append(("frame", {"frame": 2, "proto": True}))
    requests = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        for number, (method, params) in enumerate(calls, 1)
    ]
    done = subprocess.run(
        [*as_nobody_special(), sharkd, "-"], input="\n".join(requests) + "\n",
        check=True, capture_output=True, text=True, timeout=50, env=environment(tmp_path),
    )  # fmt: skip
    replies = {reply["id"]: json.dumps(reply) for reply in map(json.loads, done.stdout.splitlines())}
    tied = [number for number, reply in replies.items() if "Response to: 1" in reply]
    assert tied == [2, 4], "frame 2 of the first file, shown twice"
    assert "LJC session 1 accepted" in replies[len(calls)]


def test_the_port_is_a_preference(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, ("10.0.1.100", 40000), ("10.0.1.2", 41000), LJR)
    capture.datagram(0.1, MN, LMC1, LJR)
    arguments = [*scripts(["mmcp"]), "-r", str(capture.write()), "-Y", "mmcp", "-T", "fields", "-e", "frame.number"]
    assert tshark(tmp_path, *arguments).split() == ["2"]
    assert tshark(tmp_path, "-o", "mmcp.udp_ports:41000,6000-6010", *arguments).split() == ["1"]
    assert tshark(tmp_path, "-o", "mmcp.udp_ports:41000,24793", *arguments).split() == ["1", "2"]

"""Status reports and probes (X.604.1 clause 7.4)."""

from __future__ import annotations

from typing import Any

import pytest

from agents.mmcp.events import DataChannelReport
from tests.agents.lab import (
    LMC1,
    MN_ID,
    SM,
    STRANGER,
    TIMERS,
    count,
    joined,
    lab,
    message,
    move,
    row,
)

PERIOD = TIMERS.srt_s


def test_mn_reports_to_its_lmc_every_srt() -> None:
    network = joined()
    [begin] = network.times("lmc1 LJC+ mn")
    network.tell("mn", DataChannelReport(5000))
    network.run_for(3 * PERIOD)
    assert network.times("mn USR lmc1") == [round(begin + 0.001 + n * PERIOD, 6) for n in (1, 2, 3)]
    params = [sent.fields["params"] for sent in network.packets("USR")]
    assert params == [[["mn_id", MN_ID], ["status", 5000, seconds]] for seconds in (2, 4, 6)]


def test_report_without_a_receiver_holds_no_status() -> None:
    network = joined()
    network.run_for(PERIOD)
    assert network.packets("USR")[0].fields["params"] == [["mn_id", MN_ID]]


def test_counts_wrap_at_32_bits() -> None:  # M-3
    network = joined()
    network.tell("mn", DataChannelReport(2**32 + 7))
    network.run_for(PERIOD)
    assert network.packets("USR")[0].fields["params"][1] == ["status", 7, 2]


def test_mn_without_lmc_reports_to_the_sm() -> None:
    network = joined(with_lmcs=False)
    network.tell("mn", DataChannelReport(1))
    network.run_for(PERIOD + 0.1)
    assert len(network.times("mn USR sm")) == 1
    assert count(network, "sm", "received.USR") == 1
    assert count(network, "sm", "dropped.unknown-mn") == 0


def test_lmc_reports_its_mns_to_the_sm_every_srt() -> None:
    network = joined()
    [begin] = network.times("sm SJC+ lmc1")
    network.tell("mn", DataChannelReport(9))
    network.run_for(2 * PERIOD + 0.5)
    assert network.times("lmc1 ASR sm") == [round(begin + 0.001 + n * PERIOD, 6) for n in (1, 2)]
    first, second = [sent.fields["params"] for sent in network.packets("ASR") if sent.sender == "lmc1"]
    assert first == [["membership", 1], ["mn_id", MN_ID]]
    assert second == [["membership", 1], ["mn_id", MN_ID], ["status", 9, 2]]
    assert row(network, "sm")["lmcs"][b"lmc1".hex()]["members"] == 1
    assert row(network, "sm")["lmcs"][b"lmc2".hex()]["members"] == 0


@pytest.mark.parametrize(
    ("members", "with_status", "datagrams"), [(53, True, 1), (54, True, 2), (200, False, 1), (400, True, 8)]
)
def test_aggregate_is_split_at_1400_bytes(members: int, with_status: bool, datagrams: int) -> None:  # M-12
    network = lab()
    status = [["status", 1, 2]] if with_status else []
    for number in range(members):
        mn = ["mn_id", number.to_bytes(10 if with_status else 2, "big").hex()]
        network.give("lmc1", message("LJR", mn), STRANGER)
        network.give("lmc1", message("USR", mn, *status), STRANGER)
    network.run_for(PERIOD)
    reports = [sent for sent in network.packets("ASR") if sent.sender == "lmc1"]
    assert len(reports) == datagrams
    assert all(len(sent.data) <= 1400 for sent in reports)
    assert all(len(sent.data) > 1350 for sent in reports[:-1])
    assert {sent.time for sent in reports} == {reports[0].time}
    assert all(sent.fields["params"][0] == ["membership", members] for sent in reports)
    told = [item[1] for sent in reports for item in sent.fields["params"] if item[0] == "mn_id"]
    assert len(told) == len(set(told)) == members
    network.run_for(0.1)
    assert row(network, "sm")["lmcs"][b"lmc1".hex()]["members"] == members
    assert count(network, "sm", "report.adopted-mn") == members


@pytest.mark.parametrize(("last", "sizes"), [(4, [1400]), (5, [1392, 25])])
def test_aggregate_of_exactly_1400_bytes_is_one(last: int, sizes: list[int]) -> None:  # M-12
    network = lab()
    for number in range(173):
        mn = ["mn_id", number.to_bytes(last if number == 172 else 4, "big").hex()]
        network.give("lmc1", message("LJR", mn), STRANGER)
    network.run_for(PERIOD)
    assert [len(sent.data) for sent in network.packets("ASR") if sent.sender == "lmc1"] == sizes


def test_largest_identifier_still_fits_an_aggregate() -> None:
    network = lab()
    for number in range(9):
        mn = ["mn_id", bytes([number] * 253).hex()]
        network.give("lmc1", message("LJR", mn), STRANGER)
        network.give("lmc1", message("USR", mn, ["status", 1, 2]), STRANGER)
    network.run_for(PERIOD)
    assert [len(sent.data) for sent in network.packets("ASR") if sent.sender == "lmc1"] == [16 + 5 * 269, 16 + 4 * 269]


@pytest.mark.parametrize("profile", ["L16", "L8"])
def test_probe_is_answered_at_once(profile: str) -> None:
    network = joined()
    unknown = ["raw", "f002" if profile == "L8" else "f0000004"]
    mark = network.mark()
    network.give("mn", message("USP", unknown, profile=profile), LMC1)
    network.give("lmc1", message("USP", unknown, profile=profile), SM)
    assert network.lines(mark) == ["mn USR lmc1", "lmc1 ASR sm"]
    assert [sent.fields["profile"] for sent in network.sent[-2:]] == [profile, profile]


@pytest.mark.parametrize("profile", ["L16", "L8"])
def test_probe_without_parameters_is_answered_in_the_mns_own_profile(profile: str) -> None:  # M-2
    network = joined(mn={"profile": profile})
    network.give("mn", message("USP"), LMC1)
    [answer] = network.packets("USR")
    assert (answer.receiver, answer.fields["profile"]) == ("lmc1", profile)


def test_probe_of_a_stranger_is_dropped() -> None:
    network = joined()
    mark = network.mark()
    for name in ("mn", "lmc1"):
        network.give(name, message("USP"), STRANGER)
        assert count(network, name, "dropped.unknown-peer") == 1
    assert network.lines(mark) == []


@pytest.mark.parametrize("name", ["sm", "lmc1"])
def test_report_of_an_unknown_mn_is_counted_and_ignored(name: str) -> None:
    network = joined()
    mark = network.mark()
    network.give(name, message("USR", ["mn_id", "77"], ["status", 1, 1]), STRANGER)
    assert network.lines(mark) == []
    assert count(network, name, "dropped.unknown-mn") == 1


def test_aggregate_of_an_unknown_lmc_is_counted_and_ignored() -> None:
    network = joined()
    network.give("sm", message("ASR", ["membership", 5]), STRANGER)
    assert count(network, "sm", "dropped.unknown-lmc") == 1


def test_aggregate_tells_the_sm_where_an_mn_is() -> None:
    network = joined()
    move(network, "poa2")
    network.run_for(PERIOD)
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc2".hex()


def test_report_that_falls_due_during_a_handover_follows_the_local_join() -> None:  # M-21
    network = joined()
    network.run_for(PERIOD - 0.2)
    move(network, "poa2", gap=0.3)
    assert network.lines()[-2:] == ["lmc2 LJC+ mn", "mn USR lmc2"]
    assert network.times("mn USR lmc1") == []
    network.run_for(PERIOD)
    assert len(network.times("mn USR lmc2")) == 2  # the period goes on as it was
    assert count(network, "lmc2", "dropped.unknown-mn") == 0


def test_reports_take_the_mn_along_to_its_new_endpoint() -> None:
    network = joined()
    network.give("lmc1", message("USR", ["mn_id", MN_ID]), STRANGER)
    described: Any = row(network, "lmc1")["members"]
    assert described == {MN_ID: str(STRANGER)}


def test_status_of_the_sm_is_per_mn() -> None:
    network = joined()
    report = message(
        "ASR",
        ["membership", 2],
        ["mn_id", "77"],
        ["status", 1, 1],
        ["mn_id", MN_ID],
        ["status", 8, 3],
        ["status", 9, 9],
    )
    network.give("sm", report, LMC1)
    member: Any = network.nodes["sm"].agent
    status = member._sessions[1].members[bytes.fromhex(MN_ID)].status
    assert (status.packets_received, status.seconds_in_session) == (8, 3)  # of duplicates the first counts

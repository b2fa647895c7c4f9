"""The rounds of an LMC's ASRs: how many at once, one after the other, in which profile, and on a leave [7.3, 7.4, M-12]."""

from __future__ import annotations

import pytest

from agents.mmcp import constants as c
from agents.mmcp.events import ApplicationLeave
from tests.agents.chart import Sent
from tests.agents.lab import MN_ID, SM, STRANGER, TIMERS, Chart, joined, lab, message

PER_REPORT = 172  # MNs with four bytes of ID that one ASR names
PER_TURN = 2  # ASRs at once, in place of more, so that fewer MNs do
MEMBERS = 3 * PER_REPORT  # for two turns


@pytest.fixture(autouse=True)
def _fewer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.mmcp.status_rounds.AGGREGATES_PER_TURN", PER_TURN)


def with_members(members: int, *, asr_on_leave: bool = False) -> Chart:
    network = lab(lmc={"asr_on_leave": asr_on_leave})
    for number in range(members):
        network.give("lmc1", message("LJR", ["mn_id", number.to_bytes(4, "big").hex()]), STRANGER)
    return network


def leave(network: Chart, number: int) -> None:
    network.give("lmc1", message("ULR", ["mn_id", number.to_bytes(4, "big").hex()]), STRANGER)


def reports(network: Chart, since: float = 0.0) -> list[Sent]:
    return [sent for sent in network.packets("ASR") if sent.sender == "lmc1" and sent.time >= since]


def named(sent: list[Sent]) -> list[str]:
    return [item[1] for each in sent for item in each.fields["params"] if item[0] == "mn_id"]


def test_long_row_leaves_room_at_the_sm_and_names_everybody_once() -> None:  # M-12
    assert (
        c.AGGREGATES_PER_TURN * 2304 < 212_992 / 2
    )  # bytes: what the kernel needs for each, and has room for by default
    turns = 3
    members = turns * PER_TURN * PER_REPORT
    network = with_members(members)
    network.run_for(TIMERS.srt_s + 0.1)
    row = reports(network)
    assert len(row) == turns * PER_TURN
    times = sorted({sent.time for sent in row})
    assert [round(time - times[0], 6) for time in times] == [
        round(turn * c.AGGREGATES_PAUSE, 6) for turn in range(turns)
    ]
    assert all(sum(sent.time == time for sent in row) == PER_TURN for time in times)
    assert len(named(row)) == len(set(named(row))) == members
    assert {sent.fields["params"][0][1] for sent in row} == {members}
    network.run_for(TIMERS.srt_s)  # at the same pace as a short one
    assert [round(sent.time - row[0].time, 6) for sent in reports(network)[len(row) :]][:1] == [TIMERS.srt_s]


def test_what_is_asked_for_during_a_row_follows_it() -> None:
    network = with_members(MEMBERS)
    network.run_for(TIMERS.srt_s - 0.1)
    for _ in range(3):
        network.give("lmc1", message("USP"), SM)
    assert len(reports(network)) == PER_TURN
    network.run_for(c.AGGREGATES_PAUSE)
    assert len(named(reports(network))) == MEMBERS
    network.run_for(c.ROUNDS_PAUSE + 2 * c.AGGREGATES_PAUSE)
    assert len(named(reports(network))) == 2 * MEMBERS
    network.run_for(c.ROUNDS_PAUSE)  # one more for all three, and none for SRT, which was in between
    assert len(named(reports(network))) == 2 * MEMBERS


def test_lmc_that_leaves_ends_its_row() -> None:
    network = with_members(MEMBERS)
    network.give("lmc1", message("USP"), SM)
    network.tell("lmc1", ApplicationLeave())
    network.run_for(TIMERS.srt_s + 0.1)
    assert len(reports(network)) == PER_TURN
    assert network.nodes["lmc1"].next_deadline is None


def test_leave_is_reported_at_once_and_a_strangers_or_a_second_one_is_not() -> None:
    network = with_members(2, asr_on_leave=True)
    mark = network.mark()
    leave(network, 0)
    assert network.lines(mark) == ["lmc1 ULC+ nobody", "lmc1 ASR sm"]
    assert named(reports(network)) == [(1).to_bytes(4, "big").hex()]
    mark = network.mark()
    leave(network, 0)
    leave(network, 9)
    assert network.lines(mark) == ["lmc1 ULC+ nobody"] * 2


def test_many_leaves_cost_few_rows() -> None:
    members = (PER_TURN + 1) * PER_REPORT + 100
    network = with_members(members, asr_on_leave=True)
    for number in range(100):
        leave(network, number)
        network.run_for(0.0001)
    network.run_for(1.5)
    rows = len(reports(network)) / (PER_TURN + 1)
    assert 1 < rows < 3
    assert reports(network)[-1].fields["params"][0] == ["membership", members - 100]


def test_probe_without_parameters_is_answered_in_the_lmcs_own_profile() -> None:  # M-2
    for profile in ("L8", "L16"):
        network = joined(lmc={"profile": profile})
        network.give("lmc1", message("USP"), SM)
        assert reports(network)[-1].fields["profile"] == profile
        assert named(reports(network)) == [MN_ID]

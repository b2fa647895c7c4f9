"""The numbers of a handover: exact on streams whose loss, order and gaps are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.mmcp.handovers import extended_sequence, stream_numbers
from captures.rules.engine import judge
from captures.wire.flows import Flow
from tests.captures.scripted_lab import INTERFACES, T0, ScriptedLab, Sent, good_lab

MS = 1_000_000


def flow(*packets: tuple[int, int]) -> Flow:
    """A flow of (time in ms, sequence number)."""
    made = Flow()
    for number, (at_ms, sequence) in enumerate(packets, 1):
        made.number.append(number)
        made.t_ns.append(T0 + at_ms * MS)
        made.sequence.append(sequence % 65536)
    made.sort()
    return made


def records(lab: ScriptedLab, folder: Path) -> list[dict[str, Any]]:
    return judge(lab.write(folder / "lab.pcapng")).records["handovers"]


def test_loss_duplicates_and_gap_are_counted() -> None:
    numbers = stream_numbers(flow((0, 1), (10, 2), (20, 2), (30, 4), (80, 7), (90, 8)), T0, T0 + 90 * MS)
    assert numbers is not None
    assert (numbers.packets, numbers.lost, numbers.duplicates) == (6, 3, 1)
    assert (numbers.gap_begin_ns - T0, numbers.gap_end_ns - T0) == (30 * MS, 80 * MS)


def test_window_includes_both_its_ends() -> None:
    stream = flow((0, 1), (10, 2), (20, 3), (30, 4))
    numbers = stream_numbers(stream, T0 + 10 * MS, T0 + 20 * MS)
    assert numbers is not None
    assert numbers.packets == 2
    assert stream_numbers(stream, T0 + 10 * MS + 1, T0 + 20 * MS) is None


def test_of_equal_gaps_the_first_counts() -> None:
    numbers = stream_numbers(flow((0, 1), (50, 2), (100, 3)), T0, T0 + 100 * MS)
    assert numbers is not None
    assert numbers.gap_begin_ns == T0


def test_order_does_not_make_loss() -> None:
    numbers = stream_numbers(flow((0, 65535), (10, 1), (20, 0), (30, 2)), T0, T0 + 30 * MS)
    assert numbers is not None
    assert (numbers.lost, numbers.duplicates) == (0, 0)


@given(st.integers(0, 65535), st.lists(st.integers(1, 15_000), max_size=50), st.randoms())
def test_sequence_numbers_are_continued_past_the_wrap(start: int, steps: list[int], chance: Any) -> None:
    real = [start]
    for step in steps:
        real.append(real[-1] + step)
    for i in range(0, len(real) - 1, 3):  # neighbours change places
        if chance.random() < 0.5:
            real[i], real[i + 1] = real[i + 1], real[i]
    extended = extended_sequence([number % 65536 for number in real])
    assert [number - extended[0] for number in extended] == [number - real[0] for number in real]


def test_records_of_a_good_lab(tmp_path: Path) -> None:
    first, second = records(good_lab(), tmp_path)
    assert first == {
        "handover": 1, "mode": "proactive", "mn": "mn", "from": "poa1", "to": "poa2", "outcome": "predictive",
        "l2_gap_ms": 50.0, "address_delay_ms": 100.0, "overlap_ms": 200.0, "expected": "prepared", "because": "",
        "longest_silence_ms": 60.0, "disruption_ms": 50.0, "excess_ms": 0.0, "packets": 126, "lost": 5, "duplicates": 0,
        "hir_hic_ms": 11.1, "first_packet_after_link_up_ms": 5.0,
        "window": {"begin_ns": T0 + 3000 * MS, "end_ns": T0 + 4300 * MS},
        "longest_gap": {"begin_ns": T0 + 3200 * MS, "end_ns": T0 + 3260 * MS},
        "measured_link_gap_ms": 50.0, "source_paused_ms": 0.0,
        "outage": {
            "link_ms": 45.0, "address_ms": 0.0, "join_ms": 0.0, "tree_ms": 0.0, "other_ms": 5.0,
            "tree_is_ahead": True, "address_after_ms": 100.0, "join_after_ms": 104.0,
        },
    }  # fmt: skip
    assert (second["outcome"], second["disruption_ms"], second["lost"]) == ("reactive", 170.0, 17)
    assert second["hir_hic_ms"] is None


def test_a_source_that_paused_while_there_was_no_link_is_told(tmp_path: Path) -> None:
    lab = good_lab()
    lab.steps[0]["mcs"]["interface"] = INTERFACES["mcs"]
    for at_ms in {frame.at_ms for frame in lab.frames if frame.tag.startswith("data.")} - {3210, 3220, 3230, 3240}:
        packet = next(frame for frame in lab.frames if frame.tag.startswith(f"data.{at_ms:.0f}@"))
        lab.frames.append(Sent(at_ms - 1, INTERFACES["mcs"], packet.data, "sent"))
    first, _ = records(lab, tmp_path)
    assert (first["source_paused_ms"], first["longest_silence_ms"], first["disruption_ms"]) == (34.0, 60.0, 10.0)


def test_silent_handover_is_called_so(tmp_path: Path) -> None:
    lab = good_lab()
    lab.steps = [{**step, "mode": "silent"} if step.get("mode") == "reactive" else step for step in lab.steps]
    assert records(lab, tmp_path)[1]["outcome"] == "silent"


def test_handover_without_stream_after_it_failed(tmp_path: Path) -> None:
    lab = good_lab().drop("data.103*@mn").drop("data.10[4-9]*@mn").drop("data.11*@mn")
    assert records(lab, tmp_path)[1]["outcome"] == "failed"


def test_fallback_is_called_so(tmp_path: Path) -> None:
    first, _ = records(good_lab(fallback=True), tmp_path)
    assert (first["outcome"], first["hir_hic_ms"]) == ("fallback", None)


def test_hir_hic_counts_from_the_first_hir_to_the_hic_that_accepts(tmp_path: Path) -> None:
    lab = good_lab().copy("h1.HIR@*", 5).copy("h1.HIC@*", -6)
    lab.patch("copy.h1.HIC@*", b"\x0d\x01", b"\x0d\x00")
    assert records(lab, tmp_path)[0]["hir_hic_ms"] == 11.1


def test_without_data_there_are_no_numbers(tmp_path: Path) -> None:
    first, _ = records(good_lab().drop("data.*@mn"), tmp_path)
    assert (first["packets"], first["disruption_ms"], first["lost"], first["longest_gap"]) == (0, None, None, None)
    assert first["outcome"] == "failed"


def test_without_local_join_the_handover_failed(tmp_path: Path) -> None:
    assert records(good_lab().drop("h1.LJC@*"), tmp_path)[0]["outcome"] == "failed"


@pytest.mark.parametrize(("stay_ms", "outcome", "verdict"), [(140, "too short", "unseen"), (310, "failed", "failed")])
def test_a_stay_that_was_too_short_is_no_failure(tmp_path: Path, stay_ms: int, outcome: str, verdict: str) -> None:
    """The node goes on before it has its address (after 100 ms) and could be answered; with time enough it has failed."""
    lab = good_lab().drop("h1.LJR@*").drop("h1.LJC@*").drop_step("handover_end", handover=1)
    lab.step(3255 + stay_ms, "handover_end", handover=1)
    ruling = judge(lab.write(tmp_path / "lab.pcapng"))
    assert ruling.records["handovers"][0]["outcome"] == outcome
    (found,) = (
        each.verdict
        for each in ruling.verdicts
        if each.rule == "mmcp-local-join-after-link-up" and "handover 1 " in each.subject
    )
    assert found == verdict


@pytest.mark.parametrize(("stay_ms", "verdict"), [(140, "unseen"), (310, "failed")])
def test_a_fall_back_that_had_no_time_is_no_failure(tmp_path: Path, stay_ms: int, verdict: str) -> None:
    lab = good_lab(fallback=True).drop("h1.LJC@*").drop_step("handover_end", handover=1)
    lab.step(3255 + stay_ms, "handover_end", handover=1)
    found = {
        each.verdict for each in judge(lab.write(tmp_path / "lab.pcapng")).verdicts if each.rule == "mmcp-fallback-join"
    }
    assert found == {verdict}


# When the node became a member, and its link trigger; both against the link down at 3205 ms.
@pytest.mark.parametrize(
    ("joined_ms", "trigger_ms", "expected", "verdict"),
    [
        (2200, 3005, "prepared", "failed"),
        (2200, 3005, "either", "failed"),
        (2980, 3005, "prepared", "unseen"),  # no member when it would have had to know of it
        (3010, 3005, "either", "unseen"),
        (2945, 3005, "prepared", "failed"),
        (2945, 3005, "either", "unseen"),  # its lab says that so short a stay may not do
        (2200, 3145, "prepared", "failed"),
        (2200, 3145, "either", "unseen"),  # nor such an overlap
        (2200, 3160, "prepared", "unseen"),
    ],
)
def test_a_node_without_time_for_its_request_owes_none(
    tmp_path: Path, joined_ms: int, trigger_ms: int, expected: str, verdict: str
) -> None:
    """One that was a member in time and had time after the trigger has failed."""
    lab = good_lab(fallback=True).drop("h1.H*").drop_step("link_trigger", handover=1)
    lab.step(2000, "handover_begin", handover=0, mode="reactive", mn="mn", **{"from": "poa2", "to": "poa1"})
    lab.step(2100, "link_up", handover=0)
    lab.mmcp(joined_ms, "h0.LJC", "lmc1", "mn", f=1)
    lab.step(trigger_ms, "link_trigger", handover=1)
    begin = next(step for step in lab.steps if step["step"] == "handover_begin" and step["handover"] == 1)
    begin["expected"] = expected
    found = [
        each.verdict
        for each in judge(lab.write(tmp_path / "lab.pcapng")).verdicts
        if each.rule == "mmcp-handover-order" and "handover 1 " in each.subject
    ]
    assert found == [verdict]


@pytest.mark.parametrize("step", ["link_down", "link_up", "handover_end"])
def test_without_its_steps_a_handover_has_no_numbers(tmp_path: Path, step: str) -> None:
    assert records(good_lab().drop_step(step, handover=1), tmp_path)[0]["disruption_ms"] is None


def test_a_stream_that_is_no_rtp_does_not_count(tmp_path: Path) -> None:
    lab = good_lab().patch("data.3100@mn", bytes.fromhex("8021"), bytes.fromhex("4021"))
    first, _ = records(lab, tmp_path)
    assert (first["packets"], first["lost"]) == (125, 6)


def test_out_of_order_capture_is_put_in_order(tmp_path: Path) -> None:
    """Time decides, not the place in the file."""
    lab = good_lab()
    path = lab.write(tmp_path / "a.pcapng")
    expected = judge(path).records["handovers"]
    lab.frames.sort(key=lambda frame: frame.data)
    assert records(lab, tmp_path) == expected

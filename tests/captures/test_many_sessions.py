"""A lab of two sessions: each is judged by itself, with the mobile nodes and the stream that are its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from captures.mmcp.chapters import additions
from captures.rules.engine import judge
from tests.captures.scripted_lab import INTERFACES, MN_ID, ScriptedLab, good_lab, read_lab
from tests.captures.scripted_leaves import good_leave_lab

SECOND_MN = {"name": "other", "node": "sm", "id": "6f74", "interface": INTERFACES["sm"], "session_id": 2}


def two_sessions(**other: Any) -> ScriptedLab:
    """The good lab, beside it a second session with a group and a mobile node of its own, of which nothing is seen."""
    lab = good_lab()
    mmcp = lab.steps[0]["mmcp"]
    mmcp["sessions"] = [
        {"session_id": 1, "group": lab.addresses["group"], "source": None},
        {"session_id": 2, "group": "239.1.1.2", "source": None},
    ]
    mmcp["mns"] = [{**mmcp["mns"][0], "session_id": 1}, {**SECOND_MN, "addresses": {"poa1": "10.0.1.77"}, **other}]
    return lab


def test_the_first_session_is_judged_as_if_it_were_alone(tmp_path: Path) -> None:
    alone = judge(good_lab().write(tmp_path / "a.pcapng"))
    both = judge(two_sessions().write(tmp_path / "b.pcapng"))
    assert both.records["handovers"] == alone.records["handovers"]
    assert both.with_verdict("failed") == []
    assert len(both.with_verdict("passed")) >= len(alone.with_verdict("passed"))


def handover_in_the_second() -> ScriptedLab:
    """Between the two of the first."""
    lab = two_sessions()
    lab.step(
        5000,
        "handover_begin",
        handover=7,
        mode="proactive",
        mn="other",
        l2_gap_ms=50.0,
        **{"from": "poa1", "to": "poa2"},
    )
    for at_ms, step in ((5200, "link_down"), (5250, "link_up"), (6000, "handover_end")):
        lab.step(at_ms, step, handover=7)
    return lab


def test_a_handover_in_the_second_is_judged_there(tmp_path: Path) -> None:
    judgement = judge(handover_in_the_second().write(tmp_path / "lab.pcapng"))
    assert [(row["handover"], row["mn"]) for row in judgement.records["handovers"]] == [
        (1, "mn"),
        (7, "other"),
        (2, "mn"),
    ]
    # Its own stream never came, whatever was sent to the other group.
    failed = {verdict.rule: verdict.message for verdict in judgement.with_verdict("failed")}
    assert failed["mmcp-stream-after-handover"].startswith("0 data packets were seen at sm:sm-ar1")
    assert all("other" in verdict.subject for verdict in judgement.with_verdict("failed"))


def test_without_a_session_of_its_own_a_node_is_in_the_first(tmp_path: Path) -> None:
    lab = good_lab()
    lab.steps[0]["mmcp"]["sessions"] = [{"session_id": 2, "group": "239.1.1.2", "source": None}]
    assert lab.steps[0]["mmcp"]["mns"][0]["id"] == MN_ID
    judgement = judge(lab.write(tmp_path / "lab.pcapng"))
    assert [row["mn"] for row in judgement.records["handovers"]] == ["mn", "mn"]
    assert judgement.with_verdict("failed") == []


def test_a_handover_in_the_second_is_a_part_of_the_page_and_drawn(tmp_path: Path) -> None:
    lab = read_lab(handover_in_the_second().write(tmp_path / "lab.pcapng"))
    found = additions(lab, lab.records(), ())
    assert [(part.short, part.stretch.node if part.stretch else "") for part in found.parts] == [
        ("1", "mn"), ("7", "other"), ("2", "mn"),
    ]  # fmt: skip
    assert [line.anchor for line in found.tables[0].lines] == [part.anchor for part in found.parts]
    drawn = found.parts[1].stretch
    assert drawn is not None
    assert {"link down", "link up"} <= {moment.text for moment in drawn.moments}


def test_a_join_to_the_second_is_drawn(tmp_path: Path) -> None:
    lab = good_leave_lab()
    mmcp = lab.steps[0]["mmcp"]
    mmcp["sessions"] = [{"session_id": 2, "group": "239.1.1.2", "source": None}]
    mmcp["mns"].append({**SECOND_MN, "addresses": {"poa1": "10.0.1.77"}})
    lab.step(10_950, "session_begin", mn="other", mode="proactive")
    parts = additions(read_lab(lab.write(tmp_path / "lab.pcapng")), {}, ()).parts
    assert [part.stretch.label if part.stretch else "" for part in parts] == ["mn"] * 4 + ["other"]

"""Wireshark with the plugin and the judge read the MMCP of a real lab alike, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.captures.agreement import disagreements
from tests.captures.tshark import scripts, tshark
from tests.labs.runs import run

pytestmark = pytest.mark.timeout(240)


def test_every_frame_of_a_run_means_the_same_to_both(tmp_path: Path) -> None:
    finished = run(tmp_path, "handover", "--repeat", "1")
    assert finished.status == 0, finished.explain()
    assert finished.folder is not None
    capture = finished.folder / "lab.pcapng"
    messages, found = disagreements(tmp_path, capture, "mmcp")
    assert found == []
    assert messages > 50
    links_join_sightings_at_one_interface(tmp_path, capture)


def links_join_sightings_at_one_interface(home: Path, capture: Path) -> None:
    """The capture has each datagram several times, once for each link end it passed."""
    names = ["frame.number", "frame.interface_name", "mmcp.type", "mmcp.response_to", "mmcp.response_time"]
    fields = [word for name in names for word in ("-e", name)]
    shown = tshark(home, *scripts(["mmcp"]), "-r", str(capture), "-Y", "mmcp", "-T", "fields", *fields)
    rows = [line.split("\t") for line in shown.splitlines()]
    interface = {number: name for number, name, *_ in rows}
    answers = [row for row in rows if row[2] in {"2", "4", "6", "12", "13"}]
    assert {row[2] for row in answers} == {"2", "4", "6", "12", "13"}
    for number, name, _, request, seconds in answers:
        assert interface.get(request) == name, f"frame {number} at {name} is tied to frame {request}"
        assert 0 < float(seconds) < 1

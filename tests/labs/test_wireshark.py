"""The links that the Wireshark plugin draws in a real lab. That it reads each message as the judge does is asked of every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.captures.tshark import scripts, tshark
from tests.labs.runs import run

pytestmark = pytest.mark.timeout(240)


def test_links_join_sightings_at_one_interface(tmp_path: Path) -> None:
    """The capture has each datagram several times, once for each link end it passed."""
    finished = run(tmp_path, "handover", "--repeat", "1")
    assert finished.status == 0, finished.explain()
    assert finished.folder is not None
    capture = finished.folder / "lab.pcapng"
    names = ["frame.number", "frame.interface_name", "mmcp.type", "mmcp.response_to", "mmcp.response_time"]
    fields = [word for name in names for word in ("-e", name)]
    shown = tshark(tmp_path, *scripts(["mmcp"]), "-r", str(capture), "-Y", "mmcp", "-T", "fields", *fields)
    rows = [line.split("\t") for line in shown.splitlines()]
    interface = {number: name for number, name, *_ in rows}
    answers = [row for row in rows if row[2] in {"2", "4", "6", "12", "13"}]
    assert {row[2] for row in answers} == {"2", "4", "6", "12", "13"}
    for number, name, _, request, seconds in answers:
        assert interface.get(request) == name, f"frame {number} at {name} is tied to frame {request}"
        assert 0 < float(seconds) < 1

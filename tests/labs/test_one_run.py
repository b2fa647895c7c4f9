"""The capture of a real lab, judged once more and in Wireshark: what its plugin ties together and measures of the stream.

That the plugin reads each message as the judge does is asked of every run, in `tests.labs.runs`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from testbed.host.sandbox import PROJECT_ROOT
from tests.captures.tshark import scripts, tshark
from tests.captures.wireshark_streams import measured_by_wireshark, with_known_clock
from tests.labs.runs import Run, long, run

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("one run")]


@pytest.fixture(scope="module", params=["4", pytest.param("6", marks=long)])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A handover run."""
    finished = run(tmp_path_factory.mktemp("runs"), "handover", "--family", request.param, "--repeat", "1", "--json")
    assert finished.status == 0, finished.explain()
    return finished


@pytest.fixture(scope="module")
def capture(finished: Run) -> Path:
    """Its capture."""
    assert finished.folder is not None
    return finished.folder / "lab.pcapng"


def test_judged_again_from_the_capture_alone(tmp_path: Path, finished: Run, capture: Path) -> None:
    assert json.loads(finished.out)["handovers"] == finished.result["handovers"]
    alone = tmp_path / "alone.pcapng"
    alone.write_bytes(capture.read_bytes())
    judged = subprocess.run(
        [sys.executable, "-m", "captures", "judge", str(alone), "--json"],
        cwd=PROJECT_ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    again = json.loads(judged.stdout)
    assert judged.returncode == any(pack["failed"] for pack in again["packs"].values()), judged.stderr
    assert again["rules"] == finished.result["rules"]
    assert again["packs"] == finished.result["packs"]


def test_links_join_sightings_at_one_interface(tmp_path: Path, capture: Path) -> None:
    """The capture has each datagram several times, once for each link end it passed."""
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


def test_loss_and_jitter_at_each_interface_are_wiresharks(tmp_path: Path, capture: Path) -> None:
    copies = with_known_clock(capture, tmp_path)
    streams = verify(CaptureReader(capture), ["rtp"]).streams
    assert len(streams) > 5
    assert sum(stream.lost > 0 for stream in streams) > 2, "who moves loses something, and so do links without members"
    for stream in streams:
        copy = copies[stream.key.interface]
        (known,) = verify(CaptureReader(copy), ["rtp"]).streams
        theirs = measured_by_wireshark(copy, stream.key.ssrc)
        assert (stream.packets, stream.lost) == (known.packets, known.lost) == (theirs.packets, theirs.lost)
        jitter = known.as_dict()
        assert jitter["mean_jitter_ms"] == pytest.approx(theirs.mean, abs=0.002)
        assert jitter["max_jitter_ms"] == pytest.approx(theirs.largest, rel=0.001, abs=0.002)
        # Of the lab's own payload type the clock is learned in the first second.
        assert stream.clock_hz == known.clock_hz

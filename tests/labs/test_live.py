"""A lab is watched while it runs: its packets in tshark, its ladder row by row; and its history afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from tests.labs.runs import finish, start

pytestmark = pytest.mark.timeout(240)

END_DEADLINE_S = 30.0


def captures(*words: str) -> list[str]:
    return [sys.executable, "-m", "captures", *words]


def test_tshark_and_the_ladder_see_a_lab_while_it_runs(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.fail("tshark is not installed: apt-get install --no-install-recommends tshark")
    runs = tmp_path / "runs"
    lab = start(runs, "handover", "--repeat", "1")
    waiting = ["--runs", str(runs), "--wait", "60"]
    fields = ["-Y", "udp.port == 24793", "-T", "fields", "-e", "frame.interface_name", "-e", "udp.payload"]
    with (
        (tmp_path / "ladder").open("w") as ladder,
        subprocess.Popen(captures("pipe", *waiting), stdout=subprocess.PIPE, cwd=PROJECT_ROOT) as pipe,
        subprocess.Popen(
            [tshark, "-n", "-l", "-r", "-", *fields], stdin=pipe.stdout, stdout=subprocess.PIPE, text=True
        ) as shark,
        subprocess.Popen(captures("show", "--follow", "--json", *waiting), stdout=ladder, cwd=PROJECT_ROOT) as show,
    ):
        assert pipe.stdout is not None
        assert shark.stdout is not None
        pipe.stdout.close()
        first = shark.stdout.readline()
        assert lab.poll() is None, "the first packet is only shown when the lab is over"
        finished = finish(lab, runs)
        assert (pipe.wait(END_DEADLINE_S), show.wait(END_DEADLINE_S)) == (0, 0)
        # Not communicate(), which reads beside the buffer that readline() may have filled with more than a line.
        rest = shark.stdout.read()
    assert finished.status == 0, finished.explain()
    assert finished.folder is not None
    merged = subprocess.run(
        [tshark, "-n", "-r", str(finished.folder / "lab.pcapng"), *fields], capture_output=True, text=True, check=True
    )
    assert sorted((first + rest).splitlines()) == sorted(merged.stdout.splitlines())

    live = [json.loads(line) for line in (tmp_path / "ladder").read_text().splitlines()]
    shown = subprocess.run(captures("show", str(finished.folder), "--json"), capture_output=True, check=True, text=True)
    whole = json.loads(shown.stdout)["rows"]
    assert told(live) == told(whole)
    assert {"HIR", "HCT", "HTA", "HIC"} <= {row.get("packet") for row in live}

    lines = [json.loads(line) for line in (finished.folder / "timeline.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"frame", "data", "step", "link", "trace", "log"}
    exact = [line for line in lines if line["kind"] == "log" and line["resolution_ns"] == 1000]
    assert {line["node"] for line in exact} >= {"rr", "ar1", "ar2"}


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What makes a message of the MMCP exchange the same one; on a busy machine a frame may get another number live."""
    return [
        (row["packet"], row["sender"], row["receivers"], [(one["interface"], one["t_ns"]) for one in row["sightings"]])
        for row in rows
        if row.get("protocol") == "mmcp"
    ]

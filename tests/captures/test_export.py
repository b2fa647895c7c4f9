"""A run as tables: what is in its result and its history, in CSV and in Parquet, which say the same."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

DATA = Path(__file__).parent / "data"
ROWS = [
    {"handover": 1, "to": "poa2", "gap_ms": 51.5, "window": {"begin_ns": 1795834882756455308}, "problems": []},
    {"handover": 2, "to": 'poa1, "far"\n', "gap_ms": None, "window": None, "problems": ["late", "lost"]},
]
VERDICT = {
    "pack": "igmp",
    "rule": "r",
    "clause": "RFC 3376 4",
    "subject": "s",
    "verdict": "passed",
    "message": "",
    "frames": [1, 2],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a run"
    folder.mkdir()
    shutil.copy(DATA / "handover-ipv4.pcapng", folder / "lab.pcapng")
    result = {
        "tables": [{"name": "handovers", "note": "", "columns": []}, {"name": "cases", "note": "", "columns": []}],
        "handovers": ROWS,
        "cases": [],
        "rules": {"all": [{**VERDICT, "pack": "own"}]},
        "packs": {"igmp": {"verdicts": [VERDICT]}},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def export(*words: str, python: tuple[str, ...] = ("-m", "captures")) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *python, "export", *words]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_csv_has_each_table_with_every_row(run: Path) -> None:
    done = export(str(run), "--json")
    assert done.returncode == 0, done.stderr
    counts = {Path(file).name: rows for file, rows in json.loads(done.stdout).items()}
    assert (counts["handovers.csv"], counts["rules.csv"], "cases.csv" in counts) == (2, 2, False)
    first, second = read(run / "tables/handovers.csv")
    assert (first["gap_ms"], first["window.begin_ns"], first["problems"]) == ("51.5", "1795834882756455308", "[]")
    assert (second["to"], second["gap_ms"], json.loads(second["problems"])) == (ROWS[1]["to"], "", ["late", "lost"])
    lines = subprocess.run(
        [sys.executable, "-m", "captures", "timeline", str(run), "-o", "-"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    frames = [line for line in map(json.loads, lines) if line["kind"] == "frame"]
    messages = read(run / "tables/messages.csv")
    assert [int(row["t_ns"]) for row in messages] == [frame["t_ns"] for frame in frames]
    assert [row["packet"] for row in messages] == [frame["packet"] for frame in frames]
    assert json.loads(messages[0]["fields"]) == frames[0]["fields"]
    assert sum(int(row["packets"]) for row in read(run / "tables/streams.csv")) > 100


def test_parquet_says_the_same_with_types(run: Path, tmp_path: Path) -> None:
    assert export(str(run)).returncode == 0
    done = export(str(run), "--format", "parquet", "-o", str(tmp_path / "new/folder"))
    assert done.returncode == 0, done.stderr
    files = {file.stem for file in (run / "tables").iterdir()}
    assert {file.stem for file in (tmp_path / "new/folder").iterdir()} == files
    for name in files:
        typed = parquet.read_table(tmp_path / "new/folder" / f"{name}.parquet").to_pylist()
        plain = read(run / f"tables/{name}.csv")
        assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in typed] == plain
    handovers = parquet.read_table(tmp_path / "new/folder/handovers.parquet")
    assert {str(handovers.schema.field(name).type) for name in ("handover", "window.begin_ns")} == {"int64"}
    assert str(handovers.schema.field("gap_ms").type) == "double"


def test_a_capture_alone_has_a_history(tmp_path: Path) -> None:
    done = export(str(DATA / "status-ipv6.pcapng"), "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {file.name for file in tmp_path.iterdir()} >= {"messages.csv", "streams.csv", "steps.csv"}
    assert "rules.csv" not in done.stdout


def test_without_pyarrow_parquet_is_refused_with_the_remedy(run: Path) -> None:
    hide = "import sys; sys.modules['pyarrow'] = None; from captures.__main__ import main; main()"
    done = export(str(run), "--format", "parquet", python=("-c", hide))
    assert done.returncode == 2
    assert "pip install pyarrow" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bad_input_is_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in (("no-such-run",), (str(run), "-o", str(tmp_path / "file"))):
        done = export(*words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    whole = (run / "lab.pcapng").read_bytes()
    (run / "lab.pcapng").write_bytes(whole[: len(whole) // 2])
    done = export(str(run))
    assert (done.returncode, "breaks off" in done.stderr) == (2, True), done.stderr
    assert read(run / "tables/messages.csv"), "as far as it goes"

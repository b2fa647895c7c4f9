"""The ladder as a person sees it: arrows from whom to whom, in a terminal's width, and one clear line for bad input."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from captures.files.merge import merge
from captures.history.run import find_run, history_of
from captures.ladder.builder import build
from captures.ladder.rows import Selection, select
from captures.ladder.text import ladder_lines
from captures.rules.engine import judge
from tests.captures.scripted_lab import INTERFACES, good_lab
from tests.captures.scripted_link import good_link


def show(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["show", *map(str, arguments)])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return good_lab().write(tmp_path / "lab.pcapng")


def drawn(path: Path, width: int | None = None, *, unicode: bool = True) -> list[str]:
    ladder = select(build(history_of(find_run(str(path)))), Selection(frozenset({"mmcp"}), handover="1"))
    return ["".join(text for text, _ in line) for line in ladder_lines(ladder, width, unicode=unicode)]


def test_the_picture(good: Path) -> None:
    assert drawn(good, 80)[:9] == [
        "                      mn     lmc1    lmc2     sm",
        "     time s frame     mn     poa1    poa2     sm",
        "   3.000000   600  ── handover 1, proactive: mn from poa1 to poa2",
        "   3.005000   603  ╌╌ link trigger at mn:mn-radio ╌",
        "   3.006000   604     ├ HIR ─▶│       │       │     MN mn1, PoA poa2",
        "   3.007000   606     │       ├ HCT ─▶│       │     MN mn1, group 239.1.1.1 por…",
        "   3.016000   611     │       │◀ HTA ─┤       │     F=1",
        "   3.017000   613     │◀ HIC ─┤       │       │     F=1, LMC lmc2",
        "   3.200000   671     ◆       │       │       │     data stops at mn-radio (239…",
    ]


def test_a_terminal_without_boxes_gets_plain_characters(good: Path) -> None:
    text = "\n".join(drawn(good, 80, unicode=False))
    assert text.isascii()
    assert "| HIR ->|" in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(good: Path, width: int) -> None:
    assert max(map(len, drawn(good, width))) <= width


def test_the_arrow_passes_those_it_is_not_for(tmp_path: Path) -> None:
    lines = drawn(good_lab(fallback=True).write(tmp_path / "lab.pcapng"), 100)
    [request] = [line for line in lines if "SJR" in line]
    assert request.count("│") + request.count("┼") >= 2
    assert request.index("├") < request.index("SJR") < request.index("▶")


def test_the_label_leaves_every_head_of_an_arrow(tmp_path: Path) -> None:
    lab = good_lab()
    [join] = [frame for frame in lab.frames if frame.tag == "h1.mnreport@mn"]
    lab.frames += [
        replace(join, at_ms=join.at_ms + 0.1, interface=INTERFACES[node]) for node in ("lmc1", "lmc2", "ar1")
    ]
    ladder = select(build(history_of(find_run(str(lab.write(tmp_path / "lab.pcapng"))))), Selection(handover="1"))
    for width in range(60, 200, 7):
        lines = ["".join(text for text, _ in line) for line in ladder_lines(ladder, width)]
        [line] = [line for line in lines if line.startswith("   3.359000")]
        assert line.count("▶") == 3, line


def test_a_lost_message_ends_in_a_cross_and_says_where(tmp_path: Path) -> None:
    lines = drawn(good_lab().drop("h1.HTA@lmc1").write(tmp_path / "lab.pcapng"), None)
    [answer] = [line for line in lines if "LOST" in line]
    assert "✗" in answer
    assert "◀" not in answer
    assert answer.endswith("LOST after lmc2:lmc2-poa2")


def test_failed_rules_of_a_run_stand_where_their_frames_are(tmp_path: Path) -> None:
    folder = good_lab().drop("h1.HTA@*").write_run_folder(tmp_path / "run")
    merge(folder)
    rules = judge(folder / "lab.pcapng").of_run()["rules"]
    (folder / "result.json").write_text(json.dumps({"rules": rules}))
    lines = show(folder).stdout.splitlines()
    [at] = [number for number, line in enumerate(lines) if "FAILED mmcp-handover-order [7.5]" in line]
    assert "HIR" in lines[at - 1]
    assert "✗" in lines[at - 1].split("│")[0]
    assert sum("FAILED mmcp-handover-order" in line for line in lines) == 1


def test_times_choose_rows_as_they_are_shown(good: Path) -> None:
    for window in (["--from", "3.006", "--to", "3.0165"], ["--from", "3006ms", "--to", "3.0165s"]):
        lines = show(good, *window, "--protocol", "mmcp").stdout.splitlines()
        assert [name for line in lines for name in ("HIR", "HCT", "HTA", "HIC") if f" {name} " in line] == [
            "HIR",
            "HCT",
            "HTA",
        ]


def test_json_is_the_selected_ladder(good: Path) -> None:
    told = json.loads(show(good, "--handover", 2, "--json").stdout)
    assert {tuple(row["handovers"]) for row in told["rows"]} == {("2",)}


def test_notes_are_shown_when_asked_for(tmp_path: Path) -> None:
    folder = good_lab().write_run_folder(tmp_path / "run")
    (folder / "traces").mkdir()
    trace = {"t_ns": 1_700_000_000_110_000_000, "node": "mn", "event": "state", "from": "A", "to": "B", "on": "app"}
    (folder / "traces" / "mn.jsonl").write_text(json.dumps(trace) + "\n")
    merge(folder)
    assert "mn trace: A to B on app" in show(folder, "--notes").stdout
    quiet = show(folder).stdout
    assert "mn trace" not in quiet
    assert "1 notes" in quiet.splitlines()[-1]


def test_what_cannot_be_shown_is_one_line(good: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no capture\n")
    for arguments, reason in (
        ([tmp_path / "nowhere"], "there is no run"),
        ([text], "no pcap or pcapng capture"),
        ([good, "--handover", 9], "there are 1, 2"),
        ([good, "--protocol", "mmcp,ftp"], "ftp: not known; known are ectp, gmp, igmp, mld, mmcp, msmp, omcp, pim"),
    ):
        answer = show(*arguments)
        assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
        assert reason in answer.stderr
    answer = show(good, "--from", "noon")
    assert answer.exit_code == 2
    assert "'noon' is no time" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--from", "5", "--to", "3"), "--from is later than --to"),
        (("--protocol", ","), "name at least one"),
        (("--from", "5000"), "the capture has "),
        (("--protocol", "omcp"), " s with igmp, mmcp"),
        (("--from", "5", "--to", "3", "--follow"), "--from is later than --to"),
    ],
)
def test_a_selection_of_nothing_is_refused(good: Path, arguments: tuple[str, ...], reason: str) -> None:
    for more in ((), ("--json",)):
        answer = show(good, *arguments, *more)
        assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
        assert reason in answer.stderr


def test_a_capture_of_no_lab_has_no_interface_among_its_participants(tmp_path: Path) -> None:
    path = good_link().write(tmp_path / "a.pcapng")
    shown = json.loads(show(path, "--json", "--all").stdout)
    columns = [column["name"] for column in shown["columns"]]
    assert "eth0" not in columns
    assert "group" in columns
    messages = [row for row in shown["rows"] if row["kind"] == "message"]
    assert {tuple(row["receivers"]) for row in messages if row["protocol"] in ("igmp", "mld", "pim")} == {("group",)}
    assert {row["fate"] for row in messages} == {"unknown"}
    assert {row["node"] for row in shown["rows"] if row["kind"] == "stream"} == {"group"}
    assert {row["attempt"] for row in messages if row["protocol"] == "pim"} == {1}
    text = show(path, "--protocol", "igmp,pim").stdout
    assert "IGMP join (2)" in text  # said twice on purpose: the robustness variable
    assert "PIM join (" not in text


def test_a_capture_that_breaks_off_is_shown_as_far_as_it_goes(good: Path) -> None:
    good.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    answer = show(good)
    assert answer.exit_code == 2
    assert "HIR" in answer.stdout
    assert "breaks off" in answer.stderr


def test_a_pipe_gets_no_colours_and_whole_lines(good: Path) -> None:
    answer = show(good)
    assert "\x1b" not in answer.stdout
    assert "…" not in answer.stdout
    assert "group 239.1.1.1 port 5004" in answer.stdout


def test_a_terminal_gets_colours_and_its_own_width(good: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", "PYTHONUTF8": "1"}
    argv = [sys.executable, "-m", "captures", "show", str(good)]
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO is how a pseudo terminal says that the other end is gone
            while octets := os.read(ours, 65536):
                shown += octets
        os.close(ours)
        assert process.wait(timeout=20) == 0
    assert b"\x1b[" in shown
    assert "▶".encode() in shown


def test_a_reader_that_has_read_enough_is_no_error(good: Path) -> None:
    argv = [sys.executable, "-m", "captures", "show", str(good), "--all"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(timeout=20), said) == (0, b"")


@pytest.mark.parametrize("command", ["timeline", "show", "pipe", "diff", "wireshark"])
def test_help_has_an_example_on_a_line_of_its_own(command: str) -> None:
    answer = CliRunner().invoke(main, [command, "--help"])
    assert answer.exit_code == 0
    [line] = [line for line in answer.stdout.splitlines() if "Example: " in line]
    assert line.strip().startswith("Example: python -m captures")
    assert "\\b" not in answer.stdout

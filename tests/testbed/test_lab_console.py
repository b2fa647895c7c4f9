"""What the console of a lab makes of lines, with a lab that is only pretended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mininet import log

from testbed.host.entering import run_in_node
from testbed.host.processes import ProcessDied, ProcessTable
from testbed.net.model import End, Lab, Link, Node
from testbed.run.recording import Recording
from testbed.shell.mininet_cli import LabConsole


class PretendedMininet(dict[str, Any]):
    """Says what Mininet's own commands say."""

    def pingAll(self, _line: str) -> None:  # noqa: N802  # Mininet's name
        log.output("*** Ping: testing ping reachability\n")
        log.output("*** Results: 0% dropped (2/2 received)\n")

    def pingPair(self) -> None:  # noqa: N802  # Mininet's name
        log.output("one -> ")
        log.error("*** Error: could not parse ping output\n")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessTable]:
    def launch(node: str, argv: Any, **options: Any) -> subprocess.Popen[bytes]:
        assert node
        return subprocess.Popen(argv, **options)

    with ProcessTable(tmp_path / "logs", launch) as table:
        yield table


@pytest.fixture
def console(processes: ProcessTable, tmp_path: Path) -> LabConsole:
    ends = (End("one", "one-r", "10.0.0.1/24"), End("r", "r-one", "10.0.0.2/24"))
    model = Lab("pair", 4, (Node("one"), Node("r", "router", "smcroute")), links=(Link(*ends),))
    steps = SimpleNamespace(add=lambda *_args, **_named: None)
    network = SimpleNamespace(processes=processes, routing_root=None, model=model, run_folder=tmp_path)
    lab: Any = SimpleNamespace(network=network, model=model, steps=steps)
    console = LabConsole(lab)
    console.mn = PretendedMininet()
    return console


def test_what_mininet_heads_with_stars_is_no_failure_and_its_errors_are(console: LabConsole) -> None:
    answer = console.answer("pingall")
    assert (answer["ok"], answer["text"].splitlines()[-1]) == (True, "*** Results: 0% dropped (2/2 received)")
    assert not console.answer("pingpair")["ok"]
    assert console.answer("pingall")["ok"], "an error is that of one line"


def test_a_dead_process_is_told_once_and_not_hidden_from_the_scenario(
    console: LabConsole, processes: ProcessTable
) -> None:
    process = processes.start("r-smcrouted", "r", ["false"])
    process.popen.wait()
    assert "r-smcrouted on r has ended" in console.answer("pingall")["text"]
    assert "has ended" not in console.answer("pingall")["text"]
    with pytest.raises(ProcessDied):
        processes.check_alive()


def test_only_what_lives_on_a_node_is_killed(console: LabConsole, processes: ProcessTable) -> None:
    keeper = processes.start("nodes", "all", ["sleep", "60"])
    daemon = processes.start("r-smcrouted", "r", ["sleep", "60"])
    refused = console.answer("kill nodes")
    assert (refused["ok"], keeper.running) == (False, True)
    assert "there are r-smcrouted" in refused["text"]
    assert console.answer("kill r-smcrouted")["ok"]
    assert not daemon.running


def test_vtysh_of_a_router_without_frr_says_what_runs_there(console: LabConsole, processes: ProcessTable) -> None:
    processes.start("r-smcrouted", "r", ["sleep", "60"])
    answer = console.answer("vtysh r show ip mroute")
    assert (answer["ok"], answer["run"]) == (False, None)
    assert "FRR does not run on r; there r-smcrouted runs" in answer["text"]
    processes.start("r-zebra", "r", ["sleep", "60"])
    assert "no routing daemons" in console.answer("vtysh r")["text"], "it is asked further"


def test_what_is_recorded_is_joined_when_the_console_ends(
    console: LabConsole, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    joined: list[Path] = []
    monkeypatch.setattr("testbed.shell.commands.Recording", lambda _network: SimpleNamespace(start=dict, stop=dict))
    monkeypatch.setattr("testbed.shell.commands.merge", joined.append)
    assert console.answer("capture on")["ok"]
    console.close()
    assert joined == [tmp_path]


def test_whatever_keeps_a_command_from_starting_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*_words: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied", "mnexec")

    monkeypatch.setattr("testbed.host.entering.enter", lambda _pid: None)
    monkeypatch.setattr("testbed.host.entering.subprocess.run", refused)
    assert run_in_node(1, None, [sys.executable]) != 0
    assert "could not be started: PermissionError" in capfd.readouterr().err


def test_a_run_that_is_about_to_record_leaves_no_moment_for_another_recording(console: LabConsole) -> None:
    Recording(console.lab.network)
    answer = console.answer("capture on")
    assert (answer["ok"], "every link is recorded already" in answer["text"]) == (False, True)
    with pytest.raises(FileExistsError):
        Recording(console.lab.network)

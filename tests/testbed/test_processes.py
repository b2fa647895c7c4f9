"""Processes of a lab, with real small commands in place of daemons."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.host.checks import NotObserved, eventually
from testbed.host.processes import ManagedProcess, ProcessDied, ProcessError, ProcessTable, describe_status

SLEEP = ("sleep", "60")


def launch(node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    assert node
    return subprocess.Popen(list(argv), start_new_session=True, **options)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    with ProcessTable(tmp_path / "logs", launch) as processes:
        yield processes


def test_output_and_status_are_kept(table: ProcessTable, tmp_path: Path) -> None:
    process = table.start("hello", "mn", ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert process.popen.wait(5) == 3
    assert (tmp_path / "logs" / "hello.log").read_text() == "out\nerr\n"
    assert not process.running


def test_what_an_earlier_process_of_the_name_said_is_not_awaited(table: ProcessTable, tmp_path: Path) -> None:
    table.start("agent", "mn", ["sh", "-c", "echo ready"], may_end=True).popen.wait(5)
    again = table.start("agent", "mn", ["sh", "-c", "echo not yet; sleep 60"])
    table.wait_for_log(again, "not yet", 5)
    with pytest.raises(NotObserved):
        table.wait_for_log(again, "^ready$", 0.05)
    assert again.said() == "not yet\n"
    assert (tmp_path / "logs" / "agent.log").read_text() == "ready\nnot yet\n"


def test_a_death_names_process_node_status_and_last_words(table: ProcessTable) -> None:
    table.start("sleeper", "rr", SLEEP)
    process = table.start("mn-agent", "mn", ["sh", "-c", "echo cannot bind port 5004; exit 3"])
    process.popen.wait(5)
    with pytest.raises(ProcessDied) as caught:
        table.check_alive()
    error = caught.value
    assert (error.name, error.node, error.status) == ("mn-agent", "mn", 3)
    assert "mn-agent on node mn ended with exit status 3" in str(error)
    assert str(error).endswith("cannot bind port 5004")


def test_a_death_by_signal_is_named(table: ProcessTable) -> None:
    process = table.start("zebra", "rr", SLEEP)
    table.check_alive()
    process.popen.send_signal(signal.SIGKILL)
    process.popen.wait(5)
    with pytest.raises(ProcessDied, match=r"zebra on node rr was killed by SIGKILL; it said nothing"):
        table.check_alive()


@pytest.mark.parametrize(("number", "told"), [(signal.SIGSEGV, True), (signal.SIGKILL, False)])
def test_a_crash_says_what_is_known_of_it(table: ProcessTable, number: signal.Signals, told: bool) -> None:
    process = table.start("ar1-pimd", "ar1", SLEEP, crash="a fault of its own: run it again")
    process.popen.send_signal(number)
    process.popen.wait(5)
    with pytest.raises(ProcessDied) as caught:
        table.check_alive()
    assert str(caught.value).endswith("a fault of its own: run it again") == told


def test_an_expected_stop_is_no_error(table: ProcessTable) -> None:
    process = table.start("agent", "mn", SLEEP)
    assert table.stop(process) == -signal.SIGTERM
    assert table.stop(process) == -signal.SIGTERM
    table.check_alive()


@pytest.mark.parametrize(("argv", "fine"), [(["true"], True), (["false"], False)])
def test_a_process_that_may_end_must_end_well(table: ProcessTable, argv: list[str], fine: bool) -> None:
    table.start("receiver", "mn", argv, may_end=True).popen.wait(5)
    if fine:
        table.check_alive()
    else:
        with pytest.raises(ProcessDied, match="exit status 1"):
            table.check_alive()


def test_one_that_will_not_stop_is_killed_with_its_children(table: ProcessTable) -> None:
    process = table.start("stubborn", "mn", ["sh", "-c", "trap '' TERM; sleep 60 & echo $!; while :; do wait; done"])
    child = int(table.wait_for_log(process, r"^(\d+)$", 5)[1])
    with pytest.raises(ProcessError, match=r"stubborn on node mn ignored SIGTERM for 0\.1 s and was killed"):
        table.stop(process, deadline_s=0.1)
    assert process.popen.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)
    table.check_alive()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_everything_stops_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = 'trap "echo $0 >>$1; exit 0" TERM; echo ready; while :; do sleep 0.02; done'
    with ProcessTable(tmp_path / "logs", launch) as table:
        for name in ("zebra", "pimd", "agent"):
            process = table.start(name, "rr", ["sh", "-c", script, name, str(order)])
            table.wait_for_log(process, "ready", 5)
    assert order.read_text().split() == ["agent", "pimd", "zebra"]


def test_waiting_for_a_line(table: ProcessTable) -> None:
    process = table.start("agent", "mn", ["sh", "-c", "sleep 0.05; echo listening on port 24793; exec sleep 60"])
    assert table.wait_for_log(process, r"port (\d+)", 5)[1] == "24793"
    with pytest.raises(NotObserved, match="seen instead: listening on port 24793"):
        table.wait_for_log(process, "joined", 0.05)


def test_waiting_for_a_line_ends_with_the_process(table: ProcessTable) -> None:
    for may_end in (False, True):
        process = table.start("agent", "mn", ["sh", "-c", "echo no such group"], may_end=may_end)
        began = time.monotonic()
        with pytest.raises(ProcessDied, match="no such group"):
            table.wait_for_log(process, "joined", 60)
        assert time.monotonic() - began < 5
        table.stop(process)


def test_waiting_for_a_line_also_ends_with_another_process(table: ProcessTable) -> None:
    process = table.start("agent", "mn", SLEEP)
    table.start("zebra", "rr", ["false"])
    with pytest.raises(ProcessDied, match="zebra on node rr"):
        table.wait_for_log(process, "joined", 60)


def test_names_are_unique_while_running(table: ProcessTable) -> None:
    process = table.start("agent", "mn", SLEEP)
    with pytest.raises(ProcessError, match="already running"):
        table.start("agent", "mn", SLEEP)
    table.stop(process)
    again = table.start("agent", "mn", SLEEP)
    assert table["agent"] is again
    with pytest.raises(KeyError, match="no process 'nobody'"):
        table["nobody"]


def test_what_cannot_be_started(table: ProcessTable) -> None:
    with pytest.raises(ProcessError, match="cannot start agent on node mn"):
        table.start("agent", "mn", ["/no/such/program"])


def test_what_was_started_elsewhere_is_watched(table: ProcessTable) -> None:
    shell = subprocess.Popen(SLEEP, start_new_session=True)
    table.adopt(ManagedProcess("mn-shell", "mn", ("bash",), shell, None, stop_signal=signal.SIGKILL))
    table.check_alive()
    os.kill(shell.pid, signal.SIGKILL)
    shell.wait(5)
    with pytest.raises(ProcessDied, match="mn-shell on node mn was killed by SIGKILL"):
        table.check_alive()


def test_environment_is_added(table: ProcessTable) -> None:
    process = table.start("env", "mn", ["sh", "-c", "echo $LAB $HOME"], environment={"LAB": "handover"}, may_end=True)
    process.popen.wait(5)
    assert process.last_lines() == f"handover {os.environ.get('HOME', '')}".strip()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "is running"),
        (0, "ended with exit status 0"),
        (-11, "was killed by SIGSEGV"),
        (-99, "was killed by signal 99"),
    ],
)
def test_status_in_words(status: int | None, words: str) -> None:
    assert describe_status(status) == words


def test_a_paused_process_says_nothing_until_it_is_resumed(table: ProcessTable) -> None:
    # Two processes, of which the one that speaks is not the one that was started.
    process = table.start("agent", "mn", ["sh", "-c", "while :; do echo on; sleep 0.01; done | cat"])
    table.wait_for_log(process, "on", 5)
    table.pause(process)
    assert process.running
    table.check_alive()
    state = Path(f"/proc/{process.popen.pid}/stat")
    eventually("it to stop", lambda: (state.read_text().split()[2] == "T", "it runs"), 5)
    said = process.said()
    with pytest.raises(NotObserved):
        eventually("it to say more", lambda: (process.said() != said, "nothing more"), 0.2)
    table.resume(process)
    eventually("it to say more", lambda: (process.said() != said, "nothing more"), 5)
    table.kill(process)  # both: outside a sandbox the end of one does not end the other

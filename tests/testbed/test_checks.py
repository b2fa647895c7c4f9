"""Waiting for observables, and showing it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from testbed.host.checks import NotObserved, eventually
from testbed.host.progress import Progress, counted


def answers(*given: tuple[bool, str]) -> Iterator[tuple[bool, str]]:
    yield from given


def test_returns_when_it_is_so() -> None:
    given = answers((False, "1 of 2"), (False, "1 of 2"), (True, "2 of 2"))
    assert eventually("two", lambda: next(given), 5) < 1
    assert list(given) == []


def test_says_what_was_awaited_and_what_was_seen_instead() -> None:
    with pytest.raises(NotObserved) as caught:
        eventually("two neighbours", lambda: (False, "one, 10.0.0.1"), 0.05)
    assert str(caught.value) == "waited 0.05 s for two neighbours; seen instead: one, 10.0.0.1"


def test_looks_once_even_with_no_time_left() -> None:
    assert eventually("it", lambda: (True, "it"), 0) < 1


def test_a_death_ends_the_wait_at_once() -> None:
    def dead() -> None:
        raise ChildProcessError("zebra died")

    began = time.monotonic()
    with pytest.raises(ChildProcessError, match="zebra died"):
        eventually("what never comes", lambda: (False, "nothing"), 60, check_alive=dead)
    assert time.monotonic() - began < 5


def test_a_probes_own_error_is_not_hidden() -> None:
    def broken() -> tuple[bool, str]:
        raise RuntimeError("vtysh is gone")

    with pytest.raises(RuntimeError, match="vtysh is gone"):
        eventually("it", broken, 5, progress=Progress(quiet=True))


def test_plain_progress_is_one_line_per_finished_step() -> None:
    output = io.StringIO()
    progress = Progress(Console(file=output, width=40))
    eventually("adjacency", lambda: (True, "all"), 1, progress=progress)
    with pytest.raises(NotObserved):
        eventually("a miracle", lambda: (False, "none"), 0.01, progress=progress)
    progress.note("a line much longer than the console is wide stays on one line")
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("adjacency: done in 0.0")
    assert lines[1].startswith("a miracle: failed after 0.0")


def test_a_terminal_shows_what_it_waits_for_and_what_it_sees() -> None:
    output = io.StringIO()
    progress = Progress(Console(file=output, width=100, force_terminal=True))
    with progress.step("adjacency") as outer:
        outer.seen("1 of 2")
        with progress.step("an inner step"):
            pass
        began = time.monotonic()
        while "1 of 2" not in output.getvalue() and time.monotonic() - began < 5:
            time.sleep(0.01)
    assert "adjacency (0." in output.getvalue()
    assert "1 of 2" in output.getvalue()
    assert "an inner step: done in" in output.getvalue()


def test_quiet_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=True).step("secret"):
        pass
    assert capfd.readouterr() == ("", "")


def test_one_thing_is_not_many() -> None:
    assert [counted(number, "link") for number in (0, 1, 2)] == ["0 links", "1 link", "2 links"]

"""The durable store: what a role was told is on disk is there, whatever happens to its process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.core.agent import Commit, Committed
from agents.core.errors import ConfigurationError
from agents.runtime.configuration import RuntimeConfiguration
from tests.agents.hosts import running, told
from tests.agents.roles import Asking


def kept_in(path: Path, *commits: Commit) -> tuple[list[Committed], dict[str, bytes]]:
    """What a role that commits is told, and what it had got back before."""

    async def scene() -> tuple[list[Committed], dict[str, bytes]]:
        agent = Asking(*commits)
        async with running(agent, runtime=RuntimeConfiguration(store=str(path))):
            return await told(agent, Committed, len(commits)), agent.restored

    return asyncio.run(scene())


@contextlib.contextmanager
def program(path: Path, word: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "tests.agents.store_program", str(path), word]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_entries_come_back_as_they_were_left(tmp_path: Path) -> None:
    path = tmp_path / "store"
    commits = (
        Commit("one", {"a": b"1", "b": b"\0\xff"}),
        Commit("two", {"a": b"2", "c": b""}),
        Commit("three", {"b": None, "never": None}),
    )
    events, before = kept_in(path, *commits)
    assert events == [Committed(key, succeeded=True) for key in ("one", "two", "three")]
    assert before == {}
    assert kept_in(path)[1] == {"a": b"2", "c": b""}


def test_each_commit_is_kept_whole_or_not_at_all_and_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def limited(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    path = tmp_path / "store"
    commits = (
        Commit("good", {"a": b"1"}),
        Commit("bad", {"a": b"2", "b": b"x" * 20_000}),
        Commit("good too", {"c": b"3"}),
    )
    events, _ = kept_in(path, *commits)
    assert [(event.key, event.succeeded) for event in events] == [("good", True), ("bad", False), ("good too", True)]
    assert events[1].reason == "string or blob too big"
    assert kept_in(path)[1] == {"a": b"1", "c": b"3"}


def test_what_was_confirmed_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store"
    confirmed = 0
    for _ in range(3):
        with program(path, "count") as process:
            assert process.stdout is not None
            for line in itertools.islice(process.stdout, 20):
                confirmed = int(line.removeprefix("on disk "))
            process.kill()
            rest = process.stdout.read().splitlines()
        whole = [int(line.removeprefix("on disk ")) for line in rest if re.fullmatch(r"on disk \d+", line)]
        confirmed = max([confirmed, *whole])
        entries = kept_in(path)[1]
        assert int(entries["count"]) >= confirmed
        assert {f"row {number}" for number in range(2, confirmed + 1)} <= set(entries)


def test_second_process_is_refused_with_the_firsts_id(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with program(path, "count") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on disk 1\n"
        with pytest.raises(ConfigurationError) as raised:
            kept_in(path)
        assert str(raised.value) == (
            f"runtime.store: {path} is the store of process {process.pid}; stop that one, or give another file"
        )
    assert kept_in(path)[1]["count"]


def test_full_disk_is_told_and_healed_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with program(path, "full") as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert process.wait(10) == 0
    words = [line.split(maxsplit=2) for line in lines]
    assert [row[:2] for row in words] == [
        ["before", "True"],
        ["full", "False"],
        ["small", "True"],
        ["after", "True"],
        ["ended", "status=0"],
    ]
    assert re.search("full|disk", words[1][2])
    assert kept_in(path)[1] == {"a": b"1", "b": b"y" * 1_000_000, "c": b"3"}


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"no database at all, and long enough to see that it is none" * 99, "is no store that can be used: file is not")],
)
def test_file_that_is_no_store_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "store"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"^runtime.store: {path} {found} a database; give another file$"):
        kept_in(path)
    assert path.read_bytes() == content
    with pytest.raises(ConfigurationError, match="none/store cannot be opened: No such file or directory; give a file"):
        kept_in(tmp_path / "none" / "store")

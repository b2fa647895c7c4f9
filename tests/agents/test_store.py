"""The durable store: what a role was told is on disk is there, whatever happens to its process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.core.agent import Commit, Committed, Connect, Endpoint, SendStream, StreamOpened
from agents.core.errors import ConfigurationError
from agents.core.room import Port
from agents.runtime import store
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.host import AgentHost
from tests.agents.hosts import HERE, free_ports, running, told, until
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


@pytest.mark.parametrize("count", [1, store.ROWS_MAXIMUM, 2 * store.ROWS_MAXIMUM + 7])
def test_many_changes_are_all_made(tmp_path: Path, count: int) -> None:
    path = tmp_path / "store"
    commits = (
        Commit("put", {f"{number}": b"first" for number in range(count)}),
        Commit("change", {f"{number}": b"second" for number in range(0, count, 3)}),
        Commit("forget", {f"{number}": None for number in range(0, count, 2)}),
        Commit("again", {"0": b"third"}),
    )
    assert all(event.succeeded for event in kept_in(path, *commits)[0])
    kept = {"0": b"third", **{f"{number}": b"first" if number % 3 else b"second" for number in range(1, count, 2)}}
    assert kept_in(path)[1] == kept


def test_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with program(path, "count"):
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    assert {"store", "store-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


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


def test_no_more_commits_wait_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "COMMITS_WAITING_MAXIMUM", 3)
    path = tmp_path / "store"

    async def scene() -> tuple[list[Committed], int]:
        agent = Asking(*(Commit(number, {f"{number}": b""}) for number in range(5)))
        async with running(agent, runtime=RuntimeConfiguration(store=str(path))):
            return await told(agent, Committed, 5), agent.counters["refused.too-many-commits"]

    events, refused = asyncio.run(scene())
    assert refused == 2
    assert {event.key: event.reason for event in events} == {
        **dict.fromkeys(range(3), ""), **dict.fromkeys((3, 4), "too many commits wait"),
    }  # fmt: skip
    assert kept_in(path)[1].keys() == {"0", "1", "2"}


def test_commit_while_the_role_ends_is_refused_and_what_was_asked_before_is_kept(tmp_path: Path) -> None:
    """A peer that does not read keeps the role from ending at once."""
    path = tmp_path / "store"

    async def scene() -> list[Committed]:
        with socket.create_server((HERE, 0)) as listener:
            agent = Asking(Connect("deaf", Endpoint(*listener.getsockname())))
            async with running(agent, runtime=RuntimeConfiguration(store=str(path))) as host:
                await told(agent, StreamOpened)
                transport = host._streams._known["deaf"].transport
                assert transport is not None
                while not transport.get_write_buffer_size():
                    host.send_stream(None, SendStream("deaf", bytes(65536)))
                host.commit(None, Commit("in time", {"a": b"1"}))
                host.finish()
                await until(lambda: host._streams._flushing)
                host.commit(None, Commit("late", {"b": b"2"}))
                events = await told(agent, Committed, 2)
                listener.accept()[0].close()  # with what it has not read: a reset
                return events

    assert asyncio.run(scene()) == [
        Committed("in time", succeeded=True),
        Committed("late", succeeded=False, reason="the role is ending"),
    ]
    assert kept_in(path)[1] == {"a": b"1"}


def test_role_that_cannot_be_opened_leaves_its_store_and_its_port_to_another(tmp_path: Path) -> None:
    path = tmp_path / "store"

    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        port = Port("", number, "tcp", HERE)
        refused = AgentHost(Asking(), RuntimeConfiguration(store=str(path), control="/none/control"), ports=[port])
        with pytest.raises(FileNotFoundError):
            await refused.run()
        agent = Asking(Commit("", {"a": b"1"}))
        async with running(agent, port, runtime=RuntimeConfiguration(store=str(path))):
            assert (await told(agent, Committed))[0].succeeded

    asyncio.run(scene())
    assert kept_in(path)[1] == {"a": b"1"}


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

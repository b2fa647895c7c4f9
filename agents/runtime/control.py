"""The control socket of a running agent: a Unix stream socket, one JSON object per line each way.

Every agent answers ``{"command": "help"}`` with the requests it takes, and ``{"command": "state"}`` and
``{"command": "counters"}``; its protocol defines more. An answer is ``{"ok": true, …}`` or ``{"ok": false, "error": "…"}``.
A stranger's agent that takes what a lab tells it, such as link triggers, answers the same lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.core.room import Field
from agents.runtime.tasks import Tasks

MAXIMUM_LINE = 65536  # bytes of one request
MAXIMUM_ANSWER = 4 * 1024 * 1024  # bytes
REQUEST_DEADLINE = 5.0  # s

Handler = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]


class ControlError(Exception):
    """A request that an agent did not take, or an agent that is not there; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that a running program takes: ``answer`` makes of the fields' values (None: left out) its answer's fields.

    It may raise ValueError or ControlError for a value that cannot be.
    """

    name: str
    summary: str
    answer: Callable[[Mapping[str, Any]], Mapping[str, object]]
    fields: tuple[Field, ...] = ()

    def plain(self) -> dict[str, object]:
        """As ``help`` says it."""
        fields = [
            {"name": each.name, "help": each.help, "kind": each.kind.__name__, "required": each.required}
            for each in self.fields
        ]
        return {"name": self.name, "summary": self.summary, "fields": fields}

    def values(self, request: Mapping[str, object]) -> dict[str, Any]:
        """The fields' values in ``request``; raises ControlError for one that is missing, unknown or of another kind."""
        unknown = sorted(set(request) - {"command"} - {each.name for each in self.fields})
        if unknown:
            raise ControlError(f"{self.name}: unknown fields: {', '.join(unknown)}")
        values = {each.name: request.get(each.name) for each in self.fields}
        for each in self.fields:
            value = values[each.name]
            if value is None:
                if each.required:
                    raise ControlError(f"{self.name}: {each.name} is missing")
            elif not isinstance(value, int | float if each.kind is float else each.kind) or isinstance(value, bool):
                # A bool is an int to Python alone.
                raise ControlError(f"{self.name}: {each.name}: {value!r} is no {each.kind.__name__}")
        return values


def answering(requests: Iterable[Request]) -> Handler:
    """What a ControlServer does with its requests, given those that there are; ``help`` is one more."""
    known = {request.name: request for request in requests}
    said = {"commands": [request.plain() for request in known.values()]}
    known["help"] = Request("help", "What can be asked.", lambda _: said)

    async def answer(request: Mapping[str, object]) -> Mapping[str, object]:
        name = request.get("command")
        found = known.get(name) if isinstance(name, str) else None
        if found is None:
            raise ControlError(f"unknown command: {name!r}; known are {', '.join(known)}")
        return found.answer(found.values(request))

    return answer


class ControlServer:
    """Serves one agent's control socket; each connection is one of ``tasks``."""

    def __init__(self, path: Path, handler: Handler, tasks: Tasks) -> None:
        self._path = path
        self._handler = handler
        self._tasks = tasks
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen. A file that a dead agent left is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._connected, self._path, limit=MAXIMUM_LINE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and remove the file."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.begin(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the peer went away, or sent a line over the limit: its connection ends, the agent goes on
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ControlError("a request is a JSON object")
            return {"ok": True, **await self._handler(request)}
        except (ValueError, RecursionError, ControlError) as error:
            return {"ok": False, "error": str(error)}


def request(path: Path, command: Mapping[str, object], deadline: float = REQUEST_DEADLINE) -> dict[str, object]:
    """Send one command and return the answer's fields; raises ControlError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(deadline)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(command).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(MAXIMUM_ANSWER)
        except OSError as error:
            raise ControlError(f"{path}: no agent answers there: {error}") from error
    try:
        answer = json.loads(line)
    except ValueError:
        raise ControlError(f"{path}: answered {line[:80]!r}, which is no JSON line") from None
    if not isinstance(answer, dict) or not answer.pop("ok", False):
        raise ControlError(f"{path}: {answer.get('error', 'refused') if isinstance(answer, dict) else answer!r}")
    return answer

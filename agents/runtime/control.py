"""The control socket of a running agent: a Unix stream socket, one JSON object per line each way.

Every agent answers ``{"command": "state"}``, ``{"command": "counters"}``, ``{"command": "leave"}`` (of one session with ``"session_id": …``) and the link trigger
``{"command": "link-detected", "interface": …, "point_of_attachment": …}``; the receiver of the data has more. An answer is
``{"ok": true, …}`` or ``{"ok": false, "error": "…"}``. A stranger's agent that takes link triggers answers the same line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

MAXIMUM_LINE = 65536  # bytes of one request or answer
REQUEST_DEADLINE = 5.0  # s

Handler = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]


class ControlError(Exception):
    """A request that an agent did not take, or an agent that is not there; the message says which and why."""


class ControlServer:
    """Serves one agent's control socket."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen. A file that a dead agent left is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAXIMUM_LINE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and remove the file."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

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
                line = lines.readline(MAXIMUM_LINE)
        except OSError as error:
            raise ControlError(f"{path}: no agent answers there: {error}") from error
    try:
        answer = json.loads(line)
    except ValueError:
        raise ControlError(f"{path}: answered {line[:80]!r}, which is no JSON line") from None
    if not isinstance(answer, dict) or not answer.pop("ok", False):
        raise ControlError(f"{path}: {answer.get('error', 'refused') if isinstance(answer, dict) else answer!r}")
    return answer

"""The operator's AAA, asked through a command: whether a node may join a session.

The command is started once for each question with two more arguments, the session id in decimal and the MN ID in
hexadecimal, without a shell. Exit status 0 grants; any other refuses, and what it wrote to stderr is the reason. One that
takes too long is killed and refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from agents.core.agent import AskAuthorisation, Authorised

DEADLINE = 5.0  # s; the role itself waits for less
CONCURRENT = 16  # questions at once: each is a process
REASON_MAXIMUM = 200  # characters


class Authorisation:
    """Asks the command ``argv``; None refuses everybody."""

    def __init__(self, argv: Sequence[str] | None) -> None:
        self._argv = argv
        self._turn = asyncio.Semaphore(CONCURRENT)

    async def ask(self, question: AskAuthorisation) -> Authorised:
        """The command's answer to one question."""
        if not self._argv:
            return _refused(question, "no command is configured as runtime.authorise")
        async with self._turn:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._argv,
                    str(question.session_id),
                    question.mn_id.hex(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                )
            except OSError as error:
                return _refused(question, f"{self._argv[0]} cannot be run: {error.strerror}")
            try:
                async with asyncio.timeout(DEADLINE):
                    _, said = await process.communicate()
            except TimeoutError:
                return _refused(question, f"{self._argv[0]} has not ended within {DEADLINE:g} s")
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
        if process.returncode == 0:
            return Authorised(question.session_id, question.mn_id, granted=True)
        reason = " ".join(said.decode(errors="replace").split())[:REASON_MAXIMUM]
        return _refused(question, reason or f"exit status {process.returncode}")


def _refused(question: AskAuthorisation, reason: str) -> Authorised:
    return Authorised(question.session_id, question.mn_id, granted=False, reason=reason)

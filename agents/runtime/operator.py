"""The operator's command, asked whatever a role cannot know, such as whether a node may join a session.

The command is started once for each question with the question's words as further arguments, without a shell. Exit status
0 grants; any other refuses, and what it wrote to stderr is the reason. One that takes too long is killed and refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from agents.core.agent import AskOperator, OperatorAnswered

CONCURRENT = 16  # questions at once: each is a process
REASON_MAXIMUM = 200  # characters


class Operator:
    """Asks the command ``argv``; None refuses everything.

    Questions that find no turn in time are refused like those that the command does not answer in time, so that no more
    wait than can come within one deadline.
    """

    def __init__(self, argv: Sequence[str] | None) -> None:
        self._argv = argv
        self._turn = asyncio.Semaphore(CONCURRENT)

    async def ask(self, question: AskOperator) -> OperatorAnswered:
        """The command's answer to one question."""
        if not self._argv:
            return _refused(question, "no command is configured as runtime.authorise")
        try:
            async with asyncio.timeout(question.within), self._turn:
                status, said = await _run([*self._argv, *question.words])
        except OSError as error:
            if isinstance(error, TimeoutError):
                return _refused(question, f"{self._argv[0]} has not ended within {question.within:g} s of the question")
            return _refused(question, f"{self._argv[0]} cannot be run: {error.strerror}")
        if status == 0:
            return OperatorAnswered(question.key, granted=True)
        reason = " ".join(said.decode(errors="replace").split())[:REASON_MAXIMUM]
        return _refused(question, reason or f"exit status {status}")


async def _run(argv: Sequence[str]) -> tuple[int | None, bytes]:
    """Exit status and stderr of a command; killed when this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode, said


def _refused(question: AskOperator, reason: str) -> OperatorAnswered:
    return OperatorAnswered(question.key, granted=False, reason=reason)

"""Programs of the routing root that are run once and end: nft, tc."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

COMMAND_DEADLINE_S = 10.0


class ToolError(RuntimeError):
    """A program refused what it was told; says which, where and what it said."""


def run_tool(
    root: Path | None,
    argv: Sequence[str],
    given: str = "",
    *,
    start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    where: str = "the sandbox",
) -> str:
    """What a program of the routing root says to `given`. Raises ToolError.

    `start` starts it, in this process's namespaces unless told otherwise; `where` names the place in errors.
    """
    if root is None:
        raise ToolError(f"this sandbox has no routing root folder, where {argv[0]} is")
    process = start(
        ["chroot", str(root), *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = process.communicate(given.encode(), timeout=COMMAND_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ToolError(f"{where}: {argv[0]} gave no answer for {COMMAND_DEADLINE_S:g} s") from None
    if process.returncode != 0:
        raise ToolError(f"{where}: {' '.join(argv)}: {said.decode(errors='replace').strip()}")
    return said.decode()

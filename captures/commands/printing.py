"""Styled lines on a terminal, plain ones elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence


class Printer:
    """Prints styled lines: in colour and as wide as the terminal on one, plain and as long as they get elsewhere."""

    def __init__(self, width: int | None = None) -> None:
        from rich.console import Console

        self.width = shutil.get_terminal_size().columns if width is None and sys.stdout.isatty() else width
        self._console = Console(highlight=False, soft_wrap=True)
        self._colour = sys.stdout.isatty()
        self.unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")

    def line(self, segments: Sequence[tuple[str, str]]) -> None:
        """Print one line."""
        if not self._colour:
            print("".join(text for text, _ in segments).rstrip())
            return
        from rich.text import Text

        self._console.print(Text.assemble(*segments))

"""Text that somebody else has written, so that whoever reads it sees all of it: nothing hides, turns round or breaks the line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from unicodedata import category


def pieces(text: str, kept: str = "") -> Iterator[tuple[str, bool]]:
    """The text in pieces of characters that show themselves (True) and that do not: control, format and unassigned ones.

    Those in ``kept``, such as a line break, are taken for the first.
    """
    if text.isprintable():
        yield text, True
        return
    for shows, characters in groupby(text, lambda each: each.isprintable() or each in kept or category(each) == "Zs"):
        yield "".join(characters), shows


def codes(characters: str) -> str:
    """Characters by their numbers, such as [U+202E]."""
    return "".join(f"[U+{ord(each):04X}]" for each in characters)


def visible(text: str, kept: str = "") -> str:
    """The text with what does not show itself by its number."""
    return "".join(piece if shows else codes(piece) for piece, shows in pieces(text, kept))

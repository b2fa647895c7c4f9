"""Decisions: what a project settles where a standard is silent, contradicts itself or cannot be had in full."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision. Code that depends on it, and tests that hold it, name its ``id``: the documentation finds them so.

    ``clause`` is where the standard leaves it open, with why, or "silent". ``without_code`` says why no code names the
    decision; it is empty for every decision that code depends on.
    """

    id: str
    text: str
    clause: str
    without_code: str = ""

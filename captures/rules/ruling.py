"""What a page or a ladder shows of the judge.

A run wrote down what it was told (``result.json``); a capture by itself, or one that has broken off since, is judged when it
is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from captures.files.reading import CaptureReader
from captures.history.run import Run
from captures.rules.engine import verify
from captures.rules.packs.pack import Settings
from captures.rules.reading import Progress


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a page or a ladder shows of a judgement.

    `verdicts`: as JSON, those that decide first; `deciding` are their rules, none of a capture that is no lab's. `records`: by name, the run's rows or the
    judge's records. `not_judged`: why a lab's capture cannot be judged as one, else None.
    """

    verdicts: Sequence[Mapping[str, Any]]
    deciding: frozenset[str] = frozenset()
    records: Mapping[str, Any] = field(default_factory=dict)
    not_judged: str | None = None

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """Verdicts that failed."""
        return [verdict for verdict in self.verdicts if verdict["verdict"] == "failed"]


def verdicts_of(run: Run, truncated: str | None, progress: Progress | None = None) -> Verdicts:
    """What a run was told, or is told now; `truncated`: where its capture breaks off.

    As its result has it, unless its capture has broken off.
    A run that could not run was not judged. Raises `CaptureError` if the capture cannot be read.
    """
    result = run.result()
    if result.get("verdict") == "could-not-run":
        return Verdicts(())
    rules, packs = result.get("rules"), result.get("packs")
    if truncated is None and isinstance(rules, Mapping) and isinstance(packs, Mapping) and "all" in rules:
        beside = [verdict for pack in packs.values() for verdict in pack["verdicts"]]
        deciding = frozenset(verdict["rule"] for verdict in rules["all"])
        return Verdicts([*rules["all"], *beside], deciding, result)
    found = verify(CaptureReader(run.capture), settings=Settings(ports=run.ports), progress=progress)
    verdicts = [verdict.as_dict() for verdict in (*found.decided, *(v for pack in found.beside for v in pack.verdicts))]
    not_judged = f"not judged as a lab: {found.lacks[0]}" if found.lacks and found.has_parameters else None
    deciding = frozenset(verdict.rule for verdict in found.decided)
    return Verdicts(verdicts, deciding, found.records, not_judged)

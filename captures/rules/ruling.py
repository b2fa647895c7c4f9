"""Everything the judge says of a capture: by the rules of a lab where it is a lab's, and by every pack that sees something.

A run wrote down what it was told (``result.json``); a capture by itself, or one that has broken off since, is judged when it
is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError
from captures.files.reading import CaptureReader
from captures.history.run import Run
from captures.rules.judge import LAB, Judgement, exit_code, judge
from captures.rules.packs.pack import Settings
from captures.rules.verify import PackVerdicts, verify

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a lab's capture was told: by the lab's rules, and by the packs whose protocol occurs in it."""

    lab: Judgement
    packs: tuple[PackVerdicts, ...]
    warnings: tuple[str, ...]

    @property
    def truncated(self) -> str | None:
        """Where the file breaks off, None if it is whole."""
        return self.lab.truncated

    def count(self, outcome: str) -> int:
        """How many verdicts are "passed", "failed" or "unseen"."""
        return len(self.lab.with_verdict(outcome)) + sum(pack.count(outcome) for pack in self.packs)

    def exit_code(self) -> int:
        """See `captures.rules.verify.exit_code`; the lab's own rules do not say yes to a capture without anything to judge."""
        return exit_code(failed=self.count("failed"), truncated=self.truncated)

    def as_dict(self) -> dict[str, Any]:
        """As JSON, the output of ``python -m captures judge --json``.

        What `captures.rules.judge.Judgement.as_dict` gives, and ``packs``, by name `captures.rules.verify.PackVerdicts.as_dict`.
        """
        return {
            **self.lab.as_dict(),
            "packs": {pack.name: pack.as_dict() for pack in self.packs},
            "warnings": list(self.warnings),
        }


def rule_on(path: Path, progress: Progress | None = None) -> Ruling:
    """Judge a lab's capture by everything there is. Raises `CaptureError` as `captures.rules.judge.judge`."""
    judgement = judge(path)
    found = verify(CaptureReader(path), progress=progress)
    return Ruling(judgement, tuple(found.packs), tuple(dict.fromkeys([*judgement.warnings, *found.warnings])))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a page or a ladder shows of a judgement.

    `verdicts`: as JSON, each with its ``pack``, those of the lab's rules first. `handovers`: the run's rows or the judge's
    records. `not_judged`: why there are no lab rules, None if there are or if it is no lab's capture.
    """

    verdicts: Sequence[Mapping[str, Any]]
    handovers: Sequence[Mapping[str, Any]] = ()
    not_judged: str | None = None

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """Verdicts that failed."""
        return [verdict for verdict in self.verdicts if verdict["verdict"] == "failed"]


def verdicts_of(run: Run, truncated: str | None, progress: Progress | None = None) -> Verdicts:
    """What a run was told, or is told now; `truncated`: where its capture breaks off.

    As its result has it, unless its capture has broken off; the packs are asked now where the result is older than they are.
    A run that could not run was not judged. Raises `CaptureError` if the capture cannot be read.
    """
    result = run.result()
    if result.get("verdict") == "could-not-run":
        return Verdicts(())
    rules, packs = result.get("rules"), result.get("packs")
    recorded = rules.get("all") if truncated is None and isinstance(rules, Mapping) else None
    is_lab = True
    if recorded is None or not isinstance(packs, Mapping):
        found = verify(CaptureReader(run.capture), settings=Settings(ports=run.ports), progress=progress)
        packs, is_lab = {pack.name: pack.as_dict() for pack in found.packs}, found.has_parameters
    of_packs = [verdict for pack in packs.values() for verdict in pack["verdicts"]]
    if recorded is not None:
        return Verdicts([*_of_lab(recorded), *of_packs], result.get("handovers", ()))
    if not is_lab:
        return Verdicts(of_packs)
    try:
        judgement = judge(run.capture).as_dict()
    except CaptureError as error:
        return Verdicts(of_packs, not_judged=f"not judged as a lab: {error}")
    return Verdicts([*judgement["rules"]["all"], *of_packs], judgement["handovers"])


def _of_lab(verdicts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A result of old does not say that they are the lab's."""
    return [{"pack": LAB, **verdict} for verdict in verdicts]

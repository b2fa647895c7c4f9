"""What was found in a capture: every rule's verdicts, pack by pack, and what they are made from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from captures.rules.findings import Verdict
from captures.wire.rtp import Stream

RULE_FAILED = 1
COULD_NOT_JUDGE = 2
OUTCOMES = ("passed", "failed", "unseen")


def exit_code(*, failed: int, truncated: str | None) -> int:
    """Of every command that judges: 1 if a rule failed in what there was, else 2 if that was not all, else 0."""
    if failed:
        return RULE_FAILED
    return 0 if truncated is None else COULD_NOT_JUDGE


def count(verdicts: list[Verdict], outcome: str) -> int:
    """How many verdicts are "passed", "failed" or "unseen"."""
    return sum(verdict.verdict == outcome for verdict in verdicts)


@dataclass(slots=True)
class PackVerdicts:
    """What one pack found; it `decides` if the capture is that of a lab of its protocol."""

    name: str
    verdicts: list[Verdict]
    decides: bool = False

    def count(self, outcome: str) -> int:
        """How many verdicts are "passed", "failed" or "unseen"."""
        return count(self.verdicts, outcome)

    def as_dict(self) -> dict[str, Any]:
        """As JSON: ``passed``, ``failed`` and ``unseen``, which are counts, and ``verdicts``.

        Each of these is what `captures.rules.findings.Verdict.as_dict` gives.
        """
        return {
            **{outcome: self.count(outcome) for outcome in OUTCOMES},
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }


@dataclass(slots=True)
class Judgement:
    """What was found in one capture. `truncated` tells where it broke off, None if it is whole.

    `deciding`: rules that decide beside those of the packs that do. `about`: what the lab says that its capture must show. `asked`: the packs that were named, of which each must have something to judge. `lacks`: why it cannot be judged as the
    lab's capture that it is, or is not; empty if it can.
    """

    source: str
    packs: list[PackVerdicts]
    frames: int
    seconds: float
    interfaces: dict[str, int]
    streams: list[Stream]
    passed_over: dict[str, int]
    warnings: list[str]
    truncated: str | None
    about: tuple[str, ...] = ()
    has_parameters: bool = False
    asked: tuple[str, ...] = ()
    lacks: list[str] = field(default_factory=list)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    deciding: frozenset[str] = frozenset()

    @property
    def decided(self) -> list[Verdict]:
        """Those that decide whether a run passed: of the packs of protocols whose lab it is, and of the rules `deciding`."""
        return [found for pack in self.packs for found in pack.verdicts if pack.decides or found.rule in self.deciding]

    @property
    def beside(self) -> list[PackVerdicts]:
        """The other packs, without what decides of them."""
        return [
            replace(pack, verdicts=[found for found in pack.verdicts if found.rule not in self.deciding])
            for pack in self.packs
            if not pack.decides
        ]

    @property
    def not_judged(self) -> list[str]:
        """Packs that were named and had nothing to judge."""
        judged = {pack.name for pack in self.packs if any(found.verdict != "unseen" for found in pack.verdicts)}
        return [name for name in self.asked if name not in judged]

    @property
    def verdicts(self) -> list[Verdict]:
        """Those of all packs."""
        return [verdict for pack in self.packs for verdict in pack.verdicts]

    def with_verdict(self, outcome: str) -> list[Verdict]:
        """Those that decide, of one kind: "passed", "failed" or "unseen"."""
        return [found for found in self.decided if found.verdict == outcome]

    def count(self, outcome: str) -> int:
        """How many verdicts of all packs are "passed", "failed" or "unseen"."""
        return count(self.verdicts, outcome)

    def exit_code(self) -> int:
        """As `exit_code`, and 2 too if nothing of what was asked could be judged."""
        code = exit_code(failed=self.count("failed"), truncated=self.truncated)
        return code or (COULD_NOT_JUDGE if self.not_judged or not self.count("passed") else 0)

    def of_run(self) -> dict[str, Any]:
        """As JSON, the output of ``python -m captures judge --json``.

        - ``about``: what the lab must show, and beside it what its protocols' rooms say of it (`captures.rules.packs.pack.Facts.records`);
        - ``routers``: what the lab did to each (`captures.history.router_load.RouterLoad.records`);
        - ``rules``: what decides: ``checked`` (verdicts that passed or failed) and ``passed`` are counts, ``unseen``,
          ``failed`` and ``all`` lists of what `captures.rules.findings.Verdict.as_dict` gives;
        - ``packs``: the other packs, by name `PackVerdicts.as_dict`;
        - ``interfaces``: number of frames by interface name;
        - ``warnings``: texts; ``truncated``: where the file breaks off, null if it is whole.
        """
        passed, failed = len(self.with_verdict("passed")), self.with_verdict("failed")
        return {
            "about": list(self.about),
            **self.records,
            "rules": {
                "checked": passed + len(failed),
                "passed": passed,
                "unseen": [verdict.as_dict() for verdict in self.with_verdict("unseen")],
                "failed": [verdict.as_dict() for verdict in failed],
                "all": [verdict.as_dict() for verdict in self.decided],
            },
            "packs": {pack.name: pack.as_dict() for pack in self.beside},
            "interfaces": self.interfaces,
            "warnings": self.warnings,
            "truncated": self.truncated,
        }

    def as_dict(self) -> dict[str, Any]:
        """As JSON, the output of ``python -m captures verify --json``.

        ``packs``: by name `PackVerdicts.as_dict`; ``streams``: `captures.wire.rtp.Stream.as_dict` of
        each; ``interfaces``: frames by name; ``passed_over``: frames that were not judged, by reason; ``frames``,
        ``seconds`` (from the first to the last), ``warnings``, ``truncated``, ``source``; ``not_judged``: packs that were
        named and had nothing to judge.
        """
        return {
            "source": self.source,
            "frames": self.frames,
            "seconds": self.seconds,
            "packs": {pack.name: pack.as_dict() for pack in self.packs},
            "streams": [stream.as_dict() for stream in self.streams],
            "interfaces": self.interfaces,
            "passed_over": self.passed_over,
            "warnings": self.warnings,
            "truncated": self.truncated,
            "not_judged": self.not_judged,
        }

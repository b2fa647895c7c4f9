"""Every rule of GMP, on a capture that keeps it and on one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from captures.files.reading import CaptureReader
from captures.gmp.rules.wire import gmp_pack
from captures.rules.engine import verify
from captures.rules.judgement import Judgement
from captures.rules.packs.pack import Settings
from tests.captures.scripted_gmp import good_gmp
from tests.captures.scripted_link import ScriptedLink
from tests.captures.spoiled_gmp import BROKEN

RULES = {rule.name for rule in gmp_pack(Settings()).rules if rule.check is not None}


def verified(link: ScriptedLink, folder: Path) -> Judgement:
    return verify(CaptureReader(link.write(folder / "gmp.pcapng")))


def outcome(judgement: Judgement, verdict: str) -> set[str]:
    return {found.rule for found in judgement.verdicts if found.verdict == verdict}


def test_good_gmp_keeps_every_rule(tmp_path: Path) -> None:
    judgement = verified(good_gmp(), tmp_path)
    assert [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"] == []
    assert outcome(judgement, "passed") >= RULES
    assert judgement.warnings == []
    assert judgement.passed_over == {}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_noticed(tmp_path: Path, case: str) -> None:
    spoil, failing = BROKEN[case]
    link = good_gmp()
    spoil(link)
    judgement = verified(link, tmp_path)
    failed = [(v.rule, v.message) for v in judgement.verdicts if v.verdict == "failed"]
    assert {rule for rule, _ in failed} == {f"gmp-{name}" for name in failing}, failed


def test_every_rule_has_a_capture_that_breaks_it() -> None:
    assert {f"gmp-{name}" for _, failing in BROKEN.values() for name in failing} == RULES

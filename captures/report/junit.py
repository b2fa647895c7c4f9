"""Verdicts as JUnit XML: a suite for each pack, a case for each rule and subject; unseen is skipped."""

from __future__ import annotations

from pathlib import Path

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from captures.rules.findings import Verdict
from captures.rules.judgement import Judgement


def write(judgement: Judgement, path: Path) -> None:
    """Write the file anew. Raises OSError."""
    report = JUnitXml("captures")
    for pack in judgement.packs:
        suite = TestSuite(pack.name)
        for verdict in pack.verdicts:
            suite.add_testcase(_case(pack.name, verdict))
        report.add_testsuite(suite)
    report.write(str(path), pretty=True)


def _case(pack: str, verdict: Verdict) -> TestCase:
    case = TestCase(f"{verdict.rule} [{verdict.clause}] {verdict.subject}", pack)
    if verdict.verdict == "failed":
        failure = Failure(verdict.message)
        failure.text = f"{verdict.message}\nframes: {' '.join(map(str, verdict.frames))}"
        case.result = [failure]
    elif verdict.verdict == "unseen":
        case.result = [Skipped(verdict.message)]
    return case

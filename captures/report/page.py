"""The page of a run: what is on it, and one self-contained HTML file of it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures.additions import Table, Tile
from captures.ladder.families import titles
from captures.protocols import protocols
from captures.report import details, summary
from captures.report.chapters import Chapter, chapters_of, draw_scenes
from captures.report.ladders import draw_ladders
from captures.report.material import File, Material
from captures.report.nested import NestedDrawing, draw_nested
from captures.report.rendering import templates
from captures.report.rule_table import FRAMES_SHOWN, RuleRow
from captures.report.seen import Seen, read_seen
from captures.report.topology import Plan, make_plan
from captures.rules.ruling import verdicts_of


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the templates show."""

    run: str
    title: str
    verdict: str
    verdict_kind: str
    lead: str
    when: list[str]
    problems: list[summary.Problem]
    tiles: list[Tile]
    tables: list[Table]
    nested: list[NestedDrawing]
    cases: list[summary.Case]
    chapters: list[Chapter]
    chapters_left_out: int
    plan: Plan | None
    roles: Mapping[str, str]
    rules: list[RuleRow]
    rules_lead: str
    frames_shown: int
    families: Mapping[str, str]
    warnings: list[str]
    facts: list[details.Facts]
    counters: list[tuple[str, list[tuple[str, Any]]]]
    configurations: list[File]
    files: list[details.LinkedFile]
    capture: str
    filters: list[tuple[str, str]]
    protocols: list[str]
    truncated: str | None

    def count(self, outcome: str) -> int:
        """How many verdicts are "passed", "failed" or "unseen"."""
        return summary.count_rules(self.rules)[outcome]


def write_report(material: Material, target: Path) -> Page:
    """Write the run's page, whole or not at all; returns what is on it.

    Raises `CaptureError` if the capture cannot be read, OSError if the page cannot be written.
    """
    page = make_page(material, target)
    html = render(page)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(html)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return page


def render(page: Page) -> str:
    """The page as HTML.

    Whatever comes from a capture is escaped. Besides, a browser runs and applies only what carries this page's nonce, and
    loads nothing: a packet cannot know the nonce.
    """
    return templates().get_template("page.html.j2").render(page=page, nonce=secrets.token_hex(16))


def make_page(material: Material, report: Path) -> Page:
    """Gather what the page shows. Raises `CaptureError` if the capture cannot be read."""
    run, result = material.run, material.result
    seen = read_seen(run)
    told = verdicts_of(run, seen.truncated)
    failed = {str(verdict["subject"]) for verdict in told.failed}
    additions = [
        known.report(seen.facts[known.name], told.records, failed)
        for known in protocols()
        if known.report is not None and known.name in seen.facts
    ]
    notes = list(seen.warnings)
    model = _model(material, seen)
    plan = _plan(model, notes)
    chapters, left_out = chapters_of(seen, additions, failed)
    draw_scenes(seen, additions, chapters, plan, details.source_of(seen))
    rules, occurring = draw_ladders(run, model, seen, chapters, told)
    tables = summary.tables_of(additions, chapters)
    cases = summary.cases_of(result)
    verdict, kind = summary.verdict_of(result, rules, truncated=seen.truncated)
    return Page(
        run=material.name,
        title=_title(material, seen),
        verdict=verdict,
        verdict_kind=kind,
        lead=summary.lead_of(tables, cases, rules),
        when=summary.when_of(result, seen.begin_ns, seen.end_ns),
        problems=summary.problems_of(
            result,
            [row for row in rules if row.rule in told.deciding or not told.deciding],
            told.not_judged,
            seen.truncated,
        ),
        tiles=summary.tiles_of(additions, result),
        tables=tables,
        nested=[
            drawing
            for each in additions
            for nested in each.nested
            if (drawing := draw_nested(nested, seen.begin_ns)) is not None
        ],
        cases=cases,
        chapters=chapters,
        chapters_left_out=left_out,
        plan=plan,
        roles=details.roles_of(seen, plan),
        rules=rules,
        rules_lead=summary.rules_lead_of(rules),
        frames_shown=FRAMES_SHOWN,
        families=titles(),
        warnings=[str(warning) for warning in dict.fromkeys([*result.get("warnings", ()), *notes])],
        facts=details.facts_of(result, seen),
        counters=details.counters_of(result),
        configurations=[file for file in material.files if file.text is not None],
        files=details.linked_files(material, report),
        capture=run.capture.name,
        filters=details.filters_of(seen, occurring, additions),
        protocols=[known.name for known in protocols() if known.name in occurring],
        truncated=seen.truncated,
    )


def _title(material: Material, seen: Seen) -> str:
    """The lab and its IP version, as far as the capture names them."""
    name = str(seen.parameters.get("lab") or material.run.capture.stem)
    group = seen.parameters.get("group")
    return f"{name}, {'IPv6' if ':' in str(group) else 'IPv4'}" if group else name


def _model(material: Material, seen: Seen) -> Mapping[str, Any]:
    """The lab's model from its file, else from the capture's ``model`` step; empty if neither has it."""
    written = material.run.model()
    if written:
        return written
    steps = (step.fields.get("model") for step in seen.steps if step.name == "model")
    return next((model for model in steps if isinstance(model, Mapping)), {})


def _plan(model: Mapping[str, Any], notes: list[str]) -> Plan | None:
    if not model:
        notes.append("no drawing of the network: there is no model.json beside the capture and no model step in it")
        return None
    try:
        return make_plan(model)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        notes.append(f"no drawing of the network: its model is of another form ({error!r})")
        return None

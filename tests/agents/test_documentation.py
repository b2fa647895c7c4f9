"""The protocol pages: what the source says, complete and as committed. Decisions of these tests are called X, not M."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents import documentation
from agents.__main__ import main
from agents.core.decision import Decision
from agents.documentation import Mention, mentions, page, page_path, tables
from agents.mmcp.decisions import IMPLEMENTATION, SPECIFICATION
from agents.protocols import names, protocol

MMCP = protocol("mmcp")
DECISIONS = [*SPECIFICATION, *IMPLEMENTATION]


@pytest.mark.parametrize("name", names())
def test_committed_page_is_what_the_source_says(name: str) -> None:
    of = protocol(name)
    assert page_path(of).read_text(encoding="utf-8") == page(of), "write it again with: make docs"


def test_command_writes_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(documentation, "page_path", lambda of: tmp_path / f"{of.name}.md")
    monkeypatch.setattr(documentation, "page", lambda of: f"about {of.name}\n")
    result = CliRunner().invoke(main, ["document", "mmcp"])
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/mmcp.md\n")
    assert (tmp_path / "mmcp.md").read_text() == "about mmcp\n"


def test_decisions_are_numbered_without_a_gap_and_complete() -> None:
    assert [decision.id for decision in DECISIONS] == [f"M-{number}" for number in range(1, len(DECISIONS) + 1)]
    assert len(SPECIFICATION) == 17
    for decision in DECISIONS:
        assert decision.text.endswith(".")
        assert decision.clause


def test_code_names_every_decision_that_it_depends_on_and_no_other() -> None:
    found = mentions(DECISIONS)
    assert set(found) == {decision.id for decision in DECISIONS}, "named, but in no list of decisions"
    in_code = {name for name, places in found.items() if any(one.path.startswith("agents/") for one in places)}
    without = {decision.id for decision in DECISIONS if decision.without_code}
    assert {decision.id for decision in DECISIONS} - in_code == without


def test_every_decision_that_code_depends_on_has_a_test_that_names_it() -> None:
    found = mentions(DECISIONS)
    untested = {name for name, places in found.items() if not any(one.in_tests for one in places)}
    assert untested == {decision.id for decision in DECISIONS if decision.without_code}


def test_every_machine_is_on_the_page() -> None:
    names = [table.name for table in tables(import_module("agents.mmcp"))]
    assert names == ["MMCP LMC handover", "MMCP LMC session", "MMCP MN", "MMCP SM session"]
    text = page(MMCP)
    assert re.findall(r"^### (MMCP .*)$", text, re.MULTILINE) == names
    assert text.count("```mermaid\n") == len(names)


def test_links_of_the_page_lead_to_files() -> None:
    path = page_path(MMCP)
    links = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    assert len(links) > len(DECISIONS)
    assert [link for link in links if not (path.parent / link).is_file()] == []


def test_rows_of_the_page_have_as_many_cells_as_their_titles() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", page(MMCP), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


SOURCE = '''"""A module [X-1]."""

# About the constant below [X-2].
CONSTANT = 5
OTHER: int = 7  # [D X-2]

# Alone, about what follows in general: X-3.

BOTH = LEFT = 1  # X-1 to X-3, and never MAX-2 or X-2-1b


@decorated("X-4")
def function():
    def inner():
        return 1  # [X-5]


class Thing:
    """X-5 too."""

    KEY = "X-6"

    async def method(self):
        # X-6
        return 3
'''


def test_places_are_files_functions_classes_and_constants(tmp_path: Path) -> None:
    for name, text in {
        "agents/x/one.py": SOURCE,
        "agents/x/decisions.py": "X-1 X-2 X-3 X-4 X-5 X-6",
        "captures/rules.lua": "-- X-6",
        "captures/page.md": "X-6",
        "tests/vectors/x.toml": "# X-4",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = mentions([Decision("X-1", "First.", "silent"), Decision("X-9", "Last.", "silent")], tmp_path)
    one = "agents/x/one.py"
    assert found == {
        "X-1": [Mention(one, ""), Mention(one, "BOTH")],
        "X-2": [Mention(one, "BOTH"), Mention(one, "CONSTANT"), Mention(one, "OTHER")],
        "X-3": [Mention(one, ""), Mention(one, "BOTH")],
        "X-4": [Mention(one, "function"), Mention("tests/vectors/x.toml", "")],
        "X-5": [Mention(one, "Thing"), Mention(one, "function")],
        "X-6": [Mention(one, "Thing.KEY"), Mention(one, "Thing.method"), Mention("captures/rules.lua", "")],
        "X-9": [],
    }
    assert [mention.in_tests for mention in found["X-4"]] == [False, True]


def test_lines_may_move_without_a_change_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    places = []
    for text in (SOURCE, SOURCE.replace("\n\n", "\n\n\n\n")):
        (tmp_path / "agents/one.py").write_text(text)
        places.append(mentions([Decision("X-1", "First.", "silent")], tmp_path))
    assert places[0] == places[1]

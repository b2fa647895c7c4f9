"""Writes a protocol's page, ``agents/<name>/<NAME>.md``, from its record and source: roles, calls, machines, decisions.

``make docs`` writes the pages again, and a test fails where a committed page is not what the source says. Nothing on a
page depends on line numbers: a mention of a decision is placed by file and function, class or constant.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType, ModuleType
from typing import Any

from agents.core.decision import Decision
from agents.core.machine import TransitionTable
from agents.core.room import Command, Protocol

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("agents", "captures", "tests")  # where decisions are named: who speaks, who judges, who proves
KINDS = (".py", ".lua", ".toml")

_LONGEST_RANGE = 50  # "X-7 to X-10" names all four; more than this is no range of decisions


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A place that names a decision: the file, relative to the project, and what in it ("": the file as a whole)."""

    path: str
    place: str

    @property
    def in_tests(self) -> bool:
        """Whether it is a test (or a vector of the tests) that names it."""
        return self.path.startswith("tests/")


def page_path(of: Protocol) -> Path:
    """Where the page of a protocol is: in its room."""
    return Path(_package(of).__path__[0]).resolve() / f"{of.name.upper()}.md"


def _package(of: Protocol) -> ModuleType:
    return import_module(f"agents.{of.name}")


def page(of: Protocol) -> str:
    """The page of a protocol, as Markdown."""
    package = _package(of)
    found = mentions([*of.specification, *of.implementation], page_path(of).parents[2])
    here = Path("agents", of.name)
    name = of.name.upper()
    return "\n".join(
        [
            f"# {name}: roles, calls, state machines, decisions",
            "",
            "Made from the source by `make docs`; a change by hand is lost.",
            "",
            of.title,
            "",
            "## Roles",
            "",
            *_table(
                ("role", "what it is", "run with"),
                (
                    (f"`{role.name}`", role.summary, f"`python -m agents {of.name} {role.name} --config FILE`")
                    for role in of.roles
                ),
            ),
            "",
            *_commands(of.commands),
            *_calls(package),
            *_machines(package),
            *_decisions("Decisions of the protocol page this project is written from", of.specification, found, here),
            *_decisions("Decisions of this implementation", of.implementation, found, here),
        ]
    )


# --- what can be asked of a running role ------------------------------------------------------------------------------


def _commands(commands: Sequence[Command]) -> Iterator[str]:
    if not commands:
        return
    yield from ("## What a running role is told", "", "With `python -m agents ctl AGENT COMMAND`:", "")
    yield from _table(
        ("command", "what it does", "fields"),
        (
            (
                f"`{command.name}`",
                command.summary,
                "<br>".join(
                    f"`--{field.name.replace('_', '-')}`{'' if field.required else ' (may be left out)'}: {field.help}"
                    for field in command.fields
                ),
            )
            for command in commands
        ),
    )
    yield ""


# --- calls and state machines -----------------------------------------------------------------------------------------


def _calls(package: ModuleType) -> Iterator[str]:
    """What the module of the calls says, then each call in the order of the source; nothing where there are none."""
    names = getattr(package, "__all__", ())
    functions = [value for name in names if isinstance(value := getattr(package, name), FunctionType)]
    if not functions:
        return
    yield from ("## What an application calls", "")
    functions.sort(key=lambda function: (function.__module__, function.__code__.co_firstlineno))
    for module in dict.fromkeys(function.__module__ for function in functions):
        yield (inspect.getdoc(import_module(module)) or "").replace("``", "`")
        yield ""
    yield f"All of them are in `{package.__name__}`:"
    yield ""
    yield from _table(
        ("call", "what it does"),
        (
            (f"`{function.__name__}{inspect.signature(function)}`".replace("'", ""), _summary(function))
            for function in functions
        ),
    )
    yield ""


def _summary(function: FunctionType) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def tables(package: ModuleType) -> list[TransitionTable[Any, Any]]:
    """Every transition table that a module of ``package`` defines, by name."""
    found: dict[str, TransitionTable[Any, Any]] = {}
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, TransitionTable):
                found[value.name] = value
    return [found[name] for name in sorted(found)]


def _machines(package: ModuleType) -> Iterator[str]:
    found = tables(package)
    if not found:
        return
    yield from ("## State machines", "")
    yield "Each table is enforced: a step that is not in it raises, and every step leaves a line in the role's trace."
    yield ""
    for table in found:
        yield from (f"### {table.name}", "", "```mermaid", table.mermaid(), "```", "")
        yield from _table(
            ("state", "input", "next state"),
            (
                (str(state.value), str(on.value), str(following.value))
                for state, row in table.steps.items()
                for on, following in row.items()
            ),
        )
        yield ""


# --- decisions --------------------------------------------------------------------------------------------------------


def _decisions(title: str, decisions: Sequence[Decision], found: dict[str, list[Mention]], here: Path) -> Iterator[str]:
    if not decisions:
        return
    yield from (f"## {title}", "")
    yield "Where the standard is silent or contradicts itself. Code that depends on a decision names it; here is where."
    yield ""
    yield from _table(
        ("id", "decision", "clause", "named in", "tests"),
        (
            (
                decision.id,
                decision.text,
                decision.clause,
                _places([one for one in found[decision.id] if not one.in_tests], here)
                or f"not named in code: {decision.without_code or 'MISSING'}",
                _places([one for one in found[decision.id] if one.in_tests], here) or "not tested by name",
            )
            for decision in decisions
        ),
    )
    yield ""


def _places(places: Sequence[Mention], here: Path) -> str:
    """One line for each file, linked from the folder ``here``, with what in it names the decision."""
    lines = []
    for path in dict.fromkeys(place.path for place in places):
        names = ", ".join(f"`{place.place}`" for place in places if place.path == path and place.place)
        lines.append(f"[{path}]({Path(os.path.relpath(path, here)).as_posix()})" + (f": {names}" if names else ""))
    return "<br>".join(lines)


def mentions(decisions: Sequence[Decision], project: Path = PROJECT) -> dict[str, list[Mention]]:
    """Where in a folder of rooms each decision is named, by id; ids of the same letter that no decision has are found too.

    The module that states the decisions is left out: it names them all.
    """
    if not decisions:
        return {}
    letters = sorted({decision.id.partition("-")[0] for decision in decisions})
    pattern = re.compile(rf"(?<![\w-])({'|'.join(letters)})-(\d+)\b(?: to \1-(\d+)\b)?")
    found: dict[str, set[Mention]] = {decision.id: set() for decision in decisions}
    for path in _sources(project):
        text = path.read_text(encoding="utf-8")
        if not pattern.search(text):
            continue
        name = path.relative_to(project).as_posix()
        lines = text.splitlines()
        tree = ast.parse(text) if path.suffix == ".py" else None
        for number, line in enumerate(lines, 1):
            for one in pattern.finditer(line):
                mention = Mention(name, "" if tree is None else _place(tree, lines, number))
                for each in _named(one):
                    found.setdefault(each, set()).add(mention)
    return {each: sorted(places) for each, places in found.items()}


def _named(one: re.Match[str]) -> Iterator[str]:
    first, last = int(one[2]), int(one[3] or one[2])
    for number in range(first, min(last, first + _LONGEST_RANGE) + 1):
        yield f"{one[1]}-{number}"


def _sources(project: Path) -> Iterator[Path]:
    for room in ROOMS:
        for path in sorted((project / room).rglob("*")):
            if path.suffix in KINDS and path.is_file() and path.name != "decisions.py":
                yield path


def _place(tree: ast.AST, lines: Sequence[str], number: int) -> str:
    """The function, class or constant that line ``number`` is in, or that the comment on it stands right before."""
    while number <= len(lines) and lines[number - 1].lstrip().startswith("#"):
        number += 1
    names: list[str] = []
    inside: ast.AST | None = tree
    while inside is not None:
        inside = next((node for node in _body(inside) if _first_line(node) <= number <= (node.end_lineno or 0)), None)
        match inside:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                return ".".join([*names, name])
            case ast.ClassDef(name=name):
                names.append(name)
            case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.AnnAssign(target=ast.Name(id=name)):
                return ".".join([*names, name])
    return ".".join(names)


def _body(node: ast.AST) -> list[ast.stmt]:
    return node.body if isinstance(node, ast.Module | ast.ClassDef) else []


def _first_line(node: ast.stmt) -> int:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.decorator_list:
        return node.decorator_list[0].lineno
    return node.lineno


# --- Markdown ---------------------------------------------------------------------------------------------------------


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(cell.replace("``", "`").replace("|", "\\|") for cell in row) + " |"

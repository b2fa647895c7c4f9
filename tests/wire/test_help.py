"""Every command of the three command lines explains itself: no mark-up is left in it, and every option says what it is."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

import agents.__main__
import captures.__main__
import testbed.commands.program

PROGRAMS = {
    "agents": agents.__main__.main,
    "captures": captures.__main__.main,
    "testbed": testbed.commands.program.main,
}


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from commands(f"{name} {inner}", found)


ALL = {words: command for name, program in PROGRAMS.items() for words, command in commands(name, program)}


@pytest.mark.parametrize("words", ALL)
def test_help_is_for_people(words: str) -> None:
    program, *rest = words.split()
    done = CliRunner().invoke(PROGRAMS[program], [*rest, "--help"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "\\b" not in done.stdout
    assert ALL[words].help, "a command says what it does"
    for parameter in ALL[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts[0]} says what it is"

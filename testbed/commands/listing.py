"""``list``: the labs there are, what each shows, and its drawing."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import Any

import click

from testbed.commands.answering import COULD_NOT, fail
from testbed.run.finding import FoundLab, LabFileError, find_lab, labs


@click.command("list")
@click.argument("named", nargs=-1, metavar="[LAB|FILE.py]...")
@click.option("--brief", is_flag=True, help="One line for each lab, without its drawing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array: names, what each shows, drawings, options.")
def list_command(named: tuple[str, ...], *, brief: bool, as_json: bool) -> None:
    """List the labs with what each shows and its drawing; of those that are named print all that they say of themselves.

    \b
    Example: python -m testbed list
             python -m testbed list handover ./my_lab.py
             python -m testbed list --json | jq -r '.[].lab'
    """
    try:
        known, broken = ({}, {}) if named else labs()
        found = [find_lab(name) for name in named] or list(known.values())
        if as_json:
            click.echo(json.dumps([_as_dict(lab) for lab in found]))
        elif named:
            click.echo("\n\n".join(f"{lab.topology.name}: {lab.file}\n\n{lab.text}" for lab in found))
        else:
            _show(found, brief=brief)
    except LabFileError as error:
        fail(error)
    for reason in broken.values():
        click.echo(f"error: {reason}", err=True)
    if broken:
        sys.exit(COULD_NOT)


def _show(found: list[FoundLab], *, brief: bool) -> None:
    """Labs whose drawings are the same stand together above it."""
    width = max(len(lab.topology.name) for lab in found)
    together: dict[str, list[FoundLab]] = {}
    for lab in found:
        together.setdefault("" if brief else lab.drawing, []).append(lab)
    for drawing, alike in together.items():
        for lab in alike:
            click.echo(f"{lab.topology.name:{width}}  {lab.topology.summary}")
        if drawing:
            click.echo(f"\n{textwrap.indent(drawing, '    ')}\n")


def _as_dict(lab: FoundLab) -> dict[str, Any]:
    return {
        "lab": lab.topology.name,
        "summary": lab.topology.summary,
        "file": str(lab.file),
        "drawing": lab.drawing,
        "text": lab.text,
        "options": [
            {"name": option.name, "help": option.help, "values": option.metavar, "default": option.default}
            for option in lab.topology.all_options
        ],
    }

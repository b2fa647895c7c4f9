"""``list``: the labs there are."""

from __future__ import annotations

import json

import click

from testbed.run.laboratory import topologies


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_command(*, as_json: bool) -> None:
    """List the labs. Example: python -m testbed list --json."""
    known = topologies().values()
    if as_json:
        click.echo(json.dumps([{"lab": each.name, "summary": each.summary} for each in known]))
    else:
        for each in known:
            click.echo(f"{each.name:12} {each.summary}")

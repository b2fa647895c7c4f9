"""The command that reads messages: ``dissect``."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from captures.protocol import MalformedMessageError
from captures.protocols import names, protocol


@click.command("dissect")
@click.option("--protocol", "name", type=click.Choice(names()), required=True, help="Protocol of the messages.")
@click.option("--module", help="Module that the messages belong to, where a protocol has several.")
def dissect_command(name: str, module: str | None) -> None:
    """Read one hex message per line from stdin, print one JSON object per line.

    Of a malformed message "error" says what is wrong and at which octet, and "read" what could be read all the same.

    A message that a TCP connection carries is given without the length that some protocols put before it there.

    \b
    Example: echo HEX | python -m captures dissect --protocol NAME
    """
    known = protocol(name)
    modules = known.modules
    if module is not None and module not in modules:
        has = f"one of {', '.join(modules)}" if modules else "none, and needs none"
        raise click.BadParameter(f"{module!r}: {name} has {has}", param_hint="--module")
    dissect = known.dissector(module)
    for line in sys.stdin.buffer:
        text = line.decode(errors="replace").strip()
        if not text:
            continue
        try:
            data = bytes.fromhex(text)
        except ValueError:
            answer: dict[str, Any] = {"error": f"not hexadecimal: {text[:60]!r}"}
        else:
            try:
                answer = dissect(data)
            except MalformedMessageError as error:
                told = error.told()
                answer = {"error": told.pop("reason"), **told}
        click.echo(json.dumps(answer))
        sys.stdout.flush()

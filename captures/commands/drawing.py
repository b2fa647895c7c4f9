"""The command that draws a lab: ``draw``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from captures.commands.answering import answering
from captures.files.capture import CaptureError


@click.command("draw")
@click.argument("model", type=click.Path(path_type=Path, allow_dash=True), metavar="MODEL.json")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the SVG there and not to standard output.")
@click.option(
    "--sending",
    multiple=True,
    metavar="NODE:INTERFACE",
    help="An interface that sends a stream: its link is picked out, with an arrow. May be given many times.",
)
def draw_command(model: Path, output: Path | None, sending: tuple[str, ...]) -> None:
    """Draw a lab's model, as `model.json` of a run's folder has it, as SVG; - is standard input.

    Of more than six mobile nodes each cell shows how many begin there. What a link does to packets is written beside it; a
    browser shows addresses when something is pointed at.

    \b
    Example: python -m captures draw captures/runs/latest/model.json -o lab.svg
             python -m testbed draw handover --output lab.svg
    """
    from captures.report.lab_drawing import draw_lab

    with answering():
        try:
            text = sys.stdin.read() if str(model) == "-" else model.read_text(encoding="utf-8")
            found = json.loads(text)
        except (OSError, ValueError) as error:
            raise CaptureError(f"{model}: {error}") from error
        svg = draw_lab(found, sending)
        if output is None:
            click.echo(svg)
            return
        try:
            output.write_text(svg, encoding="utf-8")
        except OSError as error:
            raise CaptureError(f"cannot write {output}: {error.strerror}") from error
        click.echo(str(output))

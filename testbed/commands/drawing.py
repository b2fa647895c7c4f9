"""``draw``: a lab as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.commands.labs import LabCommands, answering_for, lab_command, model_of, output_option
from testbed.run.finding import FoundLab
from testbed.run.recording import draw


def _command_of(lab: FoundLab) -> click.Command:
    def draw_lab(*, output: Path | None, **texts: str | None) -> None:
        model = model_of(lab, texts)
        with answering_for(lab):
            svg = draw(model)
            if output is not None:
                output.write_text(svg, encoding="utf-8")
        click.echo(svg if output is None else str(output))

    return lab_command(
        lab,
        draw_lab,
        output_option("-o", "--output", text="Write the SVG there and not to standard output."),
        text="\n\nIts network as SVG, as the options make it: routers by their distance from the first, "
        "cells with what is in them, what links do to packets. Nothing is started.",
        example=f"draw {lab.named} --output {lab.topology.name}.svg",
    )


draw_command = LabCommands(
    name="draw",
    make=_command_of,
    help="Draw a lab as SVG, by its name or by its file.\n\nExample: python -m testbed draw ./my_lab.py --output my_lab.svg",
)

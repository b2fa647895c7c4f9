"""``draw``: a lab as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.commands.answering import CANNOT_RUN, fail
from testbed.commands.labs import LabCommands, lab_parameters, model_of, sentence
from testbed.run.finding import FoundLab
from testbed.run.recording import draw


def _command_of(lab: FoundLab) -> click.Command:
    def draw_lab(*, output: Path | None, **texts: str | None) -> None:
        model = model_of(lab, texts)
        try:
            svg = draw(model)
            if output is None:
                click.echo(svg)
            else:
                output.write_text(svg, encoding="utf-8")
                click.echo(str(output))
        except CANNOT_RUN as error:
            fail(error)
        except OSError as error:
            fail(f"cannot write {output}: {error.strerror}")

    return click.Command(
        lab.named,
        params=[
            *lab_parameters(lab.topology),
            click.Option(
                ["-o", "--output"],
                type=click.Path(path_type=Path),
                help="Write the SVG there and not to standard output.",
            ),
        ],
        callback=draw_lab,
        short_help=lab.topology.summary,
        help=f"{sentence(lab.topology)}\n\nIts network as SVG, as the options make it: routers by their distance from the first, "
        "cells with what is in them, what links do to packets. Nothing is started.\n\n"
        f"Example: python -m testbed draw {lab.named} --output {lab.topology.name}.svg",
    )


draw_command = LabCommands(
    name="draw",
    make=_command_of,
    help="Draw a lab as SVG, by its name or by its file.\n\nExample: python -m testbed draw ./my_lab.py --output my_lab.svg",
)

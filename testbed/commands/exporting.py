"""``export``: a lab for another emulator."""

from __future__ import annotations

import json
from pathlib import Path

import click

from testbed.commands.labs import LabCommands, answering_for, lab_command, model_of, output_option
from testbed.export import containerlab, kathara
from testbed.export.network import IMAGE, image_reference
from testbed.run.finding import FoundLab
from testbed.run.results import ResultError

FORMATS = {"containerlab": containerlab.files, "kathara": kathara.files}


def _command_of(lab: FoundLab) -> click.Command:
    def export(*, form: str, output: Path | None, image: str, as_json: bool, **texts: str | None) -> None:
        model = model_of(lab, texts)
        target = output or Path(f"{model.name}-{form}")
        with answering_for(lab):
            files = FORMATS[form](model, image_reference(image))
            if target.is_dir() and any(target.iterdir()):
                raise ResultError(f"{target} is not empty: give a new folder with --output")
            for path, text in files.items():
                file = target / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        if as_json:
            click.echo(json.dumps({"folder": str(target), "files": sorted(files)}))
        else:
            click.echo(f"{target}: {len(files)} files; {target / 'README.md'} says how to start it")

    return lab_command(
        lab,
        export,
        click.Option(["--format", "form"], type=click.Choice(list(FORMATS)), required=True, help="For which emulator."),
        output_option("-o", "--output", text="New folder.  [default: LAB-FORMAT in this one]"),
        click.Option(["--image"], default=IMAGE, show_default=True, help="Container image, with FRR 10, ip and tc."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the folder and its files as JSON."),
        text="\n\nIts network for another emulator, as the options make it: nodes, cells, addresses, routes, "
        "FRR's configuration, what links do to packets. The roles are not part of it.",
        example=f"export {lab.named} --format containerlab --output /tmp/{lab.topology.name}",
    )


export_command = LabCommands(
    name="export",
    make=_command_of,
    help="Write a lab's network for containerlab or Kathara.\n\nExample: python -m testbed export handover --format kathara",
)

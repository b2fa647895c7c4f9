"""``movement``: where a lab's mobile nodes go, and what their links do then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from testbed.commands.labs import LabCommands, answering_for, lab_command, model_of, output_option, written
from testbed.host.progress import Progress
from testbed.net.model import ModelError
from testbed.radio.link_events import LinkEvent, Movement, intervals
from testbed.run.finding import FoundLab
from testbed.run.laboratory import computing, parse_values
from testbed.run.movement_map import draw
from testbed.run.radio_options import cells_of


def _command_of(lab: FoundLab) -> click.Command:
    def show(*, as_json: bool, svg: Path | None, **texts: str | None) -> None:
        model, topology = model_of(lab, texts), lab.topology
        with answering_for(lab):
            if topology.movement is None:
                raise ModelError("nobody knows beforehand how its nodes move", f"lab {model.name}", "try tram")
            with computing(topology, Progress()):
                movement = topology.movement(parse_values(topology, written(topology, texts)), model)
            if svg is not None:
                svg.write_text(draw(cells_of(model), movement), encoding="utf-8")
        if as_json:
            click.echo(json.dumps([asdict(event) for event in movement.events]))
        else:
            click.echo("\n".join([*map(_line, movement.events), *_summary(movement)]))

    return lab_command(
        lab,
        show,
        click.Option(["--json", "as_json"], is_flag=True, help="Print a JSON array of the link events."),
        output_option("--svg", text="Write a map there: cells, how far they are heard, ways, where links change."),
        text="\n\nThe link events of its mobile nodes, by the lab's options. Nothing is started.",
    )


def _line(event: LinkEvent) -> str:
    said = [event.cell]
    if event.kind == "link_going_down":
        said += [] if event.in_s is None else [f"in {event.in_s * 1000:.0f} ms"]
        said += [f"next {event.next_cell}"] if event.next_cell else []
        said += [] if event.prediction == "right" else [f"({event.prediction})"]
    return f"{event.at_s:9.3f} s  {event.node:10} {event.kind:16} {' '.join(said)}"


def _summary(movement: Movement) -> Iterator[str]:
    """Of each node: its links, and for how long it had none between the first and the last."""
    for node in dict.fromkeys(event.node for event in movement.events):
        links = sorted(intervals(movement.events, node), key=lambda link: link[2])
        without_s, covered_s = 0.0, links[0][2] if links else 0.0
        for _, _, up_s, down_s in links:
            without_s += max(0.0, up_s - covered_s)
            covered_s = max(covered_s, up_s if down_s is None else down_s)
        yield f"{node}: {len(links)} links, {without_s:.2f} s without one in between"


movement_command = LabCommands(
    name="movement",
    make=_command_of,
    help="Print what the links of a lab's mobile nodes do, by where the nodes go: a trace against the lab's cells, say.\n\n"
    "Example: python -m testbed movement tram --movement fcd.xml --cells 5 --svg map.svg",
)

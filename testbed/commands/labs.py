"""What the commands about one lab share: a command for each lab, with the lab's own options."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import click

from testbed.commands.answering import fail
from testbed.run.laboratory import Topology, topologies

HELP = {"help_option_names": ["-h", "--help"]}


class LabCommands(click.Group):
    """One command for each lab, which ``make`` makes from it."""

    def __init__(self, *, make: Callable[[Topology[Any]], click.Command], **settings: Any) -> None:
        super().__init__(**settings, context_settings=HELP)
        self._make = make

    def list_commands(self, _context: click.Context) -> list[str]:
        """The labs there are."""
        return list(topologies())

    def get_command(self, _context: click.Context, name: str) -> click.Command:
        """The command of one lab; ends the program if there is none of that name."""
        known = topologies()
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            guess = f" Did you mean {nearest[0]}?" if nearest else ""
            fail(f"there is no lab {name!r}.{guess} Labs: {', '.join(known)}")
        return self._make(known[name])


def lab_parameters(topology: Topology[Any]) -> list[click.Parameter]:
    """The lab's own options as a command line takes them: texts, which ``parse_values`` reads."""
    return [
        click.Option(
            [f"--{option.name}"],
            help=option.help,
            metavar=option.metavar,
            show_default=option.default or False,
        )
        for option in topology.all_options
    ]


def written(topology: Topology[Any], texts: Mapping[str, str | None]) -> dict[str, str | None]:
    """The texts of a lab's options by the options' names, of the words that click makes of them."""
    return {option.name: texts[option.name.replace("-", "_")] for option in topology.all_options}


def example_of(topology: Topology[Any]) -> str:
    """Options of a lab as a person may write them."""
    return topology.example or ("--family 6" if "family" in (option.name for option in topology.options) else "")


def sentence(topology: Topology[Any]) -> str:
    """What a lab shows."""
    return f"{topology.summary[0].upper()}{topology.summary[1:]}."

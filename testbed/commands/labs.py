"""What the commands about one lab share: a command for each lab, with the lab's own options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from testbed.commands.answering import CANNOT_RUN, fail
from testbed.net.model import Lab
from testbed.run.finding import FoundLab, LabFileError, blame, find_lab, labs, placed
from testbed.run.laboratory import Topology, build_model, parse_values
from testbed.run.options import Option

HELP = {"help_option_names": ["-h", "--help"]}


class LabCommands(click.Group):
    """One command for each lab, by its name or by its file, which ``make`` makes from it."""

    def __init__(self, *, make: Callable[[FoundLab], click.Command], **settings: Any) -> None:
        super().__init__(**settings, context_settings=HELP, subcommand_metavar="LAB|FILE.py [OPTIONS]...")
        self._make = make

    def list_commands(self, _context: click.Context) -> list[str]:
        """The labs there are; what is wrong with the file of another is said."""
        known, broken = labs()
        for error in broken.values():
            click.echo(f"error: {error}", err=True)
        return list(known)

    def get_command(self, _context: click.Context, name: str) -> click.Command:
        """The command of one lab; ends the program if there is none of that name, or no lab in that file."""
        try:
            return self._make(find_lab(name))
        except LabFileError as error:
            fail(error)


def lab_command(
    lab: FoundLab, callback: Callable[..., object], *own: click.Parameter, text: str, example: str = ""
) -> click.Command:
    """A command about a lab: the lab's options and those of its ``own``. ``text``: what it does, behind what the lab shows."""
    return click.Command(
        lab.named,
        params=[*lab_parameters(lab.topology), *own],
        callback=callback,
        short_help=lab.topology.summary,
        help=f"{sentence(lab.topology)}{text}" + (f"\n\nExample: python -m testbed {example}" if example else ""),
    )


def output_option(*names: str, text: str) -> click.Option:
    """Where a command writes."""
    return click.Option(names, type=click.Path(path_type=Path), help=text)


@contextmanager
def answering_for(lab: FoundLab) -> Iterator[None]:
    """Whatever cannot be done meanwhile ends the program with a line that says what and where; so does a fault in the lab's file."""
    try:
        yield
    except CANNOT_RUN as error:
        fail(placed(error, lab.named))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a lab's file may do anything
        if isinstance(error, OSError) and error.filename is not None:
            fail(f"{error.filename}: {error.strerror}")
        fail(blame(error, lab.file))


def lab_parameters(topology: Topology[Any]) -> list[click.Parameter]:
    """The lab's own options as a command line takes them: texts, which ``parse_values`` reads."""
    return [
        click.Option(
            [f"--{option.name}"],
            help=option.help,
            metavar=option.metavar,
            show_default=option.default or False,
            callback=partial(_once, option),
            multiple=True,
        )
        for option in topology.all_options
    ]


def _once(option: Option, _context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> str | None:
    """What was given, put together where an option may be given several times."""
    if len(texts) > 1 and not option.joined_by:
        raise click.BadParameter(f"given {len(texts)} times: {', '.join(texts)}", param=parameter)
    return option.joined_by.join(texts) if texts else None


def written(topology: Topology[Any], texts: Mapping[str, str | None]) -> dict[str, str | None]:
    """The texts of a lab's options by the options' names, of the words that click makes of them."""
    return {option.name: texts[option.name.replace("-", "_")] for option in topology.all_options}


def model_of(lab: FoundLab, texts: Mapping[str, str | None]) -> Lab:
    """The lab's model as the texts of its options make it; ends the program if it cannot be made."""
    with answering_for(lab):
        return build_model(lab.topology, parse_values(lab.topology, written(lab.topology, texts)))


def example_of(topology: Topology[Any]) -> str:
    """Options of a lab as a person may write them."""
    return topology.example or ("--family 6" if "family" in (option.name for option in topology.options) else "")


def sentence(topology: Topology[Any]) -> str:
    """What a lab shows."""
    return f"{topology.summary[0].upper()}{topology.summary[1:]}."

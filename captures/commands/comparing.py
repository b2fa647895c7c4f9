"""The command that compares two runs: ``diff``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from captures.commands.answering import answering
from captures.commands.options import check_protocols, names_of, protocol_option, runs_option
from captures.commands.printing import Printer
from captures.files.capture import CaptureError


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@runs_option
@protocol_option("Compare messages of")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print what differs as JSON: the dataclasses of captures/report/comparison.py.",
)
def diff_command(a: str, b: str, runs: Path | None, protocols: str | None, *, as_json: bool) -> None:
    """Say what two runs have different: messages handover by handover, verdicts of the rules, parameters, delays.

    A and B are "latest", folders or their names in captures/runs, or captures by themselves. Both are judged anew, by the
    same judge. Delays are in ms, side by side and as b / a. Messages that come by the clock, such as status reports, are left
    out, and so are IGMP, MLD and PIM unless --protocol names them or there is nothing else. Exit status: 0 same verdicts and
    message sequence, 1 not the same, 2 could not compare, or not to the end.

    \b
    Example: python -m captures diff 20261122T183234-handover latest
    """
    from captures.history.run import RUNS, find_run
    from captures.report.comparison import compare, read_side
    from captures.report.comparison_text import comparison_lines
    from captures.report.progress import Progress

    with answering():
        wanted = names_of(protocols)
        found = [find_run(named, runs or RUNS) for named in (a, b)]
        with Progress() as progress:
            sides = [read_side(run, progress) for run in found]
        check_protocols(wanted, [name for side in sides for name in side.ladder.protocols])
        comparison = compare(sides[0], sides[1], wanted)
        with answering(comparison.exit_code()):
            if as_json:
                click.echo(json.dumps(comparison.as_dict(), ensure_ascii=False))
            else:
                printer = Printer()
                for segments in comparison_lines(comparison):
                    printer.line(segments)
        if comparison.incomplete:
            raise CaptureError("; ".join(comparison.incomplete))
        sys.exit(comparison.exit_code())

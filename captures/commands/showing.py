"""The command that draws the message ladder: ``show``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from captures.commands.answering import answering
from captures.commands.options import (
    Seconds,
    answer_truncated,
    check_protocols,
    names_of,
    port_option,
    protocol_option,
    run_argument,
    runs_option,
    wait_option,
)
from captures.commands.printing import Printer
from captures.files.capture import CaptureError

if TYPE_CHECKING:
    from captures.history.run import Run
    from captures.ladder.rows import Ladder, Selection


@click.command("show")
@run_argument
@runs_option
@click.option("--from", "from_ns", type=Seconds(), help="Only from this time on: seconds from the beginning, as shown.")
@click.option("--to", "to_ns", type=Seconds(), help="Only up to this time.")
@click.option("--handover", metavar="N", help="Only the window of this handover.")
@protocol_option("Only messages of")
@port_option
@click.option("--all", "everything", is_flag=True, help="Also what goes on anyway: PIM hellos, general queries, …")
@click.option("--notes", is_flag=True, help="Also what agents traced and daemons logged.")
@click.option("--width", type=click.IntRange(40), help="Columns of the output; by default the terminal's, else any.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the rows as JSON: the dataclasses of captures/ladder/rows.py."
)
@click.option("--follow", is_flag=True, help="Of a running lab: each row about two seconds after it happened.")
@wait_option
def show_command(
    run: str,
    runs: Path | None,
    from_ns: int | None,
    to_ns: int | None,
    handover: str | None,
    protocols: str | None,
    ports: dict[str, int],
    width: int | None,
    wait_s: float,
    *,
    everything: bool,
    notes: bool,
    as_json: bool,
    follow: bool,
) -> None:
    """Draw the message ladder of a run: participants side by side, one row for each message, step and change of the stream.

    RUN is "latest", a folder or its name in captures/runs; FILE is a capture by itself. Times are seconds from the beginning
    of the capture, the numbers beside them Wireshark's frame numbers. A message is one row wherever it was captured; one that
    never came to its receiver says after which interface it was lost. Rules that failed stand below the frames that show it.
    In a capture that is no lab's, what was sent to a group goes to "group", for nothing tells who got it.

    With --follow the rows of a running lab come as they happen, until the lab ends; --json then prints one object a line.

    \b
    Example: python -m captures show latest --handover 3
             python -m captures show latest --from 2.5 --to 2.9s --protocol igmp,pim
             python -m captures show --follow --wait 60
    """
    from captures.ladder.rows import Selection, select

    with answering():
        wanted = names_of(protocols)
        if from_ns is not None and to_ns is not None and from_ns > to_ns:
            raise CaptureError("--from is later than --to: no time lies between them")
        selection = Selection(wanted, handover, from_ns, to_ns, background=everything, notes=notes)
        if follow:
            check_protocols(wanted)
            _follow(run, runs, wait_s, selection, width, ports, as_json=as_json)
            return
        ladder, truncated = _ladder(run, runs, ports)
        check_protocols(wanted, ladder.protocols)
        _check_handover(ladder, handover)
        shown = select(ladder, selection)
        strange = wanted is not None and wanted.isdisjoint(ladder.protocols)
        if strange or not (shown.rows or shown.hidden):
            lasts = (ladder.end_ns - ladder.begin_ns) / 1e9
            there = f"{lasts:.3f} s with {', '.join(ladder.protocols) or 'no control messages'}"
            raise CaptureError(f"nothing of {run} was asked for: the capture has {there}")
        if as_json:
            click.echo(json.dumps(shown.as_dict(), ensure_ascii=False))
        else:
            _print(shown, width)
        answer_truncated(truncated, run, failed=len(ladder.failures))


def _ladder(named: str, runs: Path | None, ports: dict[str, int]) -> tuple[Ladder, str | None]:
    """The ladder of a run, with the rules that failed in it; where its capture breaks off."""
    from captures.files.reading import where_it_breaks_off
    from captures.history.run import RUNS, events_of, find_run
    from captures.ladder.builder import build
    from captures.ladder.rows import failures_of
    from captures.report.progress import Progress
    from captures.rules.ruling import verdicts_of

    found: Run = replace(find_run(named, runs or RUNS), ports=ports)
    truncated = where_it_breaks_off(found.capture)
    with Progress() as progress:
        failed = failures_of(verdicts_of(found, truncated, progress=progress).failed)
        ladder = build(events_of(found, progress=progress), failed=failed, model=found.model())
    if not ladder.rows:
        raise CaptureError(f"{found.capture} holds nothing that could be shown")
    return ladder, truncated


def _check_handover(ladder: Ladder, handover: str | None) -> None:
    numbers = [span.handover for span in ladder.handovers]
    if handover is not None and handover not in numbers:
        there = f"there are {', '.join(numbers)}" if numbers else "there is none"
        raise CaptureError(f"--handover {handover}: not in this capture; {there}")


def _follow(
    run: str,
    runs: Path | None,
    wait_s: float,
    selection: Selection,
    width: int | None,
    ports: dict[str, int],
    *,
    as_json: bool,
) -> None:
    from captures.history.run import RUNS
    from captures.live.follow import LiveRun, await_running
    from captures.live.screen import LiveLadder

    ladder = LiveLadder(LiveRun(await_running(run, wait_s, runs=runs or RUNS)), selection, ports=ports)
    if as_json:
        for line in ladder.json_lines():
            click.echo(line)
            sys.stdout.flush()
        return
    printer = Printer(width)
    for segments in ladder.text_lines(printer.width, unicode=printer.unicode):
        printer.line(segments)
        sys.stdout.flush()


def _print(ladder: Ladder, width: int | None) -> None:
    from captures.ladder.text import ladder_lines

    printer = Printer(width)
    for segments in ladder_lines(ladder, printer.width, unicode=printer.unicode):
        printer.line(segments)

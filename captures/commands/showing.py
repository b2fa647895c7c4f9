"""The commands that show what happened: ``timeline``, ``show``, ``pipe``, ``diff``, ``wireshark``.

Exit status of all of them: 0 done (of ``diff``: the same), 1 (of ``diff``) not the same, 2 could not, 130 interrupted.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from captures.commands.answering import answering, refuse_to_overwrite, say_where_it_breaks_off
from captures.files.capture import CaptureError

if TYPE_CHECKING:
    from captures.history.run import Run
    from captures.ladder.rows import Ladder, Selection


class Seconds(click.ParamType[int]):
    """A time from the beginning of a capture: ``2.5``, ``2.5s`` or ``2500ms``; as nanoseconds."""

    name = "time"
    _written = re.compile(r"(\d+(?:\.\d+)?)\s*(s|ms)?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds of what was written."""
        match = self._written.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no time: give seconds from the beginning, such as 2.5, or 2500ms", param, ctx)
        return round(float(match[1]) * (1e6 if match[2] == "ms" else 1e9))


def _ports(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    from captures.history.control import port_names

    known, found = port_names(), {}
    for value in values:
        name, _, number = value.lower().partition("=")
        if name not in known or not number.isdecimal() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{value}: give {', '.join(known)} and a port, as in mmcp=5000")
        found[name] = int(number)
    return found


runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), help="Folder of the runs.", default=None, show_default="captures/runs"
)
run_argument = click.argument("run", default="latest", metavar="[RUN|FILE]")
port_option = click.option(
    "--port",
    "ports",
    multiple=True,
    callback=_ports,
    metavar="NAME=PORT",
    help="Where a protocol was sent to, if not to its own port, such as mmcp=5000; gmp.sm and gmp.mm have one each.",
)
wait_option = click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=0, metavar="S", help="Seconds to wait for a lab to start."
)


@click.command("timeline")
@run_argument
@runs_option
@port_option
@click.option("-o", "--output", metavar="FILE", help="Where to; '-' is standard output.")
def timeline_command(run: str, runs: Path | None, ports: dict[str, int], output: str | None) -> None:
    """Write the history of a run as JSON lines: frames, data by 10 ms, traces, logs, link events and steps on one clock.

    RUN is "latest", a folder or its name in captures/runs, and timeline.jsonl in its folder is written, unless -o says where
    to; FILE is a capture by itself, of which standard output gets the lines. Times are nanoseconds since the epoch. What was
    written and what was left out is counted, as JSON on standard output, or in one line on standard error.
    `captures/history/lines.py` describes the fields.

    \b
    Example: python -m captures timeline latest
             python -m captures timeline captures/runs/latest/lab.pcapng -o - | jq 'select(.kind == "frame")'
    """
    from captures.history.run import RUNS, TIMELINE_FILE, find_run, write_history, write_timeline
    from captures.report.progress import Progress

    with answering():
        found = replace(find_run(run, runs or RUNS), ports=ports)
        target = "-" if found.folder is None else str(found.folder / TIMELINE_FILE)
        target = output or target
        with Progress() as progress:
            if target == "-":
                counts = write_history(found, sys.stdout, progress)
            else:
                refuse_to_overwrite(Path(target), found.capture)
                counts = write_timeline(found, Path(target), progress)
        if target == "-":
            lines = ", ".join(f"{count} {kind}" for kind, count in counts.lines.items())
            without = sum(counts.left_out.values())
            click.echo(f"captures: {lines} lines; {without} log lines without a time of their own left out", err=True)
        else:
            click.echo(json.dumps({"timeline": target, **counts.as_dict()}, indent=2))
        if counts.truncated is not None:
            raise CaptureError(f"{found.capture} breaks off ({counts.truncated}): written as far as it goes")


@click.command("show")
@run_argument
@runs_option
@click.option("--from", "from_ns", type=Seconds(), help="Only from this time on: seconds from the beginning, as shown.")
@click.option("--to", "to_ns", type=Seconds(), help="Only up to this time.")
@click.option("--handover", metavar="N", help="Only the window of this handover.")
@click.option("--protocol", "protocols", metavar="NAME,…", help="Only messages of these protocols, such as mmcp,igmp.")
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
             python -m captures show latest --from 2.5 --to 2.9s --protocol mmcp,igmp
             python -m captures show --follow --wait 60
    """
    from captures.ladder.rows import Selection, select

    with answering():
        wanted = _names(protocols)
        if from_ns is not None and to_ns is not None and from_ns > to_ns:
            raise CaptureError("--from is later than --to: no time lies between them")
        selection = Selection(wanted, handover, from_ns, to_ns, background=everything, notes=notes)
        if follow:
            _check_protocols(wanted)
            _follow(run, runs, wait_s, selection, width, ports, as_json=as_json)
            return
        ladder, truncated = _ladder(run, runs, ports)
        _check_protocols(wanted, ladder.protocols)
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


def answer_truncated(truncated: str | None, named: str, *, failed: int) -> None:
    """Of a capture that breaks off say so and end the program: with status 1 if a rule failed in what there was, else 2."""
    from captures.rules.judgement import exit_code

    if truncated is not None:
        sys.stdout.flush()
        say_where_it_breaks_off(named, truncated)
        sys.exit(exit_code(failed=failed, truncated=truncated))


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


def _names(written: str | None) -> frozenset[str] | None:
    if written is None:
        return None
    names = frozenset(name.strip().lower() for name in written.split(",") if name.strip())
    if not names:
        raise CaptureError(f"--protocol {written!r}: name at least one, such as mmcp")
    return names


def _check_protocols(wanted: frozenset[str] | None, seen: Sequence[str] = ()) -> None:
    from captures.ladder.words import known_protocols

    known = known_protocols() | set(seen)
    strangers = sorted((wanted or frozenset()) - known)
    if strangers:
        raise CaptureError(f"--protocol {','.join(strangers)}: not known; known are {', '.join(sorted(known))}")


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


class Printer:
    """Prints styled lines: in colour and as wide as the terminal on one, plain and as long as they get elsewhere."""

    def __init__(self, width: int | None = None) -> None:
        from rich.console import Console

        self.width = shutil.get_terminal_size().columns if width is None and sys.stdout.isatty() else width
        self._console = Console(highlight=False, soft_wrap=True)
        self._colour = sys.stdout.isatty()
        self.unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")

    def line(self, segments: Sequence[tuple[str, str]]) -> None:
        """Print one line."""
        if not self._colour:
            print("".join(text for text, _ in segments).rstrip())
            return
        from rich.text import Text

        self._console.print(Text.assemble(*segments))


@click.command("pipe")
@click.argument("node", required=False, metavar="[NODE[:IFACE]]")
@click.option(
    "--run", default="latest", help="The run: latest, a folder, or its name in captures/runs.", show_default=True
)
@runs_option
@wait_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["pcapng", "pcap"]),
    default="pcapng",
    show_default=True,
    help="What is written; pcap names no interface and has no steps.",
)
def pipe_command(node: str | None, run: str, runs: Path | None, wait_s: float, kind: str) -> None:
    """Stream the packets of a running lab to standard output, for Wireshark, tshark or a file.

    NODE or NODE:IFACE says whose packets, without it come all links of the lab. pcapng has an interface for each link end
    and the scenario's steps as journal entries; pcap has neither. Packets come about two seconds after they were captured,
    in order of time, from the recording's beginning on, and the stream ends with the lab. No privileges are needed.

    \b
    Example: python -m captures pipe mn | wireshark -k -i -
             python -m captures pipe --wait 60 | tshark -r - -Y mmcp
    """
    from captures.history.run import RUNS
    from captures.live.follow import LiveRun, await_running
    from captures.live.pipe import PcapngPipe, PcapPipe, pump

    with answering():
        if sys.stdout.isatty():
            raise CaptureError(
                "packets are nothing for a terminal: add `| wireshark -k -i -`, `| tshark -r -` or `> FILE`"
            )
        folder = await_running(run, wait_s, runs=runs or RUNS)
        stream = sys.stdout.buffer
        pump(LiveRun(folder, node), PcapngPipe(stream) if kind == "pcapng" else PcapPipe(stream))


@click.command("wireshark", context_settings={"ignore_unknown_options": True})
@click.option(
    "--run",
    default="latest",
    help="Without COMMAND: the run, a folder or its name in captures/runs.",
    show_default=True,
)
@runs_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
def wireshark_command(run: str, runs: Path | None, command: tuple[str, ...]) -> None:
    """Show a lab in Wireshark while it runs: the one that COMMAND starts, or without it the one that is running.

    Packets come as `pipe` gives them, about two seconds after they were captured. Without Wireshark or a display tshark
    shows them in the terminal, except those of the stream. Exit status: COMMAND's, once Wireshark has been closed; 2 if
    there is neither program, if one cannot be started, or if there is no lab. COMMAND never outlives this.

    \b
    Example: python -m captures wireshark -- python -m testbed run handover --repeat 1
             make topo-handover WIRESHARK=1
    """
    from captures.history.run import RUNS
    from captures.live.viewer import find_viewer, watch

    with answering():
        sys.exit(watch(find_viewer(), command, run, runs or RUNS))


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@runs_option
@click.option(
    "--protocol", "protocols", metavar="NAME,…", help="Compare messages of these protocols, such as mmcp,pim."
)
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
        wanted = _names(protocols)
        found = [find_run(named, runs or RUNS) for named in (a, b)]
        with Progress() as progress:
            sides = [read_side(run, progress) for run in found]
        _check_protocols(wanted, [name for side in sides for name in side.ladder.protocols])
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


COMMANDS = (timeline_command, show_command, pipe_command, wireshark_command, diff_command)

"""The commands that make files of a run: ``timeline``, ``report``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import click

from captures.commands.answering import answering, refuse_to_overwrite
from captures.commands.options import answer_truncated, port_option, run_argument, runs_option
from captures.files.capture import CaptureError


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


@click.command("report")
@click.argument("run", default="latest", metavar="[RUN|FILE]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write there and not into the run's folder.")
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser.")
def report_command(run: str, output: Path | None, *, open_it: bool) -> None:
    """Make a page of a run, from its folder or from a capture alone, and print the page's path.

    RUN is "latest", a folder or its name in captures/runs, and report.html in its folder is written; the page of a capture
    that lies in no run's folder lies beside it and goes by its name. The page needs no other file and loads nothing. Exit
    status: 0 written; of a capture that breaks off 1 if a rule failed in what there is, else 2; 2 could not.

    \b
    Example: python -m captures report latest --open
    """
    from captures.report.material import find_material
    from captures.report.page import write_report

    with answering():
        material = find_material(run)
        target = output or material.default_report()
        refuse_to_overwrite(target, material.run.capture)
        try:
            page = write_report(material, target)
        except OSError as error:
            raise CaptureError(f"cannot write {target}: {error.strerror}") from error
        click.echo(str(target))
        if open_it:
            click.launch(target.resolve().as_uri())
        answer_truncated(page.truncated, str(material.run.capture), failed=page.count("failed"))

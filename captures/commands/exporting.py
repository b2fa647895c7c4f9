"""The command that hands a run's tables to other programs: ``export``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from captures.commands.answering import answering
from captures.commands.options import port_option, run_argument, runs_option
from captures.files.capture import CaptureError

FORMATS = ("csv", "parquet")


@click.command("export")
@run_argument
@runs_option
@port_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True, help="What is written.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder.  [default: tables in the run's folder]")
@click.option("--json", "as_json", is_flag=True, help="Print the files and their rows as JSON.")
def export_command(
    run: str, runs: Path | None, ports: dict[str, int], form: str, output: Path | None, *, as_json: bool
) -> None:
    """Write a run's results, verdicts and history as tables, for pandas, R or a spreadsheet: one file a table.

    RUN is "latest", a folder or its name in captures/runs; FILE is a capture by itself, which has a history alone. Times are
    nanoseconds since the epoch, durations milliseconds. `captures/report/exporting.py` lists the tables.

    \b
    Example: python -m captures export latest --output /tmp/run
             python -m captures export latest --format parquet
    """
    from captures.history.run import RUNS, find_run
    from captures.report.exporting import Writer, export, write_csv

    with answering():
        writer: Writer = write_csv
        if form == "parquet":
            try:
                from captures.report.parquet import write_parquet as writer
            except ImportError:
                raise CaptureError(
                    "Parquet needs pyarrow, which the set-up leaves out (150 MB): "
                    "`.venv/bin/python -m pip install pyarrow`, or take --format csv"
                ) from None
        found = replace(find_run(run, runs or RUNS), ports=ports)
        if output is None:
            output = Path(f"{found.capture.stem}-tables") if found.folder is None else found.folder / "tables"
        written = export(found, output, form, writer)
        if as_json:
            click.echo(json.dumps({str(file): rows for file, rows in written.items()}, indent=2))
        else:
            for file, rows in written.items():
                click.echo(f"{file}  {rows} rows")

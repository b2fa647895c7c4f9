"""The part of ``run`` that is in the sandbox: the lab itself, its result, its page."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from testbed.commands.answering import CANNOT_RUN, COULD_NOT, fail
from testbed.host.interruption import INTERRUPTED
from testbed.host.progress import Progress
from testbed.host.sandbox import inside
from testbed.run import results
from testbed.run.finding import FoundLab, blame, placed, read_request
from testbed.run.laboratory import REQUEST, keep, perform
from testbed.run.recording import RecordingError, write_report
from testbed.shell.mininet_cli import LabConsole


@click.command("inside", hidden=True)
@click.argument("run_folder", type=click.Path(path_type=Path))
def inside_command(run_folder: Path) -> None:
    """The part of ``run`` that is in the sandbox."""
    if not inside():
        fail("this is a lab's inner part: use `python -m testbed run LAB`")
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    console = Console(stderr=True)
    progress = Progress(console)
    request = json.loads((run_folder / REQUEST).read_text(encoding="utf-8"))
    started = time.time()
    name, file, parameters = run_folder.name, Path(request["lab"]), request["values"]
    tables: tuple[results.Table, ...] = ()
    try:
        lab, values, external = read_request(run_folder)
        name, file, tables = lab.topology.name, lab.file, lab.topology.tables
        parameters = _parameters(lab, request["values"])
        do = keep if request.get("keep") else perform
        result = do(lab.topology, values, external, run_folder, progress, LabConsole)
    except KeyboardInterrupt:
        result = results.could_not_run(name, "interrupted", tables)
        status = INTERRUPTED
    except CANNOT_RUN as error:
        result = results.could_not_run(name, placed(error, request["lab"]), tables)
        status = COULD_NOT
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the run's folder keeps where it happened
        (run_folder / "fault.txt").write_text(traceback.format_exc(), encoding="utf-8")
        result = results.could_not_run(name, f"{blame(error, file)}; see fault.txt", tables)
        status = COULD_NOT
    else:
        status = results.STATUS[result["verdict"]]
    result |= {
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds"),
        "duration_s": round(time.time() - started, 3),
        "parameters": parameters,
    }
    results.write_result(run_folder, result)
    report = None if status == INTERRUPTED or result["verdict"] == "kept" else _report(run_folder, progress)
    _tell(result, run_folder, report, as_json=request.get("json", False))
    sys.exit(status)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parameters(lab: FoundLab, given: Mapping[str, str | None]) -> dict[str, str | None]:
    """Every parameter as a person would write it, defaults filled in."""
    defaults = {option.name: option.default for option in lab.topology.all_options}
    return {**defaults, **{name: text for name, text in given.items() if text is not None}}


def _report(run_folder: Path, progress: Progress) -> Path | None:
    """The run's page, also of a run that failed. A run whose page cannot be made is no worse a run."""
    if not (run_folder / "lab.pcapng").exists():
        return None
    try:
        with progress.step("writing the report"):
            return write_report(run_folder)
    except RecordingError as error:
        progress.note(f"no report: {error}")
    except KeyboardInterrupt:
        progress.note("no report: interrupted")
    return None


def _tell(result: Mapping[str, Any], run_folder: Path, report: Path | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result))
    if result["verdict"] == "could-not-run":
        click.echo(f"error: {result['error']}\nfiles of the run: {run_folder}", err=True)
    elif not as_json and result["verdict"] != "kept":
        results.show(result, run_folder, Console())
    if report is not None:
        click.echo(f"report   {report}", err=as_json or result["verdict"] == "could-not-run")

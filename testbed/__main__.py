"""Run labs and look at what this host can do: ``python -m testbed --help``."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console

from testbed import protocols
from testbed.host import doctor
from testbed.host.checks import NotObserved
from testbed.host.processes import ProcessError
from testbed.host.progress import Progress
from testbed.host.sandbox import SandboxError, inside, run_inside
from testbed.net.impairment import ImpairmentError
from testbed.net.mininet_net import EmulationError
from testbed.net.model import ModelError
from testbed.net.netlink import NetlinkError
from testbed.net.observation import ObservationError
from testbed.routing import families
from testbed.routing.router import RoutingError
from testbed.run import results
from testbed.run.laboratory import REQUEST, Topology, build_model, parse_values, perform, read_request, topologies
from testbed.run.options import OptionError
from testbed.run.recording import RecordingError, write_report
from testbed.run.roles import RoleError
from testbed.setup import NotSetUpError, routing_root
from testbed.sim.command import command as simulation_command

EXIT_COULD_NOT_RUN = 2
EXIT_INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended
NEEDED = (
    "sandbox-sysctl",
    "sandbox-tmpfs",
    "veth",
    "bridge",
    "ethtool",
    "mininet",
    "mnexec",
    "routing-root",
    "tcpdump",
)

CANNOT_RUN = (
    ImpairmentError,
    ModelError,
    NetlinkError,
    NotObserved,
    NotSetUpError,
    ObservationError,
    OptionError,
    ProcessError,
    RecordingError,
    results.ResultError,
    RoleError,
    RoutingError,
    SandboxError,
    EmulationError,
    doctor.LackError,
)


def _fail(reason: object) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    sys.exit(EXIT_COULD_NOT_RUN)


class _LabCommands(click.Group):
    """One command for each lab, made from the lab's own options."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(topologies())

    def get_command(self, _context: click.Context, name: str) -> click.Command:
        known = topologies()
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            guess = f" Did you mean {nearest[0]}?" if nearest else ""
            _fail(f"there is no lab {name!r}.{guess} Labs: {', '.join(known)}")
        return _lab_command(known[name])


def _lab_command(topology: Topology[Any]) -> click.Command:
    parameters: list[click.Parameter] = [
        click.Option(
            [f"--{option.name}"],
            help=option.help,
            metavar=option.metavar,
            show_default=option.default or False,
        )
        for option in topology.options
    ]
    parameters += [
        click.Option(
            ["--lab-config"],
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help='TOML file; [external] names commands that play roles: mn = "my-mn --config {config}".',
        ),
        click.Option(
            ["--runs"],
            type=click.Path(path_type=Path),
            help="Folder for the run's folder.",
            show_default="captures/runs",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON on standard output."),
    ]

    example = topology.example or ("--family 6" if "family" in (option.name for option in topology.options) else "")

    def run(*, lab_config: Path | None, runs: Path | None, as_json: bool, **texts: str | None) -> None:
        written = {option.name: texts[option.name.replace("-", "_")] for option in topology.options}
        _run(topology, written, lab_config, runs or results.RUNS, as_json=as_json)

    return click.Command(
        topology.name,
        params=parameters,
        callback=run,
        short_help=topology.summary,
        help=f"{topology.summary[0].upper()}{topology.summary[1:]}.\n\nExample: python -m testbed run {topology.name} "
        f"{example}\n\nExit status: 0 passed, 1 a rule or bound failed, 2 could not run.",
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Labs on real routing daemons, each in private namespaces.

    \b
    python -m testbed list
    python -m testbed run handover --family 6 --l2-gap 20ms
    python -m testbed doctor
    """


@main.command(cls=_LabCommands, context_settings={"help_option_names": ["-h", "--help"]})
def run() -> None:
    """Run one lab; ``run LAB --help`` lists its options with units and bounds."""


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_labs(*, as_json: bool) -> None:
    """List the labs. Example: python -m testbed list --json."""
    known = topologies().values()
    if as_json:
        click.echo(json.dumps([{"lab": each.name, "summary": each.summary} for each in known]))
    else:
        for each in known:
            click.echo(f"{each.name:12} {each.summary}")


main.add_command(doctor.command)


class _Simulations(click.Group):
    """One command for each world that a protocol's room has; a room is only imported when it is asked for."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(self._simulations())

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        return self._simulations().get(name)

    @staticmethod
    def _simulations() -> dict[str, click.Command]:
        records = map(protocols.protocol, protocols.names())
        return {each.name: simulation_command(each) for record in records for each in record.simulations}


@main.command(cls=_Simulations, context_settings={"help_option_names": ["-h", "--help"]})
def sim() -> None:
    """Run a protocol's roles on a network in virtual time: no privileges, thousands of nodes."""


# --- outside the sandbox ----------------------------------------------------------------------------------------------


def _run(
    topology: Topology[Any], texts: Mapping[str, str | None], lab_config: Path | None, runs: Path, *, as_json: bool
) -> NoReturn:
    """Check what can be checked from outside, then run the lab in a sandbox and pass its exit status on."""
    try:
        values = parse_values(topology, texts)
        external = _external_roles(lab_config)
        root = routing_root()
        model = build_model(topology, values)
        doctor.require(*NEEDED, *(["ipv6"] if model.family == 6 else []), *families.programs(model))
        run_folder = results.make_run_folder(runs.resolve(), topology.name)
    except CANNOT_RUN as error:
        _fail(error)
    request = {"lab": topology.name, "values": dict(texts), "external": external, "json": as_json}
    (run_folder / REQUEST).write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
    results.point_latest(run_folder)
    argv = [sys.executable, "-m", "testbed", "inside", str(run_folder)]
    try:
        status = run_inside(argv, routing_root=root, keep_visible=[run_folder])
    except SandboxError as error:
        results.write_result(run_folder, results.could_not_run(topology.name, str(error), topology.tables))
        _fail(error)
    if not (run_folder / results.RESULT).exists():
        results.write_result(
            run_folder, results.could_not_run(topology.name, f"ended with status {status}", topology.tables)
        )
    sys.exit(status)


def _external_roles(lab_config: Path | None) -> dict[str, list[str]]:
    """The ``[external]`` table: role name to argv, given as a list or as one string of words."""
    if lab_config is None:
        return {}
    try:
        content = tomllib.loads(lab_config.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"--lab-config {lab_config}: {error}") from None
    table = content.pop("external", {})
    if content or not isinstance(table, dict):
        raise OptionError(f"--lab-config {lab_config}: only a table [external] is known, found {', '.join(content)}")
    external: dict[str, list[str]] = {}
    for role, command in table.items():
        words = shlex.split(command) if isinstance(command, str) else command
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise OptionError(f"--lab-config {lab_config}: external.{role}: give a command, as a string or a list")
        external[role] = words
    return external


# --- inside the sandbox -----------------------------------------------------------------------------------------------


@main.command("inside", hidden=True)
@click.argument("run_folder", type=click.Path(path_type=Path))
def inside_command(run_folder: Path) -> None:
    """The part of ``run`` that is in the sandbox."""
    if not inside():
        _fail("this is a lab's inner part: use `python -m testbed run LAB`")
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    console = Console(stderr=True)
    progress = Progress(console)
    as_json = json.loads((run_folder / REQUEST).read_text(encoding="utf-8")).get("json", False)
    started = time.time()
    lab = run_folder.name
    tables: tuple[results.Table, ...] = ()
    try:
        topology, values, external = read_request(run_folder)
        lab, tables = topology.name, topology.tables
        result = perform(topology, values, external, run_folder, progress)
    except KeyboardInterrupt:
        result = results.could_not_run(lab, "interrupted", tables)
        status = EXIT_INTERRUPTED
    except CANNOT_RUN as error:
        result = results.could_not_run(lab, str(error), tables)
        status = EXIT_COULD_NOT_RUN
    except Exception as error:  # noqa: BLE001  a fault of ours: the run's folder keeps where it happened
        (run_folder / "fault.txt").write_text(traceback.format_exc(), encoding="utf-8")
        result = results.could_not_run(lab, f"a fault of the lab itself, see fault.txt: {error!r}", tables)
        status = EXIT_COULD_NOT_RUN
    else:
        status = results.STATUS[result["verdict"]]
    result |= {
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds"),
        "duration_s": round(time.time() - started, 3),
        "parameters": _parameters(run_folder),
    }
    results.write_result(run_folder, result)
    report = None if status == EXIT_INTERRUPTED else _report(run_folder, progress)
    _tell(result, run_folder, report, as_json=as_json)
    sys.exit(status)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parameters(run_folder: Path) -> dict[str, Any]:
    """Every parameter as a person would write it, defaults filled in."""
    request = json.loads((run_folder / REQUEST).read_text(encoding="utf-8"))
    options = {option.name: option.default for option in topologies()[request["lab"]].options}
    given = {name: text for name, text in request["values"].items() if text is not None}
    return {**options, **given}


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
    elif not as_json:
        results.show(result, run_folder, Console())
    if report is not None:
        click.echo(f"report   {report}", err=as_json or result["verdict"] == "could-not-run")


if __name__ == "__main__":
    main(prog_name="python -m testbed")

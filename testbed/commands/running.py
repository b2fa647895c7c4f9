"""``run``: what is done outside of the sandbox, before a lab is built in one and after its end."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from testbed.commands.answering import fail
from testbed.commands.labs import LabCommands, answering_for, example_of, lab_command, written
from testbed.host import doctor
from testbed.host.interruption import INTERRUPTED, LINE
from testbed.host.sandbox import SandboxError, our_program, run_inside
from testbed.net import link_plans
from testbed.net.link_plans import Mechanisms
from testbed.net.model import PERFECT, Lab
from testbed.net.wires import wires
from testbed.routing import families
from testbed.run import results
from testbed.run.estimate import require_room
from testbed.run.finding import FoundLab
from testbed.run.laboratory import REQUEST, build_model, check_external, parse_values
from testbed.run.liveness import hold
from testbed.run.options import OptionError
from testbed.setup import routing_root

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


def run_parameters() -> list[click.Parameter]:
    """What a command takes that builds a lab, beside the lab's options: who plays its roles, where the run's folder goes."""
    return [
        click.Option(
            ["--lab-config"],
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help='TOML file; [external] names commands that play roles: mn = "my-mn --config {config}".',
        ),
        click.Option(
            ["--runs"],
            type=click.Path(path_type=Path),
            help="Folder for the run's folder.",
            show_default="captures/runs of the project",
        ),
    ]


def _command_of(lab: FoundLab) -> click.Command:
    def run(*, lab_config: Path | None, runs: Path | None, as_json: bool, **texts: str | None) -> NoReturn:
        run_folder = prepared(lab, texts, lab_config, runs, json=as_json)
        sys.exit(in_sandbox(lab, run_folder))

    return lab_command(
        lab,
        run,
        *run_parameters(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the result as JSON on standard output."),
        text="\n\nExit status: 0 passed, 1 a rule or bound failed, 2 could not run.",
        example=f"run {lab.named} {example_of(lab.topology)}",
    )


run_command = LabCommands(
    name="run",
    make=_command_of,
    help="Run one lab, by its name or by its file; ``run LAB --help`` lists its options with units and bounds.\n\n"
    "Example: python -m testbed run ./my_lab.py",
)


def prepared(
    lab: FoundLab, texts: Mapping[str, str | None], lab_config: Path | None, runs: Path | None, **how: bool
) -> Path:
    """Check what can be checked from outside, and make the folder of a run, with what is asked of it in it.

    ``texts``: of the options, by the words that click makes of their names. Ends the program if something is wrong.
    """
    topology, given = lab.topology, written(lab.topology, texts)
    with answering_for(lab):
        values = parse_values(topology, given)
        external = _external_roles(lab_config)
        routing_root()
        model = build_model(topology, values)
        check_external(topology, model, external)
        doctor.require(*NEEDED, *(["ipv6"] if model.family == 6 else []), *families.programs(model))
        _check_links(model)
        require_room(model)
        run_folder = results.make_run_folder((runs or results.RUNS).resolve(), topology.name)
    hold(run_folder)
    request = {"lab": lab.named, "values": given, "external": external, **how}
    (run_folder / REQUEST).write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
    results.point_latest(run_folder)
    return run_folder


def in_sandbox(lab: FoundLab, run_folder: Path) -> int:
    """Do what is asked in a run's folder, in a sandbox; returns the exit status, and leaves a result whatever happens."""
    topology = lab.topology
    argv = our_program("testbed", "inside", str(run_folder))
    try:
        status = run_inside(argv, routing_root=routing_root(), keep_visible=[run_folder, lab.file.parent])
    except SandboxError as error:
        results.write_result(run_folder, results.could_not_run(topology.name, str(error), topology.tables))
        fail(error)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if not (run_folder / results.RESULT).exists():
        why = LINE if status == INTERRUPTED else f"ended with status {status}"
        results.write_result(run_folder, results.could_not_run(topology.name, why, topology.tables))
    return status


def _check_links(model: Lab) -> None:
    """Whether this machine can make the lab's links. Raises LackError, ModelError."""
    asked = [quality for wire in wires(model) for _, quality in wire.directions if quality != PERFECT]
    if asked:
        doctor.require("nft", *(["tbf"] if any(quality.rate_bps for quality in asked) else []))
        has = {check.name: check.ok for check in doctor.examine(("netem", "taps", "wirefilter"))}
        link_plans.check(model, Mechanisms(netem=has["netem"], taps=has["taps"] and has["wirefilter"]))


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
        try:
            words = shlex.split(command) if isinstance(command, str) else command
        except ValueError as error:  # a quotation without its end
            raise OptionError(f"--lab-config {lab_config}: external.{role}: {error} in {command!r}") from None
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise OptionError(f"--lab-config {lab_config}: external.{role}: give a command, as a string or a list")
        external[role] = words
    return external

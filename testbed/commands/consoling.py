"""The commands that talk to a lab while it runs: ``shell``, ``attach``, ``exec``, ``ps``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from testbed.commands.answering import fail
from testbed.commands.labs import LabCommands, example_of, lab_command
from testbed.commands.running import in_sandbox, prepared, run_parameters
from testbed.host.entering import run_in_node
from testbed.host.interruption import INTERRUPTED
from testbed.host.sandbox import STOP_DEADLINE_S, our_program, program_environment
from testbed.run.finding import FoundLab, read_request
from testbed.shell.client import Client
from testbed.shell.commands import table
from testbed.shell.runs import (
    LATEST,
    Connection,
    NoConsoleError,
    connect,
    how_it_ended,
    is_starting,
    run_folder,
    running,
)

_RUNS = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    help="Folder of the runs.",
    show_default="captures/runs of the project",
)


def _command_of(lab: FoundLab) -> click.Command:
    def shell(*, lab_config: Path | None, runs: Path | None, **texts: str | None) -> NoReturn:
        folder = prepared(lab, texts, lab_config, runs, keep=True)
        with _held(folder) as holder:
            try:
                with connect(folder, keep=True, going_on=lambda: holder.poll() is None) as connection:
                    status = Client(connection).talk()
            except KeyboardInterrupt:
                holder.send_signal(signal.SIGINT)
                status = INTERRUPTED
            except NoConsoleError as error:
                status = holder.wait()
                if status == 0:  # else the lab itself has said why
                    fail(error)
        sys.exit(status)

    return lab_command(
        lab,
        shell,
        *run_parameters(),
        text=" Here its network, routers and roles are started and left to you; `help` lists what can be "
        "asked. Nothing is recorded or judged unless you ask for it. The lab ends with the console.\n\n"
        "Exit status: 0; of piped lines that of the last one that failed; 2 if the lab could not be built.\n\n"
        f"Example: echo 'move mn poa2' | python -m testbed shell {lab.named}",
        example=f"shell {lab.named} {example_of(lab.topology)}",
    )


shell_command = LabCommands(
    name="shell",
    make=_command_of,
    help="Build a lab, start its roles, and give you a console.\n\nExample: python -m testbed shell handover",
)


@contextmanager
def _held(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The lab's sandbox, kept by a process of its own, which a Ctrl-C in the terminal does not reach, but our end does."""
    argv = ["setpriv", "--pdeathsig", "TERM", "--", *our_program("testbed", "hold", str(folder))]
    holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, env=program_environment())
    try:
        yield holder
    finally:
        try:
            holder.wait(STOP_DEADLINE_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            holder.terminate()
            holder.wait()


@click.command("hold", hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
def hold_command(folder: Path) -> None:
    """The part of ``shell`` that keeps the lab."""
    lab, _, _ = read_request(folder)
    sys.exit(in_sandbox(lab, folder))


def _connected(named: str | None, runs: Path | None) -> Connection:
    """To the run that is named; else to the newest one that goes on. Ends the program where there is none."""
    try:
        if named is None:
            latest = run_folder(LATEST, runs)
            if not is_starting(latest):
                for connection in reversed(list(running(runs))):
                    return connection
        return connect(run_folder(named or LATEST, runs))
    except NoConsoleError as error:
        fail(f"{'no lab is running: ' if named is None else ''}{error}")


@click.command("attach")
@click.argument("run", required=False)
@_RUNS
def attach_command(run: str | None, runs: Path | None) -> None:
    """Open a second console on a lab that runs, also on one that `testbed run` has started.

    RUN is a run's folder or its name in captures/runs; without it the newest one that goes on. What you change there the
    scenario and its judge will see. The lab goes on when you leave.

    \b
    Example: python -m testbed attach
             echo members | python -m testbed attach

    Exit status: 0; of piped lines that of the last one that failed; 2 if there is no such run, or it has ended: then it is said
    when and how.
    """
    with _connected(run, runs) as connection:
        try:
            sys.exit(Client(connection).talk())
        except NoConsoleError as error:
            fail(error)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--run", help="The run: a folder or its name in captures/runs.  [default: the newest that goes on]")
@_RUNS
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND…")
def exec_command(run: str | None, runs: Path | None, node: str, command: tuple[str, ...]) -> None:
    """Run one command in a node of a lab that runs, with this terminal, and pass its exit status on.

    The words are taken as they are, no shell reads them. The command has the node's network and the lab's processes; your files
    are where they are, but for /run, which is the lab's own.

    \b
    Example: python -m testbed exec mn -- ip -br address
             python -m testbed exec ar1 -- bash

    Exit status: the command's; 128 and its number if a signal ended it; 2 if there is no such run or node.
    """
    with _connected(run, runs) as connection:
        nodes = connection.hello.nodes
        if node not in nodes:
            fail(f"there is no node {node!r} in {connection.run_folder.name}; nodes: {', '.join(nodes)}")
        sys.exit(run_in_node(connection.pid, nodes[node], command[1:] if command[0] == "--" else command))


@click.command("ps")
@_RUNS
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def ps_command(runs: Path | None, *, as_json: bool) -> None:
    """List the labs that run. Example: python -m testbed ps.

    Those of other users are not seen, nor those with a folder of runs of their own, unless --runs names it.
    """
    rows = []
    for connection in running(runs):
        with connection:
            rows.append(
                {
                    "run": connection.run_folder.name,
                    "lab": connection.hello.lab,
                    "family": connection.hello.family,
                    "nodes": len(connection.hello.nodes),
                    "process": connection.pid,
                    "folder": str(connection.run_folder),
                }
            )
    if as_json:
        click.echo(json.dumps(rows))
    elif rows:
        click.echo(
            table(
                ([row[key] for key in ("run", "lab", "nodes", "process")] for row in rows),
                ("run", "lab", "nodes", "process"),
            )
        )
    else:
        try:
            latest = run_folder(LATEST, runs)
            how = f"{latest.name} is starting" if is_starting(latest) else how_it_ended(latest)
            click.echo(f"no lab runs; {how}")
        except NoConsoleError:
            click.echo("no lab runs")

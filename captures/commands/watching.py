"""The commands for a lab while it runs: ``pipe``, ``wireshark``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from captures.commands.answering import answering
from captures.commands.options import runs_option, wait_option
from captures.files.capture import CaptureError


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
             python -m captures pipe --wait 60 | tshark -r - -Y igmp
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
@click.option("--stdin", "from_stdin", is_flag=True, help="Show the packets of a pcap on standard input instead.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
def wireshark_command(run: str, runs: Path | None, command: tuple[str, ...], *, from_stdin: bool) -> None:
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
        if from_stdin:
            sys.exit(subprocess.run(find_viewer().argv, check=False).returncode)
        sys.exit(watch(find_viewer(), command, run, runs or RUNS))

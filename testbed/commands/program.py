"""``python -m testbed``: all its commands."""

from __future__ import annotations

import click

from testbed.commands.answering import Commands
from testbed.commands.consoling import attach_command, exec_command, hold_command, ps_command, shell_command
from testbed.commands.drawing import draw_command
from testbed.commands.exporting import export_command
from testbed.commands.inside import inside_command
from testbed.commands.labs import HELP
from testbed.commands.listing import list_command
from testbed.commands.moving import movement_command
from testbed.commands.running import run_command
from testbed.commands.simulating import sim_command
from testbed.host import doctor


@click.group(cls=Commands, context_settings=HELP)
def main() -> None:
    """Labs on real routing daemons, each in private namespaces.

    \b
    python -m testbed list
    python -m testbed run handover --family 6 --l2-gap 20ms
    python -m testbed shell handover
    python -m testbed doctor
    """


for command in (
    run_command,
    shell_command,
    attach_command,
    exec_command,
    ps_command,
    list_command,
    movement_command,
    draw_command,
    export_command,
    doctor.command,
    sim_command,
    inside_command,
    hold_command,
):
    main.add_command(command)

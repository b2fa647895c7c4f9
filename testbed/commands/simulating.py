"""``sim``: the worlds that the protocols' rooms have."""

from __future__ import annotations

import click

from testbed import protocols
from testbed.commands.labs import HELP
from testbed.sim.command import command as simulation_command


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


sim_command = _Simulations(
    name="sim",
    context_settings=HELP,
    help="Run a protocol's roles on a network in virtual time: no privileges, thousands of nodes.",
)

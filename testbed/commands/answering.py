"""How every command ends: what its exit status says, and that whatever could not be done is one line on standard error.

0 done or passed, 1 a rule or bound failed, 2 could not, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from testbed.host.checks import NotObserved
from testbed.host.doctor import LackError
from testbed.host.interruption import INTERRUPTED, LINE
from testbed.host.processes import ProcessError
from testbed.host.sandbox import SandboxError
from testbed.net.link_verification import LinkError
from testbed.net.mininet_net import EmulationError
from testbed.net.model import ModelError
from testbed.net.netlink import NetlinkError
from testbed.net.observation import ObservationError
from testbed.net.tools import ToolError
from testbed.routing.router import RoutingError
from testbed.run.estimate import TooLargeError
from testbed.run.finding import LabFileError
from testbed.run.options import OptionError
from testbed.run.recording import RecordingError
from testbed.run.results import ResultError
from testbed.run.roles import RoleError
from testbed.setup import NotSetUpError

COULD_NOT = 2

CANNOT_RUN = (
    EmulationError,
    LabFileError,
    LackError,
    LinkError,
    ModelError,
    NetlinkError,
    NotObserved,
    NotSetUpError,
    ObservationError,
    OptionError,
    ProcessError,
    RecordingError,
    ResultError,
    RoleError,
    RoutingError,
    SandboxError,
    TooLargeError,
    ToolError,
)
"""What the parts of a lab raise where it could not be made or went wrong; each message says what and where."""


def fail(reason: object) -> NoReturn:
    """End the program: it could not do what was asked."""
    click.echo(f"error: {reason}", err=True)
    sys.exit(COULD_NOT)


class Commands(click.Group):
    """A group of commands of which each, interrupted, ends with a line that says so."""

    def invoke(self, ctx: click.Context) -> Any:
        """Do what was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(LINE, err=True)
            sys.exit(INTERRUPTED)

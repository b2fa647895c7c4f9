"""What an application calls, by the names of Annex B: ``mmcp_create``, ``mmcp_lmc_join``, ``mmcp_join``, ``mmcp_leave``.

A role does no input or output. Whoever calls these drives it: hand it every datagram with ``receive``, every event with
``handle``, call ``expire`` when ``next_deadline`` has come, and after each of these, and after the call here, carry out what
``take_actions`` gives. What happens to the membership arrives there as ``Notify``. ``now`` is in seconds, on any clock that
never goes back.

An application that wants its sockets done for it runs ``python -m agents mmcp sm``, ``lmc`` or ``mn`` with ``--config``,
which make the first three calls, and for the last ``python -m agents ctl NODE leave``.
"""

from __future__ import annotations

from agents.mmcp.configuration import (
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    SessionManagerConfiguration,
)
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.role import Role
from agents.mmcp.session_manager import SessionManager


def mmcp_create(configuration: SessionManagerConfiguration, now: float) -> SessionManager:
    """Create the sessions that ``configuration`` provisions; the SM returned admits MNs and LMCs to them from now on.

    Raises ConfigurationError, with key and remedy, for a configuration that cannot be.
    """
    session_manager = SessionManager(configuration)
    session_manager.start(now)
    return session_manager


def mmcp_lmc_join(configuration: LocalMobilityControllerConfiguration, now: float) -> LocalMobilityController:
    """Join an LMC to its sessions: it announces itself to the SM for each, until it is answered.

    Notices to come, for each session: ``established``, or ``join-refused``. Raises ConfigurationError, with key and
    remedy, for a configuration that cannot be.
    """
    local_mobility_controller = LocalMobilityController(configuration)
    local_mobility_controller.start(now)
    return local_mobility_controller


def mmcp_join(configuration: MobileNodeConfiguration, now: float) -> MobileNode:
    """Join an MN to its session: SJR to the SM, then LJR to the LMC it is given.

    Notices to come: ``established``, ``join-refused`` or ``join-failed``. Raises ConfigurationError, with key and remedy,
    for a configuration that cannot be.
    """
    mobile_node = MobileNode(configuration)
    mobile_node.start(now)
    return mobile_node


def mmcp_leave(role: Role, now: float) -> None:
    """Leave: an MN sends ULR and leaves its group, an LMC leaves its sessions, an SM ends them.

    ULC is not waited for. A role that has left already does nothing.
    """
    role.handle(ApplicationLeave(), now)

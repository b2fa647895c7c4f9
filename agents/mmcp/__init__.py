"""MMCP, the Mobile Multicast Control Protocol: ITU-T X.604.1 | ISO/IEC 24793-2 (2010), clauses 7 and 8, Annexes A and B.

Roles: ``SessionManager`` (SM), ``LocalMobilityController`` (LMC), ``MobileNode`` (MN), and for comparison ``BareNode``, a
mobile node without MMCP. Messages: ``messages.decode`` and ``messages.encode``. An application's calls, by the names of
Annex B: ``mmcp_create``, ``mmcp_lmc_join``, ``mmcp_join``, ``mmcp_leave``.

Decisions where the standard is silent or contradicts itself are in ``decisions.py``; code that depends on one names it.
`MMCP.md` shows where, and the state machines as diagrams.
"""

from agents.mmcp.application import mmcp_create, mmcp_join, mmcp_leave, mmcp_lmc_join
from agents.mmcp.configuration import (
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    SessionManagerConfiguration,
)
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.session_manager import SessionManager

__all__ = [
    "LocalMobilityController",
    "LocalMobilityControllerConfiguration",
    "MobileNode",
    "MobileNodeConfiguration",
    "SessionManager",
    "SessionManagerConfiguration",
    "mmcp_create",
    "mmcp_join",
    "mmcp_leave",
    "mmcp_lmc_join",
]

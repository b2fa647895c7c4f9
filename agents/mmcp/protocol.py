"""The record of MMCP: its roles, its codec, what a running role is asked and told, its load, its decisions."""

from __future__ import annotations

from collections.abc import Sequence

from agents.core.checks import check_address
from agents.core.room import Command, Field, Port, Protocol, Role
from agents.mmcp.bare_node import BareNode, BareNodeConfiguration
from agents.mmcp.configuration import (
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    SessionManagerConfiguration,
)
from agents.mmcp.decisions import IMPLEMENTATION, SPECIFICATION
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from agents.mmcp.load import SWARM
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.messages import decode, encode
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.plain import from_plain, to_plain
from agents.mmcp.session_manager import SessionManager


def _ports(
    configuration: SessionManagerConfiguration | LocalMobilityControllerConfiguration | MobileNodeConfiguration,
) -> Sequence[Port]:
    where = configuration.listen
    return (Port("", where.port, address=where.address, family=check_address("address", where.address)),)


def _interfaces(configuration: MobileNodeConfiguration) -> Sequence[tuple[str, str]]:
    """Where the MN is at first; an interface that is at no point of attachment may come later."""
    return [
        (f"interfaces[{number}].name", interface.name)
        for number, interface in enumerate(configuration.interfaces)
        if interface.attached_to is not None
    ]


def _one_interface(
    configuration: LocalMobilityControllerConfiguration | BareNodeConfiguration,
) -> Sequence[tuple[str, str]]:
    return (("interface", configuration.interface),)


COMMANDS = (
    Command(
        "leave",
        "Leave with notice: an MN its session, an LMC or SM ends it.",
        lambda values: ApplicationLeave(values["session_id"]),
        (Field("session_id", "Only this session; else all.", int, required=False),),
    ),
    Command(
        "data-channel-status",
        "What a receiver of data has counted, for the MN's status reports.",
        lambda values: DataChannelReport(values["packets_received"], values["group"]),
        (
            Field("packets_received", "Packets since it began.", int),
            Field("group", "Of this group; else of any session's.", required=False),
        ),
    ),
)

PROTOCOL = Protocol(
    "mmcp",
    "Mobile Multicast Control Protocol (X.604.1).",
    (
        Role(
            "sm",
            "The session manager.",
            SessionManagerConfiguration,
            SessionManager,
            _ports,
            asks_operator=lambda configuration: configuration.asks_for_authorisation,
        ),
        Role(
            "lmc",
            "A local mobility controller.",
            LocalMobilityControllerConfiguration,
            LocalMobilityController,
            _ports,
            _one_interface,
        ),
        Role("mn", "A mobile node.", MobileNodeConfiguration, MobileNode, _ports, _interfaces, moves=True),
        Role(
            "bare",
            "A mobile node without MMCP: the comparison.",
            BareNodeConfiguration,
            BareNode,
            interfaces=_one_interface,
            moves=True,
        ),
    ),
    decode=lambda data: to_plain(decode(data)),
    encode=lambda plain: encode(from_plain(plain)),
    commands=COMMANDS,
    specification=SPECIFICATION,
    implementation=IMPLEMENTATION,
    load=SWARM,
)

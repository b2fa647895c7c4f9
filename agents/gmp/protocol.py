"""The record of GMP: its codec, its roles, what a running role is asked and told, its decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.core.agent import Event
from agents.core.checks import check_address
from agents.core.room import Command, Field, Port, Protocol, Role
from agents.gmp.configuration import ClientConfiguration, CreatorConfiguration, ParticipantConfiguration
from agents.gmp.constants import ID_MAXIMUM, Level
from agents.gmp.creator import Creator
from agents.gmp.decisions import IMPLEMENTATION, SPECIFICATION
from agents.gmp.events import Activate, AskMembers, DeleteSession, Describe, EndSession, Enrol, Leave, Register
from agents.gmp.load import CROWD
from agents.gmp.pages import PAGES
from agents.gmp.participant import Participant
from agents.gmp.plain import decode, encode
from agents.gmp.role import MM
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration
from agents.gmp.server_streams import MM_STREAMS, SM_STREAMS


def _server_ports(configuration: ServerConfiguration) -> Sequence[Port]:
    address = configuration.address
    family = check_address("address", address)
    modules = (("", SM_STREAMS, configuration.sm_port), (MM, MM_STREAMS, configuration.mm_port))
    datagrams = [Port(name, number, address=address, family=family) for name, _, number in modules]
    return [*datagrams, *(Port(name, number, "tcp", address, family) for _, name, number in modules)]


def _server_interfaces(configuration: ServerConfiguration) -> Sequence[tuple[str, str]]:
    return (("announce_on", configuration.announce_on),) if configuration.announce_on else ()


def _client_ports(configuration: ClientConfiguration) -> Sequence[Port]:
    """One for each module. Over streams, which the client opens [G-17], the own one says from which address."""
    address = configuration.address
    family = check_address("address", address or configuration.server)
    own = Port("", configuration.sm_port, address=address, family=family)
    return (own,) if configuration.is_tcp else (own, Port(MM, configuration.mm_port, address=address, family=family))


def _interfaces(configuration: ClientConfiguration) -> Sequence[tuple[str, str]]:
    return (("interface", configuration.interface),)


def _register(values: Mapping[str, Any]) -> Event:
    session_id, token = values["session_id"], values["token"]
    if session_id is not None and not 1 <= session_id <= ID_MAXIMUM:
        raise ValueError(f"session-id: give 1 to {ID_MAXIMUM}")
    try:
        return Register(session_id, None if token is None else bytes.fromhex(token))
    except ValueError:
        raise ValueError("token: give hexadecimal digits") from None


def _leave(values: Mapping[str, Any]) -> Event:
    level = (values["level"] or Level.ACTIVE.name).upper()
    if level not in Level.__members__:
        raise ValueError(f"level: give one of {', '.join(each.name.lower() for each in Level)}")
    return Leave(Level[level])


_CREATOR = ("creator",)
_CLIENTS = (*_CREATOR, "participant")
COMMANDS = (
    Command(
        "register",
        "Register; a creator that has no session creates it.",
        _register,
        (
            Field("session_id", "A participant's session; else the one it has.", int, required=False),
            Field("token", "Its access token, hexadecimal; else the one it has.", required=False),
        ),
        _CLIENTS,
    ),
    Command("enrol", "Register where that is needed, and enrol.", lambda _: Enrol(), roles=_CLIENTS),
    Command("activate", "Register and enrol where that is needed, and activate.", lambda _: Activate(), roles=_CLIENTS),
    Command(
        "leave",
        "Leave a level and those above it.",
        _leave,
        (Field("level", "active, enrolled or registered; else active.", required=False),),
        _CLIENTS,
    ),
    Command("members", "Ask who is active; list --of members has the answer.", lambda _: AskMembers(), roles=_CLIENTS),
    Command("end", "A creator: end the active session for everybody.", lambda _: EndSession(), roles=_CREATOR),
    Command(
        "delete", "A creator: delete the session while nobody is active.", lambda _: DeleteSession(), roles=_CREATOR
    ),
    Command(
        "describe",
        "A creator: describe the session anew.",
        lambda values: Describe(**values),
        (
            Field("name", "Its name and purpose; else as before, as all that is left out.", required=False),
            Field("content", "What it is about.", required=False),
            Field("owner", "Whose it is.", required=False),
            Field("start_time", "Unix seconds.", int, required=False),
            Field("end_time", "Unix seconds.", int, required=False),
            Field("media", "Its SDP.", required=False),
        ),
        _CREATOR,
    ),
)

PROTOCOL = Protocol(
    "gmp",
    "Group Management Protocol (X.602).",
    (
        Role(
            "server",
            "Where sessions are created and found.",
            ServerConfiguration,
            Server,
            _server_ports,
            _server_interfaces,
            pages=PAGES,
        ),
        Role("creator", "Who creates a session.", CreatorConfiguration, Creator, _client_ports, _interfaces),
        Role(
            "participant",
            "Who takes part in a session.",
            ParticipantConfiguration,
            Participant,
            _client_ports,
            _interfaces,
        ),
    ),
    decode=decode,
    encode=encode,
    commands=COMMANDS,
    load=CROWD,
    specification=SPECIFICATION,
    implementation=IMPLEMENTATION,
    modules=("SM", "MM"),
)

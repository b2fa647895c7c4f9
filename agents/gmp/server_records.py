"""What the server keeps for good: a record for each session and each member, as keys and bytes of its store.

``next`` has the Session ID that is given next, so that none comes again too soon. ``s/SESSION`` has a session as JSON. ``m/SESSION/USER`` has a
member in few bytes, for there are many::

    version 1 | state 1 | member type 1 | has a name 1 | SM port 2 | MM port 2, 0 for none | size of address 1 | address | name

Both begin with their form's version; what is of another, or damaged, is refused with ValueError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from ipaddress import ip_address
from struct import Struct
from struct import error as struct_error
from typing import Any

from agents.core.agent import Endpoint
from agents.core.record import record
from agents.gmp.constants import ID_MAXIMUM, MemberType
from agents.gmp.options import KeepAlive
from agents.gmp.session import ACTIVE, ENROLLED, REGISTERED, Description, Member, MemberState, Session

VERSION = 1
NEXT = "next"

_MEMBER = Struct("!BBBBHHB")
_STATES = {1: (REGISTERED, False), 2: (ENROLLED, False), 3: (ACTIVE, False), 4: (ENROLLED, True)}
_STATE_CODES = {state: code for code, state in _STATES.items()}
_ADDRESSES_REMEMBERED = 4096
STREAMS = 0  # in place of a port: the member speaks over streams


@record
class StoredSession:
    """A session as its record says. ``creator`` is a User ID; ``description`` is None while it is waited for [GI-15]."""

    session_id: int
    creator: int
    is_secure: bool
    is_closed: bool
    description: Description | None
    token: bytes
    key: bytes
    generation: int
    next_user_id: int
    is_ending: bool


def session_key(session_id: int) -> str:
    """The key of a session's record."""
    return f"s/{session_id}"


def member_key(session_id: int, user_id: int) -> str:
    """The key of a member's record."""
    return f"m/{session_id}/{user_id}"


def session_record(session: Session, *, is_ending: bool = False, **changes: Any) -> bytes:
    """A session's record, with what ``changes`` say of it already; ``is_ending``: its members are to be told of its end."""
    said = {name: changes.get(name, getattr(session, name)) for name in ("description", "token", "key", "generation")}
    description = said["description"]
    plain = {
        "version": VERSION,
        "creator": session.creator.user_id,
        "is_secure": session.is_secure,
        "is_closed": session.is_closed,
        "description": None if description is None else asdict(description),
        "token": said["token"].hex(),
        "key": said["key"].hex(),
        "generation": said["generation"],
        "next_user_id": session.next_user_id,
        "is_ending": is_ending,
    }
    return json.dumps(plain).encode()


def read_session(key: str, value: bytes) -> StoredSession:
    """The session of a record; raises ValueError."""
    try:
        plain = json.loads(value)
        if plain["version"] != VERSION:
            raise ValueError(f"{key}: a record of version {plain['version']}, this program reads {VERSION}")
        return StoredSession(
            _identifier(key.removeprefix("s/")),
            plain["creator"],
            plain["is_secure"],
            plain["is_closed"],
            None if plain["description"] is None else _description(plain["description"]),
            bytes.fromhex(plain["token"]),
            bytes.fromhex(plain["key"]),
            plain["generation"],
            plain["next_user_id"],
            plain["is_ending"],
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{key}: no record of a session: {error}") from error


def _description(plain: Mapping[str, Any]) -> Description:
    lists = {name: tuple(plain[name]) for name in ("core_members", "invited_members")}
    return Description(**{**plain, **lists, "keep_alive": KeepAlive(**plain["keep_alive"])})


def member_record(member: Member, state: MemberState, *, was_asked: bool = False, **changes: Any) -> bytes:
    """A member's record in ``state``, with what ``changes`` say of its places already: it may have others than before [GI-16]."""
    sm: Endpoint = changes.get("sm", member.sm)
    mm: Endpoint | None = changes.get("mm", member.mm)
    address = _octets(sm.address)
    name = b"" if member.name is None else member.name.encode()
    code = _STATE_CODES[state, was_asked]
    mm_port = 0 if mm is None else mm.port
    head = _MEMBER.pack(VERSION, code, member.type, member.name is not None, sm.port, mm_port, len(address))
    return head + address + name


@lru_cache(_ADDRESSES_REMEMBERED)
def _octets(address: str) -> bytes:
    """A member's record is written some four times while it comes, and reading its address is most of the work."""
    return ip_address(address).packed


def read_member(key: str, value: bytes) -> tuple[int, Member, MemberState, bool]:
    """The Session ID, the member, its state and whether it was asked to be active; raises ValueError."""
    try:
        version, code, kind, has_name, sm_port, mm_port, size = _MEMBER.unpack_from(value)
        if version != VERSION:
            raise ValueError(f"{key}: a record of version {version}, this program reads {VERSION}")
        _, session_id, user_id = key.split("/")
        address = str(ip_address(value[_MEMBER.size : _MEMBER.size + size]))
        name = value[_MEMBER.size + size :].decode() if has_name else None
        mm = Endpoint(address, mm_port) if mm_port else None
        member = Member(_identifier(user_id), name, MemberType(kind), Endpoint(address, sm_port), mm)
        return _identifier(session_id), member, *_STATES[code]
    except (struct_error, KeyError) as error:
        raise ValueError(f"{key}: no record of a member: {error}") from error


def _identifier(text: str) -> int:
    number = int(text)
    if not 1 <= number <= ID_MAXIMUM:
        raise ValueError(f"{text} is no identifier")
    return number

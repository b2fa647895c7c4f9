"""The description of a session, as SCINF brings it: checked, for what is wrong is told to everybody later [7.1.1, G-25, G-26]."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from agents.core.checks import is_source_specific
from agents.gmp import session_description
from agents.gmp.constants import DEFAULT_PERIOD, DEFAULT_TIMEOUT, StartCondition
from agents.gmp.messages import SessionMessage
from agents.gmp.options import KeepAlive
from agents.gmp.session import Description, Session
from agents.gmp.session_description import MalformedSdpError

TEXT_MAXIMUM = 8192  # bytes of UTF-8 [GI-20]
NAMES_MAXIMUM = 1024  # core members, and invited ones [GI-20]
_CONDITIONS = frozenset(int(condition) for condition in StartCondition)


class MalformedDescriptionError(ValueError):
    """A description that no session can have; says what is wrong with it."""


def description_of(message: SessionMessage, session: Session) -> Description:
    """The description that SCINF brings for ``session``; raises MalformedDescriptionError."""
    options = message.options
    if options.unreadable:
        raise MalformedDescriptionError(f"{options.unreadable[0].name}: no UTF-8, or too long for a name")
    if message.secure is not session.is_secure:  # [GI-14]
        raise MalformedDescriptionError("S is not that of SCREQ")
    may_close = session.description is None and not session.is_closed  # [GI-14]
    if message.closed is not session.is_closed and not may_close:
        raise MalformedDescriptionError("M is not that of the session")
    if not options.name or not options.media:
        raise MalformedDescriptionError("no name, or no media")
    _check_group(message.group, message.port)
    _check_names(options.core_members)
    _check_names(options.invited_members)
    for text in (options.media, options.content or "", options.owner or ""):
        size = len(text.encode())
        if size > TEXT_MAXIMUM:
            raise MalformedDescriptionError(f"a text of {size} bytes, {TEXT_MAXIMUM} at most may be")
    try:
        session_description.check(options.media, message.group, message.port)
    except MalformedSdpError as error:
        raise MalformedDescriptionError(str(error)) from None
    keep_alive = options.keep_alive or KeepAlive(DEFAULT_PERIOD, DEFAULT_TIMEOUT)
    if not 0 < keep_alive.period < keep_alive.timeout:
        raise MalformedDescriptionError(f"period {keep_alive.period}, timeout {keep_alive.timeout}")
    condition = StartCondition.CORE_REGISTERED if options.start_condition is None else options.start_condition
    if condition not in _CONDITIONS:
        raise MalformedDescriptionError(f"start condition {condition}")
    if options.start_time and options.end_time and options.end_time < options.start_time:
        raise MalformedDescriptionError("it ends before it starts")
    return Description(
        options.name,
        options.media,
        message.group,
        message.port,
        options.content,
        options.owner,
        options.start_time,
        options.end_time,
        options.core_members,
        options.invited_members,
        keep_alive,
        condition,
    )


def _check_names(names: Sequence[str]) -> None:
    if len(names) > NAMES_MAXIMUM:
        raise MalformedDescriptionError(f"more than {NAMES_MAXIMUM} names")
    if "" in names:
        raise MalformedDescriptionError("an empty name")


def _check_group(group: str, port: int) -> None:
    if not ip_address(group).is_multicast or is_source_specific(group):
        raise MalformedDescriptionError(f"{group} is no group that anybody can join without a source")
    if not port:
        raise MalformedDescriptionError("the group's port is 0")

"""The states of GMP's clients and the tables of their steps: a participant's, and a creator's, which has a session to make.

Two things happen to a client in any state from REGISTERED on and are not of its own making: the session ends, and the server
knows nothing of it (any more), by a refusal with reason 4 or 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from agents.core.machine import Label, TransitionTable


class State(Label):
    """How far a client is. The three nested sets of the standard are REGISTERED, ENROLLED and ACTIVE [7.1]."""

    IDLE = "IDLE"
    CREATING = "CREATING"
    DESCRIBING = "DESCRIBING"
    REGISTERING = "REGISTERING"
    AUTHORISING = "AUTHORISING"
    REGISTERED = "REGISTERED"
    ENROLLING = "ENROLLING"
    ENROLLED = "ENROLLED"
    ACTIVATING = "ACTIVATING"
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"

    @property
    def is_enrolled(self) -> bool:
        """Whether the server has it enrolled, or active."""
        return self in _ENROLLED


_ENROLLED = frozenset({State.ENROLLED, State.ACTIVATING, State.ACTIVE})


class Input(Label):
    """What moves a client."""

    CREATE = "app: register/send: SCREQ"
    CREATED = "recv: SCACC/send: SCINF"
    CONFIRMED = "recv: SCCON"
    REGISTER = "app: register/send: SRREQ"
    LOOKED_AT = "recv: SRRES"
    REGISTERED = "recv: SRACC"
    ENROL = "app: enrol/send: SJREQ"
    ENROLLED = "recv: SJRES"
    ACTIVATE = "app: activate/send: SAREQ"
    ASKED = "recv: KAREQ/send: KARES"
    SILENT = "no KAREQ for too long/send: SAREQ"
    REFUSED = "refused, or no answer"
    NOT_ENROLLED = "refused: not enrolled"
    NOT_REGISTERED = "refused: not registered"
    LEAVE = "app: leave active/send: LVREQ"
    DE_ENROL = "app: leave enrolled/send: LVREQ"
    DE_REGISTER = "app: leave registered/send: LVREQ"
    GONE = "recv: TRIND, SDRES, or refused: unknown session"


_LEAVING = {Input.DE_REGISTER: State.IDLE, Input.GONE: State.ENDED}
_LEAVING_ENROLLED = {**_LEAVING, Input.DE_ENROL: State.REGISTERED}
_ASKING_TO_JOIN = {**_LEAVING_ENROLLED, Input.NOT_REGISTERED: State.IDLE}  # an active member asks for a newer key

_REGISTERED_AND_BEYOND: Mapping[State, Mapping[Input, State]] = {
    State.REGISTERED: {Input.ENROL: State.ENROLLING, **_LEAVING},
    State.ENROLLING: {Input.ENROLLED: State.ENROLLED, Input.REFUSED: State.REGISTERED, **_ASKING_TO_JOIN},
    State.ENROLLED: {Input.ACTIVATE: State.ACTIVATING, Input.ASKED: State.ACTIVE, **_LEAVING_ENROLLED},
    State.ACTIVATING: {
        Input.ASKED: State.ACTIVE,
        Input.REFUSED: State.ENROLLED,
        Input.NOT_ENROLLED: State.REGISTERED,
        Input.LEAVE: State.ENROLLED,
        **_LEAVING_ENROLLED,
    },
    State.ACTIVE: {Input.SILENT: State.ACTIVATING, Input.LEAVE: State.ENROLLED, **_ASKING_TO_JOIN},
}

_REGISTERING: Mapping[State, Mapping[Input, State]] = {
    State.REGISTERING: {
        Input.LOOKED_AT: State.AUTHORISING,
        Input.REGISTERED: State.REGISTERED,
        Input.REFUSED: State.IDLE,
        Input.DE_REGISTER: State.IDLE,
    },
    State.AUTHORISING: {
        Input.REGISTER: State.REGISTERING,
        Input.REGISTERED: State.REGISTERED,
        Input.REFUSED: State.IDLE,
        Input.DE_REGISTER: State.IDLE,
    },
}

_NEVER: Mapping[Input, State] = {}

PARTICIPANT_TABLE = TransitionTable(
    "GMP participant",
    State.IDLE,
    {
        State.IDLE: {Input.REGISTER: State.REGISTERING, Input.GONE: State.ENDED},
        State.CREATING: _NEVER,
        State.DESCRIBING: _NEVER,
        **_REGISTERING,
        **_REGISTERED_AND_BEYOND,
        State.ENDED: {Input.REGISTER: State.REGISTERING},
    },
)

CREATOR_TABLE = TransitionTable(
    "GMP creator",
    State.IDLE,
    {
        State.IDLE: {Input.CREATE: State.CREATING, Input.REGISTER: State.REGISTERING, Input.GONE: State.ENDED},
        State.CREATING: {Input.CREATED: State.DESCRIBING, Input.REFUSED: State.IDLE, Input.DE_REGISTER: State.IDLE},
        State.DESCRIBING: {
            Input.CONFIRMED: State.REGISTERED,
            Input.REFUSED: State.IDLE,
            Input.DE_REGISTER: State.IDLE,
            Input.GONE: State.ENDED,
        },
        **{state: {**row, Input.GONE: State.ENDED} for state, row in _REGISTERING.items()},  # by its id, which stays
        **_REGISTERED_AND_BEYOND,
        State.ENDED: {Input.CREATE: State.CREATING},
    },
)


class Goal(IntEnum):
    """What a client wants to be: each with those before it."""

    NOTHING = 0
    REGISTERED = 1
    ENROLLED = 2
    ACTIVE = 3


def reached(state: State) -> Goal:
    """The goal that a client in ``state`` has reached."""
    if state is State.ACTIVE:
        return Goal.ACTIVE
    if state.is_enrolled:
        return Goal.ENROLLED
    return Goal.REGISTERED if state in {State.REGISTERED, State.ENROLLING} else Goal.NOTHING

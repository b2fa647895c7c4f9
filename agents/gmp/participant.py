"""The participant: registers, enrols and is active in a session that somebody else has created (clause 7).

All of it is a client's (`agents.gmp.client`); a participant only has to be told which session, and for a closed one the token.
"""

from __future__ import annotations

from agents.core.agent import Event
from agents.gmp import constants as c
from agents.gmp.client_state import PARTICIPANT_TABLE, Input, State
from agents.gmp.configuration import ParticipantConfiguration
from agents.gmp.constants import MemberType
from agents.gmp.events import Register
from agents.gmp.member import Member


class Participant(Member):
    """A participant. Its ``secret`` is that which the configuration names, unless another is given."""

    __slots__ = ("_token",)

    def __init__(self, configuration: ParticipantConfiguration, secret: bytes | None = None) -> None:
        super().__init__(
            configuration, secret or configuration.read_secret(), PARTICIPANT_TABLE, MemberType.PARTICIPANT
        )
        self._session_id = configuration.session_id
        self._token = configuration.read_token()

    @property
    def token(self) -> bytes | None:
        """The session's access token, if it was said."""
        return self._token

    def handle(self, event: Event, now: float) -> None:
        """Take what a person asks; ``register`` may say which session."""
        if isinstance(event, Register):
            if event.session_id not in (None, self._session_id) and self.state not in {State.IDLE, State.ENDED}:
                self.notify("refused", request=c.SRREQ.name, reason="in-another-session")
                return
            self._session_id = self._session_id if event.session_id is None else event.session_id
            self._token = self._token if event.token is None else event.token
        super().handle(event, now)

    def register(self, now: float) -> None:
        """Send SRREQ."""
        if not self._session_id:
            self.notify("waiting", reason="no-session")
            return
        self._user_id = 0
        self._machine.move(Input.REGISTER)
        self.send_registration(now)

"""The creator: makes a session, describes it, is its first member and its source, and may end or delete it (clause 7).

Creation is two requests [7.1.1]: SCREQ brings the ids, SCINF the description to the server; SCCON confirms both, and in closed mode
has the token to hand out, which the application is told [G-9]. From then on the creator is registered [G-28], and a client as any
other (`agents.gmp.client`). A description that changes is sent again as a whole.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from agents.core.agent import Endpoint, Event
from agents.core.timers import TimerKey
from agents.gmp import constants as c
from agents.gmp.client_state import CREATOR_TABLE, Input, State
from agents.gmp.configuration import CreatorConfiguration
from agents.gmp.constants import GROUP_KEY_SIZE, MemberType
from agents.gmp.events import DeleteSession, Describe, EndSession
from agents.gmp.member import Member
from agents.gmp.messages import SessionMessage, encode_session
from agents.gmp.options import Options

# s, from a new key's coming to its order. A receiver that heard the second KDUPT first has it by then, and the others, who had it a
# second longer, still take the one before [GI-12].
KEY_CHANGE_TIME = 1.5


class Creator(Member):
    """A creator. Its ``secret`` is that which the configuration names, unless another is given.

    Timer keys, beside a member's: ("key",).
    """

    __slots__ = ("_description", "_is_confirmed", "_token")

    def __init__(self, configuration: CreatorConfiguration, secret: bytes | None = None) -> None:
        super().__init__(configuration, secret or configuration.read_secret(), CREATOR_TABLE, MemberType.CREATOR)
        session = configuration.session
        self._description = session.options()
        self._is_secure = session.secure
        self._is_closed = session.closed
        self._is_confirmed = False
        self._token: bytes | None = None
        self._data.is_at(session.group, session.port, self._keys)

    @property
    def token(self) -> bytes | None:
        """The closed session's access token, which its creator needs too when it registers again."""
        return self._token

    def handle(self, event: Event, now: float) -> None:
        """Take what a person asks of a creator, or of any client."""
        match event:
            case EndSession():
                self._end(now)
            case DeleteSession():
                self._delete(now)
            case Describe():
                self._describe(event, now)
            case _:
                super().handle(event, now)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """The data may have its new key, or a member's timer."""
        if key != ("key",):
            super().timer_expired(key, now)
        elif self._data.is_on:
            self._data.begin(self._keys)

    def use_key(self, now: float) -> None:
        """Let the data have its new key when those who receive it have that as well [GI-12]."""
        if ("key",) not in self.timers:
            self.timers.set(("key",), now + KEY_CHANGE_TIME)

    def register(self, now: float) -> None:
        """Create the session, or register in it again."""
        if self._is_confirmed and self.state is State.IDLE:
            self._machine.move(Input.REGISTER)
            self.send_registration(now)
            return
        self._is_confirmed = False
        self._session_id = self._user_id = 0
        self._machine.move(Input.CREATE)
        options = Options(client_name=self._configuration.name)  # [G-19]
        self._ask_session(c.SCREQ, options, c.SCACC, c.SCREJ, now=now)

    def advance(self, now: float) -> None:
        """Describe the session that there is where that was not answered, or take a client's next step [G-23]."""
        is_idle = self._requests.outstanding is None and ("retry",) not in self.timers
        if is_idle and self.state is State.DESCRIBING:
            self._send_description(now)
        else:
            super().advance(now)

    def answered(self, message: SessionMessage, source: Endpoint, now: float) -> None:
        """Take an answer that the outstanding request wants."""
        packet = message.packet
        if packet is c.SCACC:
            self._created(message, source, now)
        elif packet is c.SCCON:
            self._confirmed(message, now)
        elif packet is c.SCREJ:
            self.refused(message.options.reject_reason or 0, now)
        elif packet is c.SDRES and message.options.reject_reason is None:
            self.gone("deleted")
        else:
            super().answered(message, source, now)

    def _created(self, message: SessionMessage, source: Endpoint, now: float) -> None:
        if not message.session_id or not message.user_id:
            self.drop("no-ids", source, packet=message.packet.name)
            return
        self._session_id, self._user_id = message.session_id, message.user_id
        self._machine.move(Input.CREATED)
        self.notify("created", session=self._session_id, user=self._user_id)
        self._requests.done(now)
        self._send_description(now)

    def _send_description(self, now: float) -> None:
        self._requests.ask(self._described(self._description), c.SCCON, c.SCREJ, now=now)

    def _described(self, description: Options) -> SessionMessage:
        return replace(
            self.session_message(c.SCINF, description),
            group=self._data.group,
            port=self._data.port,
            key_length=GROUP_KEY_SIZE if self._is_secure else 0,
        )

    def _confirmed(self, message: SessionMessage, now: float) -> None:
        token = self._token = message.options.token
        secrets = {} if token is None else {"token": token.hex()}
        self._data.is_at(message.group, message.port, self._keys)
        if self.state is State.DESCRIBING:
            self._is_confirmed = True
            self._step_done(Input.CONFIRMED, "registered", now, secrets, session=self._session_id)
        else:
            self.notify("described", secrets, session=self._session_id)
            self._requests.done(now)
            self.advance(now)

    # --- what a person asks ---------------------------------------------------------------------------------------

    def _end(self, now: float) -> None:
        if self.state is not State.ACTIVE:
            self.notify("refused", request=c.TRREQ.name, reason="not-active")
            return
        self._requests.ask(self.membership_message(c.TRREQ), c.TRIND, now=now)

    def _delete(self, now: float) -> None:
        if not self._is_confirmed or self.state is State.ENDED:
            self.notify("refused", request=c.SDREQ.name, reason="no-session")
            return
        self._requests.ask(self.session_message(c.SDREQ), c.SDRES, now=now)

    def _describe(self, event: Describe, now: float) -> None:
        """Describe the session anew; raises EncodeError for what no message can hold, and leaves all as it was."""
        changes = {name: value for name, value in asdict(event).items() if value is not None}
        description = replace(self._description, **changes)
        encode_session(self._described(description))
        self._description = description
        if self._is_confirmed and self.state is not State.ENDED:
            self._send_description(now)

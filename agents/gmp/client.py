"""What GMP's creator and participant share: a client's way to the session it wants to be in.

Theory of operation. A client wants to be registered, enrolled or active: its goal, set by its configuration and by what a person
asks. `_advance` takes the next step there whenever one is done: one request at a time (`agents.gmp.requests`), whose answer moves the
state machine (`agents.gmp.client_state`). What is refused for a reason that may pass, or is not answered, is tried again after a
while, longer each time, as long as the goal stands [GI-3]. What it owes as a member is in `agents.gmp.member`; `agents.gmp.data_plane`
tells the program that sends or receives the session's data what to do.

Only the server's own endpoints are believed [G-13, G-17].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping

from agents.core.agent import ApplicationData, Endpoint, Event, GroupJoined, StreamClosed, StreamOpened
from agents.core.machine import Machine, TransitionTable
from agents.core.timers import TimerKey
from agents.gmp import constants as c
from agents.gmp.client_state import Goal, Input, State, reached
from agents.gmp.configuration import ClientConfiguration
from agents.gmp.connection import Connection
from agents.gmp.constants import MembershipPacket, MemberType, RejectReason, SessionPacket
from agents.gmp.data_plane import DataPlane
from agents.gmp.events import Activate, Enrol, Register
from agents.gmp.group_keys import GroupKeys, KeyRefusedError
from agents.gmp.messages import MembershipMessage, Message, SessionMessage
from agents.gmp.options import NO_OPTIONS, Options
from agents.gmp.requests import Packet, Requests
from agents.gmp.role import NO_SECRETS, Role

RETRY_FIRST = 2.0  # s, before what failed is tried again; doubled each time [GI-3]
RETRY_LAST = 30.0  # s
_STEPS = frozenset({c.SCREQ, c.SCINF, c.SRREQ, c.SJREQ, c.SAREQ})  # requests that are steps to a goal
_PASSING = frozenset({RejectReason.RESOURCES, RejectReason.WRONG_STATE})


class Client(Role):
    """A client. Timer keys: ("request",), ("retry",), ("registration",), ("group",), ("connect", stream)."""

    __slots__ = (
        "_configuration", "_connection", "_data", "_goal", "_is_closed", "_is_secure", "_keys", "_machine",
        "_member_type", "_requests", "_retry_after", "_session_id", "_user_id",
    )  # fmt: skip

    RECEIVES = frozenset(
        {c.SRRES, c.SRACC, c.SRREJ, c.SJRES, c.KAREQ, c.UIRES, c.TRIND, c.KDUPT, c.SCACC, c.SCREJ, c.SCCON, c.SDRES}
    )

    def __init__(
        self,
        configuration: ClientConfiguration,
        secret: bytes | None,
        table: TransitionTable[State, Input],
        member_type: MemberType,
    ) -> None:
        super().__init__()
        self._configuration = configuration
        self._machine = Machine(table, self, name=configuration.name)
        self._connection = Connection(self, configuration)
        self._requests = Requests(self, self._connection)
        self._keys = GroupKeys(secret)
        self._data = DataPlane(self, configuration.interface, sends=member_type is MemberType.CREATOR)
        self._goal = Goal.NOTHING
        self._session_id = 0
        self._user_id = 0
        self._is_closed = False
        self._is_secure = False
        self._member_type = member_type
        self._retry_after = RETRY_FIRST

    @property
    def state(self) -> State:
        """How far the client is."""
        return self._machine.state

    @abstractmethod
    def membership_message_received(self, message: MembershipMessage, source: Endpoint, now: float) -> None:
        """Take one message of module MM from the server."""

    @abstractmethod
    def register(self, now: float) -> None:
        """Take the first step to be registered, from IDLE or ENDED, or say why it cannot be."""

    def start(self, now: float) -> None:
        """Begin with what the configuration says."""
        self.want(self._configuration.goal, now)

    # --- what it is told ------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> None:
        """Take what a person asks, and what happens to streams, groups and the data."""
        match event:
            case Register():
                self.want(Goal.REGISTERED, now)
            case Enrol():
                self.want(Goal.ENROLLED, now)
            case Activate():
                self.want(Goal.ACTIVE, now)
            case StreamOpened():
                self._connection.opened(event)
            case StreamClosed():
                self._connection.closed(event, now)
            case GroupJoined():
                self._data.group_joined(event, now)
            case ApplicationData():
                self._data.reported(event.data)
            case _:
                self.ignore(event)

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        """Take the next octets of a stream."""
        self._connection.received(stream, data, now)

    def message_received(self, message: Message, source: Endpoint, now: float, port: Hashable) -> None:
        """Take one message of the server's; what nobody has asked for is dropped and counted."""
        packet = message.packet
        if not self._connection.is_from_server(source, port):
            self.drop("foreign-source", source, packet=packet.name)
        elif isinstance(message, MembershipMessage):
            self.membership_message_received(message, source, now)
        elif not self._requests.is_answered_by(packet):
            self.drop("unasked", source, packet=packet.name)
        elif self._session_id not in (0, message.session_id) or (
            self._user_id and message.user_id not in (0, self._user_id)
        ):
            self.drop("of-another", source, packet=packet.name)
        else:
            self.answered(message, source, now)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """A request's time, or another's: see the class."""
        match key[0]:
            case "request":
                given_up = self._requests.resend_time(now)
                if given_up is not None:
                    self._not_answered(given_up, now)
            case "retry":
                self.advance(now)
            case "registration":
                self._machine.move(Input.REGISTER)
                self._requests.done(now)
                self.send_registration(now)
            case "group":
                self._data.join_time(self._keys)
            case _:
                self._connection.connect_time(key[1])

    # --- towards the goal -----------------------------------------------------------------------------------------

    def want(self, goal: Goal, now: float, not_before: float = 0.0) -> None:
        """Go as far as ``goal`` at least, from ``not_before`` on: who is further stays there."""
        self._goal = max(self._goal, goal)
        self._retry_after = RETRY_FIRST
        self.timers.cancel(("retry",))
        if now < not_before:
            self.timers.set(("retry",), not_before)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Take the next step to the goal, unless one is being taken or waited for."""
        if self._requests.outstanding is not None or ("retry",) in self.timers:
            return
        state = self.state
        if state in {State.IDLE, State.ENDED} and self._goal >= Goal.REGISTERED:
            self.register(now)
        elif state is State.REGISTERED and self._goal >= Goal.ENROLLED:
            if self._is_secure and not self._keys.has_secret:
                self._give_up("SJREQ", "no-secret")
                return
            self._machine.move(Input.ENROL)
            self._connection.listen()
            self._ask_to_join(now)
        elif state is State.ENROLLED and self._goal >= Goal.ACTIVE:
            self._machine.move(Input.ACTIVATE)
            self._ask_to_be_active(now)

    def _step_done(
        self, step: Input, event: str, now: float, secrets: Mapping[str, object] = NO_SECRETS, **details: object
    ) -> None:
        """The outstanding request is granted."""
        self._machine.move(step)
        self._retry_after = RETRY_FIRST
        self.notify(event, secrets, **details)
        self._requests.done(now)
        self.advance(now)

    def send_registration(self, now: float) -> None:
        """Ask to be registered: a closed session wants name and token, of an open one the name alone is used [G-23, G-26]."""
        options = Options(client_name=self._configuration.name, token=self.token)
        self._ask_session(c.SRREQ, options, c.SRRES, c.SRACC, c.SRREJ, now=now)

    @property
    def token(self) -> bytes | None:
        """The session's access token, where the client has one."""
        return None

    def _ask_to_join(self, now: float) -> None:
        port = self._configuration.mm_port  # so that KDUPT arrives before there is a SAREQ [G-15]
        self._ask_session(c.SJREQ, Options(client_mm_port=port), c.SJRES, now=now)

    def _ask_to_be_active(self, now: float) -> None:
        port = self._configuration.mm_port
        self._ask_session(c.SAREQ, Options(client_mm_port=port), c.KAREQ, c.SJRES, now=now)

    def _ask_session(self, packet: SessionPacket, options: Options, *answers: Packet, now: float) -> None:
        self._requests.ask(self.session_message(packet, options), *answers, now=now)

    def session_message(self, packet: SessionPacket, options: Options = NO_OPTIONS) -> SessionMessage:
        """A message of module SM about this member."""
        return SessionMessage(
            packet, self._session_id, self._user_id, self._is_secure, self._is_closed, options=options
        )

    def membership_message(
        self, packet: MembershipPacket, reserved: int = 0, options: Options = NO_OPTIONS
    ) -> MembershipMessage:
        """A message of module MM about this member."""
        return MembershipMessage(
            packet,
            self._session_id,
            self._user_id,
            self._is_closed,
            self._member_type,
            group=self._data.group,
            port=self._data.port,
            reserved=reserved,
            options=options,
        )

    # --- answers --------------------------------------------------------------------------------------------------

    def answered(self, message: SessionMessage, source: Endpoint, now: float) -> None:
        """Take an answer that the outstanding request wants."""
        packet, reason = message.packet, message.options.reject_reason
        if packet is c.SRRES:
            self._registration_under_way(message, now)
        elif packet is c.SRACC:
            self._registered(message, source, now)
        elif packet is c.SRREJ or reason is not None:
            self.refused(reason or 0, now)
        elif self._requests.packet is c.SAREQ:
            self.counters.add("ignored.repeated-SJRES")  # the grant that was asked for before
        else:
            self._joined(message, source, now)

    def _registration_under_way(self, message: SessionMessage, now: float) -> None:
        if self.state is not State.REGISTERING:
            self.counters.add("ignored.repeated-SRRES")
            return
        self._is_closed, self._is_secure = message.closed, message.secure
        self._machine.move(Input.LOOKED_AT)
        self._requests.under_way()
        self.timers.set(("registration",), now + c.REGISTRATION_TIME)
        self.notify("authorising")

    def _registered(self, message: SessionMessage, source: Endpoint, now: float) -> None:
        if not message.user_id:
            self.drop("no-user-id", source, packet=message.packet.name)
            return
        self.timers.cancel(("registration",))
        self._user_id = message.user_id
        self._is_closed, self._is_secure = message.closed, message.secure
        self._step_done(Input.REGISTERED, "registered", now)

    def _joined(self, message: SessionMessage, source: Endpoint, now: float) -> None:
        """SJRES: the member is enrolled, or an enrolled one has the key that it asked for again [G-15]."""
        self._is_secure = self._is_secure or message.secure or message.options.group_key is not None
        if self._is_secure and not self.take_key(message, source, now):
            return  # it is asked for again, as if nothing had come
        self._data.is_at(message.group, message.port, self._keys)
        if self.state is State.ENROLLING:
            self._step_done(Input.ENROLLED, "enrolled", now, generation=self._keys.generation)
        else:
            self._requests.done(now)
            self.advance(now)

    def take_key(self, message: Message, source: Endpoint, now: float) -> bool:
        """Take the key that a message has; whether it had one of use."""
        try:
            is_new = self._keys.take(message, self._user_id)
        except KeyRefusedError as error:
            self.drop(str(error), source, packet=message.packet.name)
            return False
        if is_new:
            self.notify("key", generation=self._keys.generation)
            if self._data.is_on:
                self.use_key(now)
        return True

    def use_key(self, now: float) -> None:
        """There is a newer key for the data."""
        self._data.begin(self._keys)

    def refused(self, reason: int, now: float) -> None:
        """The outstanding request is refused: what may pass is tried again, what is no more has ended."""
        packet = self._requests.packet
        name = "" if packet is None else packet.name
        self.counters.add(f"refused.{reason}")
        self.timers.cancel(("registration",))
        if reason == RejectReason.UNKNOWN_SESSION and self._user_id:
            self.notify("refused", request=name, reason=reason)
            self.gone("unknown-session")
            return
        self._requests.done(now)
        if packet not in _STEPS:
            self.notify("refused", request=name, reason=reason)
            self.advance(now)
        elif reason == RejectReason.WRONG_STATE and packet in {c.SJREQ, c.SAREQ}:
            self._fall_back(Input.NOT_REGISTERED if packet is c.SJREQ else Input.NOT_ENROLLED)
            self._try_later("refused", now, request=name, reason=reason)
        else:
            if self._machine.allows(Input.REFUSED):
                self._machine.move(Input.REFUSED)
            if reason in _PASSING:
                self._try_later("refused", now, request=name, reason=reason)
            else:
                self._give_up(name, reason)

    def _fall_back(self, step: Input) -> None:
        """The server does not have the member where it took itself to be [GI-5]."""
        self._keys.forget()
        self._data.stop()
        self.timers.cancel(("silence",))
        self._machine.move(step)

    def _not_answered(self, message: Message, now: float) -> None:
        packet = message.packet
        if packet not in _STEPS:
            self.notify("unanswered", request=packet.name)
            self.advance(now)
            return
        if packet is not c.SCINF and self._machine.allows(
            Input.REFUSED
        ):  # which may have been taken, and is sent again
            self._machine.move(Input.REFUSED)
        self._try_later("unanswered", now, request=packet.name)

    def _try_later(self, event: str, now: float, **details: object) -> None:
        self.notify(event, NO_SECRETS, **details, again_in_s=self._retry_after)
        self.timers.set(("retry",), now + self._retry_after)
        self._retry_after = min(2 * self._retry_after, RETRY_LAST)

    def _give_up(self, request: str, reason: object) -> None:
        """Want no more than what there is."""
        self._goal = min(self._goal, reached(self.state))
        self.notify("refused", request=request, reason=reason)

    def gone(self, why: str) -> None:
        """There is no such session any more."""
        self._requests.clear()
        for key in ("retry", "registration", "silence", "quiet"):
            self.timers.cancel((key,))
        self._data.stop()
        self._keys.forget()
        self._goal = Goal.NOTHING
        self._machine.move(Input.GONE)
        self._connection.close()
        self.notify("ended", reason=why)

    # --- what is seen -----------------------------------------------------------------------------------------------

    def describe(self) -> Mapping[str, object]:
        """How far the client is, and in which session; nothing secret."""
        outstanding = self._requests.packet
        return {
            "name": self._configuration.name,
            "state": self.state.value,
            "goal": self._goal.name.lower(),
            "session": self._session_id,
            "user": self._user_id,
            "member_type": self._member_type.name.lower(),
            "closed": self._is_closed,
            "secure": self._is_secure,
            "generation": self._keys.generation,
            "group": self._data.group,
            "port": self._data.port,
            "asks": None if outstanding is None else outstanding.name,
        }

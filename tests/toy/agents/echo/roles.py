"""Echo's roles: the server answers once the new count is on disk; the client asks whom it hears in the group, both ways."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from agents.core import agent as a
from agents.core.checks import check_group
from agents.core.errors import DecodeError
from agents.core.framing import Framer
from agents.core.message_role import MessageRole
from agents.core.timers import TimerKey

from .messages import HEADER, MOST, Kind, Message, decode, encode

PORT = 7007  # UDP and TCP
ANNOUNCE_S = 0.2
IDLE_S = 2.0  # a stream that brings nothing for so long is closed: nobody makes us keep half a message for ever


@dataclass(frozen=True)
class Configuration:
    """The server's group, the interface to it, and how many answers are enough for a client."""

    group: str
    interface: str
    enough: int = 6

    def check(self) -> None:
        check_group(self.group, None)


class Echo(MessageRole[Message]):
    """What both have in common: messages by datagram and by stream, and a count of answers."""

    PACKETS, decode = Kind, staticmethod(decode)

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.configuration, self.count = configuration, 0
        self.framers: dict[Hashable, Framer] = {}

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        """Take what has come whole of a stream; one that cannot be cut is closed."""
        self.timers.set(("idle", stream), now + IDLE_S)
        try:
            for whole in self.framers[stream].feed(data):
                self.receive(whole, a.Endpoint("", 0), now, stream)
        except DecodeError:
            self.close(stream, abort=True)

    def handle(self, event: a.Event, now: float) -> None:
        """Ask on a stream that is open; answer what has been counted."""
        match event:
            case a.StreamOpened():
                self.framers[event.stream] = Framer(HEADER.size, lambda head: HEADER.unpack(head)[1], MOST)
                self.timers.set(("idle", event.stream), now + IDLE_S)
                if not event.port:  # it is we who have connected
                    self.send(Message(Kind.REQUEST, self.count, b"stream"), event.peer, event.stream)
            case a.Committed(key=tuple(answer), succeeded=True):
                self.send(*answer)
            case a.StreamClosed():
                self.forget(event.stream)
            case _:
                self.ignore(event)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """Close a stream that has been idle; else announce again."""
        match key:
            case ("idle", stream):
                self.close(stream, abort=True)
            case _:
                self.start(now)

    def close(self, stream: Hashable, *, abort: bool = False) -> None:
        """Close a stream and forget it now, since no event follows."""
        self.act(a.CloseStream(stream, abort))
        self.forget(stream)

    def forget(self, stream: Hashable) -> None:
        """Keep nothing of a stream that is no more, or never was."""
        self.framers.pop(stream, None)
        self.timers.cancel(("idle", stream))

    def send(self, message: Message, to: a.Endpoint, stream: Hashable = "") -> None:
        """Send to an endpoint, or on a stream if there is one."""
        self.act(a.SendStream(stream, encode(message)) if stream != "" else a.SendDatagram(encode(message), to))

    def describe(self) -> Mapping[str, object]:
        return {"answers": self.count, "streams": len(self.framers)}


class Server(Echo):
    """Announces itself; answers each request with its text and the number of the answer, which no crash takes back."""

    RECEIVES = frozenset({Kind.REQUEST})

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Go on counting where the last run ended."""
        self.count = int(entries.get("count", b"0"))

    def start(self, now: float) -> None:
        to, via = a.Endpoint(self.configuration.group, PORT), self.configuration.interface
        self.act(a.SendDatagram(encode(Message(Kind.ANNOUNCE, self.count)), to, interface=via))
        self.timers.set(("announce",), now + ANNOUNCE_S)

    def message_received(self, message: Message, source: a.Endpoint, now: float, port: Hashable) -> None:
        self.count += 1  # on disk first
        answer = (Message(Kind.ANSWER, self.count, message.text), source, port)
        self.act(a.Commit(answer, {"count": str(self.count).encode()}))


class Client(Echo):
    """Asks whom it hears announced, by datagram and by stream, until it has had enough answers."""

    RECEIVES = frozenset({Kind.ANNOUNCE, Kind.ANSWER})

    def start(self, now: float) -> None:
        self.act(a.JoinGroup(self.configuration.group, self.configuration.interface, port=PORT, listen="group"))

    def message_received(self, message: Message, source: a.Endpoint, now: float, port: Hashable) -> None:
        if message.packet is Kind.ANNOUNCE:
            self.send(Message(Kind.REQUEST, self.count, b"datagram"), a.Endpoint(source.address, PORT))
            self.act(a.Connect(f"stream {now}", a.Endpoint(source.address, PORT)))
            return
        if port in self.framers:  # one stream for each question
            self.close(port)
        self.count += 1
        self.act(a.Notify("answered", {"number": message.number, "text": message.text.decode(errors="replace")}))
        if self.count == self.configuration.enough:
            self.act(a.End())

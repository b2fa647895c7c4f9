"""A client's way to its server: datagrams from two ports, or two streams that the client opens [G-2, G-3, G-17].

What is sent to module SM and to module MM goes by different ports or streams, which have the names "" or "sm", and "mm". Over
streams, a message that is sent while there is none waits for it, and goes with it where it cannot be opened: requests are sent
again by whoever made them.
"""

from __future__ import annotations

from collections.abc import Hashable

from agents.core.agent import CloseStream, Connect, Endpoint, StreamClosed, StreamOpened
from agents.core.errors import DecodeError
from agents.core.framing import Framer
from agents.gmp.configuration import ClientConfiguration
from agents.gmp.constants import LENGTH_SIZE, REQUEST_TIME
from agents.gmp.messages import Message, SessionMessage
from agents.gmp.role import MM, Role, framer

SM = "sm"  # the stream to module SM
WAITING_MAXIMUM = 8  # messages that wait for a stream


class _Stream:
    """One stream to the server. ``number`` counts those that were opened or are being: what is sent on one is sent once."""

    __slots__ = ("framer", "is_open", "is_wanted", "number", "waiting")

    def __init__(self) -> None:
        self.framer: Framer | None = None
        self.is_open = False
        self.is_wanted = False  # also while nothing is to be sent
        self.number = 0
        self.waiting: list[Message] = []


class Connection:
    """The way of ``role``, which hands it what it is told of streams and asks it to send. Timer keys: ("connect", stream)."""

    __slots__ = ("_endpoints", "_role", "_streams")

    def __init__(self, role: Role, configuration: ClientConfiguration) -> None:
        self._role = role
        self._endpoints = {SM: configuration.sm_endpoint, MM: configuration.mm_endpoint}
        self._streams = {SM: _Stream(), MM: _Stream()} if configuration.is_tcp else {}

    def is_from_server(self, source: Endpoint, port: Hashable) -> bool:
        """Whether what came by ``port`` is the server's; a client with streams takes no datagram for it."""
        if self._streams and port not in self._streams:
            return False
        return source == self._endpoints[MM if port == MM else SM]

    def send(self, message: Message, sent_on: int = 0) -> int:
        """Send to the module whose message it is; gives what to say as ``sent_on`` when the same is sent again.

        What a stream has taken is not sent on it again [GI-8].
        """
        module = SM if isinstance(message, SessionMessage) else MM
        if not self._streams:
            self._role.send(message, self._endpoints[module], MM if module == MM else "")
            return 0
        stream = self._streams[module]
        if stream.framer is None:
            self._open(module)
        elif sent_on == stream.number:
            return sent_on
        if stream.is_open:
            self._role.send_framed(message, module)
        elif len(stream.waiting) < WAITING_MAXIMUM:
            stream.waiting.append(message)
        else:
            self._role.counters.add("unsent.waiting-for-stream")
        return stream.number

    def listen(self) -> None:
        """Have the stream on which module MM tells what nobody has asked for [G-17], until ``close``."""
        if self._streams and not self._streams[MM].is_wanted:
            self._streams[MM].is_wanted = True
            if self._streams[MM].framer is None:
                self._open(MM)

    @property
    def has_streams(self) -> bool:
        """Whether it is one over streams."""
        return bool(self._streams)

    def listen_anew(self) -> None:
        """Replace the stream on which nothing comes: the server's machine may have begun again, and know nothing of it."""
        if not self._streams:
            return
        if self._streams[MM].framer is not None:
            self._role.act(CloseStream(MM, abort=True))
            self._forget(self._streams[MM])
        self._open(MM)

    def close(self) -> None:
        """Have no streams any more."""
        for name, stream in self._streams.items():
            stream.is_wanted = False
            self._role.timers.cancel(("connect", name))
            if stream.framer is not None:
                self._role.act(CloseStream(name))
                self._forget(stream)

    def restart(self, message: Message, now: float) -> None:
        """Give up the stream on which ``message`` has no answer; what is sent next, or listened for, opens another."""
        name = SM if isinstance(message, SessionMessage) else MM
        if self._streams and self._streams[name].framer is not None:
            self._role.act(CloseStream(name, abort=True))
            self._lost(name, now)

    # --- what happens to streams --------------------------------------------------------------------------------------

    def opened(self, event: StreamOpened) -> None:
        """A stream is there: what waits for it is sent."""
        stream = self._streams.get(str(event.stream))
        if stream is None or stream.framer is None:
            self._role.ignore(event)
            return
        stream.is_open = True
        for message in stream.waiting:
            self._role.send_framed(message, event.stream)
        stream.waiting.clear()

    def closed(self, event: StreamClosed, now: float) -> None:
        """A stream is there no more, or could not be opened."""
        if event.stream in self._streams:
            self._role.counters.add(f"lost.stream.{event.reason or 'closed'}")
            self._lost(str(event.stream), now)
        else:
            self._role.ignore(event)

    def received(self, of: Hashable, data: bytes, now: float) -> None:
        """The next octets of a stream: the role is handed each message that is whole."""
        name = str(of)
        stream = self._streams.get(name)
        if stream is None or stream.framer is None:
            self._role.counters.add("ignored.stream-data")
            return
        try:
            for message in stream.framer.feed(data):
                self._role.receive(message[LENGTH_SIZE:], self._endpoints[name], now, name)
                if stream.framer is None:
                    return  # what the message said has closed it
        except DecodeError as error:
            self._role.drop(error.reason, self._endpoints[name], detail=error.detail)
            self._role.act(CloseStream(name, abort=True))
            self._lost(name, now)

    def connect_time(self, name: str) -> None:
        """Open a stream that is wanted and was lost a while ago."""
        if self._streams[name].framer is None:
            self._open(name)

    def _open(self, name: str) -> None:
        stream = self._streams[name]
        self._role.timers.cancel(("connect", name))
        stream.framer = framer()
        stream.number += 1
        self._role.act(Connect(name, self._endpoints[name]))

    def _lost(self, name: str, now: float) -> None:
        self._forget(self._streams[name])
        if self._streams[name].is_wanted:
            self._role.timers.set(("connect", name), now + REQUEST_TIME)

    @staticmethod
    def _forget(stream: _Stream) -> None:
        stream.framer = None
        stream.is_open = False
        stream.waiting.clear()

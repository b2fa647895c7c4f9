"""The streams that a server's clients have opened: messages cut out of them, and which of them leads to which member [G-2, G-17].

A member that speaks over streams is its address, and says who it is only when it speaks: until its stream of module MM has brought a
message of its own, what module MM has for it goes by every stream of that address that nobody has claimed. A stream that brings half a
message and then nothing, or that nobody claims for long, is closed [GI-21].
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from agents.core.agent import CloseStream, Endpoint, StreamClosed, StreamOpened
from agents.core.errors import DecodeError
from agents.core.framing import Framer
from agents.gmp.constants import LENGTH_SIZE
from agents.gmp.messages import decode_membership
from agents.gmp.role import Role, framer

if TYPE_CHECKING:
    from agents.gmp.session import Member

SM_STREAMS, MM_STREAMS = "sm-streams", "mm-streams"  # the listening ports
WHOLE_TIME = 10.0  # s, in which the rest of a message must come
CLAIMED_TIME = 60.0  # s, in which a stream must bring a message of a member, or one that makes somebody a member


class _Stream:
    """One stream. ``is_claimed``: a member has spoken on it."""

    __slots__ = ("framer", "is_claimed", "module", "peer")

    def __init__(self, peer: Endpoint, module: str) -> None:
        self.framer: Framer = framer()
        self.peer = peer
        self.module = module
        self.is_claimed = False


class ServerStreams:
    """The streams of ``role``. Timer keys: ("whole", stream), ("claimed", stream)."""

    __slots__ = ("_by_address", "_role", "_streams")

    def __init__(self, role: Role) -> None:
        self._role = role
        self._streams: dict[Hashable, _Stream] = {}
        self._by_address: dict[str, dict[Hashable, _Stream]] = {}  # those of module MM

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream: Hashable) -> bool:
        return stream in self._streams

    def opened(self, event: StreamOpened, now: float) -> None:
        """A client has opened a stream."""
        stream = self._streams[event.stream] = _Stream(event.peer, event.port)
        if event.port == MM_STREAMS:
            self._role.decoders[event.stream] = decode_membership
            self._by_address.setdefault(event.peer.address, {})[event.stream] = stream
        self._role.timers.set(("claimed", event.stream), now + CLAIMED_TIME)

    def closed(self, event: StreamClosed) -> None:
        """A stream is there no more."""
        if event.stream in self._streams:
            self._forget(event.stream)

    def received(self, name: Hashable, data: bytes, now: float) -> None:
        """The next octets of a stream: the role is handed each message that is whole."""
        stream = self._streams.get(name)
        if stream is None:
            self._role.counters.add("ignored.stream-data")
            return
        try:
            for message in stream.framer.feed(data):
                self._role.receive(message[LENGTH_SIZE:], stream.peer, now, name)
                if name not in self._streams:
                    return
        except DecodeError as error:
            self._role.drop(error.reason, stream.peer, detail=error.detail)
            self._close(name)
            return
        key = ("whole", name)
        if not stream.framer.pending:
            self._role.timers.cancel(key)
        elif key not in self._role.timers:  # from the first octet on: a drop now and then buys no time
            self._role.timers.set(key, now + WHOLE_TIME)

    def time(self, what: str, name: Hashable) -> None:
        """A stream has brought no whole message in time, or no member."""
        stream = self._streams[name]
        if what == "whole" or not stream.is_claimed:
            self._role.drop("slow-stream" if what == "whole" else "idle-stream", stream.peer)
            self._close(name)

    def claim(self, name: Hashable) -> None:
        """A member has spoken on a stream."""
        stream = self._streams.get(name)
        if stream is not None and not stream.is_claimed:
            stream.is_claimed = True
            self._role.timers.cancel(("claimed", name))

    def to(self, member: Member) -> list[Hashable]:
        """The streams of module MM by which a member is reached."""
        if member.mm_stream in self._streams:
            return [member.mm_stream]
        there = self._by_address.get(member.sm.address, {})
        return [name for name, stream in there.items() if not stream.is_claimed] or list(there)

    def _close(self, name: Hashable) -> None:
        self._role.act(CloseStream(name, abort=True))
        self._forget(name)

    def _forget(self, name: Hashable) -> None:
        stream = self._streams.pop(name)
        self._role.decoders.pop(name, None)
        for what in ("whole", "claimed"):
            self._role.timers.cancel((what, name))
        there = self._by_address.get(stream.peer.address, {})
        if there.pop(name, None) is not None and not there:
            del self._by_address[stream.peer.address]

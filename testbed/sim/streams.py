"""Streams in virtual time: ordered and without loss as TCP's are, cut anywhere, late, and at times suddenly gone.

Theory of operation. Each of a stream's two ends sends a row of pieces: what opens it, its data cut at random octets, what
closes it. Each piece has one moment of arrival, never before that of the piece ahead of it; what arrives is the head of the
row. While nothing passes between the two places, an arrival is tried again and again, as TCP sends again, until the sender
gives up. A machine that dies takes its ends with it and says nothing: the other end is half open, and learns of it when it
sends something and the machine is there again ("reset"), or never answers ("timeout").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING

from agents.core.agent import CloseStream, Connect, Endpoint, SendStream, StreamClosed, StreamOpened

if TYPE_CHECKING:
    from testbed.sim.network import Network
    from testbed.sim.node import Node

CONNECT_TIMEOUT_S = 10.0  # from a connect that nobody answers until it is given up
STREAM_TIMEOUT_S = 20.0  # from the first piece that does not arrive until its sender gives up
RESENT_S = 0.2  # what the loss of a piece costs: TCP's least time until it sends again
RETRY_S = 0.5  # between two attempts while nothing passes
BACKLOG_OCTETS = 1 << 20  # sent and not arrived; more is an overflow
FIRST_PORT, PORTS = 32768, 28232

_OPEN, _DATA, _FINISH = range(3)


class _End:
    """One end of a stream, and what is on its way from it: ``row``, and ``unsent``, which is not cut yet."""

    __slots__ = (
        "arrives_at", "backlog", "blocked_since", "here", "is_closing", "is_gone", "is_open", "is_waking", "node", "other",
        "port", "row", "stream", "there", "unsent",
    )  # fmt: skip

    def __init__(self, node: Node, stream: Hashable, here: Endpoint, there: Endpoint, port: str = "") -> None:
        self.node = node
        self.stream = stream
        self.here, self.there = here, there
        self.port = port  # at which it was accepted
        self.other: _End | None = None
        self.is_open = False
        self.is_closing = False  # the role has closed it, and hears no more of it
        self.is_gone = False  # its machine knows it no more
        self.unsent = bytearray()
        self.is_waking = False  # ``unsent`` is about to be cut
        self.row: deque[tuple[int, bytes]] = deque()
        self.backlog = 0  # octets
        self.arrives_at = 0.0  # the last of the row
        self.blocked_since: float | None = None


class Streams:
    """All streams of a network. What the faults decide is drawn from the network's generator."""

    def __init__(self, network: Network, chance: Callable[[], float]) -> None:
        self._network = network
        self._chance = chance
        self._ends: dict[tuple[int, Hashable], _End] = {}  # that a role knows, by its node's index
        self._count = 0

    # --- what a role asks for ---------------------------------------------------------------------------------------

    def connect(self, node: Node, action: Connect) -> None:
        """Knock at the destination; ValueError where the role has a stream of that name: it confuses two."""
        if (node.index, action.stream) in self._ends:
            raise ValueError(f"{node.name} connects {action.stream!r} a second time")
        interface = node.interface_to(action.destination.address)
        self._count += 1
        here = Endpoint(interface.address, FIRST_PORT + self._count % PORTS)
        end = _End(node, action.stream, here, action.destination)
        self._ends[node.index, action.stream] = end
        if interface.is_reachable:
            self._after_delay(self._knock, end, self._network.now + CONNECT_TIMEOUT_S)
        else:
            self._network.later(0.0, self._fail, end, "unreachable")

    def send(self, node: Node, action: SendStream) -> None:
        """Queue the data; StreamClosed with "overflow" where too much of it has not arrived."""
        end = self._ends.get((node.index, action.stream))
        if end is None or not end.is_open:
            node.agent.counters.add("unsent.no-stream")
            return
        end.backlog += len(action.data)
        if end.backlog > BACKLOG_OCTETS:
            self._abort(end)
            self._network.later(0.0, self._say_closed, node, node.life, end.stream, "overflow")
            return
        end.unsent += action.data
        self._wake(end)

    def close(self, node: Node, action: CloseStream) -> None:
        """Close when all has been sent, or at once."""
        end = self._ends.get((node.index, action.stream))
        if end is None:
            return
        if action.abort or not end.is_open:
            self._abort(end)
            return
        del self._ends[node.index, action.stream]
        end.is_closing = True
        self._wake(end)

    def close_all(self, node: Node) -> None:
        """A role has ended: close its streams in order."""
        for end in list(self._of(node)):
            self.close(node, CloseStream(end.stream))

    def lose(self, node: Node) -> None:
        """A machine has died: nobody is told."""
        for end in list(self._of(node)):
            self._forget(end)

    # --- opening ----------------------------------------------------------------------------------------------------

    def _knock(self, end: _End, give_up_at: float) -> None:
        if end.is_gone:
            return
        node = self._network.node_at(end.there.address)
        if node is None:
            self._after_delay(self._fail, end, "unreachable")
        elif not self._passes(end, node):
            self._again(self._knock, end, give_up_at)
        elif (port := node.stream_port(end.there)) is None or self._is_fate(self._network.faults.refusal):
            self._after_delay(self._fail, end, "refused")
        else:
            self._count += 1
            accepted = _End(node, ("accepted", self._count), end.there, end.here, port)
            accepted.other, end.other = end, accepted
            self._ends[node.index, accepted.stream] = accepted
            self._after_delay(self._opened, end, give_up_at)

    def _opened(self, end: _End, give_up_at: float) -> None:
        other = end.other
        if other is None or end.is_gone:
            if other is not None:
                self._forget(other)
        elif not self._passes(end, other.node):
            self._again(self._opened, end, give_up_at)
        else:
            end.is_open = True
            self._ship(end, _OPEN, b"")
            self._network.tell(end.node, StreamOpened(end.stream, end.there))

    def _again(self, attempt: Callable[[_End, float], None], end: _End, give_up_at: float) -> None:
        if self._network.now + RETRY_S > give_up_at:
            if end.other is not None:
                self._forget(end.other)
            self._fail(end, "timeout")
        else:
            self._network.later(RETRY_S, attempt, end, give_up_at)

    # --- what is on its way -----------------------------------------------------------------------------------------

    def _wake(self, end: _End) -> None:
        if not end.is_waking:
            end.is_waking = True
            self._network.later(0.0, self._cut, end)

    def _cut(self, end: _End) -> None:
        """What the role has sent in one turn goes together, cut at random octets."""
        end.is_waking = False
        if end.is_gone:
            return
        while end.unsent:
            length = 1 + int(self._chance() * len(end.unsent))
            piece = bytes(end.unsent[:length])
            del end.unsent[:length]
            self._ship(end, _DATA, piece)
        if end.is_closing:
            self._ship(end, _FINISH, b"")

    def _ship(self, end: _End, kind: int, data: bytes) -> None:
        network, faults = self._network, self._network.faults
        if self._is_fate(faults.reset) and kind == _DATA:
            network.count("stream-reset")
            self._after_delay(self._reset, end)
            if end.other is not None:
                self._after_delay(self._reset, end.other)
        delay = faults.delay_s + self._chance() * faults.jitter_s
        if self._is_fate(faults.loss):
            network.count("stream-resent")
            delay += RESENT_S
        if self._is_fate(faults.stall):
            network.count("stream-stalled")
            delay += faults.stalled_s
        end.arrives_at = max(end.arrives_at, network.now + delay)
        end.row.append((kind, data))
        network.later(end.arrives_at - network.now, self._arrive, end)

    def _arrive(self, end: _End) -> None:
        other, network = end.other, self._network
        if not end.row or other is None:
            return
        if not self._passes(end, other.node):
            if end.is_gone:  # nobody sends it again
                end.row.clear()
                return
            end.blocked_since = network.now if end.blocked_since is None else end.blocked_since
            if network.now - end.blocked_since < STREAM_TIMEOUT_S:
                network.later(RETRY_S, self._arrive, end)
            else:
                end.row.clear()
                self._fail(end, "timeout")
            return
        end.blocked_since = None
        kind, data = end.row.popleft()
        end.backlog -= len(data)
        if other.is_gone:
            end.row.clear()
            self._after_delay(self._reset, end)
        elif kind == _FINISH:
            self._forget(end)
            self._fail(other, "")
        elif other.is_closing:
            network.count("stream-unread")
        elif kind == _OPEN:
            other.is_open = True
            network.tell(other.node, StreamOpened(other.stream, other.there, other.port))
        else:
            network.hand_over_stream(other.node, other.stream, data)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _reset(self, end: _End) -> None:
        """A reset has come to an end; it is not sent again where it could not."""
        if end.other is not None and self._passes(end, end.other.node):
            self._fail(end, "reset")

    def _abort(self, end: _End) -> None:
        other = end.other
        self._forget(end)
        if other is not None:
            self._after_delay(self._reset, other)

    def _fail(self, end: _End, reason: str) -> None:
        """The end is no more; its role is told if it knows of it."""
        known = self._ends.get((end.node.index, end.stream)) is end
        was_told = end.is_open or end.port == ""  # an accepted one that never opened is nobody's business
        self._forget(end)
        if known and was_told:
            self._network.tell(end.node, StreamClosed(end.stream, reason))

    def _say_closed(self, node: Node, life: int, stream: Hashable, reason: str) -> None:
        if node.life == life:
            self._network.tell(node, StreamClosed(stream, reason))

    def _forget(self, end: _End) -> None:
        end.is_gone = True
        end.unsent.clear()
        other = end.other
        if (
            other is not None and other.is_gone
        ):  # nothing that still arrives matters; two that know each other are never freed
            end.row.clear()
            other.row.clear()
            end.other = other.other = None
        if self._ends.get((end.node.index, end.stream)) is end:
            del self._ends[end.node.index, end.stream]

    # --- help -------------------------------------------------------------------------------------------------------

    def _of(self, node: Node) -> Iterator[_End]:
        return (end for (index, _), end in self._ends.items() if index == node.index)

    def _passes(self, end: _End, receiver: Node) -> bool:
        return self._network.passes(end.node, end.here.address, receiver, end.there.address)

    def _is_fate(self, probability: float) -> bool:
        return bool(probability) and self._chance() < probability

    def _after_delay(self, what: Callable[..., None], *arguments: object) -> None:
        faults = self._network.faults
        self._network.later(faults.delay_s + self._chance() * faults.jitter_s, what, *arguments)

"""Messages on TCP connections: however they fall into segments, they are found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet, Raw
from scapy.sessions import TCPSession

from captures.dissectors.stream import Stream
from captures.gmp import dissector as gmp
from captures.msmp import dissector as msmp
from captures.omcp import dissector as omcp
from captures.wire.framing import Framing
from captures.wire.malformed import MalformedMessageError
from tests.wire import gmp_messages, msmp_messages, omcp_messages
from tests.wire.vector_files import Plain


@dataclass(frozen=True)
class Connection:
    """One kind of messages over TCP."""

    name: str
    stream: type[Stream]
    port: int
    bound: Any
    dissect: Any
    dissect_stream: Any
    problems: Any
    vectors: Sequence[dict[str, Any]]

    def bound_to_tcp(self) -> AbstractContextManager[None]:
        """As scapy finds it."""
        bound: AbstractContextManager[None] = self.bound()
        return bound

    @property
    def octets(self) -> list[bytes]:
        """Well-formed messages."""
        return [bytes.fromhex(row["hex"]) for row in self.vectors if not row.get("malformed")]


CONNECTIONS = [
    Connection(
        "gmp SM", gmp.GMPSMStream, 16513, gmp.bound_to_tcp, gmp.dissect, gmp.dissect_stream, gmp.problems,
        gmp_messages.vectors("SM"),
    ),
    Connection(
        "gmp MM", gmp.GMPMMStream, 16514, gmp.bound_to_tcp, partial(gmp.dissect, module="MM"),
        partial(gmp.dissect_stream, module="MM"), gmp.problems, gmp_messages.vectors("MM"),
    ),
    Connection(
        "msmp", msmp.MSMPStream, 24792, msmp.bound_to_tcp, msmp.dissect, msmp.dissect_stream, msmp.problems,
        msmp_messages.vectors(),
    ),
    Connection(
        "omcp", omcp.OMCPStream, 24794, omcp.bound_to_tcp, omcp.dissect, omcp.dissect_stream, omcp.problems,
        omcp_messages.vectors(),
    ),
]  # fmt: skip
every_connection = pytest.mark.parametrize("connection", CONNECTIONS, ids=lambda connection: connection.name)


@pytest.fixture(autouse=True)
def _scapy_does_not_swallow_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "debug_dissector", True)


def segments(octets: bytes, sizes: Sequence[int], port: int) -> Iterator[bytes]:
    """The octets in IP packets with so many octets each, the last with what is left."""
    at = 0
    for size in [*sizes, len(octets)]:
        if chunk := octets[at : at + size]:
            yield bytes(IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=40000, dport=port, seq=1000 + at) / Raw(chunk))
        at += size


def streams(packet: Packet | None) -> Iterator[Packet]:
    """The streams that scapy has found in what it put together."""
    while packet:
        if isinstance(packet, Stream):
            yield packet
        packet = packet.payload


@every_connection
def test_messages_are_found_however_they_fall_into_segments(connection: Connection) -> None:
    whole = connection.octets

    @settings(max_examples=60)
    @given(st.lists(st.sampled_from(whole), min_size=1, max_size=6), st.lists(st.integers(1, 90), max_size=12))
    def found(messages: list[bytes], sizes: list[int]) -> None:
        octets = connection.stream.framing.join(messages)
        session = TCPSession()
        seen = []
        with connection.bound_to_tcp():
            for segment in segments(octets, sizes, connection.port):
                for stream in streams(session.process(IP(segment))):
                    assert connection.problems(stream) == []
                    seen += [bytes(message) for message in stream.messages]
        assert seen == messages

    found()


@every_connection
def test_a_stream_is_read_up_to_any_octet(connection: Connection) -> None:
    messages = connection.octets
    octets = connection.stream.framing.join(messages)
    expected = [connection.dissect(message) for message in messages]
    for end in range(0, len(octets) + 1, 7):
        read, rest = connection.dissect_stream(octets[:end])
        assert read == expected[: len(read)]
        assert octets[:end].endswith(rest)
        stream = connection.stream(octets[:end])
        assert len(connection.stream.framing.join(messages[: len(read)]) + rest) == end
        if end:
            assert (len(stream.messages), stream.rest) == (len(read), rest)
    assert connection.dissect_stream(octets) == (expected, b"")


@every_connection
def test_arbitrary_streams_are_read_or_refused(connection: Connection) -> None:
    begin = connection.stream.framing.join(connection.octets[:2])

    @settings(max_examples=150)
    @given(st.binary(max_size=60), st.sampled_from([b"", begin]))
    def read(octets: bytes, before: bytes) -> None:
        data = before + octets
        found = connection.problems(connection.stream(data))
        try:
            messages, rest = connection.dissect_stream(data)
        except MalformedMessageError as error:
            assert str(error).split("; ")[0] == found[0]
        else:
            assert found == []
            assert len(messages) == len(connection.stream.framing.cut(data).messages)
            assert data.endswith(rest)

    read()


@every_connection
def test_what_has_only_begun_when_the_connection_ends_is_shown(connection: Connection) -> None:
    octets = connection.stream.framing.join(connection.octets[:1])[:-1]
    session = TCPSession()
    end = IP(bytes(IP() / TCP(sport=40000, dport=connection.port, flags="FA", seq=1) / Raw(octets)))
    with connection.bound_to_tcp():
        (stream,) = streams(session.process(IP(bytes(end))))
    assert (stream.messages, stream.rest) == ([], octets)


def test_a_malformed_message_is_counted_from_one() -> None:
    def dissect(message: bytes) -> Plain:
        if message == b"no":
            raise MalformedMessageError("octet 1: no")
        return {"message": message}

    framing = Framing(length_at=0, length_octets=1, prefix_octets=1, smallest=1, largest=3)
    assert framing.read(b"\x03yes\x02", dissect) == ([{"message": b"yes"}], b"\x02")
    with pytest.raises(MalformedMessageError, match=r"^message 2 at octet 5: octet 1: no$"):
        framing.read(b"\x03yes\x02no", dissect)
    for wrong in (b"\x00", b"\x04"):
        with pytest.raises(MalformedMessageError, match=rf"^octet 4: length {wrong[0]} is not in 1 to 3$"):
            framing.read(b"\x03yes" + wrong, dissect)
    assert framing.join([b"yes", b"n"]) == b"\x03yes\x01n"

"""Streams of the simulator: cut anywhere, late, refused, reset, half open; ordered and without loss otherwise."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.agent import CloseStream, Connect, End, Endpoint, SendStream, StreamClosed, StreamOpened
from testbed.sim import command, streams
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.network import Network
from testbed.sim.node import Node
from tests.sim.roles import Puppet, acts, puppet, puppets

LISTENER = Endpoint("10.0.0.2", 9)
ROUGH = Faults(jitter_s=0.05, loss=0.2, stall=0.1, stalled_s=2.0)


def connected(faults: Faults = PERFECT, seed: int = 1) -> tuple[Network, Node, Node, object]:
    """Two puppets with a stream: "s" at the one that has connected, the last value at the other."""
    network, [one, other] = puppets(2, faults, seed)
    acts(network, one, Connect("s", LISTENER))
    network.run_for(10.0)
    assert puppet(one).opened() == [StreamOpened("s", LISTENER)]
    [opened] = puppet(other).opened()
    assert (opened.port, opened.peer.address) == ("listen", "10.0.0.1")
    return network, one, other, opened.stream


def framed(messages: list[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(2, "big") + each for each in messages)


def unframed(pieces: list[bytes]) -> list[bytes]:
    """What a core with framing makes of pieces, however they are cut."""
    found, rest = [], b""
    for piece in pieces:
        rest += piece
        while len(rest) >= 2 and len(rest) >= 2 + (length := int.from_bytes(rest[:2], "big")):
            found.append(rest[2 : 2 + length])
            rest = rest[2 + length :]
    assert rest == b""
    return found


@given(st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=6), st.integers(0, 2**32))
def test_messages_come_whole_and_in_order_however_the_stream_is_cut(turns: list[list[bytes]], seed: int) -> None:
    network, one, other, accepted = connected(ROUGH, seed)
    for messages in turns:
        acts(network, one, *(SendStream("s", framed([each])) for each in messages))
        acts(network, other, *(SendStream(accepted, framed([each])) for each in reversed(messages)))
        network.run_for(0.01)
    network.run_for(60.0)
    assert unframed(puppet(other).data(accepted)) == [each for messages in turns for each in messages]
    assert unframed(puppet(one).data("s")) == [each for messages in turns for each in reversed(messages)]
    assert puppet(one).closed() == puppet(other).closed() == []


def test_a_stream_is_cut_at_every_octet() -> None:
    cuts: set[int] = set()
    for seed in range(60):
        network, one, other, accepted = connected(seed=seed)
        acts(network, one, SendStream("s", b"12345"))
        network.run_for(1.0)
        length = 0
        for piece in puppet(other).data(accepted):
            length += len(piece)
            cuts.add(length)
    assert cuts == {1, 2, 3, 4, 5}


def test_a_piece_that_stalls_holds_up_what_follows() -> None:
    network, one, other, accepted = connected()
    network.faults = Faults(stall=1.0, stalled_s=3.0)
    acts(network, one, SendStream("s", b"1"))
    network.run_for(0.0)
    network.faults = PERFECT
    acts(network, one, SendStream("s", b"2"))
    network.run_for(3.0)
    assert puppet(other).data(accepted) == []
    network.run_for(0.01)
    assert puppet(other).data(accepted) == [b"1", b"2"]
    assert network.fates["stream-stalled"] == 1


def test_nobody_listens_or_answers() -> None:
    network, [one, other] = puppets()
    acts(network, one, Connect("a", Endpoint("10.0.0.2", 10)), Connect("b", Endpoint("10.0.0.3", 9)))
    network.run_for(1.0)
    assert puppet(one).heard[1:] == [StreamClosed("a", "refused"), StreamClosed("b", "unreachable")]
    network.kill(other)
    acts(network, one, Connect("c", LISTENER))
    network.run_for(2 * streams.CONNECT_TIMEOUT_S)
    assert puppet(one).heard[-1] == StreamClosed("c", "timeout")
    assert streams.CONNECT_TIMEOUT_S - 1 < puppet(one).times[-1] - 1.0 <= streams.CONNECT_TIMEOUT_S
    network.lose_link(one)
    acts(network, one, Connect("d", LISTENER))
    network.run_for(0.0)
    assert puppet(one).heard[-1] == StreamClosed("d", "unreachable")


def test_a_role_that_has_ended_listens_no_more_and_its_streams_are_closed_in_order() -> None:
    network, one, other, accepted = connected()
    acts(network, other, SendStream(accepted, b"last words"), End())
    network.run_for(1.0)
    assert b"".join(puppet(one).data("s")) == b"last words"
    assert puppet(one).heard[-1] == StreamClosed("s", "")
    acts(network, one, Connect("again", LISTENER))
    network.run_for(1.0)
    assert puppet(one).heard[-1] == StreamClosed("again", "refused")


def test_connections_are_refused_as_often_as_asked() -> None:
    network, [one, other] = puppets(faults=Faults(refusal=0.5))
    acts(network, one, *(Connect(number, LISTENER) for number in range(100)))
    network.run_for(1.0)
    assert {closed.reason for closed in puppet(one).closed()} == {"refused"}
    assert 30 < len(puppet(one).closed()) < 70
    assert len(puppet(other).opened()) == 100 - len(puppet(one).closed())


def test_a_reset_ends_both_ends() -> None:
    network, one, other, accepted = connected(Faults(reset=0.5))
    for _ in range(10):
        acts(network, one, SendStream("s", b"data"))
        network.run_for(0.1)
    assert puppet(one).closed() == [StreamClosed("s", "reset")]
    assert puppet(other).closed() == [StreamClosed(accepted, "reset")]
    assert one.agent.counters["unsent.no-stream"] > 0


def test_closing_in_order_brings_everything_first() -> None:
    network, one, other, accepted = connected(ROUGH)
    acts(network, one, SendStream("s", b"all of it"), CloseStream("s"), SendStream("s", b"more"))
    network.run_for(30.0)
    assert b"".join(puppet(other).data(accepted)) == b"all of it"
    assert puppet(other).heard[-1] == StreamClosed(accepted, "")
    assert puppet(one).closed() == []
    assert one.agent.counters["unsent.no-stream"] == 1
    acts(network, other, SendStream(accepted, b"nobody reads this"))
    assert other.agent.counters["unsent.no-stream"] == 1


def test_an_abort_is_a_reset_at_the_other_end() -> None:
    network, one, other, accepted = connected()
    acts(network, one, SendStream("s", b"perhaps"), CloseStream("s", abort=True))
    network.run_for(1.0)
    assert puppet(other).heard[-1] == StreamClosed(accepted, "reset")
    assert puppet(one).closed() == []


def test_a_stream_closed_while_it_connects_is_nobodys() -> None:
    network, [one, other] = puppets()
    acts(network, one, Connect("s", LISTENER), CloseStream("s"))
    network.run_for(30.0)
    for each in (puppet(one), puppet(other)):
        assert (each.opened(), each.closed()) == ([], [])


def test_a_refusal_that_comes_after_the_close_is_nobodys() -> None:
    network, [one, _] = puppets()
    acts(network, one, Connect("s", Endpoint("10.0.0.2", 10)))
    network.run_for(0.007)  # the refusal is on its way
    acts(network, one, CloseStream("s"))
    network.run_for(1.0)
    assert puppet(one).closed() == []


def test_what_nobody_takes_overflows() -> None:
    network, one, other, accepted = connected()
    network.cut("site1", "site2")
    for _ in range(17):
        acts(network, one, SendStream("s", bytes(1 << 16)))
    network.run_for(0.0)
    assert puppet(one).closed() == [StreamClosed("s", "overflow")]
    network.heal()
    network.run_for(1.0)
    assert puppet(other).data(accepted) == []


def test_what_is_taken_does_not_overflow() -> None:
    network, one, other, accepted = connected()
    for _ in range(17):
        acts(network, one, SendStream("s", bytes(1 << 16)))
        network.run_for(0.1)
    assert puppet(one).closed() == []
    assert sum(map(len, puppet(other).data(accepted))) == 17 << 16


def test_a_partition_delays_and_a_long_one_ends_the_stream() -> None:
    network, one, other, accepted = connected()
    network.cut("site1", "site2")
    acts(network, one, SendStream("s", b"late"))
    network.run_for(streams.STREAM_TIMEOUT_S / 2)
    assert puppet(other).data(accepted) == []
    network.heal()
    network.run_for(1.0)
    assert b"".join(puppet(other).data(accepted)) == b"late"
    network.lose_link(other)
    acts(network, one, SendStream("s", b"never"))
    network.run_for(2 * streams.STREAM_TIMEOUT_S)
    assert puppet(one).heard[-1] == StreamClosed("s", "timeout")
    assert puppet(other).closed() == []  # nobody could tell it
    network.regain_link(other, "site2")
    acts(network, other, SendStream(accepted, b"is anybody there?"))
    network.run_for(1.0)
    assert puppet(other).heard[-1] == StreamClosed(accepted, "reset")


@pytest.mark.parametrize("is_back", [False, True])
def test_half_open(is_back: bool) -> None:
    """The machine of one end dies: the other hears nothing, until it sends something."""
    network, one, other, _ = connected()
    network.kill(other)
    network.run_for(1000.0)
    assert puppet(one).closed() == []
    if is_back:
        network.install(other, Puppet())
        network.start(other)
    acts(network, one, SendStream("s", b"hello?"))
    network.run_for(2 * streams.STREAM_TIMEOUT_S)
    assert puppet(one).closed() == [StreamClosed("s", "reset" if is_back else "timeout")]
    assert not is_back or puppet(other).heard == ["start"]


def test_a_machine_that_dies_and_is_back_says_nothing_of_its_earlier_life() -> None:
    network, one, other, _ = connected()
    network.replace(other, Puppet())
    network.run_for(100.0)
    assert puppet(one).closed() == []


def test_two_streams_of_one_name_are_a_bug_of_the_role() -> None:
    network, one, _, _ = connected()
    with pytest.raises(ValueError, match="n1 connects 's' a second time"):
        acts(network, one, Connect("s", LISTENER))


def test_streams_that_have_ended_are_forgotten() -> None:
    network, [one, other] = puppets()
    gc.collect()
    with command.without_collector():
        open_and_close(network, one, other)
        assert not any(isinstance(each, streams._End) for each in gc.get_objects())
    assert not network.streams._ends
    assert network.pending == 0


def open_and_close(network: Network, one: Node, other: Node) -> None:
    for number in range(50):
        acts(network, one, Connect(number, LISTENER))
        network.run_for(0.1)
        acts(
            network,
            *((one, CloseStream(number)) if number % 2 else (other, CloseStream(puppet(other).opened()[-1].stream))),
        )
        network.run_for(0.1)

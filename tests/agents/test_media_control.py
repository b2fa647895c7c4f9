"""What a role and the program of its data tell each other: whole, checked, and without a word of a key elsewhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.errors import DecodeError
from agents.core.media_control import MediaOrder, MediaReport, decode_order, decode_report, encode

words = st.integers(0, 2**32 - 1)
KEY = bytes(range(100, 130))
ORDER = MediaOrder("send", "239.1.1.1", 5004, "eth0", 3, KEY, 7)


@given(
    st.builds(
        MediaOrder,
        st.sampled_from(["send", "receive", "stop"]),
        st.sampled_from(["239.1.1.1", "ff15::1"]),
        st.integers(1, 65535),
        st.text(max_size=15),
        words,
        st.none() | st.binary(min_size=30, max_size=30),
        words,
    )
)
def test_orders_are_read_as_they_were_written(order: MediaOrder) -> None:
    assert decode_order(encode(order)) == order


@given(st.builds(MediaReport, words, st.integers(0, 2**64), words, st.sampled_from(["send", "receive", "stop"])))
def test_reports_are_read_as_they_were_written(report: MediaReport) -> None:
    assert decode_report(encode(report)) == report


def test_what_is_left_out_has_its_default() -> None:
    assert decode_order(b'{"action": "stop"}') == MediaOrder("stop")
    assert decode_report(b"{}") == MediaReport()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"action": "play"}, "the action is none of send, receive, stop"),
        ({"action": ["send"]}, "the action is none of"),
        ({"action": None}, "the action is none of"),
        ({"group": "10.0.0.1"}, "group: 10.0.0.1 is not a multicast address"),
        ({"group": 5}, "group is no text"),
        ({"interface": None}, "interface is no text"),
        ({"port": 0}, "port: port 0"),
        ({"port": True}, "port is no number"),
        ({"generation": -1}, "generation is no number of 32 bits"),
        ({"roll_over_counter": 2**32}, "roll_over_counter is no number of 32 bits"),
        ({"roll_over_counter": 1.0}, "roll_over_counter is no number"),
        ({"key": "00" * 29}, "the key has 29 octets; give 30"),
        ({"key": "secret"}, "the key is not hexadecimal"),
        ({"key": 7}, "key is no text"),
        ({"volume": 11}, "unexpected keyword argument 'volume'"),
    ],
)
def test_orders_that_cannot_be(change: dict[str, object], complaint: str) -> None:
    data = json.dumps({**json.loads(encode(ORDER)), **change}).encode()
    with pytest.raises(DecodeError, match=complaint) as raised:
        decode_order(data)
    assert raised.value.reason == "media-order"


@given(st.binary() | st.recursive(st.none() | st.integers(), st.lists).map(lambda value: json.dumps(value).encode()))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    for read in (decode_order, decode_report):
        with pytest.raises(DecodeError):  # without an action nothing is an order; {} alone is a report
            read(data)


def test_no_key_is_seen_where_an_order_is_printed_or_refused() -> None:
    assert KEY.hex() not in repr(ORDER)
    assert "key" not in repr(ORDER)
    for change in ({"key": KEY.hex()[:-1]}, {"action": "play"}, {"key": KEY.hex() + "0z"}):
        data = json.dumps({**json.loads(encode(ORDER)), **change}).encode()
        with pytest.raises(DecodeError) as raised:
            decode_order(data)
        assert KEY.hex()[:8] not in str(raised.value)
        assert raised.value.__suppress_context__

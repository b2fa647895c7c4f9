"""GMP's codec and the judge's layers against each other: hand-made messages, generated ones, and mutated bytes.

The codec keeps of a message what a role can use: options as fields, so in the order of their types, without those that are not
known or stand once too often. `as_used` says the same of what the judge reads.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf

from agents.core.errors import DecodeError, EncodeError
from agents.gmp.constants import MAXIMUM_MESSAGE_SIZE, NAME_MAXIMUM, OptionType
from agents.gmp.messages import decode_membership, decode_session, encode_membership, encode_session
from agents.gmp.options import Options, option_rows
from agents.gmp.plain import decode, encode, from_plain, to_plain
from captures.gmp import dissector as judge
from captures.wire.malformed import MalformedMessageError
from tests.wire.gmp_messages import (
    MM_PACKETS,
    SM_PACKETS,
    fields_of,
    messages_mm,
    messages_sm,
    repaired_mm,
    repaired_sm,
    vectors,
)
from tests.wire.vector_files import Plain, mutated, right_checksum

conf.debug_dissector = True  # scapy would swallow errors of the layers

REPEATABLE = {OptionType.CORE_MEMBER, OptionType.INVITED_MEMBER}
TEXT = {OptionType.NAME, OptionType.CONTENT, OptionType.OWNER, OptionType.MEDIA, OptionType.CORE_MEMBER}
TEXT |= {OptionType.INVITED_MEMBER, OptionType.CLIENT_NAME}
NAMES = TEXT - {OptionType.CONTENT, OptionType.OWNER, OptionType.MEDIA}
VECTORS = vectors("SM") + vectors("MM")
WELL_FORMED = [row for row in VECTORS if not row.get("malformed")]
MALFORMED = [row for row in VECTORS if row.get("malformed")]
messages = {"SM": messages_sm, "MM": messages_mm}
repaired = {"SM": repaired_sm, "MM": repaired_mm}
any_message = st.one_of(*map(messages_sm, SM_PACKETS), *map(messages_mm, MM_PACKETS))


def named(value: Any) -> str | None:
    return value["name"] if isinstance(value, dict) else None


def is_read(code: int, value: str) -> bool:
    """Whether it is no text, or one that may be: in UTF-8, and no name that is too long."""
    try:
        bytes.fromhex(value).decode()
    except UnicodeDecodeError:
        return code not in TEXT
    return code not in NAMES or len(value) <= 2 * NAME_MAXIMUM


def as_used(fields: Plain) -> Plain:
    """What the judge reads as a role would use it."""
    used: list[list[Any]] = []
    for code, value in sorted(fields.get("options", ()), key=lambda row: row[0]):
        known = code in list(OptionType) and is_read(code, value)
        if known and (code in REPEATABLE or code not in [row[0] for row in used]):
            used.append([code, value[:4] + "0000" if code == OptionType.KEEP_ALIVE else value])
    fields = {**fields, **({"options": used} if "options" in fields else {})}
    if fields["module"] == "SM":
        return {**fields, "i": int(fields["packet"] == "SCINF" and bool(used))}
    return {**fields, "ui": int(fields["packet"] == "UIRES")}


def reads(data: bytes, module: str) -> Plain | None:
    """What both say of ``data``: a message, or None when they refuse it. Whatever else they do is a failure."""
    try:
        ours: Plain | None = decode(data, module)
    except DecodeError as error:
        assert error.reason
        assert error.detail
        ours = None
    try:
        theirs: Plain | None = judge.dissect(data, module)
    except MalformedMessageError as error:
        if ours is not None and "UTF-8" in str(error):  # the server answers it [G-26]
            read = decode_session(data) if module == "SM" else decode_membership(data)
            assert read.options.unreadable
            return ours
        theirs = None
    assert (ours is None) is (theirs is None), (ours, theirs)
    assert ours is None or theirs is None or ours == as_used(theirs), (ours, theirs)
    return ours


@pytest.mark.parametrize("vector", WELL_FORMED, ids=named)
def test_well_formed_message_means_the_same_to_both(vector: dict[str, Any]) -> None:
    data, module = bytes.fromhex(vector["hex"]), vector["module"]
    assert reads(data, module) == as_used(fields_of(vector))


@pytest.mark.parametrize("vector", [row for row in WELL_FORMED if row.get("canonical", True)], ids=named)
def test_both_write_the_same_octets(vector: dict[str, Any]) -> None:
    fields = fields_of(vector)
    if fields == {**fields, **as_used(fields)}:  # else there is something in it that no role writes
        assert encode(fields).hex() == vector["hex"]


@pytest.mark.parametrize("vector", MALFORMED, ids=named)
def test_malformed_message_is_refused_by_both(vector: dict[str, Any]) -> None:
    assert reads(bytes.fromhex(vector["hex"]), vector["module"]) is None or "UTF-8" in vector["name"]


@pytest.mark.parametrize(
    ("module", "packet"), [("SM", name) for name in SM_PACKETS] + [("MM", name) for name in MM_PACKETS]
)
def test_both_write_and_read_the_same(module: str, packet: str) -> None:
    @settings(max_examples=40)
    @given(messages[module](packet))
    def agree(fields: Plain) -> None:
        octets = judge.build(fields)
        assert reads(octets, module) is not None
        used = as_used(fields)
        written = encode(used)
        assert written == judge.build(used)
        message = from_plain(used)
        assert (decode_session(written) if module == "SM" else decode_membership(written)) == message
        assert from_plain(to_plain(message)) == message

    agree()


@pytest.mark.parametrize("module", ["SM", "MM"])
def test_arbitrary_octets(module: str) -> None:
    @settings(max_examples=200)
    @given(st.binary(max_size=64))
    def survive(data: bytes) -> None:
        reads(data, module)
        reads(repaired[module](b"\x10" + data[1:] if data else data), module)

    survive()


@given(st.data())
@settings(max_examples=400)
def test_mutated_messages(data: st.DataObject) -> None:
    fields = data.draw(any_message)
    module = fields["module"]
    reads(data.draw(mutated(judge.build(fields), repaired[module])), module)


@pytest.mark.parametrize("module", ["SM", "MM"])
def test_every_truncation_of_every_vector(module: str) -> None:
    whole = [bytes.fromhex(row["hex"]) for row in WELL_FORMED if row["module"] == module]
    cuts = {repaired[module](octets[:size]) for octets in whole for size in range(len(octets))}
    answers = [reads(cut, module) for cut in sorted(cuts)]
    assert any(answers)
    assert not all(answers)


def test_options_have_the_octets_of_the_page() -> None:
    """Options 21 to 23 [G-15, G-25, G-29], each from its layout by hand."""
    options = Options(client_mm_port=40000, start_condition=2, roll_over_counter=3)
    data = bytes.fromhex(
        "100c 0000 0005 0003 00 00 0000 00000000 15000006 9c40 0000 16000005 02 000000 17000008 00000003"
    )
    data = right_checksum(data)
    message = decode_session(data)
    assert message.options == options
    assert encode_session(message) == data


def test_words_of_membership_messages_have_the_octets_of_the_page() -> None:
    """The number of the others [G-22], the level that is left [G-14], the key's generation [G-15]."""
    told = decode_membership(bytes.fromhex("144d 138c 0005 0002 ef010101 00 00 00 00 0001 8000 0000 2007"))
    assert told.more
    assert [(word.user_id, int(word.member_type), word.others) for word in told.members] == [(1, 4, 0), (0, 1, 7)]
    assert encode_membership(told).hex() == "144d138c00050002ef010101000000000001800000002007"
    leave = decode_membership(bytes.fromhex("1588 0000 0005 0002 00000000 00 00 00 02"))
    assert (leave.reserved, leave.closed) == (2, True)
    assert encode_membership(leave).hex() == "15880000000500020000000000000002"


def test_first_of_two_counts_and_text_that_is_none_is_named() -> None:
    """GI-1, and G-26 of what is not UTF-8."""
    data = right_checksum(
        bytes.fromhex(
            "1007 0000 0005 0001 00 00 0000 00000000 01000005 61 000000 01000005 62 000000 03000005 ff 000000"
        )
    )
    options = decode_session(data).options
    assert (options.name, options.owner) == ("a", None)
    assert (options.skipped, options.unreadable) == (1, (OptionType.OWNER,))
    assert option_rows(options) == [(OptionType.NAME, b"a")]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"module": "XM"}, "module: 'XM' is not SM or MM"),
        ({"packet": "XYZ"}, "packet: 'XYZ' is not one of SCREQ, "),
        ({"packet": ["SCREQ"]}, "packet: "),
        ({"session_id": None}, "session_id: None is not an integer"),
        ({"session_id": True}, "session_id: True is not an integer"),
        ({"session_id": 65536}, "session 65536"),
        ({"key_length": 256}, "SCREQ: session 0"),
        ({"s": 2}, "s: 2 is not 0 or 1"),
        ({"colour": 1}, "unknown keys: colour"),
        ({"group": 7}, "group: 7 is no address"),
        ({"group": "ff1e::1"}, "room for an IPv4 address alone"),
        ({"mm_port": 1}, "unknown keys: mm_port"),
        ({"packet": "SAREQ", "mm_port": 65536}, "MM port 65536"),
        ({"packet": "SAREQ", "options": []}, "unknown keys: options"),
        ({"options": "1"}, "options: not a list of [type"),
        ({"options": ["1"]}, "options: not a list of [type"),
        ({"options": [[1]]}, "options: [1] is not [type 0 to 255"),
        ({"options": [[256, ""]]}, "options: [256, ''] is not"),
        ({"options": [[1, "6"]]}, "options: [1, '6'] is not"),
        ({"options": [[1, 6]]}, "options: [1, 6] is not"),
        ({"options": [[1, "ff"]]}, "not UTF-8"),
        ({"options": [[16, "6e" * 256]]}, "a name that is too long"),
        ({"options": [[99, "ff"]]}, "not known"),
        ({"options": [[20, "ff"]]}, "REJECT_REASON has a value of 1 bytes, not 2"),
        ({"options": [[6, "20" * 65000], [2, "20" * 1000]]}, "no UDP datagram holds more"),
        ({"module": "MM", "packet": "KAREQ", "mode": 3}, "mode: 3 is not 1, open"),
        ({"module": "MM", "packet": "KAREQ", "member_type": 3}, "member_type: 3 is not 1, 2, 4"),
        ({"module": "MM", "packet": "KAREQ", "period": 256}, "KAREQ: session 0"),
        ({"module": "MM", "packet": "UIRES", "members": [[1]]}, "members: [1] is not [User ID"),
        ({"module": "MM", "packet": "UIRES", "members": [[65536, 1]]}, "a word has User ID 0 to 65535"),
        ({"module": "MM", "packet": "UIRES", "members": [[0, 1, 8192]]}, "up to 8191 others"),
    ],
)
def test_what_no_receiver_may_accept_is_not_written(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(EncodeError) as refused:
        encode({"module": "SM", "packet": "SCREQ", **fields})
    assert complaint in str(refused.value)


def test_largest_message_fits_a_datagram() -> None:
    value = "20" * (MAXIMUM_MESSAGE_SIZE - 16 - 4 - 3)
    octets = encode({"module": "SM", "packet": "SCINF", "i": 1, "options": [[6, value]]})
    assert len(octets) == MAXIMUM_MESSAGE_SIZE - 3  # a whole number of words

"""The command lines that decode and encode: both implementations print the same lines, and no line stops them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from agents.__main__ import main as agents
from captures.__main__ import main as captures
from tests.wire import ectp_messages, gmp_messages, msmp_messages, omcp_messages
from tests.wire.mmcp_messages import fields_of, vectors


def lines(command: Any, arguments: list[str], given: str | bytes) -> list[str]:
    result = CliRunner().invoke(command, arguments, input=given, catch_exceptions=False)
    assert result.exit_code == 0
    assert not result.stderr
    return result.stdout.splitlines()


def decoded(given: str | bytes) -> list[Any]:
    return [json.loads(line) for line in lines(agents, ["decode", "mmcp"], given)]


def dissected(given: str | bytes) -> list[Any]:
    return [json.loads(line) for line in lines(captures, ["dissect", "--protocol", "mmcp"], given)]


def test_both_print_the_same_for_every_vector() -> None:
    rows = [row for row in vectors() if row["hex"]]  # the empty datagram would be a blank line
    given = "".join(row["hex"] + "\n" for row in rows)
    ours, theirs = decoded(given), dissected(given)
    assert len(ours) == len(theirs) == len(rows)
    for row, our, their in zip(rows, ours, theirs, strict=True):
        if row.get("malformed"):
            assert (list(our), next(iter(their))) == (["error"], "error")
        else:
            assert our == their == fields_of(row)
            assert list(our) == list(their)


@pytest.mark.parametrize(
    ("options", "rows", "expected"),
    [
        (["gmp"], gmp_messages.vectors("SM"), gmp_messages.fields_of),
        (["gmp", "--module", "SM"], gmp_messages.vectors("SM"), gmp_messages.fields_of),
        (["gmp", "--module", "MM"], gmp_messages.vectors("MM"), gmp_messages.fields_of),
        (["msmp"], msmp_messages.vectors(), msmp_messages.fields_of),
        (["omcp"], omcp_messages.vectors(), omcp_messages.fields_of),
        (["ectp"], ectp_messages.vectors(), ectp_messages.fields_of),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_the_judge_prints_every_vector_of_the_other_protocols(options: list[str], rows: Any, expected: Any) -> None:
    rows = [row for row in rows if row["hex"]]
    answers = lines(captures, ["dissect", "--protocol", *options], "".join(row["hex"] + "\n" for row in rows))
    for row, answer in zip(rows, answers, strict=True):
        if row.get("malformed"):
            assert list(json.loads(answer)) in (["error"], ["error", "read"])
        else:
            assert json.loads(answer) == expected(row)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--protocol", "nosuch"], "'ectp', 'gmp', 'mmcp', 'msmp', 'omcp'"),
        (["--protocol", "gmp", "--module", "XM"], "'XM': gmp has one of SM, MM"),
        (["--protocol", "ectp", "--module", "SM"], "'SM': ectp has none, and needs none"),
        ([], "--protocol"),
    ],
)
def test_what_the_judge_cannot_dissect_is_named(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(captures, ["dissect", *arguments], input="00\n")
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not result.stdout


def test_encode_reverses_decode() -> None:
    rows = [row for row in vectors() if not row.get("malformed") and row.get("canonical", True)]
    given = lines(agents, ["decode", "mmcp"], "".join(row["hex"] + "\n" for row in rows))
    assert lines(agents, ["encode", "mmcp"], "\n".join(given)) == [row["hex"] for row in rows]


def test_blank_lines_and_ends_of_line_are_nothing() -> None:
    given = "\n  \n0900000800000001\r\n\n\t0900000800000002  \n0900000800000003"
    assert [line["session_id"] for line in decoded(given)] == [1, 2, 3]
    assert dissected(given) == decoded(given)
    assert lines(agents, ["encode", "mmcp"], "\n \n") == []


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"no hex", "not hexadecimal: 'no hex'"),
        (b"090", "not hexadecimal: '090'"),
        (b"\xff\xfe", "not hexadecimal"),
        (b"0900000800", "too-short: 5 bytes, a header has 8"),
        (b"0e00000800000001", "unknown-type: packet type 14, known are 1 to 13"),
    ],
)
def test_a_bad_line_gives_an_error_and_the_next_is_read(line: bytes, error: str) -> None:
    first, second = decoded(line + b"\n0900000800000001\n")
    assert list(first) == ["error"]
    assert error in first["error"]
    assert second["packet"] == "USP"
    assert "error" in dissected(line)[0]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", "Expecting property name"),
        ("[1]", "a message is a JSON object"),
        ("null", "a message is a JSON object"),
        ("[" * 100_000, "recursion"),
        ("{}", "packet: None is not one of SJR"),
        ('{"packet": "USP"}', "session_id: None is not an integer"),
        ('{"packet": "USP", "session_id": NaN}', "session_id: nan is not an integer"),
        ('{"packet": "HIR", "session_id": 1, "params": [["mn_id", "00"]]}', "HIR needs PoAIdentifier"),
        ('{"packet": "LJR", "session_id": 1, "params": [[["mn_id"], "00"]]}', "does not begin with one of mn_id"),
        ('{"packet": "LJR", "session_id": 1, "params": {"mn_id": "00"}}', "params: not a list"),
    ],
)
def test_a_bad_object_gives_an_error_and_the_next_is_written(line: str, error: str) -> None:
    good = '{"packet": "USP", "session_id": 1}'
    first, second = lines(agents, ["encode", "mmcp"], f"{line}\n{good}\n")
    assert error in json.loads(first)["error"]
    assert second == "0900000800000001"


@pytest.mark.parametrize("arguments", [["decode", "nosuch"], ["encode", "nosuch"], ["nosuch"]])
def test_unknown_protocol_or_command_is_named(arguments: list[str]) -> None:
    result = CliRunner().invoke(agents, arguments)
    assert result.exit_code == 2
    assert "nosuch" in result.stderr

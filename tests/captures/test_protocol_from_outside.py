"""A protocol whose room lies in another folder is read, shown and explained like those of the tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.captures.scripted_link import ScriptedLink, address, ip, udp
from tests.captures.tiny_protocol import TINY_PORT, captures, tiny_room


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_room(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question and its answer over UDP, one without an end, two in three segments of a connection, one in IP."""
    link, port = ScriptedLink(), TINY_PORT
    link.add(0, "ask", "mn", udp(address("mn"), address("sm"), 4000, port, b"\1\5"))
    link.add(0.1, "tell", "sm", udp(address("sm"), address("mn"), port, 4000, b"\2\5"))
    link.add(0.2, "short", "mn", udp(address("mn"), address("sm"), 4000, port, b"\1"))
    for at, sequence, octets in ((0.3, 1, b"\2\1"), (0.4, 3, b"\6\2\2"), (0.5, 6, b"\6")):
        link.add(at, f"segment.{sequence}", "mn", segment(sequence, octets))
    link.add(0.6, "plain", "mn", ip(address("mn"), address("sm"), 253, b"\2\x09"))
    folder = tmp_path_factory.mktemp("tiny")
    ScriptedLink().add(0, "ask", "mn", udp(address("mn"), address("sm"), 4000, port, b"\1\5")).add(
        2, "tell", "sm", udp(address("sm"), address("mn"), port, 4000, b"\2\5")
    ).write(folder / "late.pcapng")
    return link.write(folder / "a.pcapng")


def segment(sequence: int, octets: bytes) -> bytes:
    header = (4001).to_bytes(2) + TINY_PORT.to_bytes(2) + sequence.to_bytes(4) + bytes(4) + b"\x50\x18" + bytes(6)
    return ip(address("mn"), address("sm"), 6, header + octets)


def test_it_is_dissected(known: Path) -> None:
    answers = captures(known, "dissect", "--protocol", "tiny", input="0107\n01\n").splitlines()
    assert [json.loads(answer) for answer in answers] == [
        {"packet": "ASK", "number": 7},
        {"error": "octet 1: a message has 2 octets"},
    ]


def test_the_ladder_has_its_words(known: Path, capture: Path) -> None:
    rows = json.loads(captures(known, "show", capture, "--json"))["rows"]
    assert [(row["protocol"], row["label"], row["text"]) for row in rows] == [
        ("tiny", "ASK", "riddle 5"),
        ("tiny", "TELL", "riddle 5"),
        ("tiny", "TINY malformed", "octet 1: a message has 2 octets"),
        ("tiny", "ASK", "riddle 6"),
        ("tiny", "TELL", "riddle 6"),
        ("tiny", "TELL", "riddle 9"),
    ]
    assert "riddle 5" in captures(known, "show", capture, "--protocol", "tiny")


def test_its_rules_are_asked(known: Path, capture: Path) -> None:
    found = json.loads(captures(known, "verify", capture, "--rules", "tiny", "--json"))["packs"]["tiny"]
    assert (found["passed"], found["failed"]) == (1, 0)
    late = captures(known, "verify", capture.with_name("late.pcapng"), "--json", status=1)
    assert [verdict["rule"] for verdict in json.loads(late)["packs"]["tiny"]["verdicts"]] == ["tiny-told"]


def test_its_port_can_be_given(known: Path, capture: Path) -> None:
    events = captures(known, "timeline", capture, "--port", "tiny=7008", "-o", "-").splitlines()
    assert [json.loads(event)["fields"]["number"] for event in events] == [9]  # which no port tells


def test_it_has_a_page(known: Path, capture: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    captures(known, "report", capture, "-o", page)
    text = page.read_text()
    assert "riddle 5" in text
    assert f"udp.port == {TINY_PORT} || tcp.port == {TINY_PORT} || ip.proto == 253" in text


def test_help_names_it(known: Path) -> None:
    assert "tiny" in captures(known, "dissect", "--help")
    assert "tiny" in captures(known, "show", "--help")
    assert "tiny" in captures(known, "verify", "--help")


def test_without_its_folder_nobody_knows_it(tmp_path: Path, capture: Path) -> None:
    assert "tiny" not in captures(tmp_path, "show", "--help")
    captures(tmp_path, "show", capture, "--protocol", "tiny", status=2)

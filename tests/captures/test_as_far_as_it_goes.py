"""What could be read of a malformed message reaches whoever looks: in `dissect`, events, the ladder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from captures.__main__ import main
from captures.mmcp import dissector as mmcp
from captures.protocols import protocol
from captures.wire.malformed import MalformedMessageError
from tests.captures.scripted_link import ScriptedLink, address, udp
from tests.wire.vector_files import Plain

HIR: Plain = {"packet": "HIR", "session_id": 7, "params": [["mn_id", "6d6e31"], ["poa_id", "706f6132"]]}
GOOD = mmcp.build(HIR)
CUT = GOOD[:-1]


def dissected(name: str, data: bytes) -> dict[str, Any]:
    answer = CliRunner().invoke(main, ["dissect", "--protocol", name], input=data.hex().encode() + b"\n")
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_a_message_cut_in_its_last_parameter_keeps_the_others() -> None:
    answer = dissected("mmcp", CUT)
    assert "octet" in answer["error"]
    read = answer["read"]
    assert (read["packet"], read["session_id"], read["params"][0]) == ("HIR", 7, ["mn_id", "6d6e31"])
    assert read["params"][1][0] == "raw"
    kind, fields = protocol("mmcp").reader()(CUT)
    assert (kind, fields) == ("malformed", {"reason": answer["error"], "read": read})


def test_octets_that_are_no_header_have_nothing_that_could_be_read() -> None:
    assert set(dissected("mmcp", GOOD[:5])) == {"error"}
    assert set(protocol("mmcp").reader()(GOOD[:5])[1]) == {"reason"}


@pytest.mark.parametrize(
    ("name", "octets", "expected"),
    [
        ("mmcp", bytes([99, 0, 0, 8, 0, 0, 0, 5]), {"packet": "type 99", "session_id": 5, "params": []}),
        ("msmp", bytes.fromhex("1001000d0007000800000009") + b"x", {"session_id": 7, "user_id": 8, "tlvs": []}),
        ("omcp", bytes.fromhex("10ff0000000000000000000000000005"), {"tlvs": []}),
    ],
)
def test_other_protocols_too(name: str, octets: bytes, expected: dict[str, Any]) -> None:
    answer = dissected(name, octets)
    assert answer["error"]
    assert answer["read"].items() >= expected.items()


@given(st.binary(max_size=60), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_whatever_the_octets_are(noise: bytes, begin: int, end: int) -> None:
    data = GOOD[:begin] + noise + GOOD[end:]
    try:
        mmcp.dissect(data)
    except MalformedMessageError as error:
        assert bool(error.read) is (len(data) >= 8)
        assert json.loads(json.dumps(error.read)) == error.read
        if error.read:
            assert mmcp.build({**error.read, "packet": "HIR"})  # what is read has the form of what is built


def test_the_ladder_tells_who_it_was(tmp_path: Path) -> None:
    link = ScriptedLink().add(0, "cut", "mn", udp(address("mn"), address("lmc1"), 24793, 24793, CUT))
    path = link.write(tmp_path / "a.pcapng")
    shown = CliRunner().invoke(main, ["show", str(path)])
    assert shown.exit_code == 0
    [line] = [line for line in shown.stdout.splitlines() if "HIR, session 7, MN mn1" in line]
    assert "malformed" in line
    assert "overruns" in line or "left" in line
    timeline = CliRunner().invoke(main, ["timeline", str(path)])
    [frame] = [json.loads(text) for text in timeline.stdout.splitlines() if '"frame"' in text]
    assert frame["packet"] == "malformed"
    assert frame["fields"]["read"]["params"][0] == ["mn_id", "6d6e31"]

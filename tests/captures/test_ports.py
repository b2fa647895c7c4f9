"""Protocols on other ports than their own: found where they are said to be, by every command that reads a capture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from captures.history.control import every_protocol
from captures.mmcp import dissector as mmcp
from captures.protocols import port_names
from tests.captures.scripted_link import ScriptedLink, address, udp

PORT = 5000


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An HIR and its HIC on port 5000."""
    link = ScriptedLink()
    hir = mmcp.build({"packet": "HIR", "session_id": 1, "params": [["mn_id", "6d6e"], ["poa_id", "706f6132"]]})
    hic = mmcp.build({"packet": "HIC", "session_id": 1, "f": 0, "params": [["mn_id", "6d6e"]]})
    link.add(0, "HIR", "mn", udp(address("mn"), address("lmc1"), PORT, PORT, hir))
    link.add(0.1, "HIC", "lmc1", udp(address("lmc1"), address("mn"), PORT, PORT, hic))
    return link.write(tmp_path / "a.pcapng")


def test_verify_judges_it_there(elsewhere: Path) -> None:
    assert run("verify", elsewhere, "--rules", "mmcp").exit_code == 2
    answer = run("verify", elsewhere, "--rules", "mmcp", "--port", f"mmcp={PORT}", "--json")
    found = json.loads(answer.stdout)["packs"]["mmcp"]
    assert found["passed"] > 0
    assert answer.exit_code == (1 if found["failed"] else 0)


def test_show_and_timeline_tell_it_there(elsewhere: Path) -> None:
    assert run("show", elsewhere).exit_code == 2
    shown = run("show", elsewhere, "--port", f"MMCP={PORT}")
    assert shown.exit_code == 0
    assert "HIR" in shown.stdout
    lines = run("timeline", elsewhere, "--port", f"mmcp={PORT}").stdout.splitlines()
    assert [json.loads(line)["packet"] for line in lines if '"frame"' in line] == ["HIR", "HIC"]


@pytest.mark.parametrize("value", ["mmcp", "mmcp=", "mmcp=0", "mmcp=65536", "mmcp=-1", "gmp=5000", "ftp=21", "=1"])
@pytest.mark.parametrize("command", ["verify", "show", "timeline"])
def test_what_is_no_port_is_refused(elsewhere: Path, command: str, value: str) -> None:
    answer = run(command, elsewhere, "--port", value)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "as in ectp=5000" in answer.stderr


def test_a_port_that_was_given_takes_the_place_of_the_protocols_own() -> None:
    assert set(port_names()) == {"mmcp", "gmp.sm", "gmp.mm", "msmp", "omcp", "ectp"}
    given = {"mmcp": 24792, "gmp.mm": 6000, "ectp": 7000}
    datagrams = {known.port: known.name for known in every_protocol(given) if known.transport == "udp"}
    assert datagrams == {16513: "gmp", 6000: "gmp", 24792: "mmcp", 7000: "ectp", 9875: "sap"}
    streams = {known.port: known.name for known in every_protocol(given) if known.transport == "tcp"}
    assert streams == {16513: "gmp", 6000: "gmp", 24792: "msmp", 24794: "omcp"}

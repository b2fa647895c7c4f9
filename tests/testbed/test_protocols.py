"""Rooms of protocols and labs are found by where they lie, in this tree and in folders of PYTHONPATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed import protocols
from testbed.host.sandbox import PROJECT_ROOT

RECORD = """
from testbed.protocol import Protocol
from testbed.sim.world import Simulation
PROTOCOL = Protocol('tea', (Simulation('party', 'tea is served', 'Tea.', print),))
"""
LAB = (
    "from testbed.run.laboratory import Topology\n"
    "TOPOLOGY = Topology('teahouse', 'a lab of a folder beside', (), print, print, print)\n"
)


def test_the_rooms_of_this_tree() -> None:
    assert "mmcp" in protocols.names()
    assert [protocols.protocol(name).name for name in protocols.names()] == list(protocols.names())


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with the testbed room of a protocol, and a lab."""
    for name, text in (("testbed/tea/protocol.py", RECORD), ("topologies/teahouse.py", LAB)):
        file = tmp_path / "beside" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return tmp_path / "beside"


def told(beside: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "testbed", *words]
    environment = {**os.environ, "PYTHONPATH": str(beside)}
    return subprocess.run(argv, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_folder_of_pythonpath_brings_a_protocol_and_a_lab(beside: Path) -> None:
    assert "teahouse" in {each["lab"] for each in json.loads(told(beside, "list", "--json"))}
    assert "Tea." in told(beside, "sim", "party", "--help")
    assert "handover" in told(beside, "sim", "--help")

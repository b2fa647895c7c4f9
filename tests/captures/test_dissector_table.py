"""The table of dissectors says what the dissectors say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from captures.dissectors import PROTOCOLS, Carrier, Dissector
from captures.ectp import dissector as ectp
from captures.gmp import dissector as gmp
from captures.mmcp import dissector as mmcp
from captures.msmp import dissector as msmp
from captures.omcp import dissector as omcp
from tests.wire.gmp_messages import vectors

MODULES: dict[str, Dissector] = {"mmcp": mmcp, "gmp": gmp, "msmp": msmp, "omcp": omcp, "ectp": ectp}


def test_every_protocol_is_found_by_name() -> None:
    assert {name: protocol.dissector for name, protocol in PROTOCOLS.items()} == MODULES


def test_default_ports_are_the_modules_own() -> None:
    assert PROTOCOLS["mmcp"].carriers == (Carrier("udp", mmcp.MMCP_PORT),)
    assert set(PROTOCOLS["gmp"].carriers) == {
        Carrier(transport, port, module)
        for transport in ("udp", "tcp")
        for port, module in ((gmp.GMP_SM_PORT, "SM"), (gmp.GMP_MM_PORT, "MM"))
    }
    assert PROTOCOLS["msmp"].carriers == (Carrier("udp", msmp.MSMP_PORT), Carrier("tcp", msmp.MSMP_PORT))
    assert PROTOCOLS["omcp"].carriers == (Carrier("tcp", omcp.OMCP_PORT),)
    assert PROTOCOLS["ectp"].carriers == (Carrier("udp", None),)


@pytest.mark.parametrize("module", PROTOCOLS["gmp"].modules)
def test_reader_is_that_of_its_module(module: str) -> None:
    read = PROTOCOLS["gmp"].reader(module)
    for vector in vectors(module):
        if not vector.get("malformed"):
            assert read(bytes.fromhex(vector["hex"]))["module"] == module


def test_the_table_alone_does_not_load_scapy() -> None:
    code = "import sys, captures.dissectors; sys.exit('scapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0

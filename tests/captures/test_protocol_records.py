"""The records say what the dissectors say, and nobody lists them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from captures.ectp import dissector as ectp
from captures.gmp import constants as gmp_constants
from captures.gmp import dissector as gmp
from captures.mmcp import constants as mmcp_constants
from captures.mmcp import dissector as mmcp
from captures.msmp import constants as msmp_constants
from captures.msmp import dissector as msmp
from captures.omcp import constants as omcp_constants
from captures.omcp import dissector as omcp
from captures.protocol import Carrier, Protocol
from captures.protocols import names, protocol, protocols, room
from tests.wire.ectp_messages import vectors as ectp_vectors
from tests.wire.gmp_messages import vectors as gmp_vectors

ROOT = Path(__file__).resolve().parents[2] / "captures"
MODULES = {"mmcp": mmcp, "gmp": gmp, "msmp": msmp, "omcp": omcp, "ectp": ectp}


def test_every_room_with_a_record_is_found() -> None:
    assert names() == tuple(sorted(MODULES))
    assert [known.name for known in protocols()] == list(names())


@pytest.mark.parametrize(("name", "module"), MODULES.items())
def test_a_record_reads_with_its_dissector(name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "dissect", lambda data, *_more, **_named: {"packet": data.hex()})
    assert protocol(name).dissector()(b"\1\2") == {"packet": "0102"}


def test_default_ports_are_the_rooms_own() -> None:
    assert protocol("mmcp").carriers == (Carrier("udp", mmcp_constants.MMCP_PORT),)
    assert set(protocol("gmp").carriers) == {
        Carrier(transport, port, module)
        for transport in ("udp", "tcp")
        for port, module in ((gmp_constants.GMP_SM_PORT, "SM"), (gmp_constants.GMP_MM_PORT, "MM"))
    }
    both = (Carrier("udp", msmp_constants.MSMP_PORT), Carrier("tcp", msmp_constants.MSMP_PORT))
    assert protocol("msmp").carriers == both
    assert protocol("omcp").carriers == (Carrier("tcp", omcp_constants.OMCP_PORT),)
    assert protocol("ectp").carriers == (Carrier("udp", None),)


@pytest.mark.parametrize("module", protocol("gmp").modules)
def test_dissector_is_that_of_its_module(module: str) -> None:
    read = protocol("gmp").dissector(module)
    for vector in gmp_vectors(module):
        if not vector.get("malformed"):
            assert read(bytes.fromhex(vector["hex"]))["module"] == module


def test_an_event_has_what_the_message_says_and_its_kind_apart() -> None:
    octets = bytes.fromhex(next(vector for vector in ectp_vectors() if not vector.get("malformed"))["hex"])
    said = ectp.dissect(octets)
    kind, fields = protocol("ectp").reader()(octets)
    assert {"packet": kind, **fields} == said
    fields["mac"] = "of one link"
    assert "mac" not in protocol("ectp").reader()(octets)[1]


def test_a_connection_needs_a_framing() -> None:
    with pytest.raises(ValueError, match="framed"):
        Protocol(name="strange", carriers=(Carrier("tcp", 1),), dissect=dict)


def test_records_alone_do_not_load_scapy() -> None:
    code = "import sys; from captures.protocols import protocols; sys.exit('scapy' in sys.modules or not protocols())"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_no_general_file_names_a_protocol() -> None:
    """Neither in code nor in words: what one must say of a protocol, its record says."""
    rooms = {room(name) for name in names()}
    general = [
        file
        for file in sorted(ROOT.rglob("*"))
        if file.suffix in {".py", ".lua", ".sh", ".j2"} and rooms.isdisjoint(file.parents) and "runs" not in file.parts
    ]
    assert {"page.html.j2", "install.sh", "lab_tlv.lua", "packets.py", "__main__.py"} <= {file.name for file in general}
    name = re.compile(rf"(?<![a-z])({'|'.join(names())})(?![a-z])", re.IGNORECASE)
    assert [f"{file}: {found[0]}" for file in general if (found := name.search(file.read_text()))] == []

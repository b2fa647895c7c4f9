"""Configurations: the bounds of every role, and files that are wrong in one place."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.__main__ import main
from agents.core.errors import ConfigurationError
from agents.media.receiver import ReceiverConfiguration
from agents.media.source import SourceConfiguration
from agents.mmcp.bare_node import BareNodeConfiguration
from agents.mmcp.configuration import (
    Controller,
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    NodeInterface,
    PointOfAttachment,
    Session,
    SessionManagerConfiguration,
    WantedSession,
    identifier,
)
from agents.mmcp.timing import Timers
from agents.runtime.configuration import load

SM = SessionManagerConfiguration(
    "10.0.20.2", [Session(1, "239.1.1.1", 5004)], [Controller("lmc1", "10.0.1.2", ["poa1"])]
)
LMC = LocalMobilityControllerConfiguration("lmc1", "eth0", "10.0.1.0/24", "10.0.20.2", SM.controllers, [1])
POINT = PointOfAttachment("poa1", "10.0.1.9/24", "10.0.1.1")
INTERFACE = NodeInterface("radio", [POINT], "poa1")
MN = MobileNodeConfiguration("mn1", "10.0.20.2", [WantedSession(1)], [INTERFACE])


def attached(attached_to: str, *points: PointOfAttachment) -> MobileNodeConfiguration:
    """The MN with these points of attachment."""
    return replace(MN, interfaces=[replace(INTERFACE, attached_to=attached_to, points_of_attachment=list(points))])


SOURCE = SourceConfiguration("239.1.1.1", 5004, "eth0")
RECEIVER = ReceiverConfiguration("239.1.1.1", 5004)
ORDERED = SourceConfiguration(orders="role")
BARE = BareNodeConfiguration("radio", "239.1.1.1", [POINT], "poa1", 5004)
ROW = SM.controllers[0]
ROW6 = Controller("lmc2", "2001:db8::2", ["poa2"])
SESSION = SM.sessions[0]


@pytest.mark.parametrize("good", [SM, LMC, MN, SOURCE, RECEIVER, ORDERED, BARE], ids=lambda value: type(value).__name__)
def test_good_configuration_passes(good: Any) -> None:
    good.check()


def test_ipv6_router_may_be_link_local() -> None:
    point = PointOfAttachment("poa1", "fd00:1::9/64", "fe80::1")
    replace(attached("poa1", point), session_manager="fd00:20::2").check()
    with pytest.raises(ConfigurationError, match=r"gateway: fd00:2::1 is not in fd00:1::/64"):
        replace(attached("poa1", replace(point, gateway="fd00:2::1")), session_manager="fd00:20::2").check()


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("mn1", b"mn1"),
        ("02:00:00:00:0a:01", bytes.fromhex("020000000a01")),
        ("02:00:00:00:0A:01", bytes.fromhex("020000000a01")),
        ("0x6d6e", b"mn"),
        ("0x6d6", b"0x6d6"),
        ("02:00:00:00:0a", b"02:00:00:00:0a"),
        ("Zürich", "Zürich".encode()),
    ],
)
def test_identifier_is_text_mac_or_hexadecimal(text: str, octets: bytes) -> None:
    assert identifier(text) == octets


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"jwt_s": 0.0}, "timers.jwt_s: 0.0 s; give 0.01 to 3600 s"),
        ({"srt_s": 3601.0, "spt_s": 5.0}, "timers.srt_s: 3601.0 s; give 0.01 to 3600 s"),
        ({"srt_s": math.nan}, "timers.srt_s: nan s"),
        ({"linger_s": math.inf}, "timers.linger_s: inf s"),
        ({"srt_s": 2000.0}, "timers.spt_s: 6000.0 s"),
        ({"srt_s": 10.0, "spt_s": 9.9}, "timers.spt_s: 9.9 s is shorter than SRT, 10 s; raise spt_s or lower srt_s"),
        ({"hold_s": 0.0}, "timers.hold_s: 0.0 s"),
        ({"ctt_s": 0.001}, "timers.ctt_s: 0.001 s"),
        ({"join_retries": -1}, "timers.join_retries: -1; give 0 to 10"),
        ({"join_retries": 11}, "timers.join_retries: 11; give 0 to 10"),
        (
            {"hit_s": 0.79},
            "timers.hit_s: 0.79 s is shorter than all sends of an HCT and the join, 0.8 s; raise hit_s or lower",
        ),
    ],
)
def test_timers_out_of_bounds(given: dict[str, Any], error: str) -> None:  # M-8
    with pytest.raises(ConfigurationError) as raised:
        Timers(**given).check()
    assert str(raised.value).startswith(error)
    for role in (SM, LMC, MN):
        with pytest.raises(ConfigurationError):
            replace(role, timers=Timers(**given)).check()


def test_timers_at_their_bounds() -> None:
    Timers(jwt_s=0.01, srt_s=3600.0, spt_s=3600.0, hit_s=0.8, ctt_s=0.25, hold_s=0.01, linger_s=3600.0).check()
    Timers(join_retries=10).check()


@pytest.mark.parametrize(
    ("configuration", "error"),
    [
        (replace(SM, address="10.0.20"), "address: '10.0.20' is no IP address; give an IPv4 or IPv6 address"),
        (replace(SM, address="239.0.0.1"), "address: 239.0.0.1 is not a unicast address"),
        (replace(SM, port=0), "port: port 0; give 1 to 65535"),
        (replace(SM, sessions=[]), "sessions: empty; give at least one session"),
        (replace(SM, sessions=[SESSION, SESSION]), "sessions[1].session_id: 1 is there twice"),
        (replace(SM, sessions=[replace(SESSION, session_id=-1)]), "sessions[0].session_id: -1; give 0 to 4294967295"),
        (replace(SM, sessions=[replace(SESSION, session_id=2**32)]), "sessions[0].session_id: 4294967296"),
        (
            replace(SM, sessions=[replace(SESSION, group="10.0.0.1")]),
            "sessions[0].group: 10.0.0.1 is not a multicast address",
        ),
        (replace(SM, sessions=[replace(SESSION, port=65536)]), "sessions[0].port: port 65536"),
        (replace(SM, sessions=[replace(SESSION, source="::1")]), "sessions[0].source: ::1; give an IPv4 address like"),
        (
            replace(SM, sessions=[replace(SESSION, source="232.0.0.1")]),
            "sessions[0].source: 232.0.0.1 is not a unicast",
        ),
        (replace(SM, controllers=[replace(ROW, name="")]), "controllers[0].name: '' has 0 bytes; give 1 to 253"),
        (replace(SM, controllers=[replace(ROW, name="x" * 254)]), "controllers[0].name: "),
        (replace(SM, controllers=[replace(ROW, address="x")]), "controllers[0].address: 'x' is no IP address"),
        (replace(SM, controllers=[replace(ROW, port=-1)]), "controllers[0].port: port -1"),
        (replace(SM, controllers=[ROW, ROW]), "controllers[1].name: 'lmc1' is there twice; name each LMC once"),
        (
            replace(SM, controllers=[ROW, replace(ROW, name="lmc2", port=24794)]),
            "controllers[1].points_of_attachment: 'poa1' is served by 'lmc1' and 'lmc2'; give each",
        ),
        (replace(SM, controllers=[replace(ROW, points_of_attachment=[""])]), "controllers[0].points_of_attachment: ''"),
        (replace(LMC, name=""), "name: '' has 0 bytes"),
        (replace(LMC, name="lmc9"), "controllers: no row named 'lmc9'; give the LMC's own row too"),
        (replace(LMC, session_manager="sm"), "session_manager: 'sm' is no IP address"),
        (replace(LMC, session_manager_port=0), "session_manager_port: port 0"),
        (
            replace(LMC, subnet="10.0.1.2/24"),
            "subnet: '10.0.1.2/24': 10.0.1.2/24 has host bits set; give a prefix like",
        ),
        (replace(LMC, subnet="10.0.2.0/24"), "subnet: 10.0.1.2 is not in 10.0.2.0/24; give the LMC's own subnet"),
        (replace(LMC, subnet="2001:db8::/64"), "subnet: 10.0.1.2 is not in 2001:db8::/64"),
        (replace(LMC, sessions=[]), "sessions: empty"),
        (replace(LMC, sessions=[1, -2]), "sessions[1]: -2"),
        (replace(LMC, sources={"232.1.1.1": "x"}), "sources['232.1.1.1']: source: 'x' is no IP address"),
        (replace(LMC, sources={"232.1.1.1": "::1"}), "sources['232.1.1.1']: source: ::1; give an IPv4 address"),
        (replace(LMC, sources={"10.1.1.1": "10.0.10.2"}), "sources['10.1.1.1']: group: 10.1.1.1 is not a multicast"),
        (replace(SM, sessions=[replace(SESSION, group="232.1.1.1")]), "sessions[0].source: missing, and 232.1.1.1 is"),
        (replace(SM, sessions=[replace(SESSION, group="ff3e::1")]), "sessions[0].source: missing, and ff3e::1 is an"),
        (replace(MN, mn_id=""), "mn_id: '' has 0 bytes"),
        (replace(MN, sessions=[]), "sessions: empty; give at least one"),
        (replace(MN, sessions=[WantedSession(2**32)]), "sessions[0].session_id: 4294967296"),
        (replace(MN, sessions=[WantedSession(1), WantedSession(1)]), "sessions[1].session_id: 1 is there twice"),
        (replace(MN, sessions=[WantedSession(1, "239.1.1.1")]), "sessions[0].source: 239.1.1.1 is not a unicast"),
        (replace(MN, sessions=[WantedSession(1, "::1")]), "sessions[0].source: ::1; give an IPv4 address"),
        (replace(MN, profile="L12"), "profile: 'L12'; give L16 or L8"),
        (replace(MN, interfaces=[]), "interfaces: none is attached; give attached_to"),
        (replace(MN, interfaces=[replace(INTERFACE, attached_to=None)]), "interfaces: none is attached"),
        (replace(MN, interfaces=[INTERFACE, INTERFACE]), "interfaces[1].name: 'radio' is there twice"),
        (replace(MN, session_manager="ff02::1"), "session_manager: ff02::1 is not a unicast address"),
        (replace(MN, port=0), "port: port 0"),
        (replace(MN, session_manager_port=70000), "session_manager_port: port 70000"),
        (replace(MN, address_delay_s=-0.1), "address_delay_s: -0.1; give 0 to 3600 s"),
        (replace(MN, address_delay_s=math.nan), "address_delay_s: nan"),
        (attached("poa2", POINT), "interfaces[0].attached_to: 'poa2'; give one of points_of_attachment"),
        (attached("poa1", replace(POINT, gateway="")), "interfaces[0].points_of_attachment[0].gateway: '' is no IP"),
        (
            attached("poa1", replace(POINT, gateway="10.0.2.1")),
            "interfaces[0].points_of_attachment[0].gateway: 10.0.2.1 is not in 10.0.1.0/24",
        ),
        (
            attached("poa1", replace(POINT, gateway="fe80::1")),
            "interfaces[0].points_of_attachment[0].gateway: fe80::1; give an IPv4 address",
        ),
        (attached("poa1", replace(POINT, address="10.0.1.9/33")), "interfaces[0].points_of_attachment[0].address: "),
        (
            attached("poa1", replace(POINT, address="2001:db8::9/64")),
            "interfaces[0].points_of_attachment[0].address: 2001",
        ),
        (
            attached("poa1", POINT, replace(POINT, name="")),
            "interfaces[0].points_of_attachment[1].name: ''",
        ),
        (replace(MN, sessions=[WantedSession(1, "2001:db8::1")]), "sessions[0].source: 2001:db8::1; give an IPv4"),
        (
            replace(MN, session_manager="2001:db8::2"),
            "interfaces[0].points_of_attachment[0].gateway: 10.0.1.1; give an IPv6",
        ),
        (
            attached("poa1", replace(POINT, gateway="::1")),
            "interfaces[0].points_of_attachment[0].gateway: ::1; give an IPv4",
        ),
        (
            replace(BARE, points_of_attachment=[replace(POINT, gateway="::1")]),
            "points_of_attachment[0].gateway: ::1; give an IPv4",
        ),
        (replace(SM, address="::1"), "sessions[0].group: 239.1.1.1; give an IPv6 address like the SM's"),
        (
            replace(SM, sessions=[SESSION, replace(SESSION, session_id=2, group="ff15::1")]),
            "sessions[1].group: ff15::1; give an IPv4",
        ),
        (
            replace(SM, controllers=[ROW, ROW6]),
            "controllers[1].address: 2001:db8::2; give an IPv4 address like the SM's",
        ),
        (
            replace(SM, controllers=[ROW, replace(ROW, name="lmc2", points_of_attachment=["poa2"])]),
            "controllers[1].address: 'lmc2' and 'lmc1' both listen at 10.0.1.2 port 24793; give each",
        ),
        (
            replace(SM, sessions=[replace(SESSION, allowed_mn_ids=["mn1", ""])]),
            "sessions[0].allowed_mn_ids[1]: '' has 0 bytes; give 1",
        ),
        (
            replace(LMC, session_manager="2001:db8::2"),
            "controllers[0].address: 10.0.1.2; give an IPv6 address like the SM's",
        ),
        (
            replace(LMC, controllers=[ROW, ROW6]),
            "controllers[1].address: 2001:db8::2; give an IPv4 address like the SM's",
        ),
        (replace(LMC, sources={"ff3e::1": "::1"}), "sources['ff3e::1']: ff3e::1; give an IPv4 address like the SM's"),
        (replace(LMC, sessions=[1, 2, 1]), "sessions[2]: 1 is there twice; give each once"),
        (replace(BARE, group="10.0.0.1"), "group: 10.0.0.1 is not a multicast address"),
        (replace(BARE, source="::1"), "source: ::1; give an IPv4 address"),
        (replace(BARE, attached_to="poa2"), "attached_to: 'poa2'; give one of points_of_attachment"),
        (replace(BARE, address_delay_s=-1.0), "address_delay_s: -1.0; give 0 to 3600 s"),
        (replace(SOURCE, group="10.0.0.1"), "group: 10.0.0.1 is not a multicast address"),
        (replace(SOURCE, group="all"), "group: 'all' is no IP address"),
        (replace(SOURCE, port=0), "port: port 0"),
        (replace(SOURCE, rate=0.5), "rate: 0.5 packets/s; give 1 to 20000"),
        (replace(SOURCE, rate=math.nan), "rate: nan packets/s"),
        (replace(SOURCE, size=7), "size: 7 bytes; give 8 to 1400"),
        (replace(SOURCE, size=1401), "size: 1401 bytes"),
        (replace(RECEIVER, group="nobody"), "group: 'nobody' is no IP address"),
        (replace(RECEIVER, port=65536), "port: port 65536"),
        (replace(SOURCE, interface=""), "interface: missing; add it, or the socket that orders come from"),
        (replace(SOURCE, first_number=2**47), "first_number: 140737488355328; give 0 to 140737488355327"),
        (replace(ORDERED, interface="eth0"), "interface: eth0, and orders; leave it out"),
        (replace(ORDERED, ssrc=7), "ssrc: 7, and orders; leave it out: it is drawn at each start"),
        (replace(ORDERED, size=1345), "size: 1345 bytes; give 8 to 1344"),
        (ReceiverConfiguration(), "group: missing; add it, or the socket that orders come from"),
        (ReceiverConfiguration(port=5004, orders="role"), "port: 5004, and orders; leave it out"),
        (ReceiverConfiguration(orders="role", report_to="role"), "report_to: given, and orders; leave it out"),
    ],
)
def test_bad_value_is_named_with_its_remedy(configuration: Any, error: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configuration.check()
    assert str(raised.value).startswith(error)
    assert "; " in str(raised.value)


def test_where_roles_listen() -> None:  # M-1
    assert (SM.listen.address, SM.listen.port) == ("10.0.20.2", 24793)
    assert (LMC.listen.address, LMC.listen.port) == ("10.0.1.2", 24793)
    assert MN.listen.address == "0.0.0.0"
    assert replace(MN, session_manager="2001:db8::1").listen.address == "::"
    assert replace(LMC, name="0x6c6d6331").listen == LMC.listen  # the same identifier, written otherwise


# --- files ------------------------------------------------------------------------------------------------------------

MN_FILE = """
mn_id = "mn1"
session_manager = "10.0.20.2"
address_delay_s = 1

[[sessions]]
session_id = 1

[[interfaces]]
name = "radio"
attached_to = "poa1"

[[interfaces.points_of_attachment]]
name = "poa1"
address = "10.0.1.9/24"
gateway = "10.0.1.1"

[timers]
srt_s = 2
spt_s = 7

[runtime]
node = "mn"
"""


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(_: object) -> None:
        pytest.fail("a bad configuration was run")

    monkeypatch.setattr("agents.runtime.host.AgentHost.run", run)
    monkeypatch.setattr("agents.media.receiver.Receiver.run", run)
    monkeypatch.setattr("agents.media.source.Source.run", lambda _: pytest.fail("a bad configuration was run"))


def written(folder: Path, text: str) -> Path:
    file = folder / "mn.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_good_file_is_read_and_integers_do_for_floats(tmp_path: Path) -> None:
    runtime, configuration = load(written(tmp_path, MN_FILE), MobileNodeConfiguration)
    assert configuration == replace(MN, address_delay_s=1.0, timers=Timers(srt_s=2.0, spt_s=7.0))
    assert isinstance(configuration.timers.srt_s, float)
    assert isinstance(configuration.timers.spt_s, float)
    assert (runtime.node, runtime.control, runtime.trace) == ("mn", None, None)


@pytest.mark.parametrize(
    ("old", "new", "key", "remedy"),
    [
        (
            "attached_to = ",
            "atached_to = ",
            "interfaces[0].atached_to: unknown key",
            "remove it, or correct its spelling",
        ),
        ("srt_s = 2", "srt = 2", "timers.srt: unknown key", "remove it"),
        ("gateway = ", "router = ", "points_of_attachment", "remove it"),
        ('node = "mn"', "nodes = 1", "runtime.nodes: unknown key", "remove it"),
        ('mn_id = "mn1"', "", "mn_id: missing", "add it"),
        ("session_id = 1", 'session_id = "1"', "session_id: ", "give the right type"),
        ("srt_s = 2", 'srt_s = "2"', "timers.srt_s: ", "give the right type"),
        ("srt_s = 2", "srt_s = true", "timers.srt_s: ", "give the right type"),
        ('node = "mn"', "node = 1", "runtime.node: ", "give the right type"),
        ("[runtime]", "[[runtime]]", "runtime: is not a table", "write it as [runtime]"),
        ("srt_s = 2", "srt_s = 0", "timers.srt_s: 0.0 s", "give 0.01 to 3600 s"),
        ("session_id = 1", "session_id =", "is not TOML: ", "mend that line"),
        (
            'attached_to = "poa1"',
            'attached_to = "x"',
            "interfaces[0].attached_to: 'x'",
            "give one of points_of_attachment",
        ),
    ],
)
def test_bad_file_stops_the_role_with_one_line(tmp_path: Path, old: str, new: str, key: str, remedy: str) -> None:
    assert old in MN_FILE
    file = written(tmp_path, MN_FILE.replace(old, new, 1))
    result = CliRunner().invoke(main, ["mmcp", "mn", "--config", str(file)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {file}: ")
    assert key in line
    assert remedy in line


@pytest.mark.parametrize(
    "arguments",
    [["mmcp", "sm"], ["mmcp", "lmc"], ["mmcp", "mn"], ["mmcp", "bare"], ["media", "source"], ["media", "receiver"]],
)
def test_file_that_is_not_there(tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "none.toml"
    result = CliRunner().invoke(main, [*arguments, "--config", str(file)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr == f"error: {file}: cannot be read: No such file or directory; give a readable file\n"


@pytest.mark.parametrize("command", ["source", "receiver"])
def test_media_files_are_named_too(tmp_path: Path, command: str) -> None:
    file = written(tmp_path, 'group = "10.0.0.1"\nport = 5004\n' + ('interface = "lo"' if command == "source" else ""))
    result = CliRunner().invoke(main, ["media", command, "--config", str(file)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr == f"error: {file}: group: 10.0.0.1 is not a multicast address; give a multicast address\n"


@pytest.mark.parametrize(
    "words", [[], ["--media", "clip.ts"], ["--config", "a.toml", "--orders", "role"], ["--config", "a", "--media", "b"]]
)
@pytest.mark.parametrize("command", ["source", "receiver"])
def test_media_process_needs_its_file_or_orders(command: str, words: list[str]) -> None:
    result = CliRunner().invoke(main, ["media", command, *words], catch_exceptions=False)
    assert result.exit_code == 2
    assert "give --config FILE, or --orders SOCKET and perhaps --media FILE in its place" in result.stderr


def test_options_stand_in_place_of_a_media_file(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[SourceConfiguration] = []
    monkeypatch.setattr("agents.media.source.Source.run", lambda source: run.append(source._configuration))
    result = CliRunner().invoke(
        main, ["media", "source", "--orders", "role", "--media", "a.ts"], catch_exceptions=False
    )
    assert (result.exit_code, run) == (0, [SourceConfiguration(orders="role", media="a.ts")])


def test_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "mn.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load(file, MobileNodeConfiguration)

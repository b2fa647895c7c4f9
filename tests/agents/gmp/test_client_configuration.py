"""What GMP's clients are configured with, and what a person may ask of them: the bounds, and what is said of a wrong one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.core.errors import ConfigurationError
from agents.gmp.configuration import CreatorConfiguration, ParticipantConfiguration, SessionDescription
from agents.gmp.constants import Level
from agents.gmp.events import Activate, AskMembers, DeleteSession, Describe, EndSession, Enrol, Leave, Register
from agents.gmp.options import KeepAlive
from agents.gmp.protocol import PROTOCOL
from agents.runtime.configuration import load

SESSION = SessionDescription(name="lecture", group="239.1.1.1", port=5004, media="v=0\r\n")
CREATOR = CreatorConfiguration(name="bob", server="10.0.0.1", interface="eth0", session=SESSION)
PARTICIPANT = ParticipantConfiguration(name="alice", server="10.0.0.1", interface="eth0", session_id=5)

TOML = """
name = "bob"
server = "2001:db8::1"
interface = "eth0"
transport = "tcp"
secret_file = "{secret}"
until = "enrolled"
[session]
name = "lecture"
group = "239.1.1.1"
port = 5004
media_file = "{media}"
core_members = ["alice"]
invited_members = ["alice", "carol"]
secure = true
closed = true
period = 10
timeout = 30
start_condition = 2
"""


def test_creator_is_configured_from_a_file(tmp_path: Path) -> None:
    secret, media, path = tmp_path / "secret", tmp_path / "session.sdp", tmp_path / "bob.toml"
    secret.write_text("00" * 16 + "\n")
    media.write_bytes(b"v=0\r\ns=lecture\r\n")
    path.write_text(TOML.format(secret=secret, media=media))
    _, configuration = load(path, CreatorConfiguration)
    assert configuration.read_secret() == bytes(16)
    options = configuration.session.options()
    assert (options.core_members, options.invited_members) == (("alice",), ("alice", "carol"))
    assert (options.keep_alive, options.start_condition) == (KeepAlive(10, 30), 2)
    assert options.media == "v=0\r\ns=lecture\r\n"


def test_secret_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALICES_SECRET", "ab" * 32)
    configuration = replace(PARTICIPANT, secret_environment="ALICES_SECRET")  # noqa: S106  its variable's name
    configuration.check()
    assert configuration.read_secret() == b"\xab" * 32


def test_token_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0a0b\n")
    assert replace(PARTICIPANT, token_file=str(tmp_path / "token")).read_token() == b"\x0a\x0b"
    assert PARTICIPANT.read_token() is None


@pytest.mark.parametrize(
    "good", [CREATOR, PARTICIPANT, replace(PARTICIPANT, session_id=0, address="10.0.0.2", sm_port=1)]
)
def test_good_configuration_passes(good: Any) -> None:
    good.check()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": ""}, "name"),
        ({"name": "é" * 128}, "name"),
        ({"server": "server"}, "server"),
        ({"server": "239.1.1.1"}, "server"),
        ({"address": "here"}, "address"),
        ({"server_sm_port": 0}, "server_sm_port"),
        ({"server_mm_port": 65536}, "server_mm_port"),
        ({"mm_port": 0}, "mm_port"),
        ({"sm_port": -1}, "sm_port"),
        ({"sm_port": 16514}, "sm_port"),
        ({"transport": "sctp"}, "transport"),
        ({"until": "ended"}, "until"),
        ({"interface": ""}, "interface"),
        ({"session_id": 65536}, "session_id"),
        ({"secret_file": "/nowhere"}, "secret_file"),
        ({"token_file": "/nowhere"}, "token_file"),
        ({"secret_environment": "NOT_SET"}, "secret_environment"),
    ],
)
def test_bad_configuration_is_refused(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        replace(PARTICIPANT, **changes).check()
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": ""}, "session.name"),
        ({"core_members": ["a", ""]}, "session.core_members[1]"),
        ({"invited_members": [""], "closed": True}, "session.invited_members[0]"),
        ({"invited_members": ["a"]}, "session.invited_members"),
        ({"group": "10.0.0.1"}, "session.group"),
        ({"group": "ff1e::1"}, "session.group"),
        ({"group": "232.1.1.1"}, "session.source"),
        ({"port": 0}, "session.port"),
        ({"media": ""}, "session.media"),
        ({"media_file": "/nowhere"}, "session.media"),
        ({"media": "", "media_file": "/nowhere"}, "session.media_file"),
        ({"period": 0}, "session.timeout"),
        ({"timeout": 50}, "session.timeout"),
        ({"timeout": 256}, "session.timeout"),
        ({"start_condition": 3}, "session.start_condition"),
        ({"start_time": -1}, "session.start_time"),
        ({"end_time": 2**64}, "session.end_time"),
        ({"secure": True}, "secret_file"),
        ({"media": "x" * 65536}, "session"),
        ({"content": "x" * 40000, "owner": "x" * 40000}, "session"),
    ],
)
def test_bad_description_is_refused(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        replace(CREATOR, session=replace(SESSION, **changes)).check()
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"xy", "write hexadecimal digits"),
        (b"00", "give 16 or more"),
        (b"\xff", "is not UTF-8"),
        (b"", "give 16 or more"),
    ],
)
def test_bad_secret_is_refused_and_not_shown(content: bytes, says: str, tmp_path: Path) -> None:
    """A short one too [GI-2]."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as refused:
        replace(PARTICIPANT, secret_file=str(path)).check()
    assert "xy" not in str(refused.value)


def told(command: str, **values: Any) -> Any:
    found = next(each for each in PROTOCOL.commands if each.name == command)
    return found.event({field.name: values.get(field.name) for field in found.fields})


def test_commands_say_what_they_are() -> None:
    assert told("register") == Register()
    assert told("register", session_id=7, token="0a") == Register(7, b"\x0a")  # noqa: S106  not a real one
    assert (told("enrol"), told("activate"), told("members")) == (Enrol(), Activate(), AskMembers())
    assert (told("end"), told("delete")) == (EndSession(), DeleteSession())
    assert told("leave") == Leave(Level.ACTIVE)
    assert told("leave", level="registered") == Leave(Level.REGISTERED)
    assert told("describe", content="c", end_time=9) == Describe(content="c", end_time=9)


@pytest.mark.parametrize(
    ("command", "values", "complaint"),
    [
        ("register", {"session_id": 0}, "session-id: give 1 to 65535"),
        ("register", {"token": "x"}, "token: give hexadecimal digits"),
        ("leave", {"level": "all"}, "level: give one of active, enrolled, registered"),
    ],
)
def test_command_that_cannot_be_is_refused(command: str, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        told(command, **values)


def test_commands_are_for_the_roles_that_take_them() -> None:
    taken = {role.name: {each.name for each in PROTOCOL.commands_of(role)} for role in PROTOCOL.roles}
    shared = {"register", "enrol", "activate", "leave", "members"}
    assert taken == {"server": set(), "creator": shared | {"end", "delete", "describe"}, "participant": shared}

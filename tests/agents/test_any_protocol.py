"""A protocol that nobody in the tree knows: its room lies in a folder on PYTHONPATH, and everything works for it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import agents
from agents.protocols import names
from tests.agents.hosts import HERE, free_ports

PROJECT = Path(agents.__file__).resolve().parents[1]
GENERAL = ("__init__.py", "__main__.py", "documentation.py", "protocols.py", "core", "runtime", "media")
PLANNED = ("ectp", "gmp", "mmcp", "msmp", "omcp")

# A message is its whole length (2 octets), its type (1 octet) and a text.
ROOM = {
    "__init__.py": '"""A parrot says again what it is told."""\n',
    "protocol.py": '''
        """The record of the parrot."""

        from dataclasses import dataclass
        from enum import IntEnum

        from agents.core.agent import Commit, Committed, End
        from agents.core.decision import Decision
        from agents.core.errors import ConfigurationError, DecodeError, EncodeError
        from agents.core.framing import Framer
        from agents.core.message_role import MessageRole
        from agents.core.agent import Event
        from agents.core.record import record
        from agents.core.room import Command, Field, Port, Protocol, Role


        class Packet(IntEnum):
            WORD = 1
            ECHO = 2


        @record
        class Message:
            packet: Packet
            text: str


        def decode(data):
            if len(data) < 3 or int.from_bytes(data[:2], "big") != len(data) or data[2] not in (1, 2):
                raise DecodeError("malformed", data.hex())
            return Message(Packet(data[2]), data[3:].decode(errors="replace"))


        def encode(message):
            text = message.text.encode()
            return (3 + len(text)).to_bytes(2, "big") + bytes([message.packet]) + text


        def from_plain(plain):
            try:
                return encode(Message(Packet[str(plain["packet"])], str(plain["text"])))
            except KeyError as error:
                raise EncodeError(f"no message: {error}") from None


        @record
        class FlyAway(Event):
            status: int


        @dataclass(frozen=True)
        class Configuration:
            address: str
            port: int

            def check(self):
                if not self.port:
                    raise ConfigurationError("port", "0", "give another")


        class Parrot(MessageRole):
            """Says every word again once it is on disk [P-1]."""

            PACKETS = Packet
            RECEIVES = frozenset({Packet.WORD})
            LISTS = ("words",)
            decode = staticmethod(decode)

            def __init__(self, configuration):
                super().__init__()
                self.words = {}
                self.framers = {}

            def restore(self, entries):
                self.words = {key: int(value) for key, value in entries.items()}

            def start(self, now):
                pass

            def received(self, stream, data, now):
                framer = self.framers.setdefault(stream, Framer(3, lambda head: int.from_bytes(head[:2], "big"), 100))
                for whole in framer.feed(data):
                    self.receive(whole, None, now, stream)

            def message_received(self, message, source, now, port):
                self.words[message.text] = self.words.get(message.text, 0) + 1
                said = encode(Message(Packet.ECHO, f"{message.text} {self.words[message.text]}"))
                self.act(Commit((said, source, port), {message.text: b"%d" % self.words[message.text]}))

            def handle(self, event, now):
                if isinstance(event, FlyAway):
                    self.act(End(event.status, "it flies away"))
                elif isinstance(event, Committed):
                    said, source, port = event.key
                    if source is None:
                        self.send_on_stream(Packet.ECHO, said, port)
                    else:
                        self.send_encoded(Packet.ECHO, said, source)
                else:
                    self.ignore(event)

            def timer_expired(self, key, now):
                pass

            def describe(self):
                return {"words": len(self.words)}

            def rows(self, of):
                return ({"word": word, "times": times} for word, times in self.words.items())


        PROTOCOL = Protocol(
            "parrot",
            "Parrots.",
            (
                Role(
                    "bird",
                    "Says again what it is told.",
                    Configuration,
                    Parrot,
                    ports=lambda given: [
                        Port("", given.port, address=given.address), Port("", given.port, "tcp", given.address)
                    ],
                ),
            ),
            decode=lambda data: {"packet": decode(data).packet.name, "text": decode(data).text},
            encode=from_plain,
            commands=(
                Command(
                    "fly-away", "End with a status.", lambda values: FlyAway(values["status"]),
                    (Field("status", "Which.", int),),
                ),
            ),
            specification=(Decision("P-1", "A word is kept before it is said.", "silent"),),
        )
    ''',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the parrot's room."""
    root = tmp_path_factory.mktemp("outside")
    room = root / "agents" / "parrot"
    room.mkdir(parents=True)
    for name, text in ROOM.items():
        (room / name).write_text(textwrap.dedent(text))
    return root


def command(folder: Path, *words: str, said: str = "", status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agents", *words],
        input=said,
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=PROJECT,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@contextmanager
def bird(folder: Path, home: Path, number: int) -> Iterator[subprocess.Popen[str]]:
    file = home / "bird.toml"
    file.write_text(
        f'address = "{HERE}"\nport = {number}\n'
        f'[runtime]\nnode = "bird-of-test"\ncontrol = "{home}/control"\nstore = "{home}/store"\n'
    )
    argv = [sys.executable, "-m", "agents", "parrot", "bird", "--config", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


WORD, ECHO = b"\0\5\1hi", b"\0\7\2hi 1"


def test_its_roles_run_and_are_asked(folder: Path, tmp_path: Path) -> None:
    [number] = free_ports(1)
    with bird(folder, tmp_path, number) as process:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(10)
            peer.sendto(WORD, (HERE, number))
            assert peer.recv(100) == ECHO
        with socket.create_connection((HERE, number), 10) as stream:
            for octet in WORD + WORD:
                stream.sendall(bytes([octet]))
            answers = b""
            while len(answers) < 14:
                answers += stream.recv(100)
            assert answers == b"\0\7\2hi 2\0\7\2hi 3"
        assert json.loads(command(folder, "ctl", "bird-of-test", "state")) == {"state": {"words": 1}}
        listed = json.loads(command(folder, "ctl", "bird-of-test", "list", "--of", "words"))
        assert listed == {"rows": [{"word": "hi", "times": 3}], "more": False}
        counters = json.loads(command(folder, "ctl", "bird-of-test", "counters"))["counters"]
        assert (counters["received.WORD"], counters["sent.ECHO"]) == (3, 3)
        assert "fly-away  End with a status." in command(folder, "ctl", "bird-of-test")
        process.kill()
    with bird(folder, tmp_path, number) as process:
        assert json.loads(command(folder, "ctl", "bird-of-test", "state")) == {"state": {"words": 1}}
        command(folder, "ctl", "bird-of-test", "fly-away", "--status", "3")
        assert process.wait(10) == 3
        assert process.stdout is not None
        assert process.stdout.read() == "ended status=3 reason=it flies away\n"


def test_command_line_help_and_codec_know_it(folder: Path, tmp_path: Path) -> None:
    assert re.search(r"^  parrot +Parrots\.$", command(folder, "--help"), re.MULTILINE)
    assert re.search(r"^  bird +Says again what it is told\.$", command(folder, "parrot", "--help"), re.MULTILINE)
    assert json.loads(command(folder, "decode", "parrot", said="0005016869\n")) == {"packet": "WORD", "text": "hi"}
    assert "malformed" in json.loads(command(folder, "decode", "parrot", said="00\n"))["error"]
    assert command(folder, "encode", "parrot", said='{"packet": "ECHO", "text": "hi 1"}\n') == f"{ECHO.hex()}\n"
    assert "no message" in json.loads(command(folder, "encode", "parrot", said="{}\n"))["error"]
    command(folder, "parrot", "bird", "--config", str(tmp_path / "none.toml"), status=2)
    command(folder, "decode", "sparrow", status=2)


def test_its_page_is_written_into_its_room(folder: Path) -> None:
    path = folder / "agents" / "parrot" / "PARROT.md"
    assert command(folder, "document", "parrot") == f"{path}\n"
    page = path.read_text(encoding="utf-8")
    assert "| `bird` | Says again what it is told. | `python -m agents parrot bird --config FILE` |" in page
    assert "| `fly-away` | End with a status. | `--status`: Which. |" in page
    assert "| P-1 | A word is kept before it is said. | silent | [agents/parrot/protocol.py](protocol.py)" in page
    assert "State machines" not in page


def test_a_role_starts_without_what_it_does_not_need() -> None:
    program = (
        "import sys, agents.__main__, agents.runtime.configuration, agents.runtime.host, agents.protocols\n"
        "agents.protocols.protocol('mmcp')\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=PROJECT)
    loaded = set(done.stdout.split())
    assert {"agents.runtime.host", "agents.mmcp.mobile_node"} <= loaded
    needless = {
        "pyroute2",
        "sqlite3",
        "scapy",
        "jinja2",
        "rich",
        "agents.documentation",
        "agents.media",
        "agents.runtime.load",
    }
    assert loaded & needless == set()


def test_no_general_room_names_a_protocol() -> None:
    known = {*names(), *PLANNED}
    assert "mmcp" in known
    files = [
        file for name in GENERAL for file in [PROJECT / "agents" / name, *(PROJECT / "agents" / name).rglob("*.py")]
    ]
    texts = {file: file.read_text(encoding="utf-8") for file in files if file.is_file()}
    assert len(texts) > 30
    word = re.compile(rf"\b({'|'.join(known)})\b", re.IGNORECASE)
    assert {str(file): found.group() for file, text in texts.items() if (found := word.search(text))} == {}

"""A protocol that no file of the tree names, put into a folder of its own: what a room must have at least."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TINY_PORT = 7007
TINY = """
from captures.protocol import Carrier, Framing, MalformedMessageError, Protocol


def dissect(data):
    if len(data) < 2:
        raise MalformedMessageError(f"octet {len(data)}: a message has 2 octets")
    return {"packet": {1: "ASK", 2: "TELL"}.get(data[0], f"type {data[0]}"), "number": data[1]}


def words(kind, fields, name):
    return f"riddle {fields['number']}"


def rules(settings):
    from captures.rules.language import Rule, on
    from captures.rules.operator_answered import Answered
    from captures.rules.packs.pack import Pack

    told = Answered(request=on("tiny", "ASK"), by=on("tiny", "TELL"), within=1.0, same=("conversation", "number"))
    return Pack("tiny", (Rule("tiny-told", "1", "who asks is told", told),))


PROTOCOL = Protocol(
    name="tiny",
    carriers=(Carrier("udp", 7007), Carrier("tcp", 7007), Carrier("ip", 253)),
    framing=Framing(length_at=0, length_octets=1, prefix_octets=1, smallest=2, largest=255),
    dissect=dissect,
    words=words,
    rules=rules,
)
"""


def tiny_room(folder: Path) -> Path:
    """What PYTHONPATH must have so that the protocol is known."""
    room = folder / "captures" / "tiny"
    room.mkdir(parents=True)
    (room / "protocol.py").write_text(TINY)
    return folder


def captures(where: Path, *arguments: object, input: str = "", status: int = 0) -> str:  # noqa: A002  as of subprocess
    """Standard output of ``python -m captures`` where the protocol is known."""
    done = subprocess.run(
        [sys.executable, "-m", "captures", *map(str, arguments)],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(where)}, input=input, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout

"""What the judge knows of echo, from its page alone: how messages look, and two rules."""

import struct

from captures.protocol import Carrier, Protocol
from captures.rules.language import Rule, on
from captures.rules.operator_answered import Answered
from captures.rules.operators import Asked
from captures.rules.packs.pack import Pack, Settings
from captures.wire.framing import Framing
from captures.wire.malformed import MalformedMessageError

KINDS = {1: "REQUEST", 2: "ANSWER", 3: "ANNOUNCE"}


def dissect(data: bytes) -> dict[str, object]:
    kind, zero, length, number = struct.unpack("!BBHI", data[:8].ljust(8, b"\0"))
    if kind not in KINDS or zero or length != len(data) or length < 8:
        raise MalformedMessageError(f"type {kind}, zero {zero}, length {length} of {len(data)} octets")
    return {"packet": KINDS[kind], "number": number, "text": data[8:].decode(errors="replace")}


REQUEST, ANSWER, SAME = on("echo", "REQUEST"), on("echo", "ANSWER"), ("conversation", "text")


def rules(_settings: Settings) -> Pack:
    """Two promises, of which no rule needs to know who is who."""
    return Pack("echo", (
        Rule("echo-answered", "1", "a request is answered within a second", Answered(request=REQUEST, by=ANSWER, within=1.0, same=SAME)),
        Rule("echo-asked", "1", "an answer has been asked for", Asked(answer=ANSWER, by=REQUEST, within=1.0, same=SAME)),
    ))  # fmt: skip


PROTOCOL = Protocol(
    name="echo",
    carriers=(Carrier("udp", 7007), Carrier("tcp", 7007)),
    framing=Framing(length_at=2, length_octets=2, prefix_octets=0, smallest=8, largest=1024),
    dissect=dissect,
    rules=rules,
    periodic=frozenset({"ANNOUNCE"}),
)

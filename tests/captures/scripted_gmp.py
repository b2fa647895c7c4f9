"""GMP that never was: a server, creators and participants doing everything right, captured at one place.

Session 5 is open, with a core member; 6 is closed and secure; 7 is deleted before it began. Of each message the tag's last word is
its kind, the first its client.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from captures.gmp.dissector import SM_PACKETS, build
from tests.captures.mutating import Capture, Copy, Packet
from tests.captures.scripted_link import INTERFACE, T0, ScriptedLink, udp

SERVER = "10.1.0.1"
SM, MM = 16513, 16514
GROUP, PORT = "239.1.1.1", 5004
CLIENTS = ("carla", "kern", "paul", "late", "otto", "anna", "bert", "eve", "mallory", "dora", "nemo")
PERIOD, TIMEOUT = 10, 30  # in 100 ms
TOKEN = bytes(range(16)).hex()
SDP = b"v=0\r\n".hex()
_OF_SERVER = {
    "SCACC",
    "SCREJ",
    "SDRES",
    "SCCON",
    "SRRES",
    "SRACC",
    "SRREJ",
    "SJRES",
    "KAREQ",
    "UIRES",
    "TRIND",
    "KDUPT",
}
OPEN_USERS = {"carla": (1, 4), "kern": (2, 2), "paul": (3, 1), "late": (4, 1)}
SECURE_USERS = {"otto": (1, 4), "anna": (2, 1), "bert": (3, 1), "eve": (4, 1)}


def text(code: int, value: str) -> list[Any]:
    return [code, value.encode().hex()]


def number(code: int, value: int, octets: int = 4) -> list[Any]:
    return [code, value.to_bytes(octets).hex()]


def place(client: str, module: int = SM) -> tuple[str, int]:
    """Address and port of a client's module."""
    at = CLIENTS.index(client)
    return f"10.1.0.{10 + at}", (41000 if module == SM else 42000) + at


def description(*more: list[Any]) -> dict[str, Any]:
    return {"i": 1, "options": [text(1, "quartet"), [6, SDP], [8, f"{PERIOD:02x}{TIMEOUT:02x}0000"], *more]}


def key(generation: int, counter: int = 0) -> dict[str, Any]:
    wrapped = bytes(range(generation, generation + 40)).hex()
    return {"key_length": 30, "options": [[18, wrapped], number(19, generation), number(23, counter)]}


class ScriptedGMP(ScriptedLink):
    """Frames, in no order; times are seconds after `T0`."""

    def gmp(
        self, at_s: float, tag: str, session: int, user: int, *, at: tuple[str, int] | None = None, **fields: Any
    ) -> ScriptedGMP:
        """A message between the server and the client that the tag begins with, or the one that is `at` a place."""
        client, kind = tag.partition(".")[0], tag.rpartition(".")[2]
        module = SM if kind in SM_PACKETS.values() else MM
        fields = {
            "module": "SM" if module == SM else "MM",
            "packet": kind,
            "session_id": session,
            "user_id": user,
            **fields,
        }
        ends = [at or place(client, module), (SERVER, module)]
        (source, sport), (destination, dport) = reversed(ends) if kind in _OF_SERVER else ends
        self.add(at_s, tag, "mcs", udp(source, destination, sport, dport, build(fields)))
        return self

    def mm(self, at_s: float, tag: str, session: int, user: int, member_type: int, **fields: Any) -> ScriptedGMP:
        """An MM message, as those of its session are."""
        from_server = tag.rpartition(".")[2] in _OF_SERVER
        usual: dict[str, Any] = {"mode": 2 if session == 6 else 1, "member_type": member_type}
        if from_server:
            usual |= {"group": GROUP, "port": PORT, "period": PERIOD, "timeout": TIMEOUT}
        return self.gmp(at_s, tag, session, user, **(usual | fields))

    def enrols(self, at_s: float, client: str, session: int, user: int, options: Sequence[list[Any]] = ()) -> None:
        """A registration and an enrolment in an open session."""
        self.gmp(at_s, f"{client}.SRREQ", session, 0, options=[text(16, client), *options])
        self.gmp(at_s + 0.002, f"{client}.SRACC", session, user)
        self.gmp(at_s + 0.01, f"{client}.SJREQ", session, user)
        self.gmp(at_s + 0.012, f"{client}.SJRES", session, user)

    def is_active(
        self, at_s: float, client: str, session: int, until_s: float, generations: Sequence[float] = ()
    ) -> None:
        """An activation, then a keep-alive every second; a new generation of the key from each of the times on."""
        user, member_type = (SECURE_USERS if session == 6 else OPEN_USERS)[client]
        self.gmp(at_s, f"{client}.SAREQ", session, user, mm_port=place(client, MM)[1])
        for index in range(int(until_s - at_s) + 1):
            now = at_s + 0.002 + index
            newest = 1 + sum(now > since for since in generations) if session == 6 else 0
            self.mm(now, f"{client}.{index}.KAREQ", session, user, member_type, reserved=newest)
            self.mm(now + 0.002, f"{client}.{index}.KARES", session, user, member_type)

    def leaves(self, at_s: float, client: str, session: int, level: int) -> None:
        """LVREQ as often as its level wants it."""
        user, member_type = (SECURE_USERS if session == 6 else OPEN_USERS)[client]
        for index in range(3 if level else 1):
            self.mm(at_s + index, f"{client}.{level}.{index}.LVREQ", session, user, member_type, reserved=level)


def _open(link: ScriptedGMP) -> None:
    link.gmp(-1.0, "carla.SCREQ", 0, 0, options=[text(16, "carla")])
    link.gmp(-0.998, "carla.SCACC", 5, 1)
    link.gmp(-0.99, "carla.bad.SCINF", 5, 1, i=1, options=[text(1, "quartet")])
    link.gmp(-0.988, "carla.bad.SCREJ", 5, 1, options=[number(20, 8, 2)])
    link.gmp(-0.98, "carla.SCINF", 5, 1, **description(text(7, "kern"), number(22, 2, 1)))
    link.gmp(-0.978, "carla.SCCON", 5, 1)
    link.gmp(-0.4, "carla.SJREQ", 5, 1, options=[number(21, place("carla", MM)[1], 2)])
    link.gmp(-0.398, "carla.SJRES", 5, 1)
    link.gmp(0.7, "carla.early.SAREQ", 5, 1, mm_port=place("carla", MM)[1])
    link.gmp(0.702, "carla.early.SJRES", 5, 1, options=[number(20, 6, 2)])
    link.enrols(1.0, "kern", 5, 2)
    link.enrols(1.2, "paul", 5, 3)
    for client, at_s, until_s in (("carla", 2.0, 20.5), ("kern", 2.1, 20.5), ("paul", 2.2, 10.5), ("late", 6.2, 20.5)):
        link.is_active(at_s, client, 5, until_s)
    link.enrols(6.0, "late", 5, 4)
    link.mm(8.6, "paul.UIREQ", 5, 3, 1)
    link.mm(8.602, "paul.UIRES", 5, 3, 1, ui=1, members=[[1, 4], [2, 2], [0, 1, 2]])
    for level, at_s in enumerate((10.6, 12.0, 15.0)):
        link.leaves(at_s, "paul", 5, level)
    link.mm(20.6, "carla.TRREQ", 5, 1, 4)
    for index, client in enumerate(("carla", "kern", "late")):
        link.mm(20.602 + index / 1000, f"{client}.TRIND", 5, *OPEN_USERS[client], ss=1)
    link.gmp(21.0, "carla.SDREQ", 5, 1)
    link.gmp(21.002, "carla.SDRES", 5, 1)


def _secure(link: ScriptedGMP) -> None:
    link.gmp(0.8, "otto.SCREQ", 0, 0, m=1, s=1, options=[text(16, "otto")])
    link.gmp(0.802, "otto.SCACC", 6, 1)
    link.gmp(0.81, "otto.SCINF", 6, 1, **description(*(text(9, name) for name in ("anna", "bert", "eve"))))
    link.gmp(0.812, "otto.SCCON", 6, 1, options=[[17, TOKEN]])
    for index, client in enumerate(("anna", "bert", "eve")):
        at_s, user = 1.5 + index / 10, SECURE_USERS[client][0]
        link.gmp(at_s, f"{client}.SRREQ", 6, 0, options=[text(16, client), [17, TOKEN]])
        link.gmp(at_s + 0.002, f"{client}.SRRES", 6, 0)
        link.gmp(at_s + 0.02, f"{client}.SRACC", 6, user)
    refused = (("mallory", TOKEN, 2), ("nemo", "ff" * 16, 5), ("dora", None, 4))
    for index, (client, token, reason) in enumerate(refused):
        at_s, session = 1.75 + index / 10, 6 if token else 99
        link.gmp(at_s, f"{client}.SRREQ", session, 0, options=[text(16, client), *([[17, token]] if token else ())])
        if token:
            link.gmp(at_s + 0.002, f"{client}.SRRES", session, 0)
        link.gmp(at_s + 0.02, f"{client}.SRREJ", session, 0, options=[number(20, reason, 2)])
    for index, client in enumerate(SECURE_USERS):
        at_s, user = 2.5 + index / 10, SECURE_USERS[client][0]
        link.gmp(at_s, f"{client}.SJREQ", 6, user, options=[number(21, place(client, MM)[1], 2)])
        link.gmp(at_s + 0.002, f"{client}.SJRES", 6, user, **key(1))
        link.is_active(3.05 + index / 10, client, 6, 8.5 if client == "eve" else 22.3, generations=[10.05])
    link.mm(6.6, "anna.UIREQ", 6, 2, 1)
    link.mm(6.602, "anna.UIRES", 6, 2, 1, ui=1, members=[[1, 4], [2, 1], [3, 1], [4, 1]])
    link.leaves(8.6, "eve", 6, 0)
    link.leaves(10.05, "eve", 6, 1)
    for index in range(3):
        for place_, client in enumerate(("anna", "bert", "otto")):
            user, member_type = SECURE_USERS[client]
            link.mm(10.053 + index + place_ / 1000, f"{client}.{index}.KDUPT", 6, user, member_type, **key(2, 1))
    # What bert's agent has not kept it is told of again.
    link.gmp(15.45, "bert.again.SJREQ", 6, 3, options=[number(21, place("bert", MM)[1], 2)])
    link.gmp(15.452, "bert.again.SJRES", 6, 3, **key(2, 1))
    link.leaves(22.7, "otto", 6, 0)
    for index, client in enumerate(("anna", "bert", "otto")):
        link.mm(22.702 + index / 1000, f"{client}.TRIND", 6, *SECURE_USERS[client], ss=1)


def _inactive(link: ScriptedGMP) -> None:
    link.gmp(-32.0, "dora.0.SRREQ", 98, 0, options=[text(16, "dora")])
    link.gmp(-31.9, "dora.0.SRREJ", 98, 0, options=[number(20, 4, 2)])
    for index, at_s in enumerate((2.9, 3.9)):  # the first answer is lost behind the capture
        link.gmp(at_s, f"nemo.{index}.SCREQ", 0, 0, options=[text(16, "nemo")])
        link.gmp(at_s + 0.002, f"nemo.{index}.SCACC", 7, 1)
    link.gmp(4.01, "nemo.SCINF", 7, 1, **description())
    link.gmp(4.012, "nemo.SCCON", 7, 1)
    for index, at_s in enumerate((5.0, 9.0, 36.0)):
        link.gmp(at_s, f"nemo.{index}.SDREQ", 7, 1)
        link.gmp(at_s + 0.002, f"nemo.{index}.SDRES", 7, 1)
    link.gmp(12.45, "dora.SCREQ", 0, 0, s=1)
    link.gmp(12.452, "dora.SCREJ", 0, 0, s=1, options=[number(20, 3, 2)])


@cache
def _good_frames() -> tuple[Any, ...]:
    link = ScriptedGMP()
    _open(link)
    _secure(link)
    _inactive(link)
    return tuple(link.frames)


def good_gmp() -> ScriptedGMP:
    """A minute without a fault, in which every rule finds something to look at."""
    return ScriptedGMP(list(_good_frames()))


_KINDS_OF_TAGS = {
    "carla.early.SAREQ": "SAREQ that is refused", "carla.bad.SCREJ": "SCREJ of a description",
    "carla.early.SJRES": "SJRES that refuses", "nemo.0.SCACC": "SCACC that is asked for again", "nemo.2.SDREQ": "SDREQ of one gone",
    "nemo.2.SDRES": "SDRES of one gone", "bert.again.SJREQ": "SJREQ for a key",
}  # fmt: skip


def _kind(tag: str) -> str:
    """What the mutations of a frame are owned by."""
    client, *words, kind = tag.split(".")
    if kind == "LVREQ":
        return f"LVREQ of level {words[0]}" if client != "otto" else "LVREQ that ends"
    if kind == "SRACC" and client in SECURE_USERS:
        return "SRACC in a closed session"
    if kind == "SRREJ" and client != "dora":
        return "SRREJ in a closed session"
    if kind in ("KAREQ", "KARES") and words == ["0"]:
        return f"first {kind}"
    return _KINDS_OF_TAGS.get(tag, kind)


def as_capture() -> Capture:
    """The good frames as packets that can be mutated."""
    packets = []
    for frame in good_gmp().ordered():
        copy = Copy(T0 + round(frame.at_s * 1e9), INTERFACE, frame.data)
        packets.append(Packet((copy,), "gmp", _kind(frame.tag), frame.tag, frame.tag.partition(".")[0]))
    return Capture(packets)

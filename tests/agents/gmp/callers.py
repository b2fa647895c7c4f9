"""Clients of a GMP server that a test speaks for itself, message by message, in the judge's words."""

from __future__ import annotations

from typing import Any

from agents.core.agent import Endpoint
from tests.agents.gmp.hand_made import GROUP, PORT, SDP, Plain
from tests.agents.gmp.meeting import SESSION, Meeting

NAME, CONTENT, OWNER, START, END, MEDIA, CORE, KEEP_ALIVE, INVITED = 1, 2, 3, 4, 5, 6, 7, 8, 9
CLIENT, TOKEN, KEY, GENERATION, REASON, MM_PORT, CONDITION, COUNTER = 16, 17, 18, 19, 20, 21, 22, 23


def text(code: int, value: str) -> list[Any]:
    return [code, value.encode().hex()]


class Caller:
    """Somebody at an address. What it is answered comes as packets' names with the reason: ``SRREJ 5``."""

    def __init__(self, lab: Meeting, name: str, address: str, *, session: int = SESSION, port: int = 5000) -> None:
        self.lab = lab
        self.name = name
        self.sm = Endpoint(address, port)
        self.mm = Endpoint(address, port + 1)
        self.session = session
        self.user = 0
        self.closed = self.secure = 0
        self.answers: list[Plain] = []

    def say(self, fields: Plain, source: Endpoint | None = None) -> list[str]:
        is_mm = fields["module"] == "MM"
        fields = {"session_id": self.session, "user_id": self.user, **fields}
        mark = len(self.lab.sent)
        self.lab.to_server(fields, source or (self.mm if is_mm else self.sm))
        mine = {self.sm, self.mm, source}
        self.answers = [sent.fields for sent in self.lab.sent[mark:] if sent.destination in mine]
        return [each["packet"] + self.reason_in(each) for each in self.answers]

    @staticmethod
    def reason_in(fields: Plain) -> str:
        found = [int(value, 16) for code, value in fields.get("options", ()) if code == REASON]
        return f" {found[0]}" if found else ""

    def option(self, code: int) -> bytes:
        """The value of an option in the last answer."""
        [value] = [value for found, value in self.answers[-1]["options"] if found == code]
        return bytes.fromhex(value)

    def sm_says(self, packet: str, source: Endpoint | None = None, **fields: Any) -> list[str]:
        return self.say({"module": "SM", "packet": packet, "m": self.closed, "s": self.secure, **fields}, source)

    def mm_says(self, packet: str, source: Endpoint | None = None, **fields: Any) -> list[str]:
        return self.say(
            {"module": "MM", "packet": packet, "mode": 2 if self.closed else 1, "member_type": 1, **fields}, source
        )

    # --- a creator --------------------------------------------------------------------------------------------------

    def create(self, *, named: bool = True, **fields: Any) -> list[str]:
        self.session = self.user = 0
        said = self.sm_says("SCREQ", **{"options": [text(CLIENT, self.name)] if named else [], **fields})
        if said == ["SCACC"]:
            self.session, self.user = self.answers[0]["session_id"], self.answers[0]["user_id"]
        return said

    def describe(self, *options: list[Any], without: tuple[int, ...] = (), **fields: Any) -> list[str]:
        """SCINF; ``options`` come in place of those of their types."""
        usual = [text(NAME, "lecture"), text(MEDIA, SDP), [KEEP_ALIVE, "0a1e0000"]]
        codes = {code for code, _ in options} | set(without)
        rows = [row for row in usual if row[0] not in codes] + list(options)
        return self.sm_says("SCINF", **{"i": int(bool(rows)), "group": GROUP, "port": PORT, "options": rows, **fields})

    # --- any member -------------------------------------------------------------------------------------------------

    def register(self, token: bytes | None = None, **fields: Any) -> list[str]:
        rows = [text(CLIENT, self.name), *([] if token is None else [[TOKEN, token.hex()]])]
        said = self.sm_says("SRREQ", **{"user_id": 0, "options": rows, **fields})
        if said[-1:] == ["SRACC"]:
            self.user = self.answers[-1]["user_id"]
        return said

    def enrol(self, **fields: Any) -> list[str]:
        return self.sm_says("SJREQ", **{"options": [[MM_PORT, f"{self.mm.port:04x}"]], **fields})

    def activate(self, **fields: Any) -> list[str]:
        return self.sm_says("SAREQ", **{"mm_port": self.mm.port, **fields})

    def keep_alive(self, **fields: Any) -> list[str]:
        return self.mm_says("KARES", **fields)

    def leave(self, level: int) -> list[str]:
        return self.mm_says("LVREQ", reserved=level)

    def come(self, until: str = "active", token: bytes | None = None) -> Caller:
        """Go as far as is said; every step is granted."""
        assert self.register(token)[-1] == "SRACC"
        if until in {"enrolled", "active"}:
            assert self.enrol() == ["SJRES"]
        if until == "active":
            assert self.activate() == ["KAREQ"]
            self.keep_alive()
        return self


def host(lab: Meeting, *options: list[Any], until: str = "registered", closed: int = 0, secure: int = 0) -> Caller:
    """A session's creator, as far as is said."""
    caller = Caller(lab, "host", "10.0.0.9")
    caller.closed, caller.secure = closed, secure
    assert caller.create() == ["SCACC"]
    assert caller.describe(*options) == ["SCCON"]
    if until in {"enrolled", "active"}:
        assert "SJRES" in caller.enrol()
    if until == "active":
        assert "KAREQ" in caller.activate()
        caller.keep_alive()
    return caller


def guest(lab: Meeting, name: str, until: str = "active", **changes: Any) -> Caller:
    """A participant of an open session at an address of its own."""
    caller = Caller(lab, name, f"10.0.1.{sum(name.encode()) % 250 + 1}", **changes)
    return caller if until == "nothing" else caller.come(until)

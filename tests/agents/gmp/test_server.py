"""A session from its creation to its end, at the server."""

from __future__ import annotations

from agents.gmp.constants import Level
from agents.gmp.events import DeleteSession, EndSession, Leave
from tests.agents.gmp.hand_made import GROUP
from tests.agents.gmp.meeting import Meeting


def test_open_session_from_creation_to_end() -> None:
    lab = Meeting()
    lab.host()
    lab.run_for(0.1)
    lab.join("alice")
    lab.run_for(0.1)
    assert lab.lines() == [
        "host SCREQ server", "server SCACC host", "host SCINF server", "server SCCON host", "host SJREQ server",
        "server SJRES host", "host SAREQ server", "server KAREQ host", "host KARES server",
        "alice SRREQ server", "server SRACC alice", "alice SJREQ server", "server SJRES alice",
        "alice SAREQ server", "server KAREQ alice", "alice KARES server", f"alice joins {GROUP}",
    ]  # fmt: skip
    assert lab.members() == {"host": "active", "alice": "active"}
    lab.tell("alice", Leave(Level.ACTIVE))
    lab.run_for(0.1)
    assert lab.members() == {"host": "active", "alice": "enrolled"}
    lab.tell("host", EndSession())
    lab.run_for(0.1)
    assert lab.state("host") == "ENDED"
    assert not lab.server.sessions


def test_session_is_deleted() -> None:
    lab = Meeting()
    lab.host(until="registered")
    lab.run_for(0.1)
    lab.tell("host", DeleteSession())
    lab.run_for(0.1)
    assert lab.lines()[-2:] == ["host SDREQ server", "server SDRES host"]
    assert not lab.server.sessions

"""A session from its creation to its end, at the server."""

from __future__ import annotations

from agents.gmp.constants import Level
from agents.gmp.events import Activate, DeleteSession, EndSession, Leave
from tests.agents.gmp.callers import MEDIA, host, text
from tests.agents.gmp.hand_made import GROUP, SDP
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


def announced(lab: Meeting) -> list[tuple[str, str]]:
    """What was sent by SAP: what it does, and what it says."""
    return [("deletes" if data[0] & 4 else "announces", data.split(b"\0", 3)[-1].decode()) for data in lab.announced]


def test_sessions_are_announced_changed_and_deleted() -> None:
    lab = Meeting(announce_from=["10.0.0.1"], announce_on="lan", announce_interval_s=5.0)
    creator = host(lab)
    [(what, said)] = announced(lab)
    assert (what, "m=audio 5004" in said) == ("announces", True)
    lab.run_for(7.0)
    assert [what for what, _ in announced(lab)] == ["announces"] * 2
    lab.announced.clear()
    creator.describe(text(MEDIA, SDP.replace("1 1 IN", "1 2 IN")))
    lab.run_for(1.0)
    assert [what for what, _ in announced(lab)] == ["deletes", "announces"]
    lab.announced.clear()
    lab.begin_again()
    assert not lab.announced  # at once: all sessions of a server would be
    lab.run_for(7.0)
    assert announced(lab)[0][0] == "announces"
    lab.announced.clear()
    creator.sm_says("SDREQ")
    lab.run_for(20.0)
    assert [what for what, _ in announced(lab)] == ["deletes"] * 3


def test_session_that_no_packet_can_announce_is_told() -> None:
    lab = Meeting(announce_from=["10.0.0.1"])
    host(lab, text(MEDIA, SDP + "a=x:" + "y" * 900 + "\r\na=z:" + "y" * 900 + "\r\n"))
    assert not lab.announced
    assert lab.count("server", "unannounced.too-large") == 1


def test_nothing_is_announced_where_nobody_said_from_where() -> None:
    lab = Meeting()
    host(lab)
    assert not lab.announced


def test_creator_of_a_closed_session_comes_again_with_its_token() -> None:
    lab = Meeting()
    lab.host(until="registered", description={"closed": True})
    lab.run_for(0.1)
    lab.tell("host", Leave(Level.REGISTERED))
    lab.run_for(0.1)
    lab.tell("host", Activate())
    lab.run_for(4.0)  # what it leaves is said three times before
    assert lab.members() == {"host": "active"}

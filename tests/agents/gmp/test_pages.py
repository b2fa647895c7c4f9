"""The server's pages: what everybody may know of sessions, and nothing that is secret, however it is written [GI-44]."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from agents.gmp import pages as shown
from agents.gmp.pages import PAGES, session_page, sessions
from agents.gmp.server import Server
from agents.web.rendering import Rendering
from tests.agents.gmp.hand_made import SDP
from tests.agents.gmp.meeting import SECRETS, Meeting

LIST, SESSION = PAGES.pages
HOSTILE = "<script>alert(1)</script>\u202e\x1b&\"'<img src=x onerror=alert(2)> 🎓 درس"


def meeting(description: Mapping[str, Any] | None = None, *names: str, **changes: Any) -> Meeting:
    """A session that is active, with friends."""
    made = Meeting(**changes)
    made.host(description=description)
    made.run_for(0.1)
    for name in names:
        made.join(name)
        made.run_for(0.1)
    return made


def written(server: Server) -> Iterator[bytes]:
    """Everything that a browser can get of a server with one session."""
    rendering = Rendering(PAGES, server)
    for page, part in ((LIST, ""), (SESSION, "1")):
        for made in (rendering.html(page, part, 0), rendering.json(page, part, 0)):
            assert made is not None
            yield made
    block = rendering.live(SESSION, "1")
    assert block is not None
    yield block.encode()
    for form in SESSION.forms:
        content = form.content(server, "1")
        assert content is not None
        yield content


def html(server: Server, part: str = "") -> str:
    made = Rendering(PAGES, server).html(SESSION if part else LIST, part, 0)
    assert made is not None
    return made.decode()


def test_all_sessions_and_their_members_are_there() -> None:
    server = meeting(None, "alice", "bob").server
    rows: Any = sessions(server, "", 0)["sessions"]
    (row,) = rows
    assert {name: row[name] for name in ("name", "state", "closed", "secure", "streams", "registered", "active")} == {
        "name": "lecture", "state": "active", "closed": False, "secure": False, "streams": "audio PCMU", "registered": 3, "active": 3,
    }  # fmt: skip
    page = session_page(server, "1", 0)
    assert page is not None
    assert [(each["name"], each["type"], each["state"]) for each in page["members"]] == [  # type: ignore[attr-defined]
        ("host", "creator", "active"),
        ("alice", "participant", "active"),
        ("bob", "participant", "active"),
    ]
    assert "3 registered, 3 of them enrolled, 3 active." in html(server, "1")
    assert "10.0.0." not in html(server, "1").replace("o=- 1 1 IN IP4 10.0.0.3", "")  # nobody's address


def test_what_others_have_written_stays_text() -> None:
    server = meeting({"name": HOSTILE, "content": HOSTILE + "\nsecond", "owner": HOSTILE}, "alice").server
    for page in (html(server), html(server, "1")):
        assert "<script>a" not in page
        assert "<img" not in page
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert '<span class="odd" title="RIGHT-TO-LEFT OVERRIDE, control character">[U+202E][U+001B]</span>' in page
        assert "🎓 درس" in page
    assert "\u202e" not in json.dumps(session_page(server, "1", 0))
    assert '"\x1b' not in html(server, "1")


def test_a_closed_session_shows_that_it_exists_and_not_who_is_in_it() -> None:
    made = Meeting(secrets=SECRETS)
    made.host(
        "enrolled",
        description={"closed": True, "secure": True, "invited_members": ["alice", "bob"], "core_members": ["bob"]},
    )
    made.run_for(0.1)
    server = made.server
    session = server.sessions[1]
    assert session.token
    assert session.key
    for octets in written(server):
        text = octets.decode()
        assert "closed" in text
        for name in ("alice", "bob", '"host"', ">host<"):
            assert name not in text, name
        for secret in (session.token, session.key, *SECRETS.values()):
            forms = (
                secret,
                secret.hex().encode(),
                secret.hex().upper().encode(),
                base64.b64encode(secret),
                repr(secret).encode(),
            )
            assert not any(form in octets for form in forms)
    assert "Who they are is not shown of a closed session." in html(server, "1")
    page = session_page(server, "1", 0)
    assert page is not None
    assert (page["registered"], page["members"]) == (1, [])


def test_what_is_not_described_or_not_there_has_no_page() -> None:
    server = meeting().server
    assert all(
        session_page(server, part, 0) is None for part in ("", "0", "00001", "2", "-1", "1.0", "٣", "99999999", "x")
    )
    server.sessions[1].description = None
    assert session_page(server, "1", 0) is None
    assert sessions(server, "", 0)["sessions"] == []
    assert "There are none." in html(server)
    assert all(form.content(server, "1") is None for form in SESSION.forms)


def test_a_full_disk_is_said_on_every_page() -> None:
    server = meeting().server
    server.ledger.fault = "database or disk is <full>"
    for page in (html(server), html(server, "1")):
        assert "New sessions and members are refused at the moment" in page
        assert "database or disk is &lt;full&gt;" in page
    server.ledger.fault = ""
    assert "refused" not in html(server) + html(server, "1")


def test_what_is_too_much_for_a_page_goes_on_on_the_next(monkeypatch: Any) -> None:
    monkeypatch.setattr(shown, "MEMBERS_SHOWN", 2)
    monkeypatch.setattr(shown, "SESSIONS_SHOWN", 1)
    server = meeting(None, "alice", "bob").server
    first, second = session_page(server, "1", 0), session_page(server, "1", 2)
    assert first is not None
    assert second is not None
    assert [each["name"] for each in first["members"]] == ["host", "alice"]  # type: ignore[attr-defined]
    assert [each["name"] for each in second["members"]] == ["bob"]  # type: ignore[attr-defined]
    assert (first["next"], second["next"]) == (2, None)
    assert 'href="/sessions/1?offset=2"' in html(server, "1")
    server.sessions[2] = server.sessions[1]
    assert sessions(server, "", 0)["next"] == 1
    assert 'href="/?offset=1"' in html(server)
    assert sessions(server, "", 1)["next"] is None


def test_a_player_gets_the_creators_description() -> None:
    server = meeting().server
    content = SESSION.forms[0].content(server, "1")
    assert content == SDP.replace("m=", "a=x-gmp-session:1 open\r\nm=").encode()

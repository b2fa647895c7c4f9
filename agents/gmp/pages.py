"""The server's pages: all sessions, and each with its description, its members and what can be taken from it [7.1.2].

Everybody may read them, so they are made of what everybody may know. Of a closed session that is what its creator has described and how
many members it has, and not who they are; of none is it a token, a key, a secret or who is invited [GI-44].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from agents.core.pages import Form, Page, Pages
from agents.gmp.server import Server, member_row, session_row
from agents.gmp.session import NOT_REGISTERED, Session
from agents.gmp.session_announcements import MEDIA_TYPE, Announcement, announcement_of, mail, sdp, streams, text

SESSIONS_SHOWN = 1000  # on one page
MEMBERS_SHOWN = 200
_MEMBER_FIELDS = ("user", "name", "type", "state")


def _session(server: Server, part: str) -> tuple[Session, Announcement] | None:
    """The session that an address names, once it is described."""
    if not (part.isascii() and part.isdecimal() and len(part) <= 5 and part[0] != "0"):
        return None
    session = server.sessions.get(int(part))
    said = None if session is None else announcement_of(session)
    return None if session is None or said is None else (session, said)


def _row(session: Session, said: Announcement) -> dict[str, object]:
    return {**session_row(session), "streams": streams(said)}


def _store(server: Server) -> str:
    """What keeps the server from promising anything new, such as a full disk; "" for nothing."""
    fault = str(server.describe()["store"])
    return "" if fault in {"ok", "none"} else fault


def sessions(server: Server, _part: str, offset: int) -> Mapping[str, object]:
    """All sessions that are described."""
    described = ((each, said) for each in server.sessions.values() if (said := announcement_of(each)) is not None)
    found = list(islice(described, offset, offset + SESSIONS_SHOWN + 1))
    return {
        "sessions": [_row(session, said) for session, said in found[:SESSIONS_SHOWN]],
        "offset": offset,
        "next": offset + SESSIONS_SHOWN if len(found) > SESSIONS_SHOWN else None,
        "fault": _store(server),
    }


def session_page(server: Server, part: str, offset: int) -> Mapping[str, object] | None:
    """One session; None where there is none."""
    found = _session(server, part)
    if found is None:
        return None
    session, said = found
    shown: list[dict[str, object]] = []
    more = None
    if not session.is_closed:
        there = (each for each in session.members.values() if each.state is not NOT_REGISTERED)
        rows = [member_row(session, each) for each in islice(there, offset, offset + MEMBERS_SHOWN + 1)]
        shown = [{name: row[name] for name in _MEMBER_FIELDS} for row in rows[:MEMBERS_SHOWN]]
        more = offset + MEMBERS_SHOWN if len(rows) > MEMBERS_SHOWN else None
    return {
        **_row(session, said),
        "content": said.content or "",
        "owner": said.owner or "",
        "description": sdp(said),
        "members": shown,
        "offset": offset,
        "next": more,
        "fault": _store(server),
    }


def _form(make: Callable[[Announcement], str | bytes]) -> Callable[[Server, str], bytes | None]:
    def content(server: Server, part: str) -> bytes | None:
        found = _session(server, part)
        if found is None:
            return None
        made = make(found[1])
        return made.encode() if isinstance(made, str) else made

    return content


PAGES = Pages(
    "Sessions",
    Path(__file__).parent / "templates",
    (
        Page("/", "sessions.html", sessions),
        Page(
            "/sessions/{session}",
            "session.html",
            session_page,
            (
                Form(".sdp", MEDIA_TYPE, _form(sdp)),
                Form(".txt", "text/plain", _form(text)),
                Form(".eml", "message/rfc822", _form(mail)),
            ),
            is_live=True,
        ),
    ),
)

"""What everybody may know of a session, and the forms in which it is told: SDP, a text, an e-mail [7.1.2].

Never part of it are tokens, keys, secrets, who is invited and who is a member: nothing of the kind comes here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage

from agents.core.record import record
from agents.core.visible import visible
from agents.gmp.session import Session
from agents.gmp.session_description import MalformedSdpError, media_of

MEDIA_TYPE = "application/sdp"
_LINE_BREAK = "\n"


@record
class Announcement:
    """A session as its creator has described it; times in Unix seconds."""

    session_id: int
    name: str
    media: str
    group: str
    port: int
    is_closed: bool
    is_secure: bool
    content: str | None = None
    owner: str | None = None
    start_time: int | None = None
    end_time: int | None = None

    @property
    def mode(self) -> str:
        """Open or closed, and secure where it is: what must be visible wherever it is announced."""
        return f"{'closed' if self.is_closed else 'open'}{', secure' if self.is_secure else ''}"


def announcement_of(session: Session) -> Announcement | None:
    """What may be known of a session; None before it has been described."""
    said = session.description
    if said is None:
        return None
    return Announcement(
        session.session_id,
        said.name,
        said.media,
        said.group,
        said.port,
        session.is_closed,
        session.is_secure,
        said.content,
        said.owner,
        said.start_time,
        said.end_time,
    )


def sdp(session: Announcement) -> str:
    """The description as a player takes it, its lines ended as SDP has them.

    It is the creator's own, with one attribute more for the whole session: its Session ID and mode [GI-42].
    """
    lines = session.media.replace("\r", "").removesuffix("\n").split("\n")
    at = next((at for at, line in enumerate(lines) if line.startswith("m=")), len(lines))
    lines.insert(at, f"a=x-gmp-session:{session.session_id} {session.mode.replace(',', '')}")
    return "".join(f"{line}\r\n" for line in lines)


def streams(session: Announcement) -> str:
    """What there is to play, such as "video MP2T, audio PCMU"."""
    try:
        return ", ".join(map(str, media_of(session.media)))
    except MalformedSdpError as error:  # from a store that an earlier program has written
        return str(error)


def date(seconds: int | None) -> str:
    """A moment as people read it, "" for none; one that no calendar has is its number of seconds."""
    if not seconds:
        return ""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s after 1970"


def text(session: Announcement) -> str:
    """A text for people, to be sent by e-mail or read by itself."""
    rows = (
        ("Session", f"{session.session_id} ({session.mode})"),
        ("About", visible(session.content or "", _LINE_BREAK).replace("\n", "\n            ")),
        ("Owner", visible(session.owner or "")),
        ("Starts", date(session.start_time)),
        ("Ends", date(session.end_time)),
        ("Group", f"{session.group}, UDP port {session.port}"),
        ("Streams", visible(streams(session))),
        ("To join", _how_to_join(session)),
    )
    name = visible(session.name)
    lines = [name, "=" * min(len(name), 78), "", *(f"{what + ':':<11} {said}" for what, said in rows if said), ""]
    return "\n".join(lines)


def _how_to_join(session: Announcement) -> str:
    if not session.is_closed:
        return f"register for session {session.session_id}, as anybody may."
    return f"register for session {session.session_id} with the name and the token that its creator has given to you."


def mail(session: Announcement) -> bytes:
    """An e-mail that is ready to be sent to whom one likes: the text, and the SDP as a file.

    It has neither sender nor date yet: a mail program opens it as a draft (X-Unsent) and puts both in [GI-25].
    """
    message = EmailMessage()
    message["Subject"] = f"Session: {visible(session.name)} ({session.mode})"
    message["To"] = ""
    message["X-Unsent"] = "1"
    message.set_content(text(session))
    name = f"session-{session.session_id}.sdp"
    message.add_attachment(sdp(session).encode(), "application", "sdp", filename=name)
    message.set_boundary(f"=_session-{session.session_id}")  # the same each time: nothing here is by chance
    return message.as_bytes()

"""Checks that ask how things stood when a message came: one roster for all rules of a pack (see `captures.gmp.roster`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import ClassVar

from captures.gmp.constants import FROM_SERVER
from captures.gmp.messages import client_of, server_of
from captures.gmp.roster import Member, Roster, Scene
from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.deadlines import Deadlines
from captures.rules.findings import Outcomes
from captures.rules.language import Check, Checker, Key, Unseen, on

Judged = str | None | bool
"""What is to be said of a message: None nothing, True that it is right, a text what is wrong; `Unseen` that it cannot be told."""

Judge = Callable[[Event, Scene], Judged]


def seen(roster: Roster, judge: Judge, *kinds: str) -> Check:
    """A check of each message of the kinds, of any if none is named, by how things stood when it came."""
    return lambda tell, coverage: _Seen(tell, coverage, roster, judge, kinds)


class _Seen(Checker):
    def __init__(
        self, tell: Outcomes, coverage: Coverage, roster: Roster, judge: Judge, kinds: Collection[str]
    ) -> None:
        super().__init__(tell, coverage, [on("gmp")])
        self._roster, self._judge, self._kinds = roster, judge, frozenset(kinds)

    def event(self, event: Event) -> None:
        scene = self._roster.take(event)
        if scene is None or (self._kinds and event.kind not in self._kinds):
            return
        found = self._judge(event, scene)
        frames = frames_before(event, scene)
        if found is None or found is False:
            return
        if found is True:
            self.tell.passed(event.interface, frames)
        elif isinstance(found, Unseen):
            self.tell.unseen(event.interface, found)
        elif self._unconfirmed(event, scene):
            self.tell.unseen(event.interface, "a step says that the server was killed after what nobody confirms")
        else:
            text = f"{event.kind} of {event.source} to {event.destination} (frame {event.number}): {found}"
            self.tell.failed(event.interface, text, frames)

    def _unconfirmed(self, event: Event, scene: Scene) -> bool:
        """Whether the server may rightly have forgotten what moved the member: nobody confirms a leave or KARES."""
        since = None if scene.member is None else scene.member.since
        told = since is not None and since.kind in ("LVREQ", "KARES")
        return told and since is not None and self.coverage.silenced(server_of(event), since.t_ns)


def frames_before(event: Event, scene: Scene) -> tuple[int, ...]:
    """The message's own frame and that which had moved its member to where it stood."""
    since = None if scene.member is None else scene.member.since
    return (event.number,) if since is None else (since.number, event.number)


class Watch(Deadlines):
    """A check of what must follow; `see` is given each message with its scene."""

    goes_by_time: ClassVar[bool] = True

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, [on("gmp")])
        self.roster = roster

    def event(self, event: Event) -> None:
        """Take an event."""
        scene = self.roster.take(event)
        if scene is not None:
            self.see(event, scene)

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        raise NotImplementedError

    def owed(
        self, cause: Event, member: Member, text: str, frames: Iterable[int] = (), *, by_server: bool = True
    ) -> None:
        """Something that was to come to a member from the server, or from it, did not: failed where it could have been seen.

        `cause`: the message after which it was to come. Who was killed since then may know nothing of it.
        """
        last = member.last
        if by_server and self.coverage.silenced(server_of(cause), cause.t_ns):
            self.tell.unseen(cause.interface, "a step says that the server was made silent meanwhile")
            return
        if last.fields["transport"] == "tcp" and self.coverage.silenced(client_of(last)[0], last.t_ns):
            self.tell.unseen(
                cause.interface, "a step says that the client was made silent: its connection may have ended"
            )
            return
        if by_server == (last.kind in FROM_SERVER):
            last = last._replace(source=last.destination, destination=last.source)
        self.missing(last._replace(interface=cause.interface), text, tuple(frames) or (cause.number,))


def watched(kind: type[Watch], roster: Roster) -> Check:
    """The check of one of them."""
    return lambda tell, coverage: kind(tell, coverage, roster)


def member_key(event: Event) -> Key:
    """Interface, server, session and user of a message."""
    return event.interface, server_of(event), event.fields["session_id"], event.fields["user_id"]

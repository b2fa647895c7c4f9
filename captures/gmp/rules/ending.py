"""The membership check and what ends a session, or a membership: what must come, and when [7.2, D G-11, G-14, G-21]."""

from __future__ import annotations

from captures.gmp.messages import period_s, timeout_s
from captures.gmp.roster import Member, Roster, Scene, Session, Standing
from captures.gmp.rules.scenes import Watch, member_key
from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Key, in_seconds
from captures.wire.bounded import Bounded

_AT_ONCE_NS = 1_000_000_000
_CROSSING_NS = 300_000_000
_LATE_SHARE, _LATE_NS = 0.1, 200_000_000  # of a period


def _give_ns(period: float) -> int:
    return round(period * _LATE_SHARE * SECOND) + _LATE_NS


class KeepAlivePeriod(Watch):
    """Each active member is sent KAREQ once every period until it leaves, is silent for its timeout, or the session ends."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._asked: Bounded[Key, tuple[Event, Session, Member]] = Bounded()
        self._granted: Bounded[Key, Event] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        if event.kind != "KAREQ" or event.fields["user_id"] not in scene.session.members:
            return
        key = member_key(event)
        before, member = self._asked.get(key), scene.member
        asks = member is not None and member.asks is not None
        goes_on = member is not None and member.standing is Standing.ACTIVE and not asks
        if before is not None and member is not None and goes_on and self._granted.get(key) is not before[0]:
            self._judge(before[0], event, member)
        if asks:  # the answer to SAREQ, which has nothing to do with the round that all are asked in
            self._granted.set(key, event)
        self._asked.set(key, (event, scene.session, scene.session.members[event.fields["user_id"]]))
        self.at(event.t_ns + round(period_s(event) * SECOND) + _give_ns(period_s(event)), key)

    def _judge(self, before: Event, event: Event, member: Member) -> None:
        passed, period = event.t_ns - before.t_ns, period_s(before)
        early = passed < period * SECOND - _give_ns(period)
        # The round that all members are asked in need not begin when one was activated, nor go on where it was killed in.
        new = member.since is not None and before.t_ns <= member.since.t_ns + _CROSSING_NS
        if early and not new and not self.coverage.silenced(event.source, before.t_ns):
            text = (
                f"KAREQ to {event.destination} (frame {event.number}) came {in_seconds(passed)} after the one before, the period is"
                f" {period:g} s"
            )
            self.tell.failed(event.interface, text, (before.number, event.number))
        else:
            self.tell.passed(event.interface, (before.number, event.number))

    def expire(self, key: Key, t_ns: int) -> None:
        """Say what has not come."""
        last = self._asked.get(key)
        if last is None:
            return
        asked, session, member = last
        period = period_s(asked)
        if asked.t_ns + round(period * SECOND) + _give_ns(period) != t_ns or session.ended is not None:
            return
        answered = member.answered
        if member.standing is not Standing.ACTIVE or answered is None:
            return
        if (
            t_ns > answered.t_ns + round(timeout_s(asked) * SECOND)
            or member.asks is not None
            or session.ending is not None
        ):
            return
        text = f"no KAREQ to user {member.user} within its period of {period:g} s after frame {asked.number}"
        self.owed(asked, member, text, (asked.number, answered.number))


class Told(Watch):
    """The end of a session is told to every active member and the creator by TRIND, at once [7.2.1.1, 7.2.3, G-11].

    What ends it: the creator's TRREQ, LVREQ of the creator or a core member that is active, the silence of one of them past its
    timeout. Where that is not seen, the first TRIND shows it.
    """

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._ending: Bounded[Key, tuple[Event, Session, dict[int, Member]]] = Bounded()
        self._timers: Bounded[Key, tuple[Event, Session]] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        session, key = scene.session, member_key(event)
        if scene.ended is not None:
            if event.kind == "TRIND":
                self._told(event, key)
            return
        member = session.members.get(event.fields["user_id"])
        if event.kind == "KARES" and member is not None and member.is_core:
            asked = member.asked
            if asked is not None:
                until = round((1.1 * timeout_s(asked) + period_s(asked)) * SECOND) + _AT_ONCE_NS
                self._timers.set(key, (event, session))
                self.at(event.t_ns + until, (*key, event.number))
        if event.kind == "TRIND":
            self._end(event, scene)
            self._told(event, key)
        elif session.ending is event:
            self._end(event, scene)

    def _end(self, cause: Event, scene: Scene) -> None:
        session, key = scene.session, member_key(cause)[:3]
        before = self._ending.get(key)
        if before is not None and before[1] is session:
            return
        owed = {member.user: member for member in session.members.values() if _is_there(member, cause)}
        if scene.member is not None and (scene.member.standing or 0) >= Standing.ACTIVE and cause.kind == "TRREQ":
            owed[scene.member.user] = session.members[scene.member.user]
        creator = session.members.get(session.creator or 0)
        if creator is not None and cause.kind != "LVREQ" and not creator.silent and _was_heard(creator, cause):
            owed[creator.user] = creator
        self._ending.set(key, (cause, session, owed))
        self.at(cause.t_ns + _AT_ONCE_NS, key)

    def _told(self, event: Event, key: Key) -> None:
        ending = self._ending.get(key[:3])
        if ending is not None and ending[2].pop(event.fields["user_id"], None) is not None:
            self.tell.passed(event.interface, (ending[0].number, event.number))

    def expire(self, key: Key, t_ns: int) -> None:
        """Say what has not come."""
        if len(key) > 4:
            self._silent(key)
            return
        ending = self._ending.get(key)
        if ending is None or ending[0].t_ns + _AT_ONCE_NS != t_ns:
            return
        cause, session, owed = ending
        for member in owed.values():
            text = f"user {member.user} was sent no TRIND after {cause.kind} had ended session {session.id} (frame {cause.number})"
            self.owed(cause, member, text)
        owed.clear()

    def _silent(self, key: Key) -> None:
        """The timer of the creator or a core member has ended, unless it was heard again."""
        timer = self._timers.get(key[:4])
        if timer is None:
            return
        heard, session = timer
        member = session.members[heard.fields["user_id"]]
        if heard.number != key[4] or session.ended is not None or session.ending is not None or member.left is not None:
            return
        others = [each for each in session.members.values() if each is not member and _is_there(each, each.last)]
        if not others:
            return  # whom it is told to is not seen here
        text = f"user {member.user} was silent past its timeout (since frame {heard.number}), and session {session.id} goes on"
        self.owed(heard, others[0], text)


def _is_there(member: Member, event: Event) -> bool:
    """Whether a member is active for certain: its timer cannot have ended."""
    return member.standing is Standing.ACTIVE and _was_heard(member, event)


def _was_heard(member: Member, event: Event) -> bool:
    asked, answered = member.asked, member.answered
    return asked is None or answered is None or event.t_ns - answered.t_ns < 0.95 * timeout_s(asked) * SECOND

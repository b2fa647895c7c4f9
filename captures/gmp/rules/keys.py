"""Keys of secure sessions: who is given one, which, and how often [7.3, D G-12, G-15, G-18, G-20, G-29]."""

from __future__ import annotations

from captures.gmp.constants import RESEND_S, SENDS
from captures.gmp.messages import refuses
from captures.gmp.roster import Member, Roster, Scene, Session, Standing
from captures.gmp.rules.scenes import Judged, Watch, member_key
from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Key, in_seconds
from captures.wire.bounded import Bounded

_SPREAD_NS = 300_000_000  # until a new key is on its way to everybody
_PACE_NS = 250_000_000  # how far from a second later KDUPT may come again
_AT_ONCE_NS = 1_000_000_000
_FETCHED_NS = 2_500_000_000  # a KDUPT may be on its way, and SJREQ is sent again


def key_where_secure(event: Event, scene: Scene) -> Judged:
    """SJRES has a key in secure sessions, and in others none."""
    if refuses(event):
        return "refuses, and gives a key" if "key" in event.fields else None
    secure, created = scene.session.secure, scene.session.created
    if secure is None or (created is None and not secure):
        return None
    if secure:
        return True if "key" in event.fields else "enrols in a secure session without a key"
    return "gives a key in a session that is not secure" if "key" in event.fields else True


def port_told(event: Event, scene: Scene) -> Judged:
    """SJREQ tells the MM port in secure sessions, for KDUPT [G-15]; over TCP the connection does."""
    if not scene.session.secure or event.fields["transport"] == "tcp":
        return None
    return True if event.fields.get("mm_port") else "tells no MM port in a secure session"


def newest_key(event: Event, scene: Scene) -> Judged:
    """SJRES and KDUPT give the newest key that there is."""
    told, newest, renewed = event.fields.get("generation"), scene.generation, scene.session.renewed
    if told is None:
        return None
    if newest is None or told >= newest or (renewed is not None and event.t_ns - renewed.t_ns < _SPREAD_NS):
        return True
    return f"gives generation {told}, there is {newest} already"


def generation_told(event: Event, scene: Scene) -> Judged:
    """KAREQ has the low octet of the key's generation in Reserved, 0 where there is no key [G-15]."""
    session, newest, told = scene.session, scene.generation, event.fields["reserved"]
    if session.secure is False:
        return f"tells key generation {told} in a session that is not secure" if told else True
    if newest is None or not session.secure:
        return None
    if told == newest & 0xFF:
        return True
    if told == (newest + 1) & 0xFF or (session.renewed is not None and event.t_ns - session.renewed.t_ns < _SPREAD_NS):
        return None  # one that is only now on its way
    return f"tells key generation {told}, the newest is {newest}"


def renews(scene: Scene, event: Event) -> bool:
    """Whether LVREQ de-enrols a member of a secure session."""
    member = scene.member
    if member is None or not scene.session.secure or scene.session.ended is not None:
        return False
    return event.fields["reserved"] >= 1 and (member.standing or 0) >= Standing.ENROLLED and member.is_at(event)


class Repeated(Watch):
    """KDUPT comes three times, 1 s apart, unless the session ends, the member leaves or a newer key comes [G-15]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._updates: Bounded[Key, tuple[Session, list[Event]]] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        if event.kind != "KDUPT" or "generation" not in event.fields:
            return
        if self.coverage.covered_ns(event) < SENDS * SECOND:
            self.tell.unseen(event.interface, "the capture may have begun between two of them")
            return
        key = (*member_key(event), event.fields["generation"])
        _, sent = self._updates.obtain(key, lambda: (scene.session, []))
        sent.append(event)
        frames = [each.number for each in sent]
        apart = event.t_ns - sent[-2].t_ns if len(sent) > 1 else round(RESEND_S * SECOND)
        what = f"KDUPT to {event.destination} (frame {event.number})"
        if abs(apart - round(RESEND_S * SECOND)) > _PACE_NS:
            self.tell.failed(
                event.interface, f"{what} came {in_seconds(apart)} after the one before of its generation", frames
            )
        elif len(sent) > SENDS:
            self.tell.failed(event.interface, f"{what} came {len(sent)} times", frames)
        elif len(sent) == SENDS:
            self.tell.passed(event.interface, frames)
        elif event.fields["transport"] == "udp":  # TCP loses nothing
            self.at(event.t_ns + round((RESEND_S + 0.5) * SECOND), (*key, event.number))

    def expire(self, key: Key, t_ns: int) -> None:
        """Say what has not come."""
        *of, number = key
        update = self._updates.get(tuple(of))
        if update is None or update[1][-1].number != number or update[0].ended is not None:
            return
        session, sent = update
        first = sent[0]
        generation, member = first.fields["generation"], session.members.get(first.fields["user_id"])
        if member is None:
            return
        if (session.generation or 0) <= generation and (member.standing or 0) >= Standing.ENROLLED:
            text = f"KDUPT of generation {generation} to {first.destination} came {len(sent)} times, not {SENDS}"
            self.owed(sent[-1], member, text, [each.number for each in sent])


class Renewed(Watch):
    """Who is de-enrolled discards its key: everybody else enrolled or active is sent a newer one at once [7.3]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._waiting: Bounded[Key, tuple[Event, Session, Member, int]] = Bounded()
        self._announced: Bounded[Key, int] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        if event.kind == "LVREQ" and renews(scene, event):
            self._owe(event, scene.session, scene.generation or 0, but=event.fields["user_id"])
        elif event.kind in ("KDUPT", "SJRES") and "generation" in event.fields:
            key = member_key(event)
            waits = self._waiting.get(key)
            if waits is not None and event.fields["generation"] > waits[3]:
                self._waiting.pop(key)
                self.tell.passed(event.interface, (waits[0].number, event.number))
            if event.kind == "KDUPT":
                of = key[:3]
                if event.fields["generation"] > (
                    self._announced.get(of) or scene.generation or event.fields["generation"]
                ):
                    self._owe(event, scene.session, event.fields["generation"] - 1, but=event.fields["user_id"])
                self._announced.set(of, max(self._announced.get(of) or 0, event.fields["generation"]))

    def _owe(self, cause: Event, session: Session, generation: int, but: int) -> None:
        for member in session.standing_at_least(Standing.ENROLLED):
            key = (*member_key(cause)[:3], member.user)
            if member.user != but and self._waiting.get(key) is None and (member.generation or 0) <= generation:
                self._waiting.set(key, (cause, session, member, generation))
                self.at(cause.t_ns + _AT_ONCE_NS, key)

    def expire(self, key: Key, t_ns: int) -> None:
        """Say what has not come."""
        waits = self._waiting.get(key)
        if waits is None or waits[0].t_ns + _AT_ONCE_NS != t_ns:
            return
        self._waiting.pop(key)
        cause, session, member, generation = waits
        if session.ended is not None or (member.standing or 0) < Standing.ENROLLED:
            return
        text = (
            f"user {member.user} of session {session.id} was sent no key newer than generation {generation} after"
            f" {cause.kind} (frame {cause.number})"
        )
        self.owed(cause, member, text, (cause.number, member.last.number))


class Fetched(Watch):
    """Who is told of a newer key than it holds asks for it with SJREQ, unless KDUPT brings it meanwhile [G-15]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._waiting: Bounded[Key, tuple[Event, Session, Member]] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        key = member_key(event)
        member = scene.member
        if event.kind == "KAREQ" and scene.session.secure and member is not None and member.generation is not None:
            older = event.fields["reserved"] and event.fields["reserved"] != member.generation & 0xFF
            if older and member.standing is Standing.ACTIVE and self._waiting.get(key) is None:
                self._waiting.set(key, (event, scene.session, scene.session.members[member.user]))
                self.at(event.t_ns + _FETCHED_NS, key)
        elif event.kind in ("SJREQ", "KDUPT") and (waits := self._waiting.pop(key)) is not None:
            self.tell.passed(event.interface, (waits[0].number, event.number))

    def expire(self, key: Key, t_ns: int) -> None:
        """Say what has not come."""
        waits = self._waiting.get(key)
        if waits is None or waits[0].t_ns + _FETCHED_NS != t_ns:
            return
        self._waiting.pop(key)
        told, session, member = waits
        if session.ended is None and member.standing is Standing.ACTIVE:
            text = f"user {member.user} was told of key generation {told.fields['reserved']} (frame {told.number}), holds {member.generation} and did not ask"
            self.owed(told, member, text, by_server=False)

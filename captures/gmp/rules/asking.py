"""How clients ask: one request at a time, again after a second, three times [D G-1, G-14, G-23]."""

from __future__ import annotations

from captures.gmp.constants import AUTHORISATION_S, LEAVES_ACTIVE, RESEND_S, SENDS, SM_REQUESTS
from captures.gmp.messages import client_of
from captures.gmp.roster import Member, Roster, Scene, Session
from captures.gmp.rules.scenes import Watch, member_key
from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Key, in_seconds
from captures.wire.bounded import Bounded

_EARLY_NS = round(0.9 * RESEND_S * SECOND)  # what the capture's clock and the sender's may differ
_ANEW_NS = round(1.5 * RESEND_S * SECOND)  # after which it is no resending
_AT_ONCE_NS = 500_000_000
_ASKED_AGAIN = (*SM_REQUESTS, "UIREQ", "TRREQ")
_LEAVES_NS = 30 * SECOND  # after which it is another leave


class Resent(Watch):
    """A request without answer is sent again after 1 s, three times in all; after SRRES a client waits 30 s [G-1, G-23]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._sent: Bounded[Key, list[Event]] = Bounded()
        self._authorised: Bounded[Key, Event] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        client = (event.interface, *client_of(event))
        if event.kind in _ASKED_AGAIN:
            self._asks(event, client)
        elif event.kind == "TRIND":
            self._sent.pop((*client, "TRREQ"))
        elif event.kind == "KAREQ":
            asks = None if scene.member is None else scene.member.asks
            if asks is not None:
                self._sent.pop((asks.interface, *client_of(asks), "SAREQ"))
        elif event.kind not in ("KARES", "LVREQ", "KDUPT"):
            for kind in _ASKED_AGAIN:
                self._sent.pop((*client, kind))
            if event.kind == "SRRES":
                self._authorised.set(client, event)
            else:
                self._authorised.pop(client)

    def _asks(self, event: Event, client: Key) -> None:
        waits = self._authorised.get(client) if event.kind == "SRREQ" else None
        if waits is not None and event.t_ns - waits.t_ns < 0.9 * AUTHORISATION_S * SECOND:
            text = (
                f"SRREQ of {event.source} (frame {event.number}) came {in_seconds(event.t_ns - waits.t_ns)} after SRRES"
            )
            self.tell.failed(event.interface, text, (waits.number, event.number))
            return
        sent = self._sent.obtain((*client, event.kind), list)
        if sent and (
            sent[-1].fields["session_id"] != event.fields["session_id"] or event.t_ns - sent[-1].t_ns > _ANEW_NS
        ):
            sent.clear()
        sent.append(event)
        _judge_pace(self, event, sent)


def _judge_pace(watch: Watch, event: Event, sent: list[Event]) -> None:
    """Of what was sent without an answer, the last of which is the event."""
    frames = [each.number for each in sent[-4:]]
    early = event.t_ns - sent[-2].t_ns if len(sent) > 1 else _EARLY_NS
    if early < _EARLY_NS:
        text = f"{event.kind} of {event.source} (frame {event.number}) came {in_seconds(early)} after the one before"
        watch.tell.failed(event.interface, text, frames)
    elif len(sent) > SENDS:
        text = f"{event.kind} of {event.source} (frame {event.number}) was sent {len(sent)} times"
        watch.tell.failed(event.interface, text, frames)
    else:
        watch.tell.passed(event.interface, frames)


class LeaveRepeated(Watch):
    """LVREQ comes no more than three times, 1 s apart; of levels 1 and 2, of which nobody is told, over UDP three times [G-1, G-14]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._sent: Bounded[Key, list[Event]] = Bounded()
        self._sessions: Bounded[Key, Session] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        if event.kind in ("SRACC", "SJREQ", "SAREQ"):  # it comes back
            for level in range(3):
                self._sent.pop((*member_key(event), level))
        if event.kind != "LVREQ":
            return
        key = (*member_key(event), event.fields["reserved"])
        self._sessions.set(key, scene.session)
        sent = self._sent.obtain(key, list)
        if sent and event.t_ns - sent[0].t_ns > _LEAVES_NS:
            sent.clear()
        sent.append(event)
        _judge_pace(self, event, sent)
        told = event.fields["reserved"] == LEAVES_ACTIVE or event.fields["transport"] == "tcp"  # which loses nothing
        if not told and len(sent) < SENDS:
            self.at(event.t_ns + _ANEW_NS, (*key, event.number))

    def expire(self, key: Key, t_ns: int) -> None:
        """Say what has not come."""
        *of, number = key
        sent, session = self._sent.get(tuple(of)), self._sessions.get(tuple(of))
        if not sent or sent[-1].number != number or session is None or session.ended is not None:
            return
        event = sent[-1]
        text = (
            f"LVREQ of {event.source} that leaves level {event.fields['reserved']} came {len(sent)} times, not {SENDS}"
        )
        self.owed(
            event,
            Member(event.fields["user_id"], event),
            text,
            [each.number for each in sent],
            by_server=False,
        )


class OneOutstanding(Watch):
    """A client has one request outstanding: it asks nothing else before it is answered or has given up [G-1]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._waiting: Bounded[Key, Event] = Bounded()
        self._authorised: Bounded[Key, Event] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        key = (event.interface, *client_of(event))
        if event.kind == "KAREQ":  # the answer to SAREQ, which comes to another port
            asks = None if scene.member is None else scene.member.asks
            if asks is not None:
                self._waiting.pop((asks.interface, *client_of(asks)))
        elif event.kind == "SRRES":
            self._authorised.set(key, event)
        elif event.fields["module"] == "SM" and event.kind not in SM_REQUESTS:
            self._waiting.pop(key)
            self._authorised.pop(key)
        elif event.kind in SM_REQUESTS:
            self._asks(event, key)

    def _asks(self, event: Event, key: Key) -> None:
        before = self._waiting.get(key)
        self._waiting.set(key, event)
        patience_s = AUTHORISATION_S if self._authorised.pop(key) is not None else RESEND_S
        if before is None or event.t_ns - before.t_ns >= 0.9 * patience_s * SECOND or _is_same(before, event):
            self.tell.passed(event.interface, (event.number,))
            return
        text = f"{event.kind} of {event.source} (frame {event.number}) while {before.kind} (frame {before.number}) was not answered"
        self.tell.failed(event.interface, text, (before.number, event.number))


def _is_same(first: Event, second: Event) -> bool:
    return (first.kind, first.fields["session_id"]) == (second.kind, second.fields["session_id"])


class AtOnce(Watch):
    """In a closed session SRREQ is answered with SRRES at once, before it is decided [7.1.3]."""

    def __init__(self, tell: Outcomes, coverage: Coverage, roster: Roster) -> None:
        super().__init__(tell, coverage, roster)
        self._waiting: Bounded[Key, Event] = Bounded()
        self._responded: Bounded[Key, Event] = Bounded()

    def see(self, event: Event, scene: Scene) -> None:
        """Take the next message."""
        key = (event.interface, *client_of(event), event.fields["session_id"])
        if event.kind == "SRRES":
            self._responded.set(key, event)
        elif event.kind in ("SRACC", "SRREJ"):
            self._responded.pop(key)
        if event.kind == "SRREQ":
            known = any(member.standing for member in scene.session.with_name(event.fields.get("name")))
            known = known or self._responded.get(key) is not None
            if scene.session.closed and scene.ended is None and not known:
                self._waiting.obtain(key, lambda: event)
        elif event.kind in ("SRRES", "SRACC", "SRREJ") and (request := self._waiting.pop(key)) is not None:
            frames = (request.number, event.number)
            if event.kind != "SRRES":
                self.tell.failed(
                    event.interface, f"{event.kind} (frame {event.number}) without SRRES before it", frames
                )
            elif event.t_ns - request.t_ns > _AT_ONCE_NS:
                late = in_seconds(event.t_ns - request.t_ns)
                self.tell.failed(event.interface, f"SRRES (frame {event.number}) came {late} after SRREQ", frames)
            else:
                self.tell.passed(event.interface, frames)

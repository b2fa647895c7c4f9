"""Creation, registration and deletion: who is given what, by what was described and handed out [7.1, D G-9, G-13, G-23 to G-28]."""

from __future__ import annotations

from captures.gmp.constants import (
    BAD_DESCRIPTION,
    BAD_TOKEN,
    NOT_AUTHORISED,
    REMEMBERED_S,
    UNKNOWN_SESSION,
    WRONG_STATE,
)
from captures.gmp.messages import client_of, refuses, timeout_s
from captures.gmp.roster import Member, Scene, Session, Standing
from captures.gmp.rules.form import description_problem
from captures.gmp.rules.scenes import Judged
from captures.history.events import Event
from captures.rules.language import SECOND, in_seconds

_SLACK_NS = 2 * SECOND  # of how long a session is remembered


def unique_session(_event: Event, scene: Scene) -> Judged:
    """A new session has an ID that no living one has."""
    taken = scene.taken
    return True if taken is None else f"session {taken.id} is there, and has not ended"


def unique_user(event: Event, scene: Scene) -> Judged:
    """A new member has a User ID that no other member has."""
    member = scene.member
    if member is None or not member.standing or member.is_at(event):
        return True
    return f"user {member.user} is registered from {_at(member)}"


def same_name(event: Event, scene: Scene) -> Judged:
    """A name is one member: it gets the same User ID again from where it was, and none from anywhere else [G-23, G-28]."""
    request = scene.request
    if request is None or request.kind != "SRREQ" or not request.fields.get("name"):
        return None
    user, name = event.fields["user_id"], request.fields["name"]
    for other in scene.session.with_name(name):
        if other.user == user or not other.standing:
            continue
        if other.where is None or other.where[0] != client_of(event)[0]:
            return f"{name} is user {other.user} at {_at(other)}, and becomes user {user} from another address"
        return f"{name} was user {other.user}, and becomes user {user}"
    return True


def admitted(event: Event, scene: Scene) -> Judged:
    """Closed: who is invited and has the token, and nobody else; open: everybody [7.1.3, G-23, G-26]."""
    session, request = scene.session, scene.request
    if request is None or request.kind != "SRREQ" or session.closed is None:
        return None
    if not session.closed:
        return True if event.kind == "SRACC" else _refused_open(event, scene)
    problem, reasons = _not_admitted(session, request)
    if event.kind == "SRACC":
        return f"accepted in a closed session, though {problem}" if problem else True
    reason = event.fields.get("reason")
    if problem:
        if reason in (BAD_TOKEN, NOT_AUTHORISED) and reason not in reasons:
            return f"refused for reason {reason}, though {problem}"
        return True
    return (
        "refused for a bad token, though it is the one that was handed out"
        if reason == BAD_TOKEN and session.token
        else None
    )


def _refused_open(event: Event, scene: Scene) -> Judged:
    return "refused for its token, in an open session" if event.fields.get("reason") == BAD_TOKEN else (scene is None)


def _not_admitted(session: Session, request: Event) -> tuple[str | None, tuple[int, ...]]:
    """Why a closed session must refuse a request, as far as that was seen, and the reasons that say so."""
    name, token, invited = request.fields.get("name"), request.fields.get("token"), session.names("invited")
    if not name or token is None:
        return f"it has no {'token' if name else 'name'}", (NOT_AUTHORISED, BAD_TOKEN)
    wrong_name = bool(invited) and name not in invited
    if session.token is not None and token != session.token:
        return "its token is not the session's", (BAD_TOKEN, NOT_AUTHORISED) if wrong_name else (BAD_TOKEN,)
    reasons = (NOT_AUTHORISED,) if session.token is not None else (NOT_AUTHORISED, BAD_TOKEN)
    return (f"{name} is not invited", reasons) if wrong_name else (None, ())


def asked_first(_event: Event, scene: Scene) -> Judged:
    """SRRES comes in closed sessions alone."""
    if scene.session.closed is None:
        return None
    return True if scene.session.closed else f"session {scene.session.id} is open: it is registered at once"


def token_handed_out(event: Event, scene: Scene) -> Judged:
    """SCCON returns the access token of a closed session, and of an open one none [G-9]."""
    closed = scene.session.closed
    if closed is None:
        return None
    if closed and not event.fields.get("token"):
        return "a closed session without a token to hand out"
    return "a token of an open session" if not closed and "token" in event.fields else True


def description(event: Event, scene: Scene) -> Judged:
    """What is not a description is refused for reason 8, and nothing that is one is confirmed otherwise [G-26]."""
    request = scene.request
    if request is None or request.kind != "SCINF":
        return None
    problem, reason = description_problem(request), event.fields.get("reason")
    if event.kind == "SCCON":
        return f"confirms a description with {problem}" if problem else True
    if problem is None:
        return None  # no player would take its media, which is not judged here
    return True if reason == BAD_DESCRIPTION else f"refuses {problem} for reason {reason}"


def own_request(event: Event, scene: Scene) -> Judged:
    """Nothing is granted to who claims another's User ID from another address [G-13, G-17]."""
    member = scene.member
    if member is None or member.where is None or refuses(event):
        return None
    return True if member.is_at(event) else f"user {member.user} is at {_at(member)}"


def _at(member: Member) -> str:
    address, port = member.where or ("somewhere", 0)
    return f"{address} port {port}" if port else address


def deleted(event: Event, scene: Scene) -> Judged:
    """SDREQ is granted to the creator while nobody is active, and alike for 60 s after the session is gone [G-24, G-27]."""
    session, member = scene.session, scene.member
    reason = event.fields.get("reason")
    if scene.ended is not None:
        gone_ns = event.t_ns - scene.ended.t_ns
        if gone_ns <= REMEMBERED_S * SECOND - _SLACK_NS:
            refused = reason == UNKNOWN_SESSION and scene.ended.kind == "SDRES"
            return f"unknown {in_seconds(gone_ns)} after it was gone" if refused else True
        late = gone_ns > REMEMBERED_S * SECOND + _SLACK_NS and reason != UNKNOWN_SESSION
        return f"remembered {in_seconds(gone_ns)} after it was gone" if late else True
    active = [each for each in session.standing_at_least(Standing.ACTIVE) if each.last.t_ns > event.t_ns - 30 * SECOND]
    if reason is None and active:
        return f"deletes a session in which user {active[0].user} is active"
    if reason is None and session.creator is not None and event.fields["user_id"] != session.creator:
        return f"deletes the session of user {session.creator} for another"
    if reason == WRONG_STATE and not active and session.created is not None and member is not None:
        return None  # another may be active behind this interface
    return True


def alive(event: Event, scene: Scene) -> Judged:
    """Reason 4 is of sessions that there are not."""
    session = scene.session
    if event.fields.get("reason") != UNKNOWN_SESSION:
        return None
    if session.is_alive and session.ending is None:
        return f"session {session.id} was confirmed, and has not ended"
    return True


def start_condition(event: Event, scene: Scene) -> Judged:
    """Of a core member that registers: the creator was not active before, if that is the condition [7.1.4, G-25].

    Told when the member comes, since until then it may have come where this interface does not see it.
    """
    session, request = scene.session, scene.request
    if session.description is None or session.creator is None or request is None or request.kind != "SRREQ":
        return None
    name = request.fields.get("name")
    if not session.description.fields.get("condition", 1) or name not in session.names("core_members"):
        return None
    if any(member.user != event.fields["user_id"] for member in session.with_name(name)):
        return None
    creator = session.members.get(session.creator)
    if scene.member is not None and scene.member.standing is not None:
        return None
    if creator is not None and creator.standing is Standing.ACTIVE and creator.since is not None:
        return f"core member {name} registers now, and the session has been started in frame {creator.since.number}"
    return True


def condition_of_enrolment(event: Event, scene: Scene) -> Judged:
    """Condition 2: as `start_condition` of a core member that enrols for the first time."""
    session, member = scene.session, scene.member
    if session.description is None or session.creator is None or member is None or refuses(event):
        return None
    first = member.standing is Standing.REGISTERED and member.asked is None and member.left is None
    if (
        session.description.fields.get("condition", 1) != 2
        or not first
        or member.name not in session.names("core_members")
    ):
        return None
    creator = session.members.get(session.creator)
    if creator is not None and creator.standing is Standing.ACTIVE and creator.since is not None:
        return f"core member {member.name} enrols now, and the session has been started in frame {creator.since.number}"
    return True


def caused(event: Event, scene: Scene) -> Judged:
    """Of the first TRIND: somebody has ended the session, or a member that it cannot do without was silent [7.2.1.1, G-11]."""
    session = scene.session
    if scene.ended is not None or session.description is None or session.creator is None:
        return None
    if session.ending is not None:
        return True
    core = session.names("core_members")
    needed = [member for member in session.members.values() if member.is_core or member.name in core]
    if "end_time" in session.description.fields or len(needed) < 1 + len(set(core)):
        return None  # it was over, or one of them is not seen here
    for member in needed:
        if member.answered is None or member.asked is None or member.standing is not Standing.ACTIVE:
            return None
        if event.t_ns - member.answered.t_ns > 0.9 * timeout_s(member.asked) * SECOND:
            return None
    return "nobody had ended the session, and all that it needs were there"

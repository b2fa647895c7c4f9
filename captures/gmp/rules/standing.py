"""What only registered, enrolled or active members are told, and as who [7.1.4, 7.1.5, 7.2, D G-13 to G-22]."""

from __future__ import annotations

from captures.gmp.constants import CLOSED, CORE, CREATOR, OTHERS_MAX, PARTICIPANT
from captures.gmp.messages import refuses, timeout_s
from captures.gmp.roster import Member, Scene, Standing
from captures.gmp.rules.scenes import Judged
from captures.history.events import Event
from captures.rules.language import SECOND, in_seconds

_CROSSING_NS = 300_000_000
"""What was sent before the other side knew better may still come for so long."""
_SETTLED_NS = 1_000_000_000  # who came or went within it may be listed or not
_TYPES = {CREATOR: "creator", CORE: "core member", PARTICIPANT: "participant"}


def enrols_registered(event: Event, scene: Scene) -> Judged:
    """SJRES without a reason is for registered members."""
    if refuses(event):
        return None
    return _at_least(Standing.REGISTERED, event, scene.member)


def asks_active(event: Event, scene: Scene) -> Judged:
    """KAREQ goes to active members, and to enrolled ones that have sent SAREQ [7.1.5, G-21]."""
    member = scene.member
    if member is None or member.standing is None:
        return None
    if member.standing is Standing.ACTIVE:
        return True
    if member.asks is not None:
        return True if member.standing is Standing.ENROLLED else "activates a member that is not enrolled"
    if member.silent:
        return "asks one that was silent for its timeout"
    return _at_least(Standing.ACTIVE, event, member)


def tells_active(event: Event, scene: Scene) -> Judged:
    """UIRES and TRIND go to active members, TRIND also to the creator."""
    member = scene.member
    if event.kind == "TRIND" and (scene.session.creator in (None, event.fields["user_id"]) or scene.ended is not None):
        return True
    return _at_least(Standing.ACTIVE, event, member)


def updates_enrolled(event: Event, scene: Scene) -> Judged:
    """KDUPT goes to enrolled and active members: nobody else is given a key."""
    return _at_least(Standing.ENROLLED, event, scene.member)


def _at_least(standing: Standing, event: Event, member: Member | None) -> Judged:
    if member is None or member.standing is None:
        return None
    if member.standing >= standing:
        return True
    if member.since is not None and event.t_ns - member.since.t_ns < _CROSSING_NS:
        return None
    is_now = member.standing.name.lower()
    since = f" since frame {member.since.number}" if member.since is not None else ""
    return f"user {member.user} is {'not registered' if is_now == 'nothing' else is_now}{since}"


def nothing_after_end(event: Event, scene: Scene) -> Judged:
    """A session that has ended asks nobody and gives no keys."""
    if scene.ended is None:
        return True
    passed = event.t_ns - scene.ended.t_ns
    return (
        None if passed < _CROSSING_NS else f"{in_seconds(passed)} after the session ended (frame {scene.ended.number})"
    )


def mode(event: Event, scene: Scene) -> Judged:
    """Mode is the session's [G-26]."""
    closed = scene.session.closed
    if closed is None:
        return None
    is_so = event.fields["mode"] == CLOSED
    return True if is_so is closed else f"says {'closed' if is_so else 'open'} of a session that is not"


def member_type(event: Event, scene: Scene) -> Judged:
    """A user has one member type: the creator's, a core member's or a participant's [8.4, table 6]."""
    session, member, said = scene.session, scene.member, event.fields["member_type"]
    if session.creator is not None and (said == CREATOR) is not (event.fields["user_id"] == session.creator):
        return f"says {_TYPES[said]} of user {event.fields['user_id']}, user {session.creator} has created the session"
    known = None if member is None else member.kind
    if member is not None and member.name is not None and session.description is not None and said != CREATOR:
        known = CORE if member.name in session.names("core_members") else PARTICIPANT
    if known is None:
        return None
    return True if said == known else f"says {_TYPES[said]} of user {event.fields['user_id']}, a {_TYPES[known]}"


def own_port(event: Event, scene: Scene) -> Judged:
    """MM messages over UDP go to the port that the member announced [G-3, G-15, G-17]."""
    member = scene.member
    if member is None or not member.mm_port or event.fields["transport"] == "tcp":
        return None
    port = event.fields["ports"][1]
    return True if port == member.mm_port else f"goes to port {port}, user {member.user} announced {member.mm_port}"


def keep_alive(event: Event, scene: Scene) -> Judged:
    """KAREQ tells the period and timeout of the description [G-26]."""
    described = scene.session.keep_alive
    if described is None:
        return None
    told = event.fields["period"], event.fields["timeout"]
    return True if told == described else f"says period and timeout {told}, the description {described} (in 100 ms)"


def one_group(event: Event, scene: Scene) -> Judged:
    """Every MM message of the server names the group and port that the KAREQ before named."""
    asked = None if scene.member is None else scene.member.asked
    if asked is None:
        return None
    told, before = ((each.fields["group"], each.fields["port"]) for each in (event, asked))
    return (
        True
        if told == before or not told[1]
        else f"group {told[0]} port {told[1]}, in frame {asked.number} {before[0]} port {before[1]}"
    )


def lists_active(event: Event, scene: Scene) -> Judged:
    """UIRES names the active members: all of a closed session, creator and core members of an open one [G-22]."""
    session, words = scene.session, event.fields["members"]
    if session.closed is None or event.fields["r"]:
        return None
    known = [member for member in session.members.values() if member.standing is not None and member.kind is not None]
    settled = [
        each
        for each in known
        if each.since is not None and each.since.t_ns < event.t_ns - _SETTLED_NS and not _may_expire(each, event)
    ]
    named = {word[0]: word[1] for word in words if word[0]}
    for member in settled:
        listed = session.closed or member.kind != PARTICIPANT
        active = member.standing is Standing.ACTIVE
        if active and listed and member.user not in named:
            return f"leaves out user {member.user}, who is active"
        if not active and member.user in named:
            return f"names user {member.user}, who is not active"
        if member.user in named and named[member.user] != member.kind:
            return f"says {_TYPES[named[member.user]]} of user {member.user}, a {_TYPES[member.kind or PARTICIPANT]}"
    others = sum(each.standing is Standing.ACTIVE and each.kind == PARTICIPANT for each in settled)
    counted = sum(word[2] for word in words if not word[0])
    if not session.closed and counted < min(others, OTHERS_MAX):
        return f"counts {counted} others, at least {others} are active"
    return True


def _may_expire(member: Member, event: Event) -> bool:
    """Whether its timer may have ended."""
    if member.standing is not Standing.ACTIVE or member.asked is None or member.answered is None:
        return False
    return event.t_ns - member.answered.t_ns > (timeout_s(member.asked) - 0.2) * SECOND

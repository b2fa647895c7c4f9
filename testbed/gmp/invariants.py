"""What must be true of a GMP world: what is watched while it runs, and what is looked at after it has been quiet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agents.gmp.server_records import session_key
from agents.gmp.session import ACTIVE, ENROLLED, Member, Session
from testbed.gmp.people import Meeting, Person
from testbed.gmp.world import World

INVARIANTS: Mapping[str, str] = {
    "nested-sets": "at every moment active members are enrolled, and enrolled ones registered",
    "answering-stays": "an active member that answers is not dropped before its timeout has passed",
    "silent-dropped": "a silent member is active for no longer than its timeout and one period",
    "ends-for-all": "a session ends for everybody or for nobody, and never comes back",
    "confirmed-survives": "what was confirmed to anybody is there when the server's machine has died",
    "one-key": "each generation of a session's key is one key for everybody",
    "key-of-enrolled": "nobody outside the enrolled members holds the session's present key",
    "willing-active": "who wants to be active is, at the server and for itself, with the present key and in the group",
    "left-is-gone": "who has left is not active at the server, nor in the group",
}


def inspect(world: World) -> Iterator[tuple[str, str]]:
    """What is wrong in a world that has been quiet: the invariant's name, and what is seen."""
    for meeting in world.meetings:
        session = world.server.sessions.get(meeting.session_id)
        if session is not None:
            for user_id in session.members:
                world.check_sets(session, user_id)
            yield from _of_session(world, meeting, session)
        elif meeting.session_id:
            yield from _of_ended(world, meeting)
        elif meeting.creator.willing:
            yield "willing-active", f"{meeting.creator.name} has no session: {dict(meeting.creator.described)}"


def _of_ended(world: World, meeting: Meeting) -> Iterator[tuple[str, str]]:
    key = session_key(meeting.session_id)
    if key in world.disk(world.server_node).entries:
        yield "ends-for-all", f"session {meeting.session_id} has ended, and is on disk"
    for person in meeting.people:
        described = person.described
        if described["session"] == meeting.session_id and described["state"] in {"ACTIVE", "ACTIVATING"}:
            yield (
                "ends-for-all",
                f"{person.name} is {described['state']} in session {meeting.session_id}, which has ended",
            )


def _of_session(world: World, meeting: Meeting, session: Session) -> Iterator[tuple[str, str]]:
    for person in meeting.people:
        found = world.member_of(person)
        member = None if found is None else found[1]
        described = person.described
        if described["state"] == "ENDED" and described["session"] == session.session_id:
            yield "ends-for-all", f"{person.name} takes session {session.session_id} to be ended, which is there"
        if meeting.is_secure and described["generation"] == session.generation and not _is_enrolled(member):
            yield "key-of-enrolled", f"{person.name} holds generation {session.generation}, and is not enrolled"
        if person.is_creator and not session.may_start:  # it waits for a core member that does not want to come [G-25]
            continue
        if person.willing:
            yield from _of_willing(person, member, session)
        elif member is not None and member.state is ACTIVE:
            yield "left-is-gone", f"{person.name} has left, and is active at the server"
        elif person.node.groups:
            yield "left-is-gone", f"{person.name} has left, and is in the group"


def _is_enrolled(member: Member | None) -> bool:
    return member is not None and member.state in {ENROLLED, ACTIVE}


def _of_willing(person: Person, member: Member | None, session: Session) -> Iterator[tuple[str, str]]:
    described = person.described
    at_server = "unknown" if member is None else member.state.value
    if described["state"] != "ACTIVE" or at_server != ACTIVE.value:
        yield (
            "willing-active",
            f"{person.name} is {described['state']}, and {at_server} at the server: {dict(described)}",
        )
    elif described["generation"] != session.generation:
        yield "willing-active", f"{person.name} has generation {described['generation']}, not {session.generation}"
    elif not person.is_creator and not person.node.groups:
        yield "willing-active", f"{person.name} is active, and in no group"

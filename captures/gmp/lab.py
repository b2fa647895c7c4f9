"""A lab of GMP as the judge's rules and chapters see it: who is who, and how everybody's standing changed at the server."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from captures.files.capture import CaptureError, Step
from captures.gmp.messages import client_of
from captures.gmp.parameters import Parameters, Party
from captures.gmp.roster import Member, Roster, Session, Standing
from captures.wire.flows import NO_DATA, Flow, flows_of, without_vlans

if TYPE_CHECKING:
    from captures.history.events import Event
    from captures.history.history import History
    from captures.wire.rtp import Streams

_EVENTS_MAX = 4096  # before the parameters step
_NOBODY = Party("", "0.0.0.0")
_REQUESTS = {"SRACC": "SRREQ", "SCACC": "SCREQ", "SJRES": "SJREQ", "KARES": "SAREQ"}


class Change(NamedTuple):
    """A member comes to stand at a level, by a message."""

    t_ns: int
    session: int
    user: int
    standing: Standing
    event: Event


class Membership(NamedTuple):
    """A host joins or leaves the session's group, as its own interface shows it."""

    t_ns: int
    number: int
    joins: bool


class Lab:
    """What was gathered. `changes` are what the server's interface saw, else the one that saw most of GMP."""

    protocols = frozenset({"gmp", "igmp", "sap", "step"})

    def __init__(self) -> None:
        self.parameters = Parameters(_NOBODY, None, (), "", 0)
        self.problem: str | None = None
        self.warnings: list[str] = []
        self.deciding: frozenset[str] = frozenset({"igmp-hop-limit"})
        self.known = False
        self.begin_ns = self.end_ns = 0
        self.messages: list[Event] = []
        self.announcements: list[Event] = []
        self.deletions: list[Event] = []
        self.changes: list[Change] = []
        self.sessions: dict[int, Session] = {}
        self.data: Mapping[str, Flow] = {}
        self._events: deque[Event] = deque(maxlen=_EVENTS_MAX)
        self._member: dict[tuple[int, int], Member] = {}
        """The last that had the User ID in the session of the ID."""
        self._of_client: defaultdict[str, list[Event]] = defaultdict(list)
        self._of_user: defaultdict[tuple[int, int], list[Event]] = defaultdict(list)
        self._memberships: dict[str, list[Membership]] = {}
        self._blind: dict[str, str] = {}
        self._looked_at: set[str] = set()

    # --- gathering

    def learn(self, step: Step, streams: Streams) -> None:
        """Take the lab's parameters; of a step that says nothing of GMP nothing."""
        if self.known or not isinstance(step.fields.get("gmp"), Mapping):
            return
        try:
            self.parameters = Parameters.read(step)
        except CaptureError as error:
            self.problem = str(error)
            return
        self.known = True
        self._events = deque(self._events)
        if self.parameters.group:
            streams.keep(ipaddress.ip_address(self.parameters.group).packed, self.parameters.port)

    def event(self, event: Event) -> None:
        """Take the next event of its `protocols`."""
        self._events.append(event)

    def finish(self, history: History, interfaces: Mapping[str, int], truncated: str | None) -> None:
        """The capture ended."""
        del truncated
        self.begin_ns, self.end_ns = history.begin_ns, history.end_ns
        if not self.known:
            self._events.clear()
            return
        places = {name: without_vlans(name, interfaces) for name in history.began}
        events = sorted(self._events, key=lambda event: (event.t_ns, event.number))
        self._events.clear()
        of_gmp = [event for event in events if event.protocol == "gmp"]
        counts = Counter(event.interface for event in of_gmp)
        where = self.parameters.server.interface
        if where not in counts:
            where = counts.most_common(1)[0][0] if counts else ""
        self.messages = [
            event for event in of_gmp if event.interface == where and event.kind not in ("malformed", "unreachable")
        ]
        self._follow()
        announced = [event for event in events if event.protocol == "sap" and event.interface == where]
        self.announcements = [event for event in announced if event.kind == "announcement"]
        self.deletions = [event for event in announced if event.kind == "deletion"]
        for event in events:
            if event.protocol == "igmp" and event.kind in ("report", "leave"):
                self._belongs(event, places.get(event.interface, event.interface))
        if self.parameters.group:
            channel = ipaddress.ip_address(self.parameters.group).packed, self.parameters.port
            self.data = flows_of(history.streams, places, channel)
        named = [party.interface for party in (self.parameters.server, *self.parameters.clients) if party.interface]
        heard = set(places.values())
        self.warnings += [f"{name} captured nothing" for name in dict.fromkeys(named) if name not in interfaces]
        self._blind = {name: "nothing was captured there" for name in named if name not in heard}
        self._blind |= {
            places.get(name, name): f"its clock is {abs(shift) / 1e6:.1f} ms wrong"
            for name, shift in history.clock_shifts().items()
        }

    def _follow(self) -> None:
        """Every change of anybody's standing, in order of time."""
        roster = Roster()
        for event in self.messages:
            scene = roster.take(event)
            if scene is None:
                continue
            if not scene.session.id:
                self._of_client[client_of(event)[0]].append(event)
                continue
            session, user = scene.session, event.fields["user_id"]
            self._of_client[client_of(event)[0]].append(event)
            if event.kind in ("KAREQ", "KARES"):
                self._of_user[session.id, user].append(event)
            self.sessions[session.id] = session
            if session.ended is event:
                for member in session.members.values():
                    if member.standing:
                        self._member[session.id, member.user] = member
                        self.changes.append(Change(event.t_ns, session.id, member.user, Standing.NOTHING, event))
            after = session.members.get(user)
            if after is None or after.standing is None or scene.ended is not None or session.ended is event:
                continue
            self._member[session.id, user] = after
            if scene.member is None or scene.member.standing is not after.standing:
                self.changes.append(Change(event.t_ns, session.id, user, after.standing, event))

    def _belongs(self, event: Event, interface: str) -> None:
        party = self.parameters.at(event.source)
        if party is None or party.interface != interface:
            return
        for record in event.fields["message"].records:
            if record.group == self.parameters.group and (record.joins() or record.leaves()):
                found = Membership(event.t_ns, event.number, bool(record.joins()))
                self._memberships.setdefault(party.name, []).append(found)

    # --- telling

    def name_of(self, session: int, user: int) -> str:
        """What to call a member: the node, the name that it registered by, or its number."""
        member = self._member[session, user]
        party = None if member.where is None else self.parameters.at(member.where[0])
        name = member.name or (party.name if party is not None else f"user {user}")
        return name if len(self.sessions) < 2 else f"{name} in {session}"

    def party_of(self, session: int, user: int) -> Party | None:
        """Who in the lab a member is."""
        member = self._member[session, user]
        return None if member.where is None else self.parameters.at(member.where[0])

    def memberships_of(self, party: Party) -> list[Membership]:
        """IGMP reports of a host for the session's group."""
        self._looked_at.add(party.interface)
        return self._memberships.get(party.name, [])

    def flow(self, interface: str) -> Flow:
        """Data packets seen at the interface; empty if there were none."""
        self._looked_at.add(interface)
        return self.data.get(interface, NO_DATA)

    def looks_at(self, interface: str) -> None:
        """A rule looks at the next thing, which this interface tells of."""
        self._looked_at = {interface}

    # --- the judgement's facts

    def views(self) -> tuple[Lab, ...]:
        """Itself."""
        return (self,)

    def doubt(self) -> str:
        """Why what was looked at tells nothing; empty if it does."""
        return " and ".join(f"{name}: {why}" for name, why in self._blind.items() if name in self._looked_at)

    def undecided_from(self) -> int | None:
        """Frame number from which on something was under way when the capture broke off."""
        return self.messages[-1].number if self.messages else None

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """``members``: how each came in, from its request to the answer, and how fast it answered KAREQ; times in ms."""
        return {"members": [self._record(session, user) for session, user in self._members()]}

    def _members(self) -> list[tuple[int, int]]:
        return list(dict.fromkeys((change.session, change.user) for change in self.changes))

    def _record(self, session: int, user: int) -> dict[str, Any]:
        mine = [change for change in self.changes if (change.session, change.user) == (session, user)]
        member = self._member[session, user]
        record: dict[str, Any] = {
            "member": self.name_of(session, user),
            "session": session,
            "user": user,
            "kind": {4: "creator", 2: "core member", 1: "participant"}.get(member.kind or 0, "never active"),
        }
        for standing in (Standing.REGISTERED, Standing.ENROLLED, Standing.ACTIVE):
            first = next((change for change in mine if change.standing is standing), None)
            record[f"{standing.name.lower()}_s"] = (
                None if first is None else round((first.t_ns - self.begin_ns) / 1e9, 3)
            )
            took = None if first is None else self._took(first)
            record[f"{standing.name.lower()}_after_ms"] = took
        gone = mine[-1] if mine and mine[-1].standing < Standing.ACTIVE else None
        record["left_s"] = None if gone is None else round((gone.t_ns - self.begin_ns) / 1e9, 3)
        record["left_by"] = None if gone is None else gone.event.kind
        record |= self._keep_alive(session, user)
        record["generation"] = member.generation
        return record

    def _took(self, change: Change) -> float | None:
        """From the first request of its kind since the answer before, in ms."""
        wanted, asked = _REQUESTS.get(change.event.kind), None
        for event in self._of_client.get(client_of(change.event)[0], ()):
            if event is change.event:
                break
            if event.kind == wanted and event.fields["session_id"] in (0, change.session):
                asked = asked or event
            elif event.kind == change.event.kind:
                asked = None
        return None if asked is None else round((change.t_ns - asked.t_ns) / 1e6, 3)

    def _keep_alive(self, session: int, user: int) -> dict[str, Any]:
        """How often it was asked, and how fast it answered."""
        asked = answered = 0
        since: int | None = None
        waits: list[float] = []
        for event in self._of_user.get((session, user), ()):
            if event.kind == "KAREQ":
                asked, since = asked + 1, event.t_ns
            elif since is not None:
                answered += 1
                waits.append((event.t_ns - since) / 1e6)
                since = None
        return {"asked": asked, "answered": answered, "answer_ms": round(median(waits), 3) if waits else None}

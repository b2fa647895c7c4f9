"""The MNs that an LMC expects: contexts taken over from other LMCs, and the group joined until each MN is there (7.5).

An HCT makes the LMC join the group with IGMP or MLD; HTA goes out once the report is on the wire. It stays joined for
``hold`` until the MN comes, and for ``linger`` after the MN's own LJR [M-9, M-10]. One join serves all who are expected
for a group, and the last to go ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.core.agent import Endpoint, GroupJoined, JoinGroup, LeaveGroup
from agents.core.checks import is_source_specific
from agents.mmcp import constants as c
from agents.mmcp.constants import EXPECTED_MAXIMUM, Profile
from agents.mmcp.controller_state import Expectation, GroupUse, SessionRecord, SessionState
from agents.mmcp.messages import Message
from agents.mmcp.role import Role
from agents.mmcp.timing import Timers


class ExpectedNodes:
    """What an LMC does for MNs that are to come. Its timers and actions are the role's: keys (what, session, MN ID)."""

    def __init__(self, role: Role, interface: str, sources: Mapping[str, str], timers: Timers) -> None:
        self._role = role
        self._interface = interface
        self._sources = sources
        self._timers = timers
        self._groups: dict[str, GroupUse] = {}

    @property
    def groups(self) -> list[str]:
        """The groups joined for somebody."""
        return sorted(self._groups)

    def arrived(self, record: SessionRecord, mn_id: bytes, now: float) -> None:
        """The MN is here; the group is kept a while, until its own membership is in effect [M-10]."""
        if mn_id not in record.expected:
            return
        linger = ("linger", record.session_id, mn_id)
        if linger not in self._role.timers:
            self._role.timers.cancel(("hold", record.session_id, mn_id))
            self._role.timers.set(linger, now + self._timers.linger_s)

    def is_of_old_group(self, record: SessionRecord, mn_id: bytes) -> bool:
        """Whether the MN that comes was handed over before the group changed; told once."""
        expectation = record.expected.get(mn_id)
        if expectation is None or not expectation.has_old_group:
            return False
        expectation.has_old_group = False
        return True

    def context_transferred(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        """Join for the MN that will come, then acknowledge. An HCT is known by (session, MN ID).

        Only the session's own group is taken over [M-24].
        """
        mn_id = message.mn_id
        expectation = record.expected.get(mn_id)
        if expectation is not None and expectation.joined is not False:
            self._role.counters.add("duplicate.HCT")
            if mn_id not in record.members:  # it has not come yet, or has been here and is to come back
                self._role.timers.cancel(("linger", record.session_id, mn_id))
                self._role.timers.set(("hold", record.session_id, mn_id), now + self._timers.hold_time)
            use = self._groups[expectation.group]
            if expectation.joined and not use.joined:  # lost since, with the interface
                expectation.joined = None
                self._join(expectation.group, use)
            if expectation.joined is None:
                if (source, message.profile) not in expectation.waiting:
                    expectation.waiting.append((source, message.profile))
            else:
                self._acknowledge(record, source, message.profile, accepted=True)
            return
        refusal = self._refusal(record, message)
        if refusal is not None:
            self._role.counters.add(refusal)
            self._acknowledge(record, source, message.profile, accepted=False)
            return
        expectation = record.expected[mn_id] = Expectation(message.multicast.group)
        self._role.timers.set(("hold", record.session_id, mn_id), now + self._timers.hold_time)  # [M-9]
        self._use(expectation)
        if expectation.joined:
            self._acknowledge(record, source, message.profile, accepted=True)
        else:
            expectation.waiting.append((source, message.profile))

    def _use(self, expectation: Expectation) -> None:
        """Join its group, unless that is joined for somebody else, or about to be: one join answers for all."""
        use = self._groups.setdefault(expectation.group, GroupUse())
        use.users += 1
        if use.joined:
            expectation.joined = True
        else:
            self._join(expectation.group, use)

    def _join(self, group: str, use: GroupUse) -> None:
        """Join, unless the answer to that is still awaited."""
        if use.joined is False:
            use.joined = None
            self._role.act(JoinGroup(group, self._interface, self._sources.get(group)))

    def _refusal(self, record: SessionRecord, message: Message) -> str | None:
        """Why this context cannot be taken over, as a counter's name, or None."""
        if record.machine.state is not SessionState.ESTABLISHED:
            return "refused.session-not-established"
        if record.group is None or message.multicast.group != record.group.group:
            return "refused.group-not-the-sessions"
        if is_source_specific(record.group.group) and record.group.group not in self._sources:
            return "refused.no-source"  # [M-6]
        if len(record.expected) >= EXPECTED_MAXIMUM:
            return "refused.expected-full"
        return None

    def group_changed(self, record: SessionRecord) -> None:
        """The session has another group now: leave the old one for that, for all who are expected [M-25]."""
        assert record.group is not None  # SJC brought it
        group = record.group.group
        cannot = is_source_specific(group) and group not in self._sources
        for mn_id, old in [(mn_id, row) for mn_id, row in record.expected.items() if row.group != group]:
            if cannot:  # [M-6]
                self._role.counters.add("refused.no-source")
                for endpoint, profile in old.waiting:
                    self._acknowledge(record, endpoint, profile, accepted=False)
                self.stop_expecting(record, mn_id)
                continue
            expectation = record.expected[mn_id] = Expectation(group, has_old_group=True)
            self._use(expectation)
            self._release(old)
            if expectation.joined:
                for endpoint, profile in old.waiting:
                    self._acknowledge(record, endpoint, profile, accepted=True)
            else:
                expectation.waiting = old.waiting

    def group_joined(self, event: GroupJoined, sessions: Iterable[SessionRecord]) -> None:
        """The kernel has joined a group, or could not, or has lost it or has it back: whoever waits for it is told.

        Who was acknowledged before is not told of a loss, for which there is no message; the next HCT about them tries anew.
        """
        if not event.succeeded:
            self._role.counters.add("failed.join")
        if event.group in self._groups:
            self._groups[event.group].joined = event.succeeded
        for record in sessions:
            for mn_id, expectation in list(record.expected.items()):
                if expectation.group != event.group or expectation.joined is not None:
                    continue
                expectation.joined = event.succeeded
                waiting, expectation.waiting = expectation.waiting, []
                for endpoint, profile in waiting:
                    self._acknowledge(record, endpoint, profile, accepted=event.succeeded)
                if not event.succeeded:
                    self.stop_expecting(record, mn_id)

    def _acknowledge(self, record: SessionRecord, old_lmc: Endpoint, profile: Profile, *, accepted: bool) -> None:
        self._role.send(c.HTA, record.session_id, old_lmc, accepted=accepted, profile=profile)

    def stop_expecting(self, record: SessionRecord, mn_id: bytes) -> None:
        """Leave the group when nobody is expected for it any more."""
        expectation = record.expected.pop(mn_id)
        self._role.timers.cancel(("hold", record.session_id, mn_id))
        self._role.timers.cancel(("linger", record.session_id, mn_id))
        self._release(expectation)

    def _release(self, expectation: Expectation) -> None:
        use = self._groups[expectation.group]
        use.users -= 1
        if not use.users:
            del self._groups[expectation.group]
            source = self._sources.get(expectation.group)
            self._role.act(LeaveGroup(expectation.group, self._interface, source))

"""The rounds in which an LMC reports all its MNs to the SM: ASRs in a row, each with the full count (7.4, 8.5.2).

Theory of operation. A round is about the MNs that are there when it begins. Its ASRs go out some at a time, with a pause that
is short beside any timer: many at once would find no room at the SM, and the LMC would do nothing else meanwhile. What asks
for a round while one is under way has another one after it.
"""

from __future__ import annotations

from agents.core.agent import Endpoint
from agents.mmcp import constants as c
from agents.mmcp.constants import AGGREGATES_PAUSE, AGGREGATES_PER_TURN, ROUNDS_PAUSE, Profile
from agents.mmcp.controller_state import Round, SessionRecord
from agents.mmcp.reports import aggregates
from agents.mmcp.role import Role


class StatusRounds:
    """What an LMC does to report its MNs. Its timers and actions are the role's: keys ("asr", session)."""

    def __init__(self, role: Role, session_manager: Endpoint) -> None:
        self._role = role
        self._session_manager = session_manager

    def begin(self, record: SessionRecord, profile: Profile, now: float) -> None:
        """Report all MNs of a session: now, or after the round that is under way."""
        if record.round is None:
            self._begin(record, profile, now)
        else:
            record.round.next_profile = profile

    def go_on(self, record: SessionRecord, now: float) -> None:
        """The pause has ended: send the next ASRs of the round, or begin the next round."""
        this = record.round
        if this is None:
            return
        if this.has_ended:
            record.round = None
            if this.next_profile is not None:
                self._begin(record, this.next_profile, now)
            return
        for _ in range(AGGREGATES_PER_TURN):
            parameters = next(this.rest, None)
            if parameters is None:
                this.has_ended = True
                break
            self._role.send(c.ASR, record.session_id, self._session_manager, parameters, profile=this.profile)
        if this.has_ended and not this.turns:
            record.round = None  # all in one turn, so that none can have been asked for meanwhile
            return
        this.turns += 1
        pause = ROUNDS_PAUSE if this.has_ended else AGGREGATES_PAUSE
        self._role.timers.set(("asr", record.session_id), now + pause)

    def stop(self, record: SessionRecord) -> None:
        """There is nobody to report, or nobody to report to."""
        record.round = None
        self._role.timers.cancel(("asr", record.session_id))

    def _begin(self, record: SessionRecord, profile: Profile, now: float) -> None:
        record.round = Round(aggregates(list(record.members.values())), profile)
        self.go_on(record, now)

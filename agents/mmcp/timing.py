"""The timers of MMCP as an operator provisions them, with their bounds; all times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from agents.core.errors import ConfigurationError
from agents.mmcp import constants as c


@dataclass(frozen=True, slots=True)
class Timers:
    """The timers of Annex A and of decisions M-7 to M-10, in seconds; spt_s and hold_s follow from srt_s unless set."""

    jwt_s: float = c.JOIN_WAITING_TIME
    join_retries: int = c.JOIN_RETRIES
    srt_s: float = c.STATUS_REPORT_TIME
    spt_s: float | None = None
    hit_s: float = c.HANDOVER_INITIATION_TIME
    ctt_s: float = c.CONTEXT_TRANSFER_TIME
    hold_s: float | None = None
    linger_s: float = c.LINGER_TIME

    @property
    def probe_time(self) -> float:
        """SPT: silence after which a parent probes; 3 x SRT unless set [7.4]."""
        return c.STATUS_PROBE_FACTOR * self.srt_s if self.spt_s is None else self.spt_s

    @property
    def reports_per_renewal(self) -> int:
        """With every how many status reports an MN renews its membership, so that it does within SPT [M-25]."""
        return max(1, int(self.probe_time / self.srt_s + 1e-9))

    @property
    def hold_time(self) -> float:
        """How long a new LMC stays joined for an MN that does not come; SPT unless set [M-9]."""
        return self.probe_time if self.hold_s is None else self.hold_s

    def check(self) -> None:
        """Raise ConfigurationError for a timer out of bounds, for SPT < SRT, or for HIT < 3 x CTT + join time [M-8]."""
        followed = {"spt_s": self.probe_time, "hold_s": self.hold_time}
        for name in ("jwt_s", "srt_s", "spt_s", "hit_s", "ctt_s", "hold_s", "linger_s"):
            value = followed.get(name, getattr(self, name))
            if not c.TIMER_MINIMUM <= value <= c.TIMER_MAXIMUM:
                raise ConfigurationError(
                    f"timers.{name}", f"{value} s", f"give {c.TIMER_MINIMUM} to {c.TIMER_MAXIMUM:g} s"
                )
        if not 0 <= self.join_retries <= c.JOIN_RETRIES_MAXIMUM:
            raise ConfigurationError(
                "timers.join_retries", str(self.join_retries), f"give 0 to {c.JOIN_RETRIES_MAXIMUM}"
            )
        if self.probe_time < self.srt_s:
            raise ConfigurationError(
                "timers.spt_s",
                f"{self.probe_time:g} s is shorter than SRT, {self.srt_s:g} s",
                "raise spt_s or lower srt_s",
            )
        least = c.CONTEXT_TRANSFER_SENDS * self.ctt_s + c.JOIN_TIME
        if self.hit_s < least:
            raise ConfigurationError(
                "timers.hit_s",
                f"{self.hit_s} s is shorter than all sends of an HCT and the join, {least:g} s",
                "raise hit_s or lower ctt_s",
            )

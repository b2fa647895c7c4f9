"""Whether each link is what it was asked to be, measured before anything else goes over it.

A delay must be right within 1 ms or 5 %, a share (loss, duplicates, reordering) within three times its standard deviation
over the probes sent, a rate within 5 %. What is off is measured again, with more probes, before it is believed: on a busy
machine a measurement may be wrong, and of a thousand right links three are that far off by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, median

from testbed.net.link_plans import QUEUE_PACKETS, Plan, bucket_octets
from testbed.net.link_probes import FRAME_MAX, FRAME_MIN, Arrival, Prober, Track
from testbed.net.model import PERFECT, Quality
from testbed.net.quality_text import quality_text

DELAY_TOLERANCE_S = 0.001
TOLERANCE = 0.05
SIGMAS = 3
ATTEMPTS = 3

_DELAY_PROBES = 30
_DELAY_SPACING_S = 0.003
_DELAY_PROBES_TAKE_S = 2.0
_COUNTED_PROBES = 4000
_COUNTED_PER_S = 10_000
_COUNTED_TAKE_S = 1.0
_RATE_TAKES_S = 0.2
_RATE_FRAMES = (20, 3000)
"""Least and most frames that a rate is measured with."""
_EXCESS = 1.3
"""How much faster than its rate frames are sent into a link, so that some always wait."""
_FAST_BPS = 100_000_000
"""From here on frames are sent as fast as this machine can."""
_SIDE_BY_SIDE_BPS = 50_000_000
"""Rates that are measured at the same time add up to no more: this machine has to send all of it."""


class LinkError(RuntimeError):
    """A link is not what it was asked to be; says which direction of which, what was asked and what was found."""


@dataclass(slots=True)
class Measured:
    """What was found of one direction: seconds, shares of 0 to 1, bit/s; None: not asked, so not measured."""

    delay_s: float | None = None
    jitter_s: float | None = None
    loss: float | None = None
    duplicate: float | None = None
    reorder: float | None = None
    rate_bps: float | None = None
    probes: int = 0

    def text(self, asked: Quality) -> str:
        """What was found of what was asked, as a person reads it."""
        found = {
            name: value for name, value in asdict(self).items() if getattr(asked, name, None) and value is not None
        }
        rounded = {
            name: round(value, 5) if name != "rate_bps" else round(value / 1e3) * 1000 for name, value in found.items()
        }
        return quality_text(replace(PERFECT, **rounded))


@dataclass(slots=True)
class Subject:
    """One direction to be verified: how it was planned, its track, what was found and what is wrong with that."""

    plan: Plan
    track: Track
    found: Measured
    problems: list[str]


def verify(subjects: Sequence[Subject]) -> None:
    """Measure all, side by side. Raises LinkError for the first that is still wrong after the last attempt."""
    todo = list(subjects)
    for attempt in range(1, ATTEMPTS + 1):
        for subject in todo:
            subject.found, subject.problems = Measured(), []
        with Prober(subject.track for subject in todo) as prober:
            _measure_delays(prober, todo)
            _measure_shares(prober, [each for each in todo if _has_shares(each.plan.quality)], attempt)
            for group in _rate_groups(todo):
                _measure_rates(prober, group)
        todo = [subject for subject in todo if subject.problems]
        if not todo:
            return
    worst = todo[0]
    raise LinkError(
        f"link {worst.track.name} is not what it was asked to be ({quality_text(worst.plan.quality)}, by "
        f"{worst.plan.mechanism}): {'; '.join(worst.problems)}"
    )


def _has_shares(quality: Quality) -> bool:
    return quality.loss > 0 or quality.duplicate > 0 or quality.reorder > 0


def _drain_s(subjects: Iterable[Subject]) -> float:
    """How long after the last probe to wait for those that are still on their way."""
    return 0.1 + max((s.plan.quality.delay_s + s.plan.quality.jitter_s for s in subjects), default=0.0)


def _first_copies(track: Track) -> list[Arrival]:
    """The arrivals without those that had arrived before."""
    return list({arrival.number: arrival for arrival in reversed(track.arrivals)}.values())[::-1]


# --- delay ------------------------------------------------------------------------------------------------------------


def _measure_delays(prober: Prober, subjects: Sequence[Subject]) -> None:
    schedule = []
    for offset, subject in enumerate(subjects):
        quality = subject.plan.quality
        # Far enough apart for none to wait for the one before: not at the rate, and not by the jitter.
        spacing = max(_DELAY_SPACING_S, 2 * quality.jitter_s, 1.5 * _airtime_s(FRAME_MIN, quality))
        count = max(5, min(_DELAY_PROBES, int(_DELAY_PROBES_TAKE_S / spacing)))
        start = offset * _DELAY_SPACING_S / len(subjects)
        schedule += [(start + number * spacing, subject.track, FRAME_MIN) for number in range(count)]
    schedule.sort(key=lambda entry: entry[0])
    prober.run(schedule, _drain_s(subjects))
    for subject in subjects:
        judge_delays(subject.plan, subject.track.sent, _first_copies(subject.track), subject.found, subject.problems)


def judge_delays(plan: Plan, sent: int, came: Sequence[Arrival], found: Measured, problems: list[str]) -> None:
    """Note the delay and jitter found with probes far apart, and what is wrong with them."""
    quality = plan.quality
    found.probes += sent
    # What overtakes others has no delay.
    delays = sorted(each.delay_s for each in came if not quality.reorder or each.delay_s > quality.delay_s / 2)
    if not delays:
        if quality.loss < 1:
            problems.append(f"none of {sent} probes arrived")
        return
    tolerance = max(DELAY_TOLERANCE_S, TOLERANCE * quality.delay_s)
    if not quality.jitter_s:
        found.delay_s = median(delays)
    else:
        # Without the tenth that took longest and shortest: a busy machine makes some late.
        tenth = len(delays) // 10
        middle = delays[tenth : len(delays) - tenth]
        found.delay_s = fmean(middle)
        found.jitter_s = (middle[-1] - middle[0]) / 2 / 0.8
        # The mean of so many drawn evenly from a range twice as wide as the jitter.
        tolerance += SIGMAS * quality.jitter_s / math.sqrt(3 * len(delays))
        # Of so few probes only what is far off is known to be wrong.
        if not quality.jitter_s / 4 < found.jitter_s < quality.jitter_s * 1.5 + 2 * DELAY_TOLERANCE_S:
            problems.append(
                f"jitter {found.jitter_s * 1000:.1f} ms instead of {quality.jitter_s * 1000:g} ms over {len(delays)} probes"
            )
    if abs(found.delay_s - quality.delay_s) > tolerance:
        problems.append(
            f"delay {found.delay_s * 1000:.2f} ms instead of {quality.delay_s * 1000:g} ms over {len(delays)} probes"
        )
    if not quality.loss and len(came) < sent:
        problems.append(f"{sent - len(came)} of {sent} probes lost, and no loss was asked")


# --- shares -----------------------------------------------------------------------------------------------------------


def _measure_shares(prober: Prober, subjects: Sequence[Subject], attempt: int) -> None:
    if not subjects:
        return
    schedule = []
    per_s = _COUNTED_PER_S / len(subjects)
    for offset, subject in enumerate(subjects):
        quality = subject.plan.quality
        pace = min(per_s, 0.7 / _airtime_s(FRAME_MIN, quality) if quality.rate_bps else per_s)
        count = max(100, int(min(_COUNTED_PROBES, pace * _COUNTED_TAKE_S) * attempt))
        start = offset / _COUNTED_PER_S
        schedule += [(start + number / pace, subject.track, FRAME_MIN) for number in range(count)]
    schedule.sort(key=lambda entry: entry[0])
    prober.run(schedule, _drain_s(subjects))
    for subject in subjects:
        judge_shares(subject.plan, subject.track.sent, subject.track.arrivals, subject.found, subject.problems)


def judge_shares(plan: Plan, sent: int, arrivals: Sequence[Arrival], found: Measured, problems: list[str]) -> None:
    """Note the shares found among many probes, and what is wrong with them."""
    quality = plan.quality
    found.probes += sent
    came = len({arrival.number for arrival in arrivals})
    # netem draws both for each packet, and of one that it doubles it only loses a copy.
    lost = quality.loss * (1 - quality.duplicate) if plan.netem else quality.loss
    found.loss = _share("loss", lost, sent - came, sent, problems)
    if quality.duplicate:
        doubled = quality.duplicate * (1 - quality.loss) if plan.netem else quality.duplicate
        of = sent if plan.netem else came
        found.duplicate = _share("duplicates", doubled, len(arrivals) - came, of, problems)
    if quality.reorder:
        overtook = sum(arrival.delay_s < (quality.delay_s - quality.jitter_s) / 2 for arrival in arrivals)
        found.reorder = _share("reordering", quality.reorder, overtook, len(arrivals), problems)


def _share(name: str, asked: float, count: int, of: int, problems: list[str]) -> float | None:
    if not of:
        return None
    allowed = SIGMAS * math.sqrt(of * asked * (1 - asked)) + (1 if 0 < asked < 1 else 0)
    if abs(count - asked * of) > allowed:
        problems.append(f"{name} {count / of:.2%} ({count} of {of} probes) instead of {asked:.2%}")
    return count / of


# --- rate -------------------------------------------------------------------------------------------------------------


def _rate_groups(subjects: Sequence[Subject]) -> list[list[Subject]]:
    """Those with a rate, in groups that this machine can fill at the same time."""
    groups: list[list[Subject]] = []
    total = 0
    for subject in subjects:
        rate_bps = subject.plan.quality.rate_bps
        if rate_bps is None:
            continue
        total += rate_bps
        if not groups or total > _SIDE_BY_SIDE_BPS:
            groups.append([])
            total = rate_bps
        groups[-1].append(subject)
    return groups


def _airtime_s(size: int, quality: Quality) -> float:
    """How long a frame takes at a link's rate."""
    return 8 * size / quality.rate_bps if quality.rate_bps else 0.0


def _measure_rates(prober: Prober, subjects: Sequence[Subject]) -> None:
    schedule = []
    for subject in subjects:
        quality = subject.plan.quality
        assert quality.rate_bps is not None
        size = max(FRAME_MIN, min(FRAME_MAX, int(quality.rate_bps * 0.01 / 8)))
        airtime = _airtime_s(size, quality)
        least, most = _RATE_FRAMES
        bucket = bucket_octets(quality.rate_bps) // size + 1
        count = bucket + max(least, min(most, int(_RATE_TAKES_S / airtime)))
        # What the bucket holds goes at once, and is no part of the measurement.
        schedule += [(0.0, subject.track, size)] * bucket
        apart = airtime / _EXCESS if quality.rate_bps < _FAST_BPS else 0.0
        schedule += [(number * apart, subject.track, size) for number in range(count - bucket)]
    schedule.sort(key=lambda entry: entry[0])
    queued_s = max(
        min(s.plan.quality.queue_packets or QUEUE_PACKETS, 400) * _airtime_s(FRAME_MIN, s.plan.quality)
        for s in subjects
    )
    prober.run(schedule, _drain_s(subjects) + queued_s)
    for subject in subjects:
        judge_rate(subject.plan, subject.track.sent, _first_copies(subject.track), subject.found, subject.problems)


def judge_rate(plan: Plan, sent: int, came: Sequence[Arrival], found: Measured, problems: list[str]) -> None:
    """Note the rate at which frames arrived that were sent faster, and what is wrong with it."""
    asked = plan.quality.rate_bps
    assert asked is not None
    found.probes += sent
    size = came[0].size if came else FRAME_MIN
    steady = sorted(arrival.at_s for arrival in came)[bucket_octets(asked) // size + 2 :]
    if len(steady) < _RATE_FRAMES[0] // 2:
        problems.append(f"only {len(came)} of {sent} frames arrived, too few to tell the rate")
        return
    frames = len(steady) - 1
    found.rate_bps = frames * size * 8 / (steady[-1] - steady[0])
    if abs(found.rate_bps - asked) > TOLERANCE * asked:
        problems.append(f"rate {found.rate_bps / 1e6:.3f} Mbit/s instead of {asked / 1e6:g} over {frames} frames")
        departures = [arrival.at_s - arrival.delay_s for arrival in came]
        offered = (len(came) - 1) * size * 8 / (max(departures) - min(departures))
        if offered < asked * (1 + TOLERANCE):
            problems.append(f"this machine sent no more than {offered / 1e6:.0f} Mbit/s: ask for a lower rate")

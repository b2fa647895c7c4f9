"""Packets of good captures lost, held back, doubled, swapped and damaged, one at a time: the rule that owns it must notice."""

from __future__ import annotations

import io
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from captures.files.capture import CaptureError
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.packs.pack import Settings
from tests.captures import mutation_owners as told
from tests.captures.mutating import ALONE, SWAPPED, Capture, Packet, mutated, neighbour, real, scripted, swapped
from tests.captures.scripted_link import SRT_S

DATA = Path(__file__).parent / "data"
REAL = ("handover-ipv4", "handover-ipv6", "status-ipv4", "status-ipv6")
AT_LEAST = 0.95
LATER_S = {
    "query": 4.0, "repeat": 1.4, "answer": 1.4, "hello": 1.0, "join-prune": 2.5, "USR": 1.0, "ASR": 1.0, "data": 0.015,
    "HTA": 1.4,
}  # fmt: skip
EDGES_S = 5.0, 2.7  # at the beginning and at the end of a capture
STEPS_S = 3.0  # around a step
PERIODIC = ("USR", "ASR", "query", "hello", "join-prune", "data")
OF_STEPS = (
    "USR", "answer to a probe", "last answer to a probe", "change", "repeat", "answer", "USP", "USP without answer",
)  # fmt: skip
STEPS = ("link_down", "link_up", "session_begin", "session_end", "silence_begin", "silence_end")


@dataclass(frozen=True)
class Mutation:
    """What is done to a packet, and either the rule that owns it or why none does."""

    index: int
    how: str
    name: told.Name
    owner: str | None
    reason: str | None
    other: int | None = None

    def of(self, capture: Capture) -> Capture:
        """The capture with it."""
        if self.other is not None:
            return swapped(capture, self.index, self.other)
        kind = capture.packets[self.index].kind
        return mutated(capture, self.index, self.how, LATER_S.get(kind, 3.0))


class Mutations:
    """All mutations of a capture, each with its owner or its reason."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._places: dict[object, list[int]] = defaultdict(list)
        for index, packet in enumerate(capture.packets):
            self._places[packet.sort].append(index)
        self._begin_ns, self._end_ns = capture.packets[0].t_ns, capture.packets[-1].t_ns
        self._links = [step.t_ns for step in capture.steps if step.fields["step"] in ("link_down", "link_up")]
        self._silences = [
            (step.fields["step"] == "silence_begin", step.t_ns)
            for step in capture.steps
            if step.fields["step"].startswith("silence_")
        ]
        self._steps = [step.t_ns for step in capture.steps if step.fields["step"] in STEPS]

    def __iter__(self) -> Iterator[Mutation]:
        for index, packet in enumerate(self._capture.packets):
            if not packet.protocol:
                continue
            for how in ALONE:
                name = (packet.protocol, packet.kind, how)
                owner, reason = told.OWNERS.get(name), told.ALLOWED.get(name)
                assert (owner is None) != (reason is None), name
                excuse = self._excuse(index, packet, how)
                yield Mutation(index, how, name, owner if excuse is None else None, reason or excuse)
            other = neighbour(self._capture, index)
            if other is not None:
                yield self._swap(index, packet, other)

    def _swap(self, index: int, packet: Packet, other: int) -> Mutation:
        second = self._capture.packets[other]
        name = (packet.protocol, f"{packet.kind}>{second.kind}", SWAPPED)
        owner, reason = told.OWNERS.get(name), told.ALLOWED.get(name)
        if owner is not None:
            reason = self._excuse(index, packet, SWAPPED)
            owner = owner if reason is None else None
        elif packet.party != second.party:
            reason = told.NO_ORDER_BETWEEN_OTHERS
        assert owner or reason, name
        return Mutation(index, SWAPPED, name, owner, reason, other)

    def _excuse(self, index: int, packet: Packet, how: str) -> str | None:
        """Why the rule that owns such a mutation cannot notice this one."""
        if how in ("damaged", "doubled"):
            return None
        places = self._places[packet.sort]
        first_s, last_s = EDGES_S
        if packet.t_ns < self._begin_ns + first_s * 1e9 or packet.t_ns > self._end_ns - last_s * 1e9:
            return told.EDGE
        if packet.kind in PERIODIC and index in (places[0], places[-1]):
            return told.FIRST_OR_LAST
        if packet.kind in OF_STEPS and any(abs(t_ns - packet.t_ns) < STEPS_S * 1e9 for t_ns in self._steps):
            return told.STEPS
        if packet.kind == "join-prune" and any(abs(t_ns - packet.t_ns) < STEPS_S * 1e9 for t_ns in self._links):
            return told.STEPS
        if packet.kind in ("LJR", "LJC") and self._is_silenced(packet.t_ns):
            return told.STEPS
        if packet.protocol in ("igmp", "mld") and packet.kind != "query" and not self._heard_again(index, packet):
            return told.NOT_HEARD_AGAIN
        if packet.kind == "data" and how == "lost" and self._settling(packet):
            return told.SETTLING
        return None

    def _is_silenced(self, t_ns: int) -> bool:
        before = [begins for begins, step_ns in self._silences if step_ns <= t_ns]
        return bool(before) and before[-1]

    def _heard_again(self, index: int, packet: Packet) -> bool:
        return any(
            later.protocol == packet.protocol and later.party == packet.party and later.t_ns > packet.t_ns + 2.5e9
            for later in self._capture.packets[index + 1 :]
        )

    def _settling(self, packet: Packet) -> bool:
        return any(
            -0.02e9 < packet.t_ns - other.t_ns < 0.15e9 and other.kind in ("change", "repeat")
            for other in self._capture.packets
        )


def sample(mutations: list[Mutation], most: int) -> Iterator[Mutation]:
    """Of each name that is owned no more than so many, spread over the capture; and of each protocol one for each reason."""
    groups: dict[tuple[object, str | None], list[Mutation]] = defaultdict(list)
    for mutation in mutations:
        group = mutation.name if mutation.reason is None else mutation.name[0]
        groups[group, mutation.reason].append(mutation)
    for (_, reason), found in groups.items():
        yield from found[:: -(-len(found) // (most if reason is None else 1))]


def noticing(path: Path, settings: Settings | None = None) -> tuple[set[str], set[str]]:
    """Rules that failed, and those that would have failed if the failure of another did not explain it."""
    found = verify(CaptureReader(path), settings=settings)
    failed = {verdict.rule for verdict in found.verdicts if verdict.verdict == "failed"}
    return failed, {verdict.rule for verdict in found.verdicts if verdict.follows}


class Account:
    """How many were tried, and who noticed."""

    def __init__(self, found: list[Mutation]) -> None:
        self.found = found
        self.noticed: Counter[str] = Counter()
        self.tried: Counter[str] = Counter()
        self.missed: list[tuple[str, ...]] = []
        self.excused: list[tuple[str, ...]] = []
        """Of which every rule that noticed says that it follows from another, and nothing failed."""
        self.caught = self.owned = 0

    def take(self, mutation: Mutation, failed: set[str], following: set[str], at_s: float) -> None:
        protocol = mutation.name[0]
        self.tried[protocol] += 1
        self.noticed[protocol] += bool(failed)
        if following and not failed:
            self.excused.append((*mutation.name, f"{at_s:.3f} s"))
        if mutation.owner is None:
            return
        self.owned += 1
        if mutation.owner in failed | following:
            self.caught += 1
        else:
            self.missed.append((*mutation.name, f"{at_s:.3f} s"))

    def text(self, what: str) -> str:
        """For people."""
        reasons = Counter(one.reason for one in self.found if one.reason is not None)
        by_protocol = ", ".join(f"{name} {self.noticed[name]} of {self.tried[name]}" for name in self.tried)
        lines = [
            f"\nmutations of {what}: {self.caught} of {self.owned} with an owner noticed by it ({self.caught / self.owned:.1%})",
            f"  missed: {self.missed or 'none'}",
            f"  of those tried {self.noticed.total()} of {self.tried.total()} noticed by some rule: {by_protocol}",
            f"  of all {len(self.found)} that can be made {len(self.found) - reasons.total()} have an owner; none, because",
            *(f"  {count:5d}  {reason}" for reason, count in reasons.most_common()),
        ]
        return "\n".join(lines)


def account_of(capture: Capture, path: Path, settings: Settings | None, owned: int) -> tuple[Account, set[told.Name]]:
    assert noticing(capture.write(path), settings) == (set(), set())
    found = list(Mutations(capture))
    account, used = Account(found), set()
    for mutation in sample(found, owned):
        at_s = (capture.packets[mutation.index].t_ns - capture.packets[0].t_ns) / 1e9
        account.take(mutation, *noticing(mutation.of(capture).write(path), settings), at_s)
        used.add(mutation.name)
    return account, used


def test_every_mutation_of_a_scripted_link_has_one_owner_or_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account, used = account_of(scripted(), tmp_path / "link.pcapng", Settings(timers={"srt": SRT_S}), owned=4)
    with capsys.disabled():
        print(account.text("a scripted link"))
    assert not set(told.OWNERS) & set(told.ALLOWED)
    assert {name for name in told.OWNERS if "USP without answer" not in name} <= used
    assert account.owned >= 250
    assert account.caught >= AT_LEAST * account.owned
    assert account.excused == []


# --- real captures: two labs over IPv4 and IPv6, with their data packets taken out but for a short while at the node


@pytest.mark.parametrize("name", REAL)
def test_real_captures_break_no_rule(name: str) -> None:
    found = verify(CaptureReader(DATA / f"{name}.pcapng"))
    assert [(v.rule, v.message) for v in found.verdicts if v.verdict == "failed"] == []
    passed = {verdict.rule for verdict in found.verdicts if verdict.verdict == "passed"}
    assert len(passed) >= 40
    assert found.warnings == []


def test_real_captures_damaged_anywhere_are_judged_or_refused() -> None:
    """Octets of whole files changed at random: a verdict or a refusal, and nothing else."""
    order = random.Random(5)
    whole = [(DATA / f"handover-ipv{family}.pcapng").read_bytes() for family in (4, 6)]
    ended: Counter[str] = Counter()
    for _ in range(150):
        octets = bytearray(order.choice(whole))
        for _ in range(order.choice((1, 5, 50, 500))):
            octets[order.randrange(len(octets))] = order.randrange(256)
        try:
            verify(CaptureReader(io.BytesIO(bytes(octets))))
            ended["judged"] += 1
        except CaptureError:
            ended["refused"] += 1
    assert ended["judged"] > 100


@pytest.mark.parametrize("name", REAL)
def test_mutations_of_real_captures_are_caught(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Packets of all protocols, each mutated wherever it was captured on its way."""
    account, _ = account_of(real(DATA / f"{name}.pcapng"), tmp_path / "run.pcapng", None, owned=1)
    with capsys.disabled():
        print(account.text(name))
    assert account.owned >= 30
    assert account.caught >= AT_LEAST * account.owned
    assert account.excused == []

"""What can be done to the packets of a good capture, who owns each mutation, and how many were noticed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.packs.pack import Settings
from tests.captures import mutation_owners as told
from tests.captures.mutating import ALONE, SWAPPED, Capture, Packet, mutated, neighbour, swapped

LATER_S = {
    "query": 4.0, "repeat": 1.4, "answer": 1.4, "hello": 1.0, "join-prune": 2.5, "USR": 1.0, "ASR": 1.0, "data": 0.015,
    "HTA": 1.4,
}  # fmt: skip
EDGES_S = 5.0, 2.7  # at the beginning and at the end of a capture, in which what belongs to a packet may lie outside
STEPS_S = 3.0  # around a step
PERIODIC = ("USR", "ASR", "query", "hello", "join-prune", "data")
OF_STEPS = (
    "USR", "answer to a probe", "last answer to a probe", "change", "repeat", "answer", "USP", "USP without answer",
)  # fmt: skip
STEPS = ("link_down", "link_up", "session_begin", "session_end", "silence_begin", "silence_end")


@dataclass(frozen=True)
class Told:
    """Who owns which mutation, or why nobody does; how much later a packet is that is held back, and the capture's edges."""

    owners: Mapping[told.Name, str] = field(default_factory=lambda: told.OWNERS)
    allowed: Mapping[told.Name, str] = field(default_factory=lambda: told.ALLOWED)
    later_s: float = 3.0
    edges_s: tuple[float, float] = EDGES_S


@dataclass(frozen=True)
class Mutation:
    """What is done to a packet, and either the rule that owns it or why none does."""

    index: int
    how: str
    name: told.Name
    owner: str | None
    reason: str | None
    other: int | None = None
    later_s: float = 3.0

    def of(self, capture: Capture) -> Capture:
        """The capture with it."""
        if self.other is not None:
            return swapped(capture, self.index, self.other)
        kind = capture.packets[self.index].kind
        return mutated(capture, self.index, self.how, LATER_S.get(kind, self.later_s))


class Mutations:
    """All mutations of a capture, each with its owner or its reason."""

    def __init__(self, capture: Capture, by: Told) -> None:
        self._capture, self._by = capture, by
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
                owner, reason = self._by.owners.get(name), self._by.allowed.get(name)
                assert (owner is None) != (reason is None), name
                excuse = self._excuse(index, packet, how)
                owner = owner if excuse is None else None
                yield Mutation(index, how, name, owner, reason or excuse, later_s=self._by.later_s)
            other = neighbour(self._capture, index)
            if other is not None:
                yield self._swap(index, packet, other)

    def _swap(self, index: int, packet: Packet, other: int) -> Mutation:
        second = self._capture.packets[other]
        name = (packet.protocol, f"{packet.kind}>{second.kind}", SWAPPED)
        owner, reason = self._by.owners.get(name), self._by.allowed.get(name)
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
        first_s, last_s = self._by.edges_s
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


def account_of(
    capture: Capture, path: Path, settings: Settings | None, owned: int, by: Told | None = None
) -> tuple[Account, set[told.Name]]:
    """What became of the mutations, `owned` of each name that is owned; and the names of those tried. The capture itself is good."""
    assert noticing(capture.write(path), settings) == (set(), set())
    found = list(Mutations(capture, by or Told()))
    account, used = Account(found), set()
    for mutation in sample(found, owned):
        at_s = (capture.packets[mutation.index].t_ns - capture.packets[0].t_ns) / 1e9
        account.take(mutation, *noticing(mutation.of(capture).write(path), settings), at_s)
        used.add(mutation.name)
    return account, used

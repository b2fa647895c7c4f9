"""What the parameters of a handover allow, before it is made: whether it can be prepared, or is as one without MMCP.

Theory. From the link trigger the exchange (HIR, HCT, the new LMC's join, HTA, HIC) must be over before the link goes: the overlap
is its time. What it has prepared lasts for ``hold`` [M-9]: until then the node must have its link and its address in the new
cell, or the LMC has left the group again and the node waits for its own join, as one does that nobody has prepared anything for.

Over IPv4 such a node waits for its address first, since routers heed no report from another subnet; so half of all prepared
handovers must be better than that, or what was prepared has come to nothing. Over IPv6 the kernel reports from its link-local
address as soon as it has the link: some ten milliseconds, which no bound can tell from a busy machine's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from testbed.mmcp import places
from testbed.mmcp.session import USUAL
from testbed.net.addresses import time_taken
from testbed.net.model import PERFECT, Lab, Quality
from testbed.routing.families import FAMILIES
from testbed.run.options import Values, seconds

Allowed = Literal["prepared", "unprepared", "either"]

AMPLE_S = 0.1
"""In which the exchange is over, the time on links aside: some 15 ms, of which the LMC's report takes most."""
EACH_NODE_S = 0.005
"""More, for each mobile node that may hand over in the same moment."""
TELLABLE_S = 0.02
"""What a shorter address delay costs cannot be told from what the join after it does."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a handover must go, with the reason where it need not be prepared."""

    allowed: Allowed
    because: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the exchange needs: at least its way over the links, in which it cannot be over, and what is ample, the tree included.

    ``doubt``: why even that may not do, or empty.
    """

    least_s: float
    ample_s: float
    doubt: str = ""


NOTHING_EXPECTED = Exchange(0.0, 0.0, "the lab does more to it than to move the node")
"""Of a handover that a lab disturbs."""


def expect(
    exchange: Exchange,
    *,
    gap_s: float,
    overlap_s: float,
    address_delay_s: float,
    address_most_s: float | None = None,
    hold_s: float = USUAL.spt_s,
) -> Expectation:
    """What these times allow. The address may take longer than its delay, ``address_most_s``."""
    needed_s = overlap_s + gap_s + address_delay_s
    if exchange is NOTHING_EXPECTED:
        return Expectation("either", exchange.doubt)
    if overlap_s <= exchange.least_s:
        least = f"{seconds(exchange.least_s)} on the links alone" if exchange.least_s else "some time"
        return Expectation("unprepared", f"an overlap of {seconds(overlap_s)}, and the exchange takes {least}")
    if needed_s >= hold_s:
        text = (
            f"overlap, gap and address delay are {seconds(needed_s)}, and an LMC holds the group for {seconds(hold_s)}"
        )
        return Expectation("unprepared", text)
    if address_most_s is not None and overlap_s + gap_s + address_most_s >= hold_s:
        text = f"an address may take {seconds(address_most_s)}, and an LMC holds the group for {seconds(hold_s)}"
        return Expectation("either", text)
    if exchange.doubt:
        return Expectation("either", exchange.doubt)
    if overlap_s < exchange.ample_s:
        text = f"an overlap of {seconds(overlap_s)}, and the exchange may take {seconds(exchange.ample_s)}"
        return Expectation("either", text)
    return Expectation("prepared")


def exchange_between(model: Lab, node: str, origin: str, target: str) -> Exchange:
    """The exchange of a mobile node that goes from one cell to another."""
    mine, others = (places.controllers(model).get(cell) for cell in (origin, target))
    if mine is None or others is None:
        return Exchange(0.0, 0.0, f"no LMC serves {origin if mine is None else target}")
    slow = [f"{router.name}: {why}" for router in model.routers() if (why := _not_prompt(router.daemon))]
    radio = model.radio(node)
    attached = next(each for each in model.attachments if each.end.node == mine)
    qualities = [radio.forward, radio.backward, attached.forward, attached.backward] * (mine != others)
    qualities += _way(model, mine, others)
    least_s = sum(quality.delay_s - quality.jitter_s for quality in qualities)
    # The LMC's join goes towards the source, and the data comes back: it is to be there before the node.
    qualities += [each for stream in model.streams for each in _way(model, others, stream.origin)]
    most_s = sum(quality.delay_s + quality.jitter_s for quality in qualities)
    doubt = slow[0] if slow else "packets of the exchange may be lost" if any(each.loss for each in qualities) else ""
    return Exchange(least_s, most_s + AMPLE_S + EACH_NODE_S * len(places.mobiles(model)), doubt)


def _not_prompt(daemon: str) -> str:
    return FAMILIES[daemon].cannot.get("prompt", "") if daemon else ""


def _way(model: Lab, first: str, last: str) -> list[Quality]:
    """The qualities, both ways, of the fewest links from one node to another; routers alone pass packets on."""
    routers = {node.name for node in model.routers()}
    hops: dict[str, dict[str, list[Quality]]] = {}
    for link in model.links:
        one, two = link.first.node, link.second.node
        hops.setdefault(one, {})[two] = hops.setdefault(two, {})[one] = [link.forward, link.backward]
    for cell in model.points_of_attachment:
        there = [each for each in model.attachments if each.point_of_attachment == cell.name]
        for one_end in there:
            for other in there:
                passed = [one_end.forward, one_end.backward, other.forward, other.backward]
                hops.setdefault(one_end.end.node, {})[other.end.node] = passed
    ways: dict[str, list[Quality]] = {first: []}
    queue = deque([first])
    while queue:
        here = queue.popleft()
        if here != first and here not in routers:
            continue
        for there_node, passed in hops.get(here, {}).items():
            if there_node not in ways:
                ways[there_node] = ways[here] + passed
                queue.append(there_node)
    return [quality for quality in ways.get(last, []) if quality != PERFECT]


def foresee(values: Values, model: Lab) -> list[str]:
    """What is to be said before a lab with the options l2-gap, overlap and address-delay starts: what they do not allow."""
    found: dict[str, None] = {}
    for node in places.mobiles(model):
        cells = [cell for radio in model.radios_of(node) for cell, _ in radio.addresses]
        for origin in cells:
            for target in cells:
                if origin != target:
                    exchange = exchange_between(model, node, origin, target)
                    found[in_words(expect(exchange, **times_of(values, model)))] = None
    return [text for text in found if text]


def times_of(values: Values, model: Lab) -> dict[str, float]:
    """The times of a walk, as `expect` takes them."""
    return {
        "gap_s": values.seconds("l2-gap"),
        "overlap_s": values.seconds("overlap"),
        **address_times(values, model),
    }


def address_times(values: Values, model: Lab) -> dict[str, float]:
    """How long an address takes, as `expect` takes it: as option address-delay says, or as others give it."""
    least_s, most_s = time_taken(model, values.seconds("address-delay"))
    return {"address_delay_s": least_s, "address_most_s": most_s}


def in_words(expectation: Expectation) -> str:
    """What a person is told beforehand; empty of a handover that must be prepared."""
    match expectation.allowed:
        case "unprepared":
            return f"a proactive handover cannot be prepared here, and is not held to be better than a reactive one: {expectation.because}"
        case "either":
            return f"a proactive handover may or may not be prepared here: {expectation.because}"
    return ""


def least_without(row: Mapping[str, object], family: int) -> float | None:
    """What a handover that nothing has prepared costs at least beyond its gap, ms; None where nobody can tell."""
    delay_ms = row.get("address_delay_ms")
    if family != 4 or not isinstance(delay_ms, int | float) or delay_ms < TELLABLE_S * 1000:
        return None
    return float(delay_ms)

"""What an outage was spent on: the time without packets at a moving node, cut at what the wire shows of its arrival.

An outage begins when the first missing packet was due, one spacing after the last that came, and ends with the next packet.
It is cut into parts, none negative, whose sum it is exactly:

- *link*: until the link is up again, from when it went;
- *address*: from link up until the node may use its address there, where its report waited for that;
- *join*: until its first report of the group that routers heed;
- *tree*: from that report until the data is there;
- *other*: what is none of these: the stream had stopped before the link went, or it was in the new cell before the node
  was, and the node waited for the next packet only (``tree_is_ahead``).

A part that nothing waited for has no share in the outage and is 0, such as an address that came after the report, or a tree
that was there. What such a one took is told beside.
"""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("link", "address", "join", "tree", "other")


@dataclass(frozen=True, slots=True)
class Arrival:
    """What was seen of a node's arrival; times in ns, None for what was not seen.

    `down`, `up`: its link. `addressed`: the address could be used that its report waited for. `joined`: that report. `tree_is_ahead`: the data
    was in the cell before the node was; its report counts then only where the cell lets nothing through before.
    """

    down: int
    up: int
    addressed: int | None = None
    joined: int | None = None
    tree_is_ahead: bool = False


def parts_of(begin_ns: int, end_ns: int, arrival: Arrival, data_ns: int | None = None) -> dict[str, int]:
    """The parts of an outage in ns, by `PARTS`.

    ``data_ns``: when the data came, which is later than the end of an outage of which the source's own pause is no part.
    """
    parts = dict.fromkeys(PARTS, 0)
    at = begin_ns

    def until(t_ns: int, part: str) -> None:
        nonlocal at
        later = max(at, min(t_ns, end_ns))
        parts[part] += later - at
        at = later

    if end_ns <= begin_ns:
        return parts
    until(arrival.down, "other")
    until(arrival.up, "link")
    joined, addressed = arrival.joined, arrival.addressed
    if joined is not None and joined <= max(end_ns, data_ns or 0):
        if addressed is not None and addressed <= joined and not arrival.tree_is_ahead:
            until(addressed, "address")
        until(joined, "join")
        until(end_ns, "other" if arrival.tree_is_ahead else "tree")
    until(end_ns, "other")
    return parts

"""The wires of a lab: what joins two nodes, or a node and its cell, by the names that a person gives them.

A wire is called by its two ends: two nodes, or a node and its point of attachment. A mobile node's is the node and "air",
whatever cell it is in, or the node and the interface where it has several radios.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from testbed.net.model import PERFECT, Attachment, Lab, Link, ModelError, Quality, Radio

AIR = "air"
"""The other end of a mobile node's wire: the cell that it is in."""

Part = Link | Attachment | Radio
"""What a wire is in the model."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire by its place in the model: `field` of Lab, `index` in it. `first` is a node, `second` a node, a cell or AIR."""

    field: str
    index: int
    part: Part
    first: str
    second: str
    interface: str

    @property
    def name(self) -> str:
        """As a person calls it."""
        return f"{self.first}-{self.second}"

    @property
    def seconds(self) -> frozenset[str]:
        """All that its second end may be called."""
        return frozenset({self.second, AIR, self.interface} if isinstance(self.part, Radio) else {self.second})

    @property
    def directions(self) -> tuple[tuple[str, Quality], tuple[str, Quality]]:
        """Forward and backward: what each is called and does."""
        forward, backward = f"{self.first} to {self.second}", f"{self.second} to {self.first}"
        return (forward, self.part.forward), (backward, self.part.backward)

    @property
    def is_perfect(self) -> bool:
        """Whether it carries everything at once in both directions."""
        return self.part.forward == self.part.backward == PERFECT


def wires(lab: Lab) -> Iterator[Wire]:
    """Every wire of a lab, in the order of its model."""
    for index, link in enumerate(lab.links):
        yield Wire("links", index, link, link.first.node, link.second.node, link.first.interface)
    for index, attachment in enumerate(lab.attachments):
        end = attachment.end
        yield Wire("attachments", index, attachment, end.node, attachment.point_of_attachment, end.interface)
    for index, radio in enumerate(lab.radios):
        second = AIR if len(lab.radios_of(radio.node)) == 1 else radio.interface
        yield Wire("radios", index, radio, radio.node, second, radio.interface)


def between(lab: Lab, first: str, second: str) -> tuple[tuple[Wire, bool], ...]:
    """The wires between two ends, each with whether it runs from `second` to `first` in the model.

    Raises ModelError, listing the wires there are.
    """
    found = []
    for wire in wires(lab):
        if wire.first == first and second in wire.seconds:
            found.append((wire, False))
        elif wire.first == second and first in wire.seconds:
            found.append((wire, True))
    if not found:
        raise _no_link(lab, f"{first}-{second}")
    return tuple(found)


def with_quality(lab: Lab, first: str, second: str, there: Quality | None, back: Quality | None) -> Lab:
    """The lab with other wires between two ends: `there` from the first to the second; None: as it is. Raises ModelError."""
    for wire, turned in between(lab, first, second):
        forward, backward = (back, there) if turned else (there, back)
        qualities: dict[str, Any] = {"forward": forward, "backward": backward}
        part = replace(wire.part, **{name: quality for name, quality in qualities.items() if quality is not None})
        parts = getattr(lab, wire.field)
        changed: dict[str, Any] = {wire.field: (*parts[: wire.index], part, *parts[wire.index + 1 :])}
        lab = replace(lab, **changed)
    return lab


def with_qualities(lab: Lab, asked: tuple[str, ...], parse: Callable[[str], Quality]) -> Lab:
    """The lab with what is asked of its wires, each `FIRST-SECOND:QUALITY`, or `FIRST>SECOND:QUALITY` for one direction.

    `parse` makes a quality of the text after the colon. Raises ModelError for wires that there are not.
    """
    for each in asked:
        ends, _, text = each.partition(":")
        quality = parse(text)
        if ">" in ends:
            first, _, second = (word.strip() for word in ends.partition(">"))
            lab = with_quality(lab, first, second, quality, None)
        else:
            first, second = _ends(lab, ends.strip())
            lab = with_quality(lab, first, second, quality, quality)
    return lab


def _ends(lab: Lab, text: str) -> tuple[str, str]:
    """The two ends in a text with a hyphen between them; a name may have hyphens of its own."""
    pairs = [(wire.first, second) for wire in wires(lab) for second in wire.seconds]
    known = {f"{first}-{second}": (first, second) for pair in pairs for first, second in (pair, pair[::-1])}
    if text not in known:
        raise _no_link(lab, text)
    return known[text]


def _no_link(lab: Lab, text: str) -> ModelError:
    known = ", ".join(wire.name for wire in wires(lab))
    return ModelError(f"there is no link {text}", f"lab {lab.name}", f"its links: {known}")

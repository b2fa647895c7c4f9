"""The wires of a lab: what joins two nodes, or a node and its cell, by the names that a person gives them.

A wire is called by its two ends: two nodes, or a node and its point of attachment. A mobile node's is the node and "air",
whatever cell it is in, or the node and the interface where it has several radios.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from testbed.net.model import PERFECT, Attachment, Lab, Link, ModelError, Quality, Radio
from testbed.net.quality_text import parse_properties, property_names

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


def with_qualities(lab: Lab, asked: Sequence[str]) -> Lab:
    """The lab with what is asked of its wires, each `FIRST-SECOND:QUALITY`, or `FIRST>SECOND:QUALITY` for one direction.

    What several say of one direction is put together, in place of what the lab says of it. Raises ModelError for wires that
    there are not, and where the same property of a direction is given twice.
    """
    given: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for each in asked:
        ends, _, text = each.partition(":")
        properties = parse_properties(text)
        one_way = ">" in ends
        first, second = (word.strip() for word in ends.split(">", 1)) if one_way else _ends(lab, ends.strip())
        for wire, turned in between(lab, first, second):
            directions = ("backward", "forward") if turned else ("forward", "backward")
            of_wire = given.setdefault((wire.field, wire.index), {})
            for direction in directions[:1] if one_way else directions:
                known = of_wire.setdefault(direction, {})
                if twice := known.keys() & properties.keys():
                    where = f"link {wire.name}, {wire.directions[direction == 'backward'][0]}"
                    raise ModelError(
                        f"{property_names(twice)} is given twice", where, "give it once for each direction"
                    )
                known |= properties
    for (field, index), of_wire in given.items():
        parts = getattr(lab, field)
        qualities: dict[str, Any] = {direction: replace(PERFECT, **known) for direction, known in of_wire.items()}
        changed: dict[str, Any] = {field: (*parts[:index], replace(parts[index], **qualities), *parts[index + 1 :])}
        lab = replace(lab, **changed)
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

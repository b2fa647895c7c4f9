"""What happens to a node's links, as its driver tells a role.

The events have the names of IEEE 802.21, and a point of attachment is its identifier as a person writes it. The kernel tells of a
carrier that goes and comes; the rest, and where a link leads (else ""), whoever drives the radio: LINK_EVENTS.md.
"""

from __future__ import annotations

from agents.core.agent import Event
from agents.core.record import record


@record
class LinkDetected(Event):
    """``point_of_attachment`` has come into reach of ``interface``."""

    interface: str
    point_of_attachment: str


@record
class LinkGoingDown(Event):
    """The link of ``interface`` will go, in ``in_s`` seconds as far as is known.

    ``next_point_of_attachment`` is where the node will have its link then, if that is known, by ``next_interface`` ("": the same).
    """

    interface: str
    point_of_attachment: str = ""
    in_s: float | None = None
    next_point_of_attachment: str = ""
    next_interface: str = ""


@record
class LinkDown(Event):
    """``interface`` has lost its link."""

    interface: str
    point_of_attachment: str = ""


@record
class LinkUp(Event):
    """``interface`` has a link (again), or it is now known where the one that it has leads."""

    interface: str
    point_of_attachment: str = ""

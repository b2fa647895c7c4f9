"""Link events from outside, as whoever drives a radio tells them through the control socket: LINK_EVENTS.md is the interface.

The words are those of IEEE 802.21. rtnetlink tells of carriers (`links`); here is what it cannot know: what is in reach, what
will happen, and where a link leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from agents.core.links import LinkDetected, LinkDown, LinkGoingDown, LinkUp
from agents.core.room import Field
from agents.runtime.control import ControlError, Request

LinkEvent = LinkDetected | LinkGoingDown | LinkDown | LinkUp

KINDS = ("link_detected", "link_going_down", "link_down", "link_up")
FIELDS = (
    Field("event", f"What: {', '.join(KINDS)}."),
    Field("interface", "The interface."),
    Field("point_of_attachment", "Which: of link_down and link_going_down where it is known.", required=False),
    Field("in_s", "Of link_going_down: seconds until the link goes, if that is known.", float, required=False),
    Field("next", "Of link_going_down: the point of attachment that comes next, if that is known.", required=False),
    Field("next_interface", "Of link_going_down: by which interface; else the same.", required=False),
)


def link_event_request(tell: Callable[[LinkEvent], None]) -> Request:
    """The request ``link-event``, of which ``tell`` is told."""

    def answer(values: Mapping[str, Any]) -> Mapping[str, object]:
        tell(link_event(values))
        return {}

    return Request("link-event", "What a radio's link does or will do, in the words of IEEE 802.21.", answer, FIELDS)


def link_event(values: Mapping[str, Any]) -> LinkEvent:
    """The event that the fields' values say (None: left out); raises ControlError for what cannot be."""
    kind, interface, place = values["event"], values["interface"], values["point_of_attachment"] or ""
    about_what_comes = [name for name in ("in_s", "next", "next_interface") if values[name] is not None]
    if kind != "link_going_down" and about_what_comes:
        raise ControlError(f"link-event: {', '.join(about_what_comes)}: only link_going_down has this")
    if kind in ("link_detected", "link_up") and not place:
        raise ControlError(f"link-event: point_of_attachment is missing: a {kind} says which")
    match kind:
        case "link_detected":
            return LinkDetected(interface, place)
        case "link_going_down":
            in_s = values["in_s"]
            if in_s is not None and not 0 <= in_s < math.inf:
                raise ControlError(f"link-event: in_s: {in_s!r} is no time to come; give seconds, 0 or more")
            return LinkGoingDown(interface, place, in_s, values["next"] or "", values["next_interface"] or "")
        case "link_down":
            return LinkDown(interface, place)
        case "link_up":
            return LinkUp(interface, place)
    raise ControlError(f"link-event: event: {kind!r} is none of {', '.join(KINDS)}")


class Places:
    """What is told of links from outside, beside the carriers that the kernel tells of.

    Both tell of the same link, in either order. A link_up that comes before its carrier is kept until that is there; one that
    comes after it says where the link leads. A link_down and a link_up without a change of the carrier count as well: there
    are radios that roam so.
    """

    def __init__(self, is_up: Callable[[str], bool]) -> None:
        self._is_up = is_up
        self._expected: dict[str, str] = {}  # by interface: where its next carrier leads
        self._down: set[str] = set()  # interfaces told of as down whose carriers are up

    def told(self, event: LinkEvent) -> bool:
        """Take an event; whether the role is to be told now."""
        if isinstance(event, LinkUp) and not self._is_up(event.interface):
            self._expected[event.interface] = event.point_of_attachment
            return False
        if isinstance(event, LinkDown):
            self._expected.pop(event.interface, None)
            if self._is_up(event.interface):
                self._down.add(event.interface)
        return True

    def is_back(self, interface: str) -> bool:
        """Whether a link_up that the role is told of ends a link_down that the carrier did not show."""
        was_down = interface in self._down
        self._down.discard(interface)
        return was_down

    def carrier_changed(self, interface: str, *, is_up: bool) -> str:
        """The kernel has told of a carrier; where the link leads if it has come, "" where nobody has said."""
        self._down.discard(interface)
        return self._expected.pop(interface, "") if is_up else ""

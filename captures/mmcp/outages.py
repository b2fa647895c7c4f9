"""What a handover's outage was spent on, of the parts that `captures.history.outages` defines.

When the node might use its address is, of what the capture shows after link up, the earliest of: a packet of its own from that
address, ARP's included; where nobody looks for duplicates, or only meanwhile, the server's DHCPACK and the router's
advertisement of the prefix; where the kernel does, its probe and a second [RFC 4862 5.1 and 5.4: RetransTimer, one probe]. A
node that gives itself its address shows nothing: there it is link up and the delay that the scenario has set.

The report that counts is the first after link up that routers heed: over IPv4 from the node's address there, or from 0.0.0.0
[RFC 3376 4.2.13], over IPv6 from a link-local one. Only one from the address itself has waited for it. The tree is ahead where
data was on the cell's link just before link up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from captures.history.outages import PARTS, Arrival, parts_of
from captures.wire.address_signs import Sign

if TYPE_CHECKING:
    from captures.mmcp.handovers import Handover
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Membership
    from captures.wire.source_gaps import Outage

_MILLISECOND = 1_000_000
_PROBE_ANSWER_NS = 1_000_000_000  # RetransTimer [RFC 4861 10]
_AHEAD_SPACINGS, _AHEAD_MIN_NS = 5, 20 * _MILLISECOND
"""How long before link up data in the cell shows that the tree is there."""


def outage_record(lab: Lab, handover: Handover, outage: Outage | None) -> dict[str, Any] | None:
    """The parts of a handover's outage, ``link_ms`` to ``other_ms``; None where the outage or the link was not seen.

    ``tree_is_ahead``, and beside the parts what took how long whether the stream waited for it or not: ``address_after_ms`` and
    ``join_after_ms``, from link up; None for what was not seen.
    """
    if outage is None or handover.down_ns is None or handover.up_ns is None:
        return None
    up = handover.up_ns
    addressed = _addressed(lab, handover, up)
    ahead = _is_tree_ahead(lab, handover, up)
    heeded = _report(lab, handover, up, by_anybody=False)
    # The tree is there: what counts is what opens the cell to the node, if anything must.
    counts = (_report(lab, handover, up, by_anybody=True) if _filters(lab, handover) else None) if ahead else heeded
    has_waited = counts is not None and counts.source == handover.mn.addresses.get(handover.target)
    arrival = Arrival(
        handover.down_ns, up, addressed if has_waited else None, None if counts is None else counts.t_ns, ahead
    )
    flow = lab.flow(handover.mn.interface)
    came = next(iter(flow.span(outage.until_ns, handover.end_ns)), None)
    parts = parts_of(outage.due_ns, outage.until_ns, arrival, None if came is None else flow.t_ns[came])
    return {
        **{f"{part}_ms": parts[part] / _MILLISECOND for part in PARTS},
        "tree_is_ahead": ahead,
        "address_after_ms": None if addressed is None else (addressed - up) / _MILLISECOND,
        "join_after_ms": None if heeded is None else (heeded.t_ns - up) / _MILLISECOND,
    }


def _addressed(lab: Lab, handover: Handover, up_ns: int) -> int | None:
    mn, end_ns = handover.mn, handover.end_ns
    address = mn.addresses.get(handover.target)
    if address is None:
        return None
    spoken = [message.t_ns for message in lab.seen_at(mn.interface) if message.source == address]
    spoken += [
        membership.t_ns for membership in lab.reports_of(mn.interface, [address]) if membership.source == address
    ]
    addressing = lab.model.get("addressing") or {}
    detection = addressing.get("duplicate_address_detection", "off")
    for sign in lab.address_signs(mn.interface):
        if sign.sign is Sign.USED or (sign.sign is Sign.ACKNOWLEDGED and detection == "off"):
            spoken += [sign.t_ns] if sign.address == address else []
        elif sign.sign is Sign.ADVERTISED and detection != "on":
            spoken += (
                [sign.t_ns] if ipaddress.ip_address(address) in ipaddress.ip_network(sign.address, strict=False) else []
            )
        elif sign.sign is Sign.PROBED and detection == "on" and ":" in address:
            spoken += [sign.t_ns + _PROBE_ANSWER_NS] if sign.address == address else []
    delay_ms = handover.nominal.get("address_delay_ms")
    if isinstance(delay_ms, int | float) and detection != "on":
        spoken.append(up_ns + round(delay_ms * _MILLISECOND))
    return min((t_ns for t_ns in spoken if up_ns <= t_ns <= end_ns), default=None)


def _report(lab: Lab, handover: Handover, up_ns: int, *, by_anybody: bool) -> Membership | None:
    """The node's first report of the group after link up: one that routers heed, or from any address (``by_anybody``)."""
    mn, group = handover.mn, lab.parameters.group
    for report in lab.reports_of(mn.interface, mn.addresses.values()):
        if up_ns <= report.t_ns <= handover.end_ns and group in report.joins:
            source = ipaddress.ip_address(report.source)
            is_unspecified = source.version == 4 and source.is_unspecified
            if (
                by_anybody
                or report.source == mn.addresses.get(handover.target)
                or source.is_link_local
                or is_unspecified
            ):
                return report
    return None


def _is_tree_ahead(lab: Lab, handover: Handover, up_ns: int) -> bool:
    """Whether data was on the new cell's link just before the node was."""
    since = up_ns - max(_AHEAD_SPACINGS * lab.parameters.nominal_spacing_ns, _AHEAD_MIN_NS)
    watching = {
        f"{end.get('node')}:{end.get('interface')}"
        for attachment in _listed(lab, "attachments")
        if attachment.get("point_of_attachment") == handover.target
        for end in (attachment.get("end"),)
        if isinstance(end, Mapping)
    }
    watching |= {handover.new_lmc.interface} if handover.new_lmc is not None else set()
    return any(len(lab.data[name].span(since, up_ns)) for name in watching if name in lab.data)


def _filters(lab: Lab, handover: Handover) -> bool:
    """Whether the new cell forwards a group only to where it has heard a report."""
    cells = _listed(lab, "points_of_attachment")
    return any(cell.get("mcast_snooping") for cell in cells if cell.get("name") == handover.target)


def _listed(lab: Lab, what: str) -> list[Mapping[str, Any]]:
    """What the model has several of; a capture may be damaged, and its model with it."""
    found = lab.model.get(what)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []

r"""The network of the two-cell labs: a source behind a rendezvous router, two cells with a router and an LMC each, one MN.

::

    mcs ──── rr ──── sm            rr is the rendezvous point, the first router
            /  \
          ar1   ar2                access routers: PIM towards rr, IGMP or MLD towards their cell
           |     |
         poa1   poa2               points of attachment: Linux bridges, one radio cell each
         /  \   /  \
      lmc1   mn     lmc2           mn moves between poa1 and poa2; an LMC in each cell
"""

from __future__ import annotations

from testbed.net.model import Attachment, End, Family, Lab, Link, Node, PointOfAttachment, Radio, Stream
from testbed.routing.pim import FRR

CELLS = ("poa1", "poa2")
SOURCE_SPECIFIC_GROUPS = {4: "232.1.1.1", 6: "ff3e::8000:1"}
GROUPS = {4: "239.1.1.1", 6: "ff1e::1:1"}


def two_cells(
    name: str,
    family: Family,
    *,
    controlled: tuple[str, ...] = CELLS,
    two_radios: bool = False,
    source_specific: bool = False,
) -> Lab:
    """The model, IPv4 or IPv6, with an LMC in each of the ``controlled`` cells.

    With ``two_radios`` the node has one for each cell, and only the first has a link. With ``source_specific`` the group is
    one that is joined from its source only.
    """

    def at(subnet: int, host: int) -> str:
        return f"10.0.{subnet}.{host}/24" if family == 4 else f"2001:db8:{subnet}::{host}/64"

    def link(router: str, other: str, subnet: int) -> Link:
        return Link(End(other, f"{other}-{router}", at(subnet, 2)), End(router, f"{router}-{other}", at(subnet, 1)))

    return Lab(
        name=name,
        family=family,
        nodes=(
            Node("mcs"),
            Node("sm"),
            *(Node(name, "router", FRR) for name in ("rr", "ar1", "ar2")),
            *(Node(name) for name in (*map(_controller_of, controlled), "mn")),
        ),
        points_of_attachment=tuple(PointOfAttachment(cell) for cell in CELLS),
        links=(link("rr", "mcs", 10), link("rr", "sm", 20), link("rr", "ar1", 101), link("rr", "ar2", 102)),
        attachments=tuple(
            Attachment(End(f"{kind}{cell}", f"{kind}{cell}-poa{cell}", at(cell, host)), f"poa{cell}")
            for cell in (1, 2)
            for kind, host in (("ar", 1), ("lmc", 2))
            if kind == "ar" or f"poa{cell}" in controlled
        ),
        radios=(
            (
                Radio("mn", "mn-radio", (("poa1", at(1, 100)),), initially="poa1"),
                Radio("mn", "mn-second", (("poa2", at(2, 100)),), initially=None),
            )
            if two_radios
            else (Radio("mn", "mn-radio", (("poa1", at(1, 100)), ("poa2", at(2, 100))), initially="poa1"),)
        ),
        streams=(Stream((SOURCE_SPECIFIC_GROUPS if source_specific else GROUPS)[family], "mcs"),),
        rendezvous_point=at(10, 1).partition("/")[0],
    )


def _controller_of(cell: str) -> str:
    return cell.replace("poa", "lmc")

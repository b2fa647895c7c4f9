"""The lab most tests build or look at: a source, a rendezvous router, two access routers with a cell each, a mobile node."""

from testbed.net.model import Attachment, End, Family, Lab, Link, Node, PointOfAttachment, Radio, Stream
from testbed.routing.pim import FRR

GROUP = {4: "239.1.1.1", 6: "ff1e::1"}


def handover_model(family: Family = 4) -> Lab:
    """The same topology in either family."""

    def address(subnet: int, host: int) -> str:
        return f"10.0.{subnet}.{host}/24" if family == 4 else f"2001:db8:{subnet}::{host}/64"

    def cell(number: int) -> tuple[Attachment, Attachment]:
        name = f"poa{number}"
        return (
            Attachment(End(f"ar{number}", f"ar{number}-{name}", address(number, 1)), name),
            Attachment(End(f"lmc{number}", f"lmc{number}-{name}", address(number, 2)), name),
        )

    return Lab(
        name="handover",
        family=family,
        nodes=(
            *(Node(name) for name in ("mcs", "sm", "lmc1", "lmc2", "mn")),
            *(Node(name, "router", FRR) for name in ("rr", "ar1", "ar2")),
        ),
        points_of_attachment=(PointOfAttachment("poa1"), PointOfAttachment("poa2")),
        links=(
            Link(End("mcs", "mcs-rr", address(10, 2)), End("rr", "rr-mcs", address(10, 1))),
            Link(End("sm", "sm-rr", address(20, 2)), End("rr", "rr-sm", address(20, 1))),
            Link(End("rr", "rr-ar1", address(101, 1)), End("ar1", "ar1-rr", address(101, 2))),
            Link(End("rr", "rr-ar2", address(102, 1)), End("ar2", "ar2-rr", address(102, 2))),
        ),
        attachments=(*cell(1), *cell(2)),
        radios=(Radio("mn", "mn-radio", (("poa1", address(1, 100)), ("poa2", address(2, 100))), "poa1"),),
        streams=(Stream(GROUP[family], "mcs"),),
        rendezvous_point=address(10, 1).split("/")[0],
    )

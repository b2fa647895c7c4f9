"""Options that MMCP's labs have in common."""

from __future__ import annotations

from dataclasses import replace

from testbed.net.model import Lab
from testbed.run.options import Option, Values, duration_option, number_option


def stream_options(rate: str) -> tuple[Option, Option]:
    """The stream's packets; ``rate``: by default so many a second."""
    return (
        number_option("rate", "Stream", rate, 10, 5000, "packets/s"),
        number_option("size", "RTP payload of each packet", "188", 8, 1400, "bytes"),
    )


def walk_options(overlap: str, address_delay: str) -> tuple[Option, Option, Option]:
    """How the node goes from cell to cell."""
    return (
        duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
        duration_option("overlap", "Link trigger until link down", overlap, 0.0, 10.0),
        address_delay_option(address_delay),
    )


def address_delay_option(default: str = "100ms") -> Option:
    """How long a node that gives itself an address waits before, as if it had to ask somebody for it."""
    option = duration_option(
        "address-delay", "Link up until the new address is there, stands for DHCP", default, 0.0, 10.0
    )
    return replace(option, idle=_not_by_itself)


def _not_by_itself(_values: Values, model: Lab) -> str:
    mode = model.addressing.mode
    return "" if mode == "static" else f"with --addresses {mode}, which takes the time that it takes"


def max_excess_option() -> Option:
    """How long a prepared handover may disturb the stream at most, but for its gap."""
    help_text = "Bound on a handover's disruption beyond the gap"
    return duration_option("max-excess", help_text, "250ms", 0.001, 60.0)

"""Settings of a node's kernel that follow from a lab's model, by their path below ``/proc/sys``."""

from __future__ import annotations

from testbed.net.model import Lab


def duplicate_detection(model: Lab, node: str) -> dict[str, str]:
    """By which a node looks for duplicates of its IPv6 addresses, for every one of its interfaces: mobile nodes do, as the model says."""
    wanted = model.addressing.duplicate_address_detection if model.radios_of(node) else "off"
    settings = dict.fromkeys(("accept_dad", "dad_transmits"), str(int(wanted != "off")))
    if wanted == "optimistic":
        settings |= {"optimistic_dad": "1", "use_optimistic": "1"}
    return settings


def membership(model: Lab) -> dict[str, str]:
    """What a node speaks as an IGMP or MLD host: what the lab's routers ask in, from its first report on."""
    asked = model.membership
    if model.family == 6:
        return {f"net/ipv6/conf/{which}/force_mld_version": str(asked.mld) for which in ("all", "default")}
    settings = {f"net/ipv4/conf/{which}/force_igmp_version": str(asked.igmp) for which in ("all", "default")}
    return settings | {"net/ipv4/igmp_qrv": str(asked.robustness)}

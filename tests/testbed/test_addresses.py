"""How mobile nodes come by their addresses: what is refused beforehand, and what servers and clients are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from testbed.net import addresses
from testbed.net.model import Addressing, Attachment, End, Lab, ModelError
from tests.testbed.handover_model import handover_model


def with_addresses(family: Any, mode: Any, detection: Any = "off") -> Lab:
    return replace(handover_model(family), addressing=Addressing(mode, detection))


@pytest.mark.parametrize(
    ("family", "mode", "detection", "complaint"),
    [
        (6, "dhcp", "off", r"dhcp with IPv6; use --addresses slaac, or --family 4"),
        (4, "slaac", "off", r"slaac with IPv4; use --addresses dhcp, or --family 6"),
        (4, "dhcp", "optimistic", r"optimistic detection with IPv4; .* use --dad on, or off"),
        (4, "bogus", "off", r"'bogus' is no way to have addresses; use static, dhcp, slaac"),
        (6, "slaac", "bogus", r"'bogus' is no way to have addresses; use off, on, optimistic"),
        (4, "static", "on", r"detection with static IPv4 addresses; .* use --addresses dhcp"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(family: int, mode: str, detection: str, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        addresses.check(with_addresses(family, mode, detection))


@pytest.mark.parametrize(
    ("family", "mode", "detection"),
    [(4, "static", "off"), (4, "dhcp", "on"), (6, "slaac", "optimistic"), (6, "static", "on")],
)
def test_what_can_be_is_not_refused(family: int, mode: str, detection: str) -> None:
    addresses.check(with_addresses(family, mode, detection))


@pytest.mark.parametrize(
    ("there", "complaint"),
    [("2001:db8:2::101/64", "several interface identifiers"), ("2001:db8:2::100/80", "with slaac; use /64")],
)
def test_slaac_gives_a_node_one_interface_identifier_in_networks_of_64_bits(there: str, complaint: str) -> None:
    lab = with_addresses(6, "slaac")
    radio = replace(lab.radios[0], addresses=(lab.radios[0].addresses[0], ("poa2", there)))
    with pytest.raises(ModelError, match=complaint):
        addresses.check(replace(lab, radios=(radio,)))


def servers(lab: Lab) -> dict[str, str]:
    """What the server on each router is told, by router."""
    cells = addresses.served_cells(lab, {"mn-radio": "02:00:00:00:09:01"})
    return {router: addresses.render_server(lab, router, served) for router, served in cells.items()}


def test_each_router_has_a_lease_for_each_node_and_cell_that_it_serves() -> None:
    told = servers(with_addresses(4, "dhcp"))
    assert list(told) == ["ar1", "ar2"]
    for line in (
        "interface=ar2-poa2",
        "dhcp-range=set:poa2,10.0.2.0,static,255.255.255.0,1h",
        "dhcp-option=tag:poa2,option:router,10.0.2.1",
        "dhcp-host=02:00:00:00:09:01,10.0.2.100",
    ):
        assert line in told["ar2"].splitlines()
    assert "10.0.1.100" not in told["ar2"]


def test_a_router_of_two_cells_serves_both() -> None:
    lab = with_addresses(4, "dhcp")
    others = [each for each in lab.attachments if each.end.node != "ar2"]
    moved = Attachment(End("ar1", "ar1-poa2", "10.0.2.1/24"), "poa2")
    told = servers(replace(lab, attachments=(*others, moved)))
    assert list(told) == ["ar1"]
    assert [line for line in told["ar1"].splitlines() if line.startswith("interface=")] == [
        "interface=ar1-poa1",
        "interface=ar1-poa2",
    ]


def test_a_router_announces_the_prefix_of_its_cell() -> None:
    told = servers(with_addresses(6, "slaac"))
    assert "interface ar1-poa1 {" in told["ar1"]
    assert "prefix 2001:db8:1::/64 {" in told["ar1"]


@pytest.mark.parametrize(("detection", "probes"), [("off", False), ("on", True)])
def test_the_client_probes_only_where_duplicates_are_looked_for(detection: str, probes: bool) -> None:
    told = addresses.render_client(with_addresses(4, "dhcp", detection), "mn").splitlines()
    assert ("noarp" not in told) is probes
    assert {"allowinterfaces mn-radio", "ipv4only", "reboot 0"} <= set(told)


def test_the_client_of_slaac_makes_the_address_that_the_model_says() -> None:
    told = addresses.render_client(with_addresses(6, "slaac"), "mn").splitlines()
    assert told[-2:] == ["interface mn-radio", "slaac token ::100"]
    assert "ipv6only" in told


@pytest.mark.parametrize(
    ("family", "mode", "detection", "taken"),
    [
        (4, "static", "off", (0.1, 0.1)),
        (6, "static", "on", (1.1, 2.1)),
        (6, "slaac", "optimistic", (0.0, 0.2)),
        (4, "dhcp", "on", (4.0, 7.2)),
    ],
)
def test_how_long_an_address_takes(family: int, mode: str, detection: str, taken: tuple[float, float]) -> None:
    assert addresses.time_taken(with_addresses(family, mode, detection), 0.1) == pytest.approx(taken)

"""Which models are refused, with what words, and what is computed from a good one."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.net.model import (
    PERFECT,
    Attachment,
    End,
    Family,
    Lab,
    Link,
    Membership,
    ModelError,
    Node,
    PointOfAttachment,
    Radio,
    Stream,
)
from testbed.net.validation import validate
from tests.testbed.handover_model import handover_model

FAMILIES: tuple[Family, Family] = (4, 6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_handover_model_is_valid(family: Family) -> None:
    validate(handover_model(family))


def test_a_lab_needs_no_cell_no_router_and_no_group() -> None:
    link = Link(End("one", "eth0", "10.0.0.1/24"), End("two", "eth0", "10.0.0.2/24"))
    validate(Lab("pair", 4, (Node("one"), Node("two")), links=(link,)))


def test_every_link_is_captured_once_at_the_right_end() -> None:
    assert handover_model().captured_ends() == (
        ("mcs", "mcs-rr"),
        ("sm", "sm-rr"),
        ("rr", "rr-ar1"),
        ("rr", "rr-ar2"),
        ("ar1", "ar1-poa1"),
        ("lmc1", "lmc1-poa1"),
        ("ar2", "ar2-poa2"),
        ("lmc2", "lmc2-poa2"),
        ("mn", "mn-radio"),
    )


def test_a_host_is_captured_at_its_own_end_whichever_end_that_is() -> None:
    lab = handover_model()
    turned = replace(lab, links=tuple(Link(link.second, link.first) for link in lab.links))
    assert {("mcs", "mcs-rr"), ("sm", "sm-rr")} <= set(turned.captured_ends())
    assert len(turned.captured_ends()) == 9


def test_where_hosts_are_behind_a_router() -> None:
    lab = handover_model()
    assert lab.querier_interfaces("ar1") == ("ar1-poa1",)
    assert lab.querier_interfaces("rr") == ("rr-mcs", "rr-sm")


def test_json_holds_everything() -> None:
    content = json.loads(handover_model(6).to_json())
    assert content["schema"] == 2
    assert content["family"] == 6
    assert [node["name"] for node in content["nodes"]] == ["mcs", "sm", "lmc1", "lmc2", "mn", "rr", "ar1", "ar2"]
    assert content["points_of_attachment"][0] == {"name": "poa1", "mcast_snooping": False, "position": None}
    assert content["radios"][0]["initially"] == "poa1"
    assert content["links"][0]["first"] == {"node": "mcs", "interface": "mcs-rr", "address": "2001:db8:10::2/64"}


def with_end(end: End, **changes: str) -> Lab:
    """The handover model with one end of a link changed."""
    lab = handover_model()
    new = replace(end, **changes)
    links = tuple(
        Link(new if link.first == end else link.first, new if link.second == end else link.second) for link in lab.links
    )
    attachments = tuple(replace(a, end=new) if a.end == end else a for a in lab.attachments)
    return replace(lab, links=links, attachments=attachments)


def impaired(**quality: float) -> Lab:
    """The handover model with one direction of a link that is not perfect."""
    lab = handover_model()
    worse = replace(PERFECT, **quality)  # type: ignore[arg-type]  # what a lab may say
    return replace(lab, links=(replace(lab.links[0], forward=worse), *lab.links[1:]))


def streaming(group: str, origin: str = "mcs") -> Lab:
    """The handover model with another stream."""
    return replace(handover_model(), streams=(Stream(group, origin),))


LAB = handover_model()
RR_MCS = LAB.links[0].second
AR1_POA1 = LAB.attachments[0].end

BROKEN = {
    "unknown node": (with_end(RR_MCS, node="nobody"), "unknown node 'nobody'"),
    "unknown cell": (
        replace(LAB, attachments=(replace(LAB.attachments[0], point_of_attachment="poa9"), *LAB.attachments[1:])),
        "unknown point of attachment 'poa9'",
    ),
    "duplicate interface": (with_end(RR_MCS, interface="rr-sm"), "two interfaces called 'rr-sm'"),
    "long interface": (with_end(RR_MCS, interface="a-very-long-name"), "has 16 characters"),
    "long bridge port": (
        replace(
            LAB,
            nodes=(*LAB.nodes, Node("listener-one")),
            attachments=(*LAB.attachments, Attachment(End("listener-one", "eth0", "10.0.1.3/24"), "poa1")),
        ),
        "'poa1-listener-one' has 17 characters",
    ),
    "loopback as a name": (with_end(RR_MCS, interface="lo"), "not a usable interface name"),
    "slash in a name": (with_end(RR_MCS, interface="a/b"), "not a usable interface name"),
    "duplicate address": (with_end(RR_MCS, address="10.0.10.2/24"), "10.0.10.2 is also the address of mcs:mcs-rr"),
    "outside the subnet": (with_end(AR1_POA1, address="10.0.3.1/24"), "is outside the subnet"),
    "other prefix length": (with_end(AR1_POA1, address="10.0.1.1/25"), "is outside the subnet"),
    "overlap": (
        replace(
            LAB,
            links=(*LAB.links[1:], Link(End("mcs", "mcs-rr", "10.0.1.129/28"), End("rr", "rr-mcs", "10.0.1.130/28"))),
        ),
        "overlaps",
    ),
    "wrong family": (with_end(RR_MCS, address="2001:db8:10::1/64"), "the lab's family is 4"),
    "no prefix": (with_end(RR_MCS, address="ten"), "not an address with prefix length"),
    "multicast address": (with_end(RR_MCS, address="224.1.1.1/24"), "use a unicast address"),
    "broadcast address": (with_end(RR_MCS, address="10.0.10.255/24"), "first or last address"),
    "bad family": (replace(LAB, family=5), "use 4 or 6"),  # type: ignore[arg-type]
    "two of a name": (replace(LAB, nodes=(*LAB.nodes, Node("mn"))), "are called 'mn'"),
    "node called as a cell": (replace(LAB, nodes=(*LAB.nodes, Node("poa1"))), "are called 'poa1'"),
    "bad name": (replace(LAB, nodes=(*LAB.nodes, Node("a b"))), "not a usable name"),
    "daemon on a host": (replace(LAB, nodes=(Node("mcs", "host", "frr"), *LAB.nodes[1:])), "make it a router"),
    "unreachable node": (replace(LAB, nodes=(*LAB.nodes, Node("hermit"))), "node hermit: cannot be reached"),
    "link cut": (replace(LAB, links=LAB.links[:-1]), "cannot be reached"),
    "cell without router": (
        replace(
            LAB,
            points_of_attachment=(*LAB.points_of_attachment, PointOfAttachment("poa3")),
            radios=(Radio("mn", "mn-radio", (*LAB.radios[0].addresses, ("poa3", "10.0.3.100/24")), "poa1"),),
        ),
        "cell poa3 has no router",
    ),
    "radio without its first address": (
        replace(LAB, radios=(Radio("mn", "mn-radio", (("poa2", "10.0.2.100/24"),), "poa1"),)),
        "no address for point of attachment 'poa1'",
    ),
    "no group": (streaming("10.1.1.1"), "not an IPv4 multicast group"),
    "no address at all": (streaming("everyone"), "write a plain address"),
    "stream of nobody": (streaming("232.1.1.1", "nobody"), "unknown node 'nobody'"),
    "source-specific group": (
        replace(streaming("232.1.1.1"), membership=Membership(igmp=2)),
        "source-specific group 232.1.1.1 with IGMPv2",
    ),
    "group of the link": (streaming("224.0.0.5"), "never leaves its link"),
    "one stream twice": (replace(LAB, streams=2 * LAB.streams), "twice"),
    "rendezvous point of nobody": (replace(LAB, rendezvous_point="10.0.10.2"), "is no address of a router"),
    "answers after the next query": (replace(LAB, membership=Membership(max_response_s=10.0)), "must be shorter"),
    "IGMPv1": (replace(LAB, membership=Membership(igmp=1)), "use 2 or 3"),  # type: ignore[arg-type]
    "too robust": (replace(LAB, membership=Membership(robustness=8)), "use 1 to 7"),
    "loss of two": (impaired(loss=2.0), "mcs to rr: loss is 2.0"),
    "a delay before sending": (impaired(delay_s=-1.0), "delay_s is -1.0"),
    "no number": (impaired(delay_s=float("nan")), "delay_s is nan"),
    "an hour": (impaired(delay_s=3600.0), "use at most 10 s"),
    "jitter alone": (impaired(jitter_s=0.001), "jitter beyond the delay"),
    "overtaking at once": (impaired(reorder=0.1), "reordering without a delay"),
    "no rate": (impaired(rate_bps=0), "rate_bps is 0; use 10000 to"),
    "one bit a second": (impaired(rate_bps=1), "rate_bps is 1; use 10000 to"),
    "a name with a way out": (replace(LAB, name="my lab/../../x"), "not a usable name"),
    "a queue for nothing": (impaired(queue_packets=5), "a queue without a rate"),
    "a full cell": (
        replace(
            LAB,
            nodes=(*LAB.nodes, *(Node(f"h{number}") for number in range(1025))),
            attachments=(
                *LAB.attachments,
                *(Attachment(End(f"h{number}", "eth0", "10.0.1.9/24"), "poa1") for number in range(1025)),
            ),
        ),
        "cell poa1: 1028 nodes may be in it at once",
    ),
    "a cell at no place": (
        replace(
            LAB,
            points_of_attachment=(PointOfAttachment("poa1", position=(0.0, float("nan"))), LAB.points_of_attachment[1]),
        ),
        "cell poa1: .* is no place",
    ),
    "empty": (Lab("empty", 4, ()), "no nodes"),
}


@pytest.mark.parametrize(("lab", "words"), BROKEN.values(), ids=BROKEN)
def test_what_could_not_work_is_refused_by_name(lab: Lab, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        validate(lab)
    error = caught.value
    assert error.what
    assert error.where
    assert error.remedy


@given(st.text(max_size=20))
def test_any_address_text_is_valid_or_a_model_error(text: str) -> None:
    lab = with_end(RR_MCS, address=text)
    try:
        validate(lab)
    except ModelError:
        return
    assert ip_network(text, strict=False) == ip_network("10.0.10.0/24")


@given(st.text(max_size=20))
def test_any_interface_name_is_usable_or_a_model_error(text: str) -> None:
    try:
        validate(with_end(RR_MCS, interface=text))
    except ModelError:
        return
    assert 0 < len(text.encode()) <= 15
    assert not set(text) & set("/ \t\n:")

"""Labs in which mobile nodes have their addresses from DHCP or SLAAC, by real servers and a real client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.labs.runs import AS_USER, Run, long, run

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=[("4", "dhcp"), pytest.param(("6", "slaac"))], ids=["dhcp", "slaac"])
def walked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A walk there and back as an ordinary user: each mode of moving once."""
    family, mode = request.param
    words = ("handover", "--family", family, "--addresses", mode, "--repeat", "1")
    return run(tmp_path_factory.mktemp("runs"), *words, user=AS_USER)


def test_a_node_walks_with_addresses_that_others_give_it(walked: Run) -> None:
    assert walked.status == 0, walked.explain()
    proactive, reactive = walked.result["handovers"]
    assert (proactive["outcome"], reactive["outcome"]) == ("predictive", "reactive")
    assert proactive["address_delay_ms"] is None  # nobody has set one


def test_who_gave_the_addresses_is_on_the_record(walked: Run) -> None:
    assert walked.folder is not None
    assert "dhcpcd-base" in walked.result["versions"]
    client = (walked.folder / "logs/mn-dhcpcd.log").read_text()
    assert len(re.findall("carrier acquired", client)) == 2
    assert re.search(r"leased 10\.0\.2\.100|adding address 2001:db8:2::100/64", client)


def test_each_outage_is_told_in_parts_that_make_it(walked: Run) -> None:
    outages = walked.result["outages"]
    assert [outage["tree"] for outage in outages] == ["ahead", "made"]
    for outage in outages:
        parts = [outage[f"{part}_ms"] for part in ("link", "address", "join", "tree", "other")]
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(outage["disruption_ms"])
        assert 0 < outage["address_after_ms"] < 1000
    reactive = outages[1]
    if walked.result["family"] == 6:  # the report comes from the link-local address
        assert reactive["address_ms"] == 0
    else:  # it waits for the address, or comes before it and a router heeds it without one [RFC 3376 4.2.13]
        assert reactive["address_ms"] > 0 or reactive["join_ms"] < reactive["address_after_ms"]


@long
@pytest.mark.parametrize(("family", "mode"), [("4", "dhcp"), ("6", "slaac"), ("6", "static")])
def test_a_proactive_node_need_not_wait_until_nobody_has_its_address(tmp_path: Path, family: str, mode: str) -> None:
    """Probes take more than a second; meanwhile the stream is there."""
    words = ("handover", "--family", family, "--addresses", mode, "--dad", "on", "--repeat", "1")
    finished = run(tmp_path, *words)
    assert finished.status == 0, finished.explain()
    proactive, *_ = finished.result["outages"]
    assert proactive["address_after_ms"] > 1000 > proactive["disruption_ms"]


@long
def test_an_optimistic_node_uses_its_address_meanwhile(tmp_path: Path) -> None:
    finished = run(
        tmp_path, "handover", "--family", "6", "--addresses", "slaac", "--dad", "optimistic", "--repeat", "1"
    )
    assert finished.status == 0, finished.explain()
    assert all(outage["address_after_ms"] < 1000 for outage in finished.result["outages"])


@long
def test_what_does_not_go_together_is_refused_before_anything_starts(tmp_path: Path) -> None:
    finished = run(tmp_path, "handover", "--family", "6", "--addresses", "dhcp")
    assert finished.status == 2
    assert "use --addresses slaac" in finished.errors

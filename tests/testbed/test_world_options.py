"""What a person may say of any lab's world, and what becomes of the lab's model by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.commands.program import main
from testbed.net.model import Family, Lab, ModelError
from testbed.routing import families
from testbed.run.options import OptionError, Values
from testbed.run.world_options import WORLD_OPTIONS, applied
from tests.testbed.handover_model import handover_model
from topologies import handover


def with_options(family: Family = 4, **texts: str) -> Lab:
    """The handover model with options as a person writes them."""
    given = {name.replace("_", "-"): text for name, text in texts.items()}
    values = {
        option.name: option.parse(given[option.name]) if option.name in given else None for option in WORLD_OPTIONS
    }
    return applied(handover_model(family), Values(values))


def test_what_is_not_given_stays_as_the_lab_says() -> None:
    assert with_options() == handover_model()


def test_one_family_for_all_routers_and_another_for_some() -> None:
    assert {node.name: node.daemon for node in with_options(routing="frr").routers()} == dict.fromkeys(
        ("rr", "ar1", "ar2"), "frr"
    )


def test_cells_and_queries() -> None:
    lab = with_options(snooping="on", query_interval="5s", igmp="2", robustness="3", unicast="ospf")
    assert all(cell.mcast_snooping for cell in lab.points_of_attachment)
    asked = lab.membership
    assert (asked.query_interval_s, asked.max_response_s, asked.igmp, asked.robustness) == (5, 1.0, 2, 3)
    assert with_options(6, mld="1").membership.mld == 1
    assert lab.unicast == "ospf"


@pytest.mark.parametrize("text", ["1.5s", "2400ms"])
def test_a_query_interval_with_a_fraction_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="give whole seconds"):
        with_options(query_interval=text)


def test_pimd_is_held_to_the_query_interval_that_is_asked_for() -> None:
    families.check(with_options(routing="pimd"))
    families.check(with_options(routing="pimd", query_interval="15s"))
    with pytest.raises(ModelError, match="a query every 10 s; pimd gives 10 s for the answers"):
        families.check(with_options(routing="pimd", query_interval="10s"))


def test_a_version_of_what_the_lab_does_not_speak_is_refused() -> None:
    with pytest.raises(ModelError, match="--igmp 2: this lab is of IPv6; give --family 4"):
        with_options(6, igmp="2")
    with pytest.raises(ModelError, match="--mld 1: this lab is of IPv4; give --family 6"):
        with_options(4, mld="1")


def test_addresses() -> None:
    addressing = with_options(addresses="dhcp", dad="optimistic").addressing
    assert (addressing.mode, addressing.duplicate_address_detection) == ("dhcp", "optimistic")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gated", "'gated' is not one of frr"),
        ("frr,frr", "one family for all routers"),
        ("ar1=smcroute,ar1=frr", "ar1 two families"),
    ],
)
def test_a_family_there_is_not(text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        with_options(routing=text)


@pytest.mark.parametrize(
    ("text", "words"), [("mcs=frr", "a host that routes.*rr, ar1, ar2"), ("ar9=frr", "unknown node")]
)
def test_a_router_there_is_not(text: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        with_options(routing=text)


def test_another_rendezvous_point_or_one_that_is_elected() -> None:
    assert with_options(rendezvous_point="ar1").rendezvous_point == "10.0.101.2"
    assert with_options(rendezvous_point="elected", routing="frr,rr=pimd").rendezvous_point == ""


@pytest.mark.parametrize(
    ("text", "words"), [("mcs", "a host; routers: rr, ar1, ar2"), ("elected", "no router is a candidate.*pimd")]
)
def test_a_rendezvous_point_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        with_options(rendezvous_point=text)
    with pytest.raises(ModelError, match="no router speaks PIM"):
        with_options(rendezvous_point=text, routing="smcroute")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--link", "rr-zz:delay=2ms", "--link", "rr-ar2:delay=3ms"], "there is no link rr-zz"),
        (["--family", "4", "--family", "6"], "given 2 times: 4, 6"),
        (["--repeat", "0"], "--repeat: 0 is out of bounds: 1 to 1000"),
    ],
)
def test_what_is_given_twice_is_kept_or_refused_and_a_refusal_names_the_option(words: list[str], said: str) -> None:
    finished = CliRunner().invoke(main, ["draw", "handover", *words])
    assert finished.exit_code == 2
    assert said in finished.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["handover", "--addresses", "dhcp", "--address-delay", "0ms"], "--address-delay changes nothing with --addresses dhcp"),
        (["tram", "--late-by", "1s"], "--late-by changes nothing without a prediction that is late"),
        (["tram", "--duration", "9s"], "--duration changes nothing without --movement random or manhattan"),
        (["tram", "--movement", __file__, "--speed", "9"], "--speed changes nothing with a trace"),
    ],
)  # fmt: skip
def test_an_option_that_changes_nothing_is_refused(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["draw", *words])
    assert (done.exit_code, told in done.stderr, "leave it out" in done.stderr) == (2, True, True), done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["handover", "--addresses", "dhcp"], ["handover", "--address-delay", "0ms"], ["handover", "--rate", "10"],
        ["tram", "--late-by", "1s", "--prediction", "late=10%"], ["campus", "--duration", "9s", "--speed", "9"],
    ],
)  # fmt: skip
def test_an_option_that_changes_something_is_not(words: list[str]) -> None:
    assert CliRunner().invoke(main, ["draw", *words]).exit_code == 0


@pytest.mark.parametrize(("media", "idle"), [(Path("film.ts"), True), (None, False)])
def test_a_film_has_a_rate_and_a_size_of_its_own(media: Path | None, idle: bool) -> None:
    values = Values({"media": media})
    of = [option for option in handover.OPTIONS if option.name in ("rate", "size")]
    assert [bool(option.idle(values, handover_model())) for option in of] == [idle, idle]

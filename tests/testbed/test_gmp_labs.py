"""GMP's labs as data: their models, and what of their options cannot be."""

from __future__ import annotations

import pytest

from testbed.gmp import places
from testbed.gmp.options import session_options, tenths
from testbed.net.validation import validate
from testbed.run.finding import find_lab
from testbed.run.laboratory import build_model, parse_values
from testbed.run.options import OptionError

LABS = ("gmp", "gmp-closed", "gmp-core", "gmp-restart", "gmp-secure")


@pytest.mark.parametrize("name", LABS)
def test_a_lab_has_its_roles_and_says_why_it_has_no_ipv6(name: str) -> None:
    topology = find_lab(name).topology
    model = build_model(topology, parse_values(topology, {}))
    validate(model)
    assert topology.role_names(model) >= {"server", "creator", "source", "p1", "receiver-p1"}
    with pytest.raises(OptionError, match="--family: GMP's messages have room for an IPv4 group only"):
        parse_values(topology, {"family": "6"})


def test_what_messages_cannot_say_is_refused() -> None:
    topology = find_lab("gmp").topology
    assert tenths(parse_values(topology, {"timeout": "2500ms"}), "timeout") == 25
    with pytest.raises(OptionError, match=r"--period 0\.25s: GMP counts in tenths of a second"):
        tenths(parse_values(topology, {"period": "250ms"}), "period")
    assert {option.name for option in session_options()} >= {"family", "transport", "period", "timeout"}


def test_members_are_dealt_out_to_the_cells() -> None:
    model = places.network("any", ("a", "b", "c"))
    assert [places.router_of(model, node) for node in ("a", "b", "c")] == ["ar1", "ar1", "ar2"]

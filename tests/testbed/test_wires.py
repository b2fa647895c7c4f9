"""The wires of a lab by the names that a person gives them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from testbed.net.model import PERFECT, Lab, ModelError, Quality
from testbed.net.wires import between, wires, with_qualities
from testbed.run import world_options
from testbed.run.options import OptionError, Values
from testbed.run.world_options import WORLD_OPTIONS
from tests.testbed.handover_model import handover_model

LOSSY = Quality(loss=0.01)
LINK = next(option for option in WORLD_OPTIONS if option.name == "link")


def asked(text: str) -> Lab:
    """The handover model with what a person has given as `--link`."""
    return world_options.applied(handover_model(), Values({"link": LINK.parse(text)}))


def imperfect(lab: Lab) -> dict[str, tuple[Quality, Quality]]:
    return {wire.name: (wire.part.forward, wire.part.backward) for wire in wires(lab) if not wire.is_perfect}


def test_every_wire_has_a_name() -> None:
    names = [wire.name for wire in wires(handover_model())]
    assert names == [
        "mcs-rr", "sm-rr", "rr-ar1", "rr-ar2", "ar1-poa1", "lmc1-poa1", "ar2-poa2", "lmc2-poa2", "mn-air",
    ]  # fmt: skip
    assert not imperfect(handover_model())


@pytest.mark.parametrize("ends", ["rr-ar1", "ar1-rr"])
def test_both_directions_or_one(ends: str) -> None:
    assert imperfect(asked(f"{ends}:loss=1%")) == {"rr-ar1": (LOSSY, LOSSY)}
    first, second = ends.split("-")
    expected = (LOSSY, PERFECT) if first == "rr" else (PERFECT, LOSSY)
    assert imperfect(asked(f"{first}>{second}:loss=1%")) == {"rr-ar1": expected}


def test_several_at_once_of_all_kinds() -> None:
    lab = asked("mcs-rr:loss=1%; ar1>poa1:delay=5ms ;mn-air:rate=1mbit; poa2-lmc2: loss 1%")
    assert imperfect(lab) == {
        "mcs-rr": (LOSSY, LOSSY),
        "ar1-poa1": (Quality(delay_s=0.005), PERFECT),
        "lmc2-poa2": (LOSSY, LOSSY),
        "mn-air": (Quality(rate_bps=10**6),) * 2,
    }


def test_what_is_said_of_one_direction_comes_together() -> None:
    lab = asked("rr-ar1:delay=20ms,loss=1%;ar1>rr:rate=10mbit;mn-air:rate=1mbit;mn-mn-radio:loss=1%")
    both = Quality(delay_s=0.02, loss=0.01)
    assert imperfect(lab) == {
        "rr-ar1": (both, replace(both, rate_bps=10**7)),
        "mn-air": (Quality(rate_bps=10**6, loss=0.01),) * 2,
    }


@pytest.mark.parametrize("text", ["rr-ar1:loss=1%,delay=1ms;ar1>rr:loss=2%", "ar1>rr:loss=0%;ar1>rr:loss=1%"])
def test_what_is_said_twice_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="link rr-ar1, ar1 to rr: loss is given twice"):
        asked(text)


def test_the_directions_of_a_wire_are_told_from_its_ends() -> None:
    assert [(wire.name, turned) for wire, turned in between(handover_model(), "ar1", "rr")] == [("rr-ar1", True)]
    (wire, _), *_ = between(handover_model(), "mn", "air")
    assert [name for name, _ in wire.directions] == ["mn to air", "air to mn"]


@pytest.mark.parametrize("text", ["rr-ar3:loss=1%", "rr>ar3:loss=1%", "nothing:loss=1%", "mcs-ar1:loss=1%"])
def test_a_link_that_there_is_not_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ModelError, match=re.escape("its links: mcs-rr, sm-rr, rr-ar1")):
        asked(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("rr-ar1", "write A-B:delay"), (":loss=1%", "write A-B"), ("rr-ar1:", "write A-B"), ("rr-ar1:loss=2", "one of %")],
)
def test_what_is_no_link_and_quality_is_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=re.escape(said)):
        LINK.parse(text)


def test_names_may_have_hyphens() -> None:
    lab = with_qualities(handover_model(), ("mn-mn-radio:loss=1%",))
    assert list(imperfect(lab)) == ["mn-air"]

"""What a handover's parameters allow, from the model and the times alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.mmcp.expectation import NOTHING_EXPECTED, exchange_between, expect, foresee
from testbed.mmcp.two_cells import two_cells
from testbed.net.model import Addressing, Lab, Link, Quality
from testbed.run.options import Value, Values, seconds

PLAIN = exchange_between(two_cells("lab", 4), "mn", "poa1", "poa2")


@pytest.mark.parametrize(
    ("gap_s", "overlap_s", "address_delay_s", "allowed", "because"),
    [
        (0.05, 0.2, 0.1, "prepared", ""),
        (0.05, 0.0, 0.1, "unprepared", "an overlap of 0ms, and the exchange takes some time"),
        (0.05, 0.03, 0.1, "either", "an overlap of 30ms, and the exchange may take 105ms"),
        (7.0, 0.2, 0.1, "unprepared", "overlap, gap and address delay are 7.3s, and an LMC holds the group for 6s"),
        (0.05, 6.5, 0.1, "unprepared", "an LMC holds the group for 6s"),
        (0.05, 0.2, 6.0, "unprepared", "an LMC holds the group for 6s"),
        (5.0, 0.2, 0.1, "prepared", ""),
    ],
)
def test_overlap_for_the_exchange_and_hold_for_the_rest(
    gap_s: float, overlap_s: float, address_delay_s: float, allowed: str, because: str
) -> None:
    found = expect(PLAIN, gap_s=gap_s, overlap_s=overlap_s, address_delay_s=address_delay_s)
    assert found.allowed == allowed
    assert found.because.endswith(because)


def test_a_handover_that_a_lab_disturbs_may_go_either_way() -> None:
    assert expect(NOTHING_EXPECTED, gap_s=7.0, overlap_s=0.0, address_delay_s=0.0).allowed == "either"


def with_links(model: Lab, router: str, quality: Quality) -> Lab:
    """The model with such a link, both ways, between rr and an access router."""

    def changed(link: Link) -> Link:
        is_it = {link.first.node, link.second.node} == {"rr", router}
        return replace(link, forward=quality, backward=quality) if is_it else link

    return replace(model, links=tuple(map(changed, model.links)))


def test_the_exchange_takes_its_way_over_the_links() -> None:
    model = with_links(two_cells("lab", 4), "ar1", Quality(delay_s=0.04, jitter_s=0.01))
    slow = exchange_between(model, "mn", "poa1", "poa2")
    assert slow.least_s == pytest.approx(0.06)
    assert slow.ample_s == pytest.approx(0.1 + PLAIN.ample_s)
    assert expect(slow, gap_s=0.05, overlap_s=0.05, address_delay_s=0.1).allowed == "unprepared"
    radio = replace(model.radios[0], forward=Quality(delay_s=0.1))
    assert exchange_between(replace(model, radios=(radio,)), "mn", "poa1", "poa2").least_s == pytest.approx(0.16)


def test_the_tree_to_the_new_cell_takes_its_way_too() -> None:
    """The LMC's join and the data it brings cross the new cell's slow link once more, each one way."""
    slow = with_links(two_cells("lab", 4), "ar2", Quality(delay_s=0.04))
    found = exchange_between(slow, "mn", "poa1", "poa2")
    assert found.least_s == pytest.approx(0.08)
    assert found.ample_s == pytest.approx(0.16 + PLAIN.ample_s)


def test_loss_on_the_way_a_slow_router_and_a_cell_without_an_lmc_leave_it_open() -> None:
    lossy = with_links(two_cells("lab", 4), "ar2", Quality(loss=0.01))
    assert exchange_between(lossy, "mn", "poa1", "poa2").doubt == "packets of the exchange may be lost"
    elsewhere = two_cells("lab", 4, controlled=("poa1",))
    assert exchange_between(elsewhere, "mn", "poa1", "poa2").doubt == "no LMC serves poa2"


def test_it_is_said_beforehand_and_once() -> None:
    times: dict[str, Value] = {"family": "4", "l2-gap": 8.0, "overlap": 0.2, "address-delay": 0.1}
    (said,) = foresee(Values(times), two_cells("lab", 4))
    assert said.startswith(
        "a proactive handover cannot be prepared here, and is not held to be better than a reactive one: overlap, gap and address"
    )
    assert foresee(Values({**times, "l2-gap": 0.05}), two_cells("lab", 4)) == []


def test_an_address_that_others_give_takes_its_own_time() -> None:
    times = {"l2-gap": 0.05, "overlap": 0.2, "address-delay": 9.0}
    given = replace(two_cells("lab", 4), addressing=Addressing("dhcp"))
    assert foresee(Values(times), given) == []  # the option is about addresses that nobody gives
    probed = replace(given, addressing=Addressing("dhcp", "on"))
    (said,) = foresee(Values(times), probed)
    assert said.endswith("may or may not be prepared here: an address may take 7.2s, and an LMC holds the group for 6s")


def test_a_sum_of_times_is_told_without_what_is_left_of_it() -> None:
    assert (seconds(1 - 2**-40), seconds(0.05), seconds(1.1)) == ("1s", "50ms", "1.1s")

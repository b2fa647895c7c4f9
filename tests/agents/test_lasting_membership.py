"""An MN that was established keeps its membership until the SM refuses it or it leaves [M-27]."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.mmcp.configuration import Session
from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    GROUP,
    LMC1,
    MN_ID,
    SESSION,
    SM,
    TIMERS,
    controller,
    count,
    joined,
    lab,
    message,
    row,
    session_manager,
    state,
)
from tests.agents.test_monitoring import replace

ENDS = {"left", "join-refused", "join-failed"}


def test_lmc_that_restarts_and_is_not_heard_by_the_sm_ends_no_membership() -> None:  # M-20, M-27
    network = joined()
    network.run_for(TIMERS.probe_time - 0.5)
    network.lose("SJR")  # the LMC's own, so that the MN's renewal comes before the LMC is in the session
    replace(network, "lmc1", controller(1), LMC1.address)
    network.run_for(1.0)
    assert (state(network, "lmc1"), count(network, "lmc1", "unanswered.LJR")) == ("SJR-SENT", 1)
    network.run_for(TIMERS.probe_time)
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC1))
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert ENDS.isdisjoint(network.notices("mn"))
    assert network.times(f"mn leaves {GROUP}") == []


def test_refusal_by_the_lmc_that_the_sm_assigns_is_asked_about_again_every_jwt() -> None:  # M-27
    network = joined()
    network.lose(*["ULR"] * 100)  # the SM does not hear of it
    network.tell("lmc1", ApplicationLeave())
    mark = len(network.sent)
    network.run_for(TIMERS.probe_time + 3 * TIMERS.jwt_s)
    refusals = [sent.time for sent in network.sent[mark:] if sent.packet == "LJC"]
    requests = [sent.time for sent in network.sent[mark:] if sent.packet == "SJR" and sent.sender == "mn"]
    assert len(refusals) >= 3
    assert all(later - earlier >= TIMERS.jwt_s for earlier, later in pairwise(requests))
    assert ENDS.isdisjoint(network.notices("mn"))
    assert network.times(f"mn leaves {GROUP}") == []
    replace(network, "lmc1", controller(1), LMC1.address)
    network.run_for(TIMERS.jwt_s + 0.1)
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC1))


def test_refusal_by_the_sm_ends_it() -> None:
    network = lab()
    network.start("mn")
    network.run_for(0.1)
    network.link_down()
    network.trigger("poa2")
    network.link_up()
    network.lose("SJC")
    network.run_for(0.1)
    network.give("mn", message("SJC"), network.packets("SJC")[0].source)
    assert state(network) == "CLOSED"
    assert network.notices("mn")[-1] == "join-refused"


OTHER_GROUP = "239.2.2.2"


@pytest.mark.parametrize("with_lmcs", [False, True])
def test_session_manager_that_restarts_with_another_group_moves_the_mn_there(with_lmcs: bool) -> None:
    network = joined(with_lmcs=with_lmcs)
    network.run_for(3.0)
    replace(network, "sm", session_manager(sessions=[Session(SESSION, OTHER_GROUP, 5004)]), SM.address)
    mark = network.mark()
    if with_lmcs:  # an MN with an LMC hears of it when it joins anew
        network.link_down()
        network.trigger("nobodys")
        network.link_up()
    network.run_for(TIMERS.probe_time + 0.1)
    told = [line for line in network.lines(mark) if line.startswith(("mn joins", "mn leaves"))]
    assert told == [f"mn leaves {GROUP}", f"mn joins {OTHER_GROUP}"]
    network.tell("mn", ApplicationLeave())
    assert f"mn leaves {OTHER_GROUP}" in network.lines(mark)

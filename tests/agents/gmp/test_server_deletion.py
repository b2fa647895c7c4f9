"""A session whose deletion is on its way to the disk takes nothing, and no fault of one stops the disk for all."""

from __future__ import annotations

from typing import Any

import pytest

from agents.core.agent import Committed
from agents.gmp.ledger import Ledger
from captures.gmp import dissector as judge
from tests.agents.gmp.callers import CLIENT, CORE, Caller, guest, host, text
from tests.agents.gmp.meeting import SESSION, Meeting


def give(lab: Meeting, who: Caller, module: str, packet: str, **fields: Any) -> None:
    """A message that nobody waits for the answer to."""
    usual: dict[str, Any] = {"mode": 1, "member_type": 1} if module == "MM" else {}
    said = {"module": module, "packet": packet, "session_id": SESSION, "user_id": who.user, **usual, **fields}
    lab.give("server", judge.build(said), who.mm if module == "MM" else who.sm, "mm" if module == "MM" else "")


def test_session_under_deletion_takes_nothing() -> None:
    lab = Meeting()
    creator = host(lab, until="enrolled")
    assert creator.activate() == ["KAREQ"]
    alice = guest(lab, "alice", "enrolled")
    late = guest(lab, "late", "nothing")
    give(lab, creator, "SM", "SDREQ")
    give(lab, creator, "MM", "KARES", member_type=4)
    give(lab, alice, "SM", "SAREQ", mm_port=alice.mm.port)
    give(lab, alice, "MM", "LVREQ", reserved=2)
    give(lab, late, "SM", "SRREQ", options=[text(CLIENT, "late")])
    lab.run_for(0.1)
    assert lab.count("server", "dropped.being-deleted") == 4
    assert [sent.packet for sent in lab.sent][-1] == "SDRES"
    assert not lab.server.sessions
    assert lab.network.disk(lab.nodes["server"]).entries.keys() == {"next"}
    assert Caller(lab, "other", "10.0.0.8").create() == ["SCACC"]
    assert alice.enrol() == ["SJRES 4"]


def test_session_whose_deletion_is_refused_goes_on() -> None:
    lab = Meeting()
    creator = host(lab, until="enrolled")
    disk = lab.network.disk(lab.nodes["server"])
    disk.failure = "database or disk is full"
    assert creator.sm_says("SDREQ") == ["SDRES 1"]
    disk.failure = ""
    assert creator.activate() == ["KAREQ"]


def test_core_member_that_ends_the_session_leaves_no_record() -> None:
    lab = Meeting()
    creator = host(lab, text(CORE, "bob"))
    bob = guest(lab, "bob")
    assert creator.enrol() == ["SJRES"]
    assert creator.activate() == ["KAREQ"]
    creator.keep_alive()
    bob.leave(2)
    lab.run_for(0.1)
    assert not lab.server.sessions
    assert lab.network.disk(lab.nodes["server"]).entries.keys() == {"next"}


def test_one_fault_does_not_stop_the_disk_for_the_others() -> None:
    ledger = Ledger(Meeting().server, is_durable=True)
    told: list[str] = []

    def fail(_now: float) -> None:
        raise RuntimeError("planted")

    ledger.put({"a": b""}, fail, fail, 0.0)
    ledger.put({"b": b""}, fail, fail, 0.0)
    ledger.put({"c": b""}, lambda _: told.append("c"), fail, 0.0)
    with pytest.raises(ExceptionGroup, match="waited for a commit"):
        ledger.committed(Committed(1, True), 0.0)
    with pytest.raises(ExceptionGroup):
        ledger.committed(Committed(2, True), 0.0)
    ledger.put({"d": b""}, lambda _: told.append("d"), fail, 0.0)
    ledger.committed(Committed(3, True), 0.0)
    assert told == ["c", "d"]

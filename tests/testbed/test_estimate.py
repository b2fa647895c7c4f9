"""A lab that this machine cannot carry is refused before anything is made, with the figures."""

from __future__ import annotations

import pytest

from testbed.net.model import Stream
from testbed.net.shapes import line
from testbed.run import estimate
from testbed.run.estimate import TooLargeError, require_room
from testbed.run.recording import BUFFER_KIB, BUFFERS_KIB, buffer_kib
from tests.testbed.handover_model import handover_model


def test_a_lab_grows_with_its_mobile_nodes() -> None:
    shape = line(4, 2)
    shape.host("source", shape.root)
    few = estimate.estimate(shape.lab("few", [Stream("239.1.1.1", "source")]))
    for number in range(100):
        shape.mobile(f"mn{number}", shape.cells[0])
    many = estimate.estimate(shape.lab("many", [Stream("239.1.1.1", "source")]))
    # So many are forked from one process, and share what they have imported.
    grown_mib = many.memory_mib - few.memory_mib
    assert 100 * 2 * estimate.FORKED_ROLE_MIB < grown_mib < 100 * (2 * estimate.FORKED_ROLE_MIB + 20)
    assert many.processes - few.processes == 400
    assert many.of == "103 nodes, 201 roles, 2 multicast routers, 104 recorders"


def test_the_usual_lab_fits() -> None:
    assert require_room(handover_model()).memory_mib < 1024


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_available_mib", lambda: 100.0)
    with pytest.raises(
        TooLargeError, match=r"lab handover would take about \d+ MiB \(8 nodes, 6 roles.*and 100 MiB are free"
    ):
        require_room(handover_model())


def test_too_few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_processes_allowed", lambda: 10)
    with pytest.raises(TooLargeError, match=r"about 35 processes .* 10 more may exist"):
        require_room(handover_model())


def test_many_recorders_share_what_one_may_have() -> None:
    assert buffer_kib(9) == BUFFER_KIB
    assert 256 * buffer_kib(256) <= BUFFERS_KIB

"""How far a stream's packets have to come, from the model alone."""

from __future__ import annotations

from testbed.mmcp.two_cells import two_cells
from testbed.net.stream_check import farthest
from tests.testbed.handover_model import handover_model


def test_a_packet_passes_each_router_on_its_way_to_the_farthest_cell() -> None:
    assert farthest(handover_model(), "mcs") == (3, "poa2")
    assert farthest(two_cells("lab", 6), "lmc1") == (4, "poa2"), "and its own cell without any"
    assert farthest(two_cells("lab", 6), "mcs") == (3, "poa2")

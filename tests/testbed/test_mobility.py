"""A radio's link that goes and comes, as a node's client for addresses needs to see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from testbed.net.model import Addressing
from testbed.run.mobility import move
from tests.testbed.handover_model import handover_model


class SlowNode:
    """A network whose node has noticed the loss of its link only at the third look."""

    def __init__(self, mode: Any) -> None:
        self.model = replace(handover_model(4), addressing=Addressing(mode))
        self.happened: list[object] = []
        self.sandbox_namespace = SimpleNamespace(set_master=lambda _port, cell: self.happened.append(cell))
        self._states = iter(("UP", "UP", "DOWN"))

    def set_carrier(self, _radio: object, present: bool) -> None:
        self.happened.append(present)

    def namespace(self, _node: str) -> Any:
        return SimpleNamespace(state=self._state)

    def _state(self, _interface: str) -> Any:
        found = next(self._states)
        self.happened.append(found)
        return SimpleNamespace(operstate=found)

    def eventually(
        self, _awaited: str, probe: Callable[[], tuple[bool, str]], _deadline_s: float, *, quiet: bool
    ) -> None:
        assert quiet
        while not probe()[0]:
            pass


@pytest.mark.parametrize(("mode", "looks"), [("dhcp", ["UP", "UP", "DOWN"]), ("static", [])])
def test_a_link_comes_back_when_a_client_on_the_node_knows_that_it_was_gone(mode: str, looks: list[str]) -> None:
    network: Any = SlowNode(mode)
    steps: Any = SimpleNamespace(add=lambda _name, **_details: 0)
    move(network, network.model.radios[0], "poa2", 0.0, steps)
    assert network.happened == [False, "poa2", *looks, True]

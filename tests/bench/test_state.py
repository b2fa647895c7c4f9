"""What a running role is asked is answered at once, however many members it has: a summary, and members by page."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping

import pytest

from agents.core.agent import Agent
from agents.mmcp.constants import PacketType
from agents.runtime.control import answering
from agents.runtime.requests import ROWS, requests_of
from tests.bench.members import controller, fill, session_manager

GROWTH = 2.0  # what 100,000 members take of the processor's cache is seen in so short a time
FEW, MANY = 1_000, 100_000
TURNS = 50


def least_seconds(role: Callable[[], Agent], kind: PacketType, count: int, request: Mapping[str, object]) -> float:
    async def scene() -> float:
        agent = role()
        fill(agent, kind, count)
        answer = answering(requests_of(agent, agent.describe, (), lambda _: None, dict))
        took, said = [], ""
        for _ in range(TURNS):
            began = time.perf_counter()
            said = json.dumps(await answer(request))
            took.append(time.perf_counter() - began)
        assert f'"members": {count}' in said or said.count('"mn_id"') == ROWS
        return min(took)

    return asyncio.run(scene())


@pytest.mark.parametrize(("role", "kind"), [(session_manager, PacketType.SJR), (controller, PacketType.LJR)])
@pytest.mark.parametrize(
    "request_", [{"command": "state"}, {"command": "list", "of": "members"}], ids=["state", "list"]
)
def test_answer_does_not_grow_with_the_members(
    role: Callable[[], Agent], kind: PacketType, request_: dict[str, object]
) -> None:
    few, many = (least_seconds(role, kind, count, request_) * 1e6 for count in (FEW, MANY))
    print(f"\n{request_['command']} of {role.__name__}: {few:.0f} us of {FEW}, {many:.0f} us of {MANY} members")
    assert many <= GROWTH * few

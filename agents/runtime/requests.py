"""What every running role answers through its control socket, and what its protocol adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from agents.core.agent import Agent, Event
from agents.core.room import Command, Field
from agents.runtime.control import ControlError, Request

ROWS = 100  # of a list in one answer, where no other number is asked for
ROWS_MAXIMUM = 1000


def requests_of(
    agent: Agent,
    describe: Callable[[], Mapping[str, object]],
    commands: Sequence[Command],
    tell: Callable[[Event], None],
    counters: Callable[[], Mapping[str, int]],
) -> Iterator[Request]:
    """The requests that a role takes: ``describe`` says its state, ``tell`` hands it what a command of its protocol makes."""
    yield Request("state", "What the role is doing, in brief.", lambda _: {"state": describe()})
    yield Request("counters", "What was counted.", lambda _: {"counters": counters()})
    yield Request(
        "list",
        "What there may be many of, by page.",
        partial(_rows, agent),
        (
            Field("of", f"What: {', '.join(agent.LISTS) or 'this role has none'}."),
            Field("offset", "How many to pass over; else none.", int, required=False),
            Field("most", f"How many at most, to {ROWS_MAXIMUM}; else {ROWS}.", int, required=False),
        ),
    )
    for command in commands:
        yield Request(command.name, command.summary, partial(_told, command, tell), command.fields)


def _told(command: Command, tell: Callable[[Event], None], values: Mapping[str, Any]) -> Mapping[str, object]:
    tell(command.event(values))
    return {}


def _rows(agent: Agent, values: Mapping[str, Any]) -> Mapping[str, object]:
    offset, most = values["offset"] or 0, ROWS if values["most"] is None else values["most"]
    if offset < 0 or not 1 <= most <= ROWS_MAXIMUM:
        raise ControlError(f"list: offset {offset}, most {most}; give 0 or more, and 1 to {ROWS_MAXIMUM}")
    if values["of"] not in agent.LISTS:
        raise ControlError(f"list: of {values['of']!r}; there are: {', '.join(agent.LISTS) or 'none'}")
    found = list(islice(agent.rows(values["of"]), offset, offset + most + 1))
    return {"rows": found[:most], "more": len(found) > most}

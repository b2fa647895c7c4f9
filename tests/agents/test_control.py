"""What a running role says of itself through its control socket: what it takes, its state in brief, what it has many of."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.__main__ import main
from agents.core.agent import Endpoint, Event
from agents.core.record import record
from agents.core.room import Command, Field
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from agents.mmcp.protocol import COMMANDS
from agents.runtime.control import ControlError, answering
from agents.runtime.requests import ROWS, ROWS_MAXIMUM, requests_of
from tests.agents.roles import Asking


class Many(Asking):
    """Has 250 guests."""

    LISTS = ("guests",)

    def rows(self, of: str) -> Iterator[Mapping[str, object]]:
        return ({"guest": number} for number in range(250))


@record
class Told(Event):
    """Something that a command makes."""

    number: int | None


def number_told(values: Mapping[str, Any]) -> Told:
    return Told(values["number"])


COMMAND = Command("tell", "Tell it a number.", number_told, (Field("number", "Which.", int, required=False),))


def answered(agent: Asking, request: Mapping[str, object], *commands: Command) -> Mapping[str, Any]:
    async def scene() -> Mapping[str, Any]:
        return await answering(
            requests_of(agent, agent.describe, commands, lambda event: agent.handle(event, 0.0), dict)
        )(request)

    return asyncio.run(scene())


def test_help_names_what_every_role_answers_and_what_its_protocol_adds() -> None:
    said = {each["name"]: each for each in answered(Many(), {"command": "help"}, COMMAND)["commands"]}
    assert list(said) == ["state", "counters", "list", "tell"]
    assert said["tell"] == {
        "name": "tell",
        "summary": "Tell it a number.",
        "fields": [{"name": "number", "help": "Which.", "kind": "int", "required": False}],
    }
    assert said["list"]["fields"][0]["help"] == "What: guests."


def test_command_of_a_protocol_is_what_its_role_is_told() -> None:
    agent = Many()
    answered(agent, {"command": "tell", "number": 7}, COMMAND)
    answered(agent, {"command": "tell"}, COMMAND)
    assert agent.told == [Told(7), Told(None)]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"command": "dance"}, "unknown command: 'dance'; known are state, counters, list, tell, help"),
        ({"command": ["state"]}, r"unknown command: \['state'\]"),
        ({}, "unknown command: None"),
        ({"command": "state", "of": 1}, "state: unknown fields: of"),
        ({"command": "tell", "number": "7"}, "tell: number: '7' is no int"),
        ({"command": "tell", "number": True}, "tell: number: True is no int"),
        ({"command": "list"}, "list: of is missing"),
        ({"command": "list", "of": "hosts"}, "list: of 'hosts'; there are: guests"),
        ({"command": "list", "of": "guests", "offset": -1}, "list: offset -1, most 100; give 0 or more"),
        ({"command": "list", "of": "guests", "most": ROWS_MAXIMUM + 1}, f"1 to {ROWS_MAXIMUM}"),
        ({"command": "list", "of": "guests", "most": 0}, f"1 to {ROWS_MAXIMUM}"),
    ],
)
def test_request_that_cannot_be_is_refused_in_words(request_: Mapping[str, object], error: str) -> None:
    agent = Many()
    with pytest.raises(ControlError, match=error):
        answered(agent, request_, COMMAND)
    assert agent.told == []


def test_list_goes_by_page() -> None:
    def page(**fields: int) -> tuple[list[int], bool]:
        answer = answered(Many(), {"command": "list", "of": "guests", **fields})
        return [row["guest"] for row in answer["rows"]], answer["more"]

    assert page() == (list(range(ROWS)), True)
    assert page(offset=200) == (list(range(200, 250)), False)
    assert page(offset=150) == (list(range(150, 250)), False)
    assert page(offset=149) == (list(range(149, 249)), True)
    assert page(offset=999) == ([], False)
    assert page(offset=3, most=2) == ([3, 4], True)


def test_role_without_lists_says_so() -> None:
    with pytest.raises(ControlError, match="there are: none"):
        answered(Asking(), {"command": "list", "of": "members"})


@pytest.mark.parametrize(
    ("values", "event"),
    [
        ({"command": "leave"}, ApplicationLeave(None)),
        ({"command": "leave", "session_id": 3}, ApplicationLeave(3)),
        ({"command": "data-channel-status", "packets_received": 5}, DataChannelReport(5, None)),
        ({"command": "data-channel-status", "packets_received": 5, "group": "239.1.1.1"},
         DataChannelReport(5, "239.1.1.1")),
    ],
)  # fmt: skip
def test_commands_of_mmcp(values: Mapping[str, object], event: Event) -> None:
    agent = Asking()
    answered(agent, values, *COMMANDS)
    assert agent.told == [event]


def test_asking_role_takes_datagrams_as_any() -> None:
    agent = Asking()
    agent.receive(b"x", Endpoint("127.0.0.1", 9), 0.0)
    assert agent.heard == [("", b"x", Endpoint("127.0.0.1", 9))]


def test_a_strangers_agent_that_knows_no_help_is_asked_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "stranger"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        asked: list[object] = []

        def serve() -> None:
            for answer in ({"ok": False, "error": "what?"}, {"ok": True, "counters": {"sent": 3}}):
                connection, _ = listening.accept()
                with connection, connection.makefile("rwb") as lines:
                    asked.append(json.loads(lines.readline()))
                    lines.write(json.dumps(answer).encode() + b"\n")

        stranger = threading.Thread(target=serve)
        stranger.start()
        result = CliRunner().invoke(main, ["ctl", str(path), "counters"])
        stranger.join(5)
    assert asked == [{"command": "help"}, {"command": "counters"}]
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"counters": {"sent": 3}})

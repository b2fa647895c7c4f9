"""An SM that asks the operator's AAA about each MN, and the command through which the runtime asks it [M-30]."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agents.__main__ import main
from agents.core.agent import AskOperator, OperatorAnswered
from agents.core.errors import ConfigurationError
from agents.mmcp import constants as c
from agents.mmcp.configuration import Session
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.timing import Timers
from agents.runtime.operator import Operator
from tests.agents.lab import GROUP, GROUP_PORT, LMC1, MN_ID, SESSION, STRANGER, Chart, count, lab, message, row, state

MN = bytes.fromhex(MN_ID)
ASKING: dict[str, Any] = {"sessions": [Session(SESSION, GROUP, GROUP_PORT, ask_authorisation=True)]}
QUESTION = AskOperator((SESSION, MN), (str(SESSION), MN_ID), c.AUTHORISATION_TIME)  # M-30
GRANTED = OperatorAnswered((SESSION, MN), granted=True)
REFUSED = OperatorAnswered((SESSION, MN), granted=False, reason="no contract")


def asked(network: Chart) -> list[AskOperator]:
    return network.nodes["sm"].questions


def asking(**changes: Any) -> Chart:
    """The lab with an MN about which the AAA has just been asked."""
    network = lab(sm=ASKING, **changes)
    network.start("mn")
    network.run_for(0.1)
    assert asked(network) == [QUESTION]
    assert (state(network), state(network, "sm")) == ("SJR-SENT", "SJR-RCVD")
    return network


def test_granted_mn_is_admitted() -> None:
    network = asking()
    network.tell("sm", GRANTED)
    network.run_for(0.1)
    assert (state(network), state(network, "sm")) == ("ESTABLISHED", "ESTABLISHED")
    assert count(network, "sm", "authorised.mn") == 1
    network.run_for(3 * 6.0)
    assert len(asked(network)) == 1  # a member's renewals are not asked about


def test_refused_mn_is_told_and_so_is_the_operator() -> None:
    network = asking()
    network.tell("sm", REFUSED)
    network.run_for(0.1)
    assert (state(network), network.notices("mn")) == ("CLOSED", ["join-refused"])
    assert row(network, "sm")["members"] == {}
    [notice] = [notice for notice in network.nodes["sm"].notices if notice.event == "mn-refused"]
    assert notice.details == {"session_id": SESSION, "mn_id": MN_ID, "reason": "no contract"}
    assert count(network, "sm", "refused.not-authorised") == 1


def test_silence_is_a_refusal_before_the_mn_gives_up_and_a_late_answer_nothing() -> None:
    assert c.AUTHORISATION_TIME < c.JOIN_WAITING_TIME
    network = asking()
    network.run_for(c.AUTHORISATION_TIME + 0.1)
    assert network.notices("mn") == ["join-refused"]
    assert count(network, "sm", "expired.authorisation") == 1
    network.tell("sm", GRANTED)
    network.tell("sm", OperatorAnswered((77, MN), granted=True))
    assert count(network, "sm", "late.authorisation") == 2
    assert row(network, "sm")["members"] == {}


def test_resent_request_is_asked_about_once_and_answered_where_it_came_from_last() -> None:
    network = asking()
    network.give("sm", message("SJR", ["mn_id", MN_ID]), STRANGER)
    assert len(asked(network)) == 1
    assert count(network, "sm", "duplicate.authorisation") == 1
    network.tell("sm", GRANTED)
    assert [sent.destination for sent in network.packets("SJC")][-1] == STRANGER


def test_session_waits_for_all_it_has_asked_about() -> None:
    network = asking()
    network.give("sm", message("SJR", ["mn_id", b"mn2".hex()]), STRANGER)
    network.tell("sm", GRANTED)
    assert state(network, "sm") == "SJR-RCVD"
    network.tell("sm", OperatorAnswered((SESSION, b"mn2"), granted=False))
    assert state(network, "sm") == "ESTABLISHED"


def test_mn_that_only_a_report_names_is_asked_about_too() -> None:  # M-26
    network = lab(sm=ASKING)
    network.give("sm", message("ASR", ["membership", 1], ["mn_id", MN_ID]), LMC1)
    assert asked(network) == [QUESTION]
    assert state(network, "sm") == "ESTABLISHED"  # nobody waits for an SJC
    assert row(network, "sm")["members"] == {}
    network.tell("sm", GRANTED)
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc1".hex()
    network.give("sm", message("ASR", ["membership", 1], ["mn_id", "77"]), LMC1)
    network.tell("sm", OperatorAnswered((SESSION, b"\x77"), granted=False))
    assert list(row(network, "sm")["members"]) == [MN_ID]


def test_questions_are_bounded_and_end_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    network = asking()
    monkeypatch.setattr("agents.mmcp.session_manager.AUTHORISATIONS_MAXIMUM", 1)
    network.give("sm", message("SJR", ["mn_id", "77"]), STRANGER)
    assert network.lines()[-1] == "sm SJC- nobody"
    assert count(network, "sm", "refused.authorisation-busy") == 1
    network.tell("sm", ApplicationLeave(SESSION))
    assert network.nodes["sm"].next_deadline is None
    network.tell("sm", GRANTED)
    assert count(network, "sm", "late.authorisation") == 1


# --- the command ------------------------------------------------------------------------------------------------------


def answer(*argv: str, within: float = 2.0) -> OperatorAnswered:
    return asyncio.run(Operator(argv).ask(AskOperator("key", ("7", "6d6e31"), within)))


def test_command_is_given_session_and_mn_and_its_exit_status_counts(tmp_path: Path) -> None:
    script = tmp_path / "aaa.py"
    script.write_text("import sys\nsys.exit(0 if sys.argv[1:] == ['7', '6d6e31'] else 1)\n")
    assert answer(sys.executable, str(script)) == OperatorAnswered("key", granted=True)
    assert answer(sys.executable, str(script), "more").granted is False


def test_reason_of_a_refusal_is_what_the_command_said() -> None:
    said = answer(sys.executable, "-c", "import sys; sys.exit('no\\n  contract')")
    assert (said.granted, said.reason) == (False, "no contract")
    assert answer(sys.executable, "-c", "raise SystemExit(3)").reason == "exit status 3"


def test_command_that_cannot_be_run_or_is_missing_refuses() -> None:
    assert answer("/nowhere/aaa").reason == "/nowhere/aaa cannot be run: No such file or directory"
    assert "runtime.authorise" in answer().reason


def test_command_that_does_not_end_is_killed() -> None:
    said = answer(sys.executable, "-c", "import time; time.sleep(60)", within=0.2)
    assert (said.granted, "has not ended within 0.2 s" in said.reason) == (False, True)


def test_question_that_gets_no_turn_in_time_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.runtime.operator.CONCURRENT", 1)
    started: list[str] = []

    async def run(argv: list[str]) -> tuple[int, bytes]:
        started.append(argv[-1])
        await asyncio.Event().wait()
        return 0, b""

    async def scene() -> list[OperatorAnswered]:
        asker = Operator(["aaa"])
        questions = [AskOperator(number, ("7", f"mn{number}"), 0.2) for number in range(3)]
        return await asyncio.gather(*(asker.ask(question) for question in questions))

    monkeypatch.setattr("agents.runtime.operator._run", run)
    answers = asyncio.run(scene())
    assert {answer.granted for answer in answers} == {False}
    assert started == ["mn0"]  # for the others nobody waits any more


def test_session_that_asks_needs_an_mn_that_waits_longer() -> None:
    with pytest.raises(ConfigurationError, match=r"timers\.jwt_s: 1\.0 s, and a session asks .*give more than 1 s"):
        lab(sm={**ASKING, "timers": Timers(jwt_s=1.0)})


def test_sm_that_asks_needs_a_command(tmp_path: Path) -> None:
    file = tmp_path / "sm.toml"
    file.write_text(
        'address = "127.0.0.1"\n[[sessions]]\nsession_id = 1\ngroup = "239.1.1.1"\nport = 5004\nask_authorisation = true\n'
    )
    result = CliRunner().invoke(main, ["mmcp", "sm", "--config", str(file)], catch_exceptions=False)
    assert result.exit_code == 2
    assert "runtime.authorise: missing, and this role asks; give the command" in result.stderr

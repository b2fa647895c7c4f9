"""The server's changes on their way to a disk that does not always take them: what is newest is what is written."""

from __future__ import annotations

from agents.core.agent import Commit, Committed
from agents.gmp.ledger import RETRY_TIME, TIMER, Ledger
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration


def test_what_could_not_be_written_is_not_taken_for_newer_than_what_came_since() -> None:
    role = Server(ServerConfiguration())
    ledger = Ledger(role, is_durable=True)
    ledger.note({"member": b"enrolled", "session": b"1"})
    ledger.note({"member": b"active"})
    assert role.take_actions() == [Commit(1, {"member": b"enrolled", "session": b"1"})]
    ledger.committed(Committed(1, succeeded=False, reason="full"), 5.0)
    assert role.next_deadline() == 5.0 + RETRY_TIME
    role.timers.cancel(TIMER)  # as it is when it is due
    ledger.try_again()
    assert [each for each in role.take_actions() if isinstance(each, Commit)] == [
        Commit(2, {"member": b"active", "session": b"1"})
    ]

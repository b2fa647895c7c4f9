"""Keys on their way to GMP's clients [7.3]: which are taken, and where they go."""

from __future__ import annotations

from typing import Any

import pytest

from agents.gmp.constants import Level
from agents.gmp.events import (
    Leave,
)
from tests.agents.gmp.hand_made import (
    GROUP_KEY,
    SECRET,
    TO_GROUP,
    USER,
    Lab,
    keep_alive,
    key_options,
    mm,
    orders,
    participant,
    secure,
    secure_member,
    sm,
)


def test_key_comes_with_enrolment_and_goes_to_the_data() -> None:
    """Wrapped for this member alone [G-12, G-18]; with the roll-over counter a late one decrypts [G-29]."""
    lab = secure_member(counter=3)
    assert orders(lab, "alice") == [("receive", 1, GROUP_KEY.hex(), 3)]
    assert lab.state("alice")["generation"] == 1
    assert GROUP_KEY.hex() not in repr([lab.nodes["alice"].traces, lab.told("alice"), lab.state("alice")])
    assert GROUP_KEY not in b"".join(one.data for one in lab.sent)


@pytest.mark.parametrize("until", ["enrolled", "active"])
def test_new_key_is_taken(until: str) -> None:
    lab = secure_member(until)
    new = bytes(30)
    for _ in range(3):  # KDUPT is sent three times [G-15]
        lab.from_server("alice", mm("KDUPT", key_length=30, options=key_options(2, new, counter=7)))
    assert lab.state("alice")["generation"] == 2
    assert lab.notices("alice").count("key") == 2
    assert [row for row in orders(lab, "alice") if row[1] == 2] == (
        [("receive", 2, new.hex(), 7)] if until == "active" else []
    )


def test_roll_over_counter_goes_on_where_a_new_key_says_none() -> None:
    """It is the stream's and not the key's [G-29]; a message that was overtaken brings no older one."""
    lab = secure_member(counter=3)
    lab.from_server("alice", mm("KDUPT", options=key_options(2)))
    lab.from_server("alice", mm("KDUPT", options=key_options(3, counter=5)))
    lab.from_server("alice", mm("KDUPT", options=key_options(3, counter=4)))
    lab.from_server("alice", mm("KDUPT", options=key_options(4)))
    assert [(generation, counter) for _, generation, _, counter in orders(lab, "alice")] == [
        (1, 3),
        (2, 3),
        (3, 5),
        (4, 5),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "no-key"),
        (key_options(6)[:1], "no-key"),
        (key_options(0), "no-key"),
        (key_options(6, user=USER + 1), "wrong-key"),
        (key_options(6, secret=bytes(32)), "wrong-key"),
        ([[18, "00" * 24], [19, "00000006"]], "wrong-key"),
        ([[18, GROUP_KEY.hex()], [19, "00000006"]], "wrong-key"),
        (key_options(4), "old-generation"),
        (key_options(5, bytes(30)), "another-key-of-this-generation"),
    ],
    ids=[
        "none",
        "no generation",
        "generation 0",
        "another user's",
        "another secret's",
        "short",
        "in the clear",
        "old",
        "changed",
    ],
)
def test_key_that_is_of_no_use_is_dropped(options: list[Any], reason: str) -> None:
    lab = secure_member(generation=5)
    lab.from_server("alice", mm("KDUPT", key_length=30, options=options))
    assert lab.count("alice", f"dropped.{reason}") == 1
    assert orders(lab, "alice") == [("receive", 5, GROUP_KEY.hex(), 0)]


def test_member_without_the_current_key_asks_for_it() -> None:
    """KAREQ's Reserved octet tells that there is one [G-15]: SJREQ again, and SJRES has it."""
    lab = secure_member(generation=255)
    secure(lab, 257)
    mark = lab.mark()
    lab.from_server("alice", keep_alive(reserved=1))  # 257's low octet
    lab.from_server("alice", keep_alive(reserved=1))
    lab.run_for(0.1)
    assert lab.lines(mark) == ["alice KARES server", "alice SJREQ server", "alice KARES server", "server SJRES alice"]
    assert lab.state("alice")["state"] == "ACTIVE"
    assert orders(lab, "alice")[-1] == ("receive", 257, GROUP_KEY.hex(), 0)


@pytest.mark.parametrize("octet", [0, 255, 254], ids=["none", "the one held", "an older one"])
def test_member_that_has_the_current_key_asks_for_none(octet: int) -> None:
    lab = secure_member(generation=255)
    lab.from_server("alice", keep_alive(reserved=octet))
    assert len(lab.packets("SJREQ")) == 1


def test_secure_session_is_not_for_who_has_no_secret() -> None:
    lab = Lab()
    secure(lab)
    participant(lab, until="active")
    lab.start("alice")
    lab.run_for(10)
    assert lab.packets("SJREQ") == []
    assert lab.told("alice")[-1] == ("refused", {"request": "SJREQ", "reason": "no-secret"})


def test_enrolment_without_a_key_of_use_is_no_enrolment() -> None:
    lab = Lab()
    secure(lab)
    lab.server.answers["SJREQ"] = lambda _: [sm("SJRES", s=1, options=key_options(1, user=9), **TO_GROUP)]
    participant(lab, secret=SECRET, until="active")
    lab.start("alice")
    lab.run_for(3.5)
    assert len(lab.packets("SJREQ")) == 3
    assert lab.count("alice", "dropped.wrong-key") == 3
    assert lab.state("alice")["state"] == "REGISTERED"


def test_who_leaves_forgets_the_key() -> None:
    lab = secure_member("enrolled")
    lab.tell("alice", Leave(Level.ENROLLED))
    assert lab.state("alice")["generation"] == 0
    lab.from_server("alice", mm("KDUPT", key_length=30, options=key_options(2)))
    assert lab.count("alice", "dropped.not-enrolled") == 1

"""What all roles share: timers, counters, the TLV walk, tables, errors."""

from __future__ import annotations

import re
from enum import Enum
from importlib import import_module
from struct import Struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.agent import Endpoint
from agents.core.counters import Counters
from agents.core.errors import ConfigurationError, DecodeError, IllegalTransitionError
from agents.core.machine import TransitionTable
from agents.core.timers import Timers
from agents.core.tlv import Reader, read_parameters
from agents.documentation import tables

moments = st.integers(0, 50).map(float)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 5), moments),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("due"), st.just(0), moments),
        st.tuples(st.just("clear"), st.just(0), st.just(0.0)),
    ),
    max_size=200,
)


@given(operations)
def test_timers_do_what_a_plain_list_does(steps: list[tuple[str, int, float]]) -> None:
    timers: Timers[int] = Timers()
    plain: list[tuple[float, int]] = []  # in the order they were set
    for what, key, moment in steps:
        match what:
            case "set":
                timers.set(key, moment)
                plain = [row for row in plain if row[1] != key] + [(moment, key)]
            case "cancel":
                timers.cancel(key)
                plain = [row for row in plain if row[1] != key]
            case "clear":
                timers.clear()
                plain = []
            case _:
                expected = [key for deadline, key in sorted(plain, key=lambda row: row[0]) if deadline <= moment]
                assert list(timers.due(moment)) == expected
                plain = [row for row in plain if row[0] > moment]
        assert timers.next_deadline() == min((deadline for deadline, _ in plain), default=None)
        assert len(timers) == len(plain)
        assert [key in timers for key in range(6)] == [key in {row[1] for row in plain} for key in range(6)]


def test_timer_set_while_others_fire_fires_in_the_same_turn_if_it_is_due() -> None:
    timers: Timers[str] = Timers()
    timers.set("first", 1.0)
    fired = []
    for key in timers.due(5.0):
        fired.append(key)
        if key == "first":
            timers.set("past", 4.0)
            timers.set("future", 6.0)
    assert fired == ["first", "past"]
    assert timers.next_deadline() == 6.0


def test_timer_cancelled_while_others_fire_does_not_fire() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.set("b", 1.0)
    fired = []
    for key in timers.due(2.0):
        timers.cancel("b")
        fired.append(key)
    assert fired == ["a"]


def test_timer_that_is_moved_again_and_again_keeps_little() -> None:
    timers: Timers[str] = Timers()
    for number in range(10_000):
        timers.set("one", float(number))
    assert len(timers._heap) < 200
    assert timers.next_deadline() == 9999.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9))))
def test_counters_add_up(added: list[tuple[str, int]]) -> None:
    counters = Counters()
    for name, amount in added:
        counters.add(name, amount)
    assert all(counters[name] == sum(n for key, n in added if key == name) for name in "abc")
    snapshot = counters.snapshot()
    assert list(snapshot) == sorted({name for name, _ in added})
    counters.add("a")
    assert snapshot.get("a", 0) == counters["a"] - 1


def test_counters_only_grow() -> None:
    with pytest.raises(ValueError, match="counter lost: -1 is negative, counters only grow"):
        Counters().add("lost", -1)


HEADERS = {4: Struct("!BxH"), 2: Struct("!BB")}


def reader(code: int) -> Reader[tuple[int, bytes]]:
    return 1 << code, lambda data, start, end: (code, data[start:end])


def span(_data: bytes, start: int, end: int) -> tuple[int, int]:
    return start, end


READERS = {code: reader(code) for code in range(256)}
SPANS: dict[int, Reader[tuple[int, int]]] = dict.fromkeys(range(256), (1, span))


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=6),
    st.sampled_from([2, 4]),
    st.binary(max_size=9),
)
def test_parameters_are_read_as_they_were_written(rows: list[tuple[int, bytes]], size: int, before: bytes) -> None:
    header = HEADERS[size]
    data = before + b"".join(header.pack(code, size + len(value)) + value for code, value in rows)
    found, bits = read_parameters(data, len(before), header, READERS, "test")
    assert found == rows
    assert bits == sum(1 << code for code in {code for code, _ in rows})


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=6),
    st.sampled_from([2, 4]),
    st.sampled_from([2, 4, 8]),
    st.binary(max_size=9),
    st.data(),
)
def test_padding_is_passed_over_and_belongs_to_the_message(
    rows: list[tuple[int, bytes]], size: int, alignment: int, before: bytes, drawn: st.DataObject
) -> None:
    header = HEADERS[size]
    data, padding = before, 0
    for code, value in rows:
        data += header.pack(code, size + len(value)) + value
        padding = -(size + len(value)) % alignment
        data += drawn.draw(st.binary(min_size=padding, max_size=padding))
    assert read_parameters(data, len(before), header, READERS, "test", alignment)[0] == rows
    if padding:
        with pytest.raises(DecodeError, match=r"parameter-overrun: test parameter \d+ is padded to byte"):
            read_parameters(data[:-1], len(before), header, READERS, "test", alignment)


@given(st.binary(max_size=40), st.sampled_from([2, 4]), st.integers(0, 50))
def test_reading_covers_everything_or_refuses(data: bytes, size: int, start: int) -> None:
    try:
        found, _ = read_parameters(data, start, HEADERS[size], SPANS, "test")
    except DecodeError as error:
        assert error.reason in {"parameter-overrun", "parameter-size"}
        assert error.detail.startswith("test parameter")
    else:
        positions = [start, *(end for _, end in found)]
        assert [first for first, _ in found] == [position + size for position in positions[:-1]]
        assert positions[-1] == max(start, len(data)) or not found


class Light(Enum):
    RED = "RED"
    GREEN_LIGHT = "GREEN-LIGHT"


class Push(Enum):
    BUTTON = "recv: push"


def test_table_is_drawn_as_mermaid() -> None:
    table = TransitionTable(
        "lamp", Light.RED, {Light.RED: {Push.BUTTON: Light.GREEN_LIGHT}, Light.GREEN_LIGHT: {Push.BUTTON: Light.RED}}
    )
    assert table.mermaid().splitlines() == [
        "stateDiagram-v2",
        '    state "RED" as s_RED',
        '    state "GREEN-LIGHT" as s_GREEN_LIGHT',
        "    [*] --> s_RED",
        "    s_RED --> s_GREEN_LIGHT: recv#58; push",
        "    s_GREEN_LIGHT --> s_RED: recv#58; push",
    ]
    assert table.next(Light.RED, Push.BUTTON) is Light.GREEN_LIGHT


class Odd(Enum):
    KEYWORD = "state"
    ARROW = 'a-->b: "c"; é'


class Label(Enum):
    ALL = 'x: y; z "q" #1 %% {F = 1} (a/b) <b>&amp;\nend'


# What Mermaid's grammar of state diagrams takes as one line of each kind (stateDiagram.jison): a text in quotes ends at the
# next quote, a label at a colon, a semicolon or the end of the line; versions before 11 take no second colon.
DECLARATION = re.compile(r'    state "([^"\n]*)" as (\w+)', re.ASCII)
TRANSITION = re.compile(r"    (\[\*\]|\w+) --> (\w+)(?:: ((?:[^:;#\n]|#\d+;)+))?", re.ASCII)


def entities(text: str) -> str:
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


def drawn(table: TransitionTable[Any, Any]) -> list[tuple[str, str, str]]:
    """What a reader of the diagram sees: (state, label, next state)."""
    title, *lines = table.mermaid().splitlines()
    assert title == "stateDiagram-v2"
    names = {}
    seen = []
    for line in lines:
        if declared := DECLARATION.fullmatch(line):
            names[declared[2]] = entities(declared[1])
            continue
        step = TRANSITION.fullmatch(line)
        assert step, line
        seen.append((names.get(step[1], step[1]), entities(step[3] or ""), names[step[2]]))
    return seen


def test_diagram_survives_whatever_mermaid_gives_a_meaning() -> None:
    table = TransitionTable(
        "odd", Odd.KEYWORD, {Odd.KEYWORD: {Label.ALL: Odd.ARROW}, Odd.ARROW: {Label.ALL: Odd.KEYWORD}}
    )
    assert drawn(table) == [
        ("[*]", "", Odd.KEYWORD.value),
        (Odd.KEYWORD.value, Label.ALL.value, Odd.ARROW.value),
        (Odd.ARROW.value, Label.ALL.value, Odd.KEYWORD.value),
    ]
    assert not re.search(r"[%<>&]", table.mermaid().replace("-->", ""))


def test_table_must_have_a_row_for_every_state() -> None:
    with pytest.raises(ValueError, match="table lamp has no row for: GREEN-LIGHT"):
        TransitionTable("lamp", Light.RED, {Light.RED: {Push.BUTTON: Light.RED}})


def test_step_that_is_not_in_the_table_is_a_bug() -> None:
    table: TransitionTable[Light, Push] = TransitionTable(
        "lamp", Light.RED, {Light.RED: {Push.BUTTON: Light.GREEN_LIGHT}, Light.GREEN_LIGHT: {}}
    )
    assert not table.allows(Light.GREEN_LIGHT, Push.BUTTON)
    with pytest.raises(IllegalTransitionError, match="lamp: no step for recv: push in GREEN-LIGHT"):
        table.next(Light.GREEN_LIGHT, Push.BUTTON)


@pytest.mark.parametrize("table", tables(import_module("agents.mmcp")), ids=lambda table: str(table.name))
def test_diagram_shows_every_step(table: TransitionTable[Any, Any]) -> None:
    assert drawn(table) == [
        ("[*]", "", table.initial.value),
        *((state.value, on.value, after.value) for state, row in table.steps.items() for on, after in row.items()),
    ]


def test_endpoints_as_text() -> None:
    assert str(Endpoint("10.0.0.1", 5)) == "10.0.0.1:5"
    assert str(Endpoint("2001:db8::1", 5)) == "[2001:db8::1]:5"


def test_configuration_error_names_its_file() -> None:
    error = ConfigurationError("timers.hit_s", "0 s", "give more").in_file("/x/mn.toml")
    assert str(error) == "/x/mn.toml: timers.hit_s: 0 s; give more"
    assert (error.key, error.found, error.remedy) == ("/x/mn.toml: timers.hit_s", "0 s", "give more")

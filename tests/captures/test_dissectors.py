"""Every dissector against hand-made messages, against itself, and against octets that are no message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf
from scapy.packet import Packet

from captures.wire.malformed import MalformedMessageError
from tests.captures.dissector_cases import CASES, Case
from tests.wire.vector_files import mutated

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
WELL_FORMED = [(case, vector) for case in CASES for vector in case.vectors if not vector.get("malformed")]
MALFORMED = [(case, vector) for case in CASES for vector in case.vectors if vector.get("malformed")]


@pytest.fixture(autouse=True)
def _scapy_does_not_swallow_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "debug_dissector", True)


def ids(value: Any) -> str:
    return value.name if isinstance(value, Case) else str(value["name"])


@pytest.mark.parametrize(("case", "vector"), WELL_FORMED, ids=ids)
def test_vector_is_read_as_it_says(case: Case, vector: dict[str, Any]) -> None:
    assert case.dissect(bytes.fromhex(vector["hex"])) == case.fields_of(vector)


@pytest.mark.parametrize(("case", "vector"), WELL_FORMED, ids=ids)
def test_vector_is_written_again(case: Case, vector: dict[str, Any]) -> None:
    octets = case.build(case.fields_of(vector))
    assert (octets.hex() == vector["hex"]) is vector.get("canonical", True)
    assert case.dissect(octets) == case.fields_of(vector)


@pytest.mark.parametrize(("case", "vector"), MALFORMED, ids=ids)
def test_malformed_vector_is_refused_and_the_octet_named(case: Case, vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    with pytest.raises(MalformedMessageError) as refused:
        case.dissect(data)
    found = case.problems(case.layer(data))
    assert str(refused.value) == "; ".join(found)
    if "octet" in vector:
        assert re.search(rf"\boctet {vector['octet']}: ", found[0]), found


@every_case
def test_every_packet_has_a_vector_and_every_vector_a_name(case: Case) -> None:
    assert {vector["packet"] for vector in case.vectors if "packet" in vector} == set(case.packets)
    assert len({vector["name"] for vector in case.vectors}) == len(case.vectors)


def made_anew(layer: Packet) -> Packet:
    """The same layer from its fields alone: scapy would give a dissected one's octets back from its memory."""
    values: dict[str, Any] = {}
    for name, value in layer.fields.items():
        values[name] = [made_anew(part) for part in value] if isinstance(value, list) else value
    return type(layer)(**values)


@pytest.mark.parametrize(("case", "vector"), WELL_FORMED, ids=ids)
def test_layers_write_the_fields_that_they_read(case: Case, vector: dict[str, Any]) -> None:
    layer = case.layer(bytes.fromhex(vector["hex"]))
    if vector.get("canonical", True):
        assert bytes(made_anew(layer)).hex() == vector["hex"]


@pytest.mark.parametrize(
    ("case", "packet"),
    [(case, packet) for case in CASES for packet in case.packets],
    ids=lambda value: getattr(value, "name", value),
)
def test_any_message_that_is_written_is_read_back(case: Case, packet: str) -> None:
    @settings(max_examples=25)
    @given(case.messages(packet))
    def read_back(fields: dict[str, Any]) -> None:
        octets = case.build(fields)
        assert case.dissect(octets) == fields
        anew = made_anew(case.layer(octets))
        assert bytes(anew) == octets
        assert case.problems(anew) == []

    read_back()


@every_case
def test_arbitrary_octets_are_read_or_refused(case: Case) -> None:
    @settings(max_examples=100)
    @given(st.binary(max_size=80))
    def read(data: bytes) -> None:
        case.reads_or_refuses(data)
        case.reads_or_refuses(case.repaired(data))

    read()


@every_case
def test_mutated_messages_are_read_or_refused(case: Case) -> None:
    answers = set()

    @settings(max_examples=150)
    @given(case.any_message.flatmap(lambda fields: mutated(case.build(fields), case.repaired)))
    def read(data: bytes) -> None:
        answers.add(case.reads_or_refuses(data))

    read()
    assert answers == {True, False}


@every_case
def test_every_truncation_of_every_vector_is_read_or_refused(case: Case) -> None:
    whole = [bytes.fromhex(vector["hex"]) for vector in case.vectors if not vector.get("malformed")]
    cuts = {octets[:size] for octets in whole for size in range(len(octets))}
    for cut in sorted(cuts):
        case.reads_or_refuses(cut)
        case.reads_or_refuses(case.repaired(cut))


def layers_within(layer: Packet) -> Iterator[Packet]:
    yield layer
    for value in layer.fields.values():
        if isinstance(value, list):
            for part in value:
                yield from layers_within(part)


@pytest.mark.parametrize(("case", "vector"), WELL_FORMED, ids=ids)
def test_no_field_is_hidden_by_an_attribute_of_scapy(case: Case, vector: dict[str, Any]) -> None:
    for layer in layers_within(case.layer(bytes.fromhex(vector["hex"]))):
        assert not {field.name for field in layer.fields_desc} & set(dir(Packet))

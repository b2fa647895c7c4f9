"""The Wireshark plugin against the hand-made messages, against the scapy layers, and against octets that are no message."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.captures.agreement import PROTOCOLS, disagreements, write_messages
from tests.captures.plugin_readings import settled
from tests.captures.tshark import PROJECT, scripts, tshark
from tests.captures.wrong_messages import wrong_messages

pytestmark = pytest.mark.lab

KEPT = Path(__file__).with_name("data")
VECTORS = Path(__file__).parents[1] / "vectors"
ABOUT_A_VECTOR = {"name", "hex", "note", "malformed", "reason", "canonical"}
each = pytest.mark.parametrize("name", PROTOCOLS)


def vectors(name: str) -> list[dict[str, Any]]:
    rows = [
        {**row, "hex": row["hex"].replace(" ", "")}
        for path in sorted(VECTORS.glob(f"{PROTOCOLS[name].layer}*.toml"))
        for row in tomllib.loads(path.read_text(encoding="utf-8"))["message"]
    ]
    protocol = PROTOCOLS[name]
    # Wireshark hands no empty datagram to any dissector, and waits for the rest of what a stream has not brought whole.
    return [row for row in rows if protocol.rows.items() <= row.items() and protocol.arrives(bytes.fromhex(row["hex"]))]


def well_formed(name: str) -> list[bytes]:
    return [bytes.fromhex(row["hex"]) for row in vectors(name) if not row.get("malformed")]


def wrong(name: str, seed: int, count: int) -> list[bytes]:
    return wrong_messages(well_formed(name), seed, count, PROTOCOLS[name].seal, PROTOCOLS[name].arrives)


@each
def test_vectors_are_read_and_the_malformed_ones_refused(tmp_path: Path, name: str) -> None:
    rows = vectors(name)
    path = write_messages(tmp_path / "vectors.pcapng", [bytes.fromhex(row["hex"]) for row in rows], PROTOCOLS[name])
    shown = PROTOCOLS[name].layers(tmp_path, path)
    assert len(shown) == len(rows) > 0
    for row, layer in zip(rows, shown, strict=True):
        assert bool(layer.problems) == row.get("malformed", False), (row["name"], layer.problems)
        if not layer.problems:
            expected = {key: value for key, value in row.items() if key not in ABOUT_A_VECTOR}
            assert settled(PROTOCOLS[name].reading(layer)) == settled(expected), row["name"]


@each
def test_both_read_the_vectors_alike(tmp_path: Path, name: str) -> None:
    payloads = [bytes.fromhex(row["hex"]) for row in vectors(name)]
    path = write_messages(tmp_path / "vectors.pcapng", payloads, PROTOCOLS[name])
    assert disagreements(tmp_path, path, name) == (len(payloads), [])


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_both_read_a_kept_capture_of_a_lab_alike(tmp_path: Path, family: str) -> None:
    messages, found = disagreements(tmp_path, KEPT / f"handover-{family}.pcapng", "mmcp")
    assert found == []
    assert messages > 50


@each
def test_wrong_messages_are_no_error_of_the_plugin(tmp_path: Path, name: str) -> None:
    samples = wrong(name, seed=1, count=400)
    path = write_messages(tmp_path / "wrong.pcapng", samples, PROTOCOLS[name])
    shown = PROTOCOLS[name].layers(tmp_path, path)
    assert len(shown) == len(samples)
    assert sum(bool(layer.problems) for layer in shown) > len(samples) / 2
    summaries = tshark(tmp_path, *scripts([PROTOCOLS[name].layer]), *PROTOCOLS[name].options, "-2", "-r", str(path))
    assert summaries.count("malformed: ") == sum(bool(layer.problems) for layer in shown)


@each
def test_wrong_messages_are_refused_by_both_or_by_none(tmp_path: Path, name: str) -> None:
    samples = wrong(name, seed=2, count=600)
    path = write_messages(tmp_path / "wrong.pcapng", samples, PROTOCOLS[name])
    assert disagreements(tmp_path, path, name) == (len(samples), [])


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if not protocol.stream])
def test_a_short_snapshot_length_is_no_fault_of_the_message(tmp_path: Path, name: str) -> None:
    payloads = well_formed(name)
    path = write_messages(tmp_path / "whole.pcapng", payloads, PROTOCOLS[name], snapshot=14 + 20 + 8 + 15)
    shown = PROTOCOLS[name].layers(tmp_path, path)
    assert len(shown) == len(payloads)
    for layer, payload in zip(shown, payloads, strict=True):
        assert layer.problems == ()
        assert bool(layer.all(f"{PROTOCOLS[name].layer}.cut")) == (len(payload) > 15)


def test_the_filters_in_the_readme_are_filters(tmp_path: Path) -> None:
    section = (PROJECT / "README.md").read_text(encoding="utf-8").partition("## In Wireshark")[2].partition("\n## ")[0]
    filters = [found.replace("\\|", "|") for found in re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)]
    assert len(filters) > 4
    path = write_messages(tmp_path / "any.pcapng", well_formed("mmcp"), PROTOCOLS["mmcp"])
    for one in filters:
        tshark(tmp_path, *scripts({protocol.layer for protocol in PROTOCOLS.values()}), "-r", str(path), "-Y", one)

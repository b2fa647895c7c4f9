"""tshark with the project's plugin, in a home of its own: what a user has installed or set does not count."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from captures.protocols import room

PROJECT = Path(__file__).resolve().parents[2]
PLUGIN = sorted((PROJECT / "captures").glob("*/lab_*.lua"))
NOT_FOUND = "tshark is not installed: apt-get install --no-install-recommends tshark"

Tree = list[tuple[str, Any]]
"""Wireshark's tree of a layer as its JSON has it: (field, text) or (field, tree below), in order, fields repeated.

Each field is preceded by (field + "_raw", [hex, offset, octets, …]).
"""


@dataclass(frozen=True)
class Layer:
    """One message as Wireshark shows it; `problems` is what the expert information calls malformed.

    `quoted`: the expert information says that an ICMP error quotes it.
    """

    frame: int
    tree: Tree
    problems: tuple[str, ...]
    quoted: bool

    def all(self, field: str) -> list[str]:
        """Every value of a field, wherever it is in the tree."""
        return [value for name, value in leaves(self.tree) if name == field]


def leaves(tree: Tree) -> Iterator[tuple[str, str]]:
    """(field, text) of everything in the tree, depth first."""
    for name, value in tree:
        if isinstance(value, list) and not name.endswith("_raw"):
            yield from leaves(value)
        elif isinstance(value, str):
            yield name, value


def subtrees(tree: Tree, field: str) -> list[Tree]:
    """The trees below a field that is repeated."""
    return [value for name, value in tree if name == field and isinstance(value, list)]


def raw(tree: Tree, field: str) -> list[bytes]:
    """The octets of a field, each time it is in the tree."""
    return [bytes.fromhex(value[0]) for name, value in tree if name == f"{field}_raw"]


def environment(home: Path) -> dict[str, str]:
    """Variables in which neither the user's configuration nor language plays a part."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}


def as_nobody_special() -> list[str]:
    """Words in front of a command: Wireshark 4.4 and later load no plugins as root, so root gives up its name."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.geteuid() == 0 else []


def scripts(protocols: Iterable[str]) -> list[str]:
    """Arguments that load the plugin from where it lies."""
    return [word for protocol in protocols for word in ("-X", f"lua_script:{room(protocol) / f'lab_{protocol}.lua'}")]


def tshark(home: Path, *arguments: str) -> str:
    """Standard output of tshark; fails the test if it fails or reports an error of a plugin."""
    path = shutil.which("tshark")
    if path is None:
        pytest.fail(NOT_FOUND)
    done = subprocess.run(
        [*as_nobody_special(), path, *arguments],
        check=False, capture_output=True, text=True, timeout=50, env=environment(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Lua" not in done.stderr, done.stderr
    assert "Lua Error:" not in done.stdout, next(x for x in done.stdout.splitlines() if "Lua Error:" in x)
    return done.stdout


def layers(home: Path, path: Path, protocol: str, *options: str) -> list[Layer]:
    """Every message of a protocol in a capture, in the order of frames and inside them."""
    text = tshark(home, *scripts([protocol]), "-r", str(path), "-T", "json", "-x", "-J", f"frame {protocol}", *options)
    packets: list[Tree] = json.loads(text, object_pairs_hook=list)
    found = []
    for packet in packets:
        below: Tree = dict(dict(packet)["_source"])["layers"]
        frame = int(dict(dict(below)["frame"])["frame.number"])
        for name, tree in below:
            if name == protocol and isinstance(tree, list):
                quoted = any(field == f"{protocol}.quoted" for field, _ in leaves(tree))
                found.append(Layer(frame, tree, tuple(_problems(tree, protocol)), quoted))
    return found


def _problems(tree: Tree, protocol: str) -> Iterator[str]:
    for name, value in tree:
        if name == "_ws.expert" and f"{protocol}.malformed" in dict(value):
            yield dict(value)["_ws.expert.message"]
        elif isinstance(value, list) and not name.endswith("_raw"):
            yield from _problems(value, protocol)

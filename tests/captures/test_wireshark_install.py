"""`make wireshark` in a home of its own: tshark knows the protocols afterwards, and what others put there is left alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.captures.tshark import PLUGIN, PROJECT, as_nobody_special, environment, tshark

pytestmark = pytest.mark.lab

FIELDS = {"mmcp.type", "gmp.sm_type", "msmp.type", "omcp.type", "ectp.type"}


def make(home: Path, target: str) -> str:
    done = subprocess.run(
        [*as_nobody_special(), "make", "--no-print-directory", "-C", str(PROJECT), target],
        check=False, capture_output=True, text=True, timeout=50, env=environment(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def known(home: Path) -> set[str]:
    """Those of a field of each protocol that tshark knows by itself."""
    fields = tshark(home, "-G", "fields")
    return {field for field in FIELDS if f"\t{field}\t" in fields}


def test_installed_again_and_removed(tmp_path: Path) -> None:
    assert known(tmp_path) == set()
    said = make(tmp_path, "wireshark")
    plugins = tmp_path / ".local/lib/wireshark/plugins"
    folder = plugins / "multicast-lab"
    assert f"installed in {folder}\n" in said
    assert "tshark has loaded it" in said
    assert files(folder) == {path.name: path.read_bytes() for path in PLUGIN}
    assert known(tmp_path) == FIELDS

    (plugins / "other.lua").write_text("-- another's\n")
    (folder / "notes.txt").write_text("the user's\n")
    (folder / "lab_mmcp.lua").write_text("-- an older version\n")
    (folder / "lab_former.lua").write_text("error('a file that an older version had')\n")
    make(tmp_path, "wireshark")
    assert set(files(folder)) == {"notes.txt"} | {path.name for path in PLUGIN}
    assert known(tmp_path) == FIELDS

    make(tmp_path, "wireshark-remove")
    assert list(files(folder)) == ["notes.txt"]
    assert (plugins / "other.lua").exists()
    assert known(tmp_path) == set()


def test_without_tshark_it_goes_where_wireshark_looks(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("cp", "dirname", "mkdir", "rm"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    done = subprocess.run(
        ["/bin/sh", str(PROJECT / "captures/wireshark/install.sh")],
        check=True, capture_output=True, text=True, timeout=50, env={"PATH": str(tools), "HOME": str(tmp_path)},
    )  # fmt: skip
    folder = tmp_path / ".local/lib/wireshark/plugins/multicast-lab"
    assert files(folder).keys() == {path.name for path in PLUGIN}
    assert f"installed in {folder}\n" in done.stdout
    assert "the filters are: ectp gmp mmcp msmp omcp" in done.stdout

"""Labs for other emulators keep to what those accept: the rules here are theirs, in our words; the model is what is exported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # no annotations

from testbed.export import containerlab, kathara
from testbed.export.network import IMAGE, image_reference
from testbed.mmcp.roaming import session_lab
from testbed.net.model import Addressing, Lab, Membership, ModelError, Node, PointOfAttachment, Quality
from testbed.net.shapes import line
from testbed.net.validation import validate


def row(family: int = 4, mobiles: int = 2, **link: float) -> Lab:
    model = session_lab("row", line(6 if family == 6 else 4, 3, Quality(**link)), mobiles)  # type: ignore[arg-type]
    validate(model)
    return model


@pytest.mark.parametrize("family", [4, 6])
def test_a_containerlab_topology_has_every_node_and_link_once(family: int) -> None:
    model = row(family)
    files = containerlab.files(model, IMAGE)
    topology: dict[str, Any] = yaml.safe_load(files["row.clab.yml"])
    assert set(topology) == {"name", "topology"}
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]*", topology["name"])
    known = {"nodes", "links", "defaults"}
    assert set(topology["topology"]) == known
    assert topology["topology"]["defaults"] == {"kind": "linux", "image": IMAGE}
    nodes = topology["topology"]["nodes"]
    assert set(nodes) == {node.name for node in model.nodes} | {cell.name for cell in model.points_of_attachment}
    for node in nodes.values():
        assert set(node) <= {"group", "binds", "exec"}
        for bind in node["binds"]:
            source, target, *mode = bind.split(":")
            assert source in files
            assert target.startswith("/")
            assert mode in ([], ["ro"])
        assert len(node["binds"]) == len(set(node["binds"]))
        assert all(isinstance(command, str) for command in node["exec"])
    ends = [end for link in topology["topology"]["links"] for end in link["endpoints"]]
    assert all(len(link["endpoints"]) == 2 for link in topology["topology"]["links"])
    assert len(ends) == len(set(ends)) == 2 * (len(model.links) + len(model.attachments) + len(model.radios))
    for end in ends:
        name, interface = end.split(":")
        assert name in nodes
        assert len(interface) <= 15
        assert interface != "eth0", "that is its management's"


@pytest.mark.parametrize("family", [4, 6])
def test_a_kathara_lab_is_of_lines_that_it_takes(family: int) -> None:
    model = row(family)
    files = kathara.files(model, IMAGE)
    interfaces: dict[str, dict[int, str]] = {}
    for text in files["lab.conf"].splitlines():
        if not text or text.startswith("LAB_"):
            assert text.count("=") <= 1
            continue
        match = re.fullmatch(r'([a-z0-9_]{1,30})\[(\w+)\]="([^"\']+)"', text)
        assert match, text
        if match[2].isdecimal():
            assert re.fullmatch(r"\w+", match[3])
            interfaces.setdefault(match[1], {})[int(match[2])] = match[3]
        else:
            assert (match[2], match[3]) == ("image", IMAGE)
    domains = [domain for numbered in interfaces.values() for domain in numbered.values()]
    assert all(domains.count(domain) == 2 for domain in domains), "each wire has two ends"
    for device, numbered in interfaces.items():
        assert sorted(numbered) == list(range(len(numbered))), "numbers without a gap"
        assert len(set(numbered.values())) == len(numbered), "no device twice in a domain"
        renamed = re.findall(r"^ip link set (eth\d+) name ", files[f"{device}.startup"], re.MULTILINE)
        assert renamed == [f"eth{number}" for number in sorted(numbered)]
    assert {name.partition("/")[0] for name in files if "/" in name} <= set(interfaces), "files are of devices"


@pytest.mark.parametrize("make", [containerlab.files, kathara.files])
def test_links_cells_and_daemons_come_along(make: Any) -> None:
    files = make(row(delay_s=0.02, loss=0.01), IMAGE)
    scripts = {path: text for path, text in files.items() if path.endswith(("setup.sh", ".startup"))}
    impaired = [path for path, text in scripts.items() if "netem limit 100000 delay 20000us loss random 1%" in text]
    assert len(impaired) == 3, "the ends of two links, of which r2 has two"
    cell = next(text for path, text in scripts.items() if path.startswith("poa2"))
    assert "type bridge mcast_snooping 0" in cell
    assert cell.count(" master poa2") == 3, "its router, its LMC, its mobile node"
    router = next(text for path, text in files.items() if path == "r1/etc/frr/frr.conf")
    assert re.search(r"^ rp \S+ 224\.0\.0\.0/4$", router, re.MULTILINE)
    assert router.count(" ip pim\n") >= 3
    for path, text in scripts.items():
        checked = subprocess.run(["sh", "-n"], input=text, check=False, capture_output=True, text=True)
        assert checked.returncode == 0, (path, checked.stderr)


def test_routes_by_ospf_come_along_too() -> None:
    files = containerlab.files(replace(row(), unicast="ospf"), IMAGE)
    assert "ospfd=yes" in files["r2/etc/frr/daemons"]
    assert files["r2/etc/frr/frr.conf"].count(" ip ospf area 0.0.0.0\n") == 3, "two links and a cell"
    assert "route replace" not in files["r2/setup.sh"]
    assert "route replace 0.0.0.0/0" in files["mcs/setup.sh"]


def test_names_that_kathara_does_not_take_are_changed_and_told() -> None:
    model = Lab("odd", 4, (Node("My-Host"),), (PointOfAttachment("cell.1"),))
    files = kathara.files(model, IMAGE)
    assert {"my_host.startup", "cell_1.startup"} <= set(files)
    assert "My-Host is my_host." in files["README.md"]
    with pytest.raises(ModelError, match="would both be device 'a_b'"):
        kathara.files(Lab("same", 4, (Node("a.b"), Node("a-b"))), IMAGE)
    with pytest.raises(ModelError, match="'shared' is no device"):
        kathara.files(Lab("reserved", 4, (Node("shared"),)), IMAGE)


def test_what_links_do_is_told_to_tc_as_a_lab_tells_it() -> None:
    model = row(delay_s=0.02, jitter_s=0.002, rate_bps=10_000_000, queue_packets=100)
    told = [line for line in containerlab.files(model, IMAGE)["r1/setup.sh"].splitlines() if line.startswith("tc ")]
    assert [line.partition(" dev r1-r2 ")[2] for line in told] == [
        "root handle 1: netem limit 100000 delay 20000us 2000us rate 100gbit",  # and nothing overtakes
        "parent 1:1 handle 10: tbf rate 10000000bit burst 2500 limit 151400",
        "parent 10:1 handle 20: pfifo limit 100",
    ]


def export(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "testbed", "export", *words, "--output", str(folder)]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_what_cannot_be_exported_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for options, remedy in (
        (("--routing", "smcroute"), "--routing frr"),
        (("--addresses", "slaac", "--family", "6"), "--addresses static"),
    ):
        done = export(tmp_path / "new", "handover", "--format", "kathara", *options)
        assert (done.returncode, remedy in done.stderr) == (2, True), done.stderr
        assert not (tmp_path / "new").exists()
    done = export(tmp_path / "new", "handover", "--format", "containerlab", "--json")
    assert (done.returncode, "rr/etc/frr/frr.conf" in json.loads(done.stdout)["files"]) == (0, True)
    again = export(tmp_path / "new", "handover", "--format", "containerlab")
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)
    assert export(tmp_path / "other", "handover", "--format", "gns3").returncode == 2


@pytest.mark.parametrize(
    "text", [IMAGE, "frr", "quay.io/frrouting/frr:10.3.0", "localhost:5000/a/b_c:v1", f"frr@sha256:{'0a' * 32}"]
)
def test_names_of_images_are_taken(text: str) -> None:
    assert image_reference(text) == text


@pytest.mark.parametrize(
    "text", ["", "Frr", "frr:", 'frr"', "frr\n", 'frr\nx[image]="y"', "frr image", "-frr", "frr:a/b"]
)
def test_what_is_no_name_of_an_image_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no name of a container image"):
        image_reference(text)
    if text == 'frr"':
        done = export(tmp_path / "new", "handover", "--format", "kathara", "--image", text)
        assert (done.returncode, "--image" in done.stderr, (tmp_path / "new").exists()) == (2, True, False)


def test_versions_and_detection_of_duplicates_come_along() -> None:
    model = replace(
        row(6), addressing=Addressing(duplicate_address_detection="optimistic"), membership=Membership(mld=1)
    )
    files = containerlab.files(model, IMAGE)
    assert "accept_dad=1 net.ipv6.conf.all.dad_transmits=1 net.ipv6.conf.all.optimistic_dad=1" in files["mn1/setup.sh"]
    assert re.search(r"address replace \S+ dev mn1-radio$", files["mn1/setup.sh"], re.MULTILINE)
    assert "all.force_mld_version=1 " in files["mn1/setup.sh"]
    assert "accept_dad=0 " in files["mcs/setup.sh"]
    assert " nodad" in files["mcs/setup.sh"]
    older = replace(row(), membership=Membership(igmp=2, robustness=3))
    assert "all.force_igmp_version=2 net.ipv4.igmp_qrv=3\n" in containerlab.files(older, IMAGE)["mn1/setup.sh"]

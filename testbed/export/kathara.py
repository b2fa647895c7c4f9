"""Labs for Kathara: lab.conf, a start-up script for each device, and a folder with its files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbed.export.network import containers, render, script
from testbed.net.model import Lab, ModelError

NAME_MAX = 30
RESERVED = ("shared", "_test")
"""Folders of a lab that mean something else to Kathara than a device."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as lab.conf has it: the domain of each of its interfaces, in the order of their numbers."""

    name: str
    domains: tuple[str, ...]


def files(model: Lab, image: str) -> dict[str, str]:
    """Every file by its path. Raises ModelError for what cannot be exported, or for names that become the same."""
    nodes = containers(model)
    called = _names(model, [node.name for node in nodes])
    devices = [Device(called[node.name], tuple(f"wire{plug.wire}" for plug in node.plugs)) for node in nodes]
    description = (
        f"{model.name}, IPv{model.family}, {len(model.nodes)} nodes and {len(model.points_of_attachment)} cells"
    )
    found = {
        "lab.conf": render("kathara.conf.j2", name=model.name, description=description, image=image, devices=devices),
        "README.md": render(
            "README.md.j2",
            name=model.name,
            tool="Kathara",
            start="kathara lstart",
            image=image,
            routed=any(node.files for node in nodes),
            called={name: device for name, device in called.items() if name != device},
        ),
    }
    for node in nodes:
        given = {plug.name: f"eth{number}" for number, plug in enumerate(node.plugs)}
        found[f"{called[node.name]}.startup"] = script(node, given)
        found |= {f"{called[node.name]}/{path}": text for path, text in node.files.items()}
    return found


def _names(model: Lab, names: list[str]) -> dict[str, str]:
    """What each is called there: small letters, digits and underscores."""
    called = {name: re.sub(r"[^a-z0-9_]", "_", name.lower())[:NAME_MAX] for name in names}
    for name, device in called.items():
        same = [other for other in names if called[other] == device and other != name]
        if same or device in RESERVED:
            what = (
                f"it and {same[0]} would both be device {device!r}" if same else f"{device!r} is no device for Kathara"
            )
            raise ModelError(what, f"node {name}, lab {model.name}", "rename one")
    return called

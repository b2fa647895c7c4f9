"""Labs for containerlab: a topology file, and a folder for each node with what is bound into it."""

from __future__ import annotations

from testbed.export.network import Container, containers, render, script
from testbed.net.model import Lab


def files(model: Lab, image: str) -> dict[str, str]:
    """Every file by its path. Raises ModelError for what cannot be exported."""
    nodes = containers(model)
    topology = f"{model.name}.clab.yml"
    found = {
        topology: render("containerlab.yml.j2", name=model.name, image=image, containers=nodes, links=_links(nodes)),
        "README.md": render(
            "README.md.j2",
            name=model.name,
            tool="containerlab",
            start=f"sudo containerlab deploy --topo {topology}",
            image=image,
            routed=any(node.files for node in nodes),
            called={},
        ),
    }
    for node in nodes:
        found[f"{node.name}/setup.sh"] = script(node, {})
        found |= {f"{node.name}/{path}": text for path, text in node.files.items()}
    return found


def _links(nodes: tuple[Container, ...]) -> list[tuple[str, ...]]:
    ends: dict[int, list[str]] = {}
    for node in nodes:
        for plug in node.plugs:
            ends.setdefault(plug.wire, []).append(f"{node.name}:{plug.name}")
    return [tuple(pair) for _, pair in sorted(ends.items())]

"""A lab by itself as a picture: everything where it is at first, what its links do to packets, and ways that are picked out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from captures.files.capture import CaptureError
from captures.report.rendering import templates
from captures.report.stream_path import Line, Scene, arrow_head, line_ends
from captures.report.topology import Box, Plan, Wire, make_plan

_LANGUAGE = "font: 14px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif;"


def draw_lab(model: Mapping[str, Any], sending: Collection[str] = ()) -> str:
    """An SVG of a ``model.json``. `sending`: interfaces, ``node:interface``, that send a stream, whose links are picked out.

    Raises `CaptureError` for a model of another form, or an interface that is not in it.
    """
    try:
        plan = make_plan(model)
        qualities = dict(_qualities(model))
        roles = dict(_titles(model))
        crowd = _crowd(plan)
        wires = [*plan.wires, *_radio_wires(plan)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"this is no model of a lab: {error!r}") from error
    unknown = sorted(set(sending) - {name for wire in wires for name in wire.interfaces})
    if unknown:
        raise CaptureError(f"no such interface in the lab: {', '.join(unknown)}")
    mobile = [*crowd, *([] if plan.crowded else (_where_it_begins(plan, name) for name in plan.radios))]
    boxes = {box.name: box for box in (*plan.nodes, *plan.heads, *mobile)}
    heads = {head.name for head in plan.heads}
    lines, carrying = [], set()
    for wire in wires:
        first, second = wire.first, wire.second
        sends = [name for name in wire.interfaces if name in sending]
        if sends and not sends[0].startswith(f"{first}:"):
            first, second = second, first
        ends = line_ends(boxes[first], boxes[second], heads)
        label = qualities.get(wire.interfaces[0], "")
        title = " \N{EN DASH} ".join(wire.interfaces) + (f": {label}" if label else "")
        lines.append(Line(*ends, "path" if sends else "idle", arrow_head(*ends) if sends else "", title, label))
        carrying |= {first, second} if sends else set()
    sentence = ", ".join((f"{len(plan.nodes) + len(plan.radios)} nodes", f"{len(heads)} cells"))
    name = f"{model.get('name', 'lab')}, IPv{model.get('family', '?')}"
    scene = Scene(name, "", tuple(mobile), tuple(lines), frozenset(carrying), frozenset(), sentence)
    return _render(plan, scene, roles | {box.name: box.name for box in crowd})


def _render(plan: Plan, scene: Scene, roles: Mapping[str, str]) -> str:
    page = SimpleNamespace(plan=plan, roles=roles)
    return templates().get_template("topology.svg.j2").render(page=page, scene=scene, style=_style())


def _style() -> str:
    """The page's own colours and lines, for a picture that stands alone."""
    lines = (Path(__file__).parent / "templates/style.css.j2").read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("* {"))
    kept = lines[:end] + [line for line in lines if line.startswith((".topology", ".node", ".link ", ".link."))]
    text = f"text {{ fill: var(--ink); {_LANGUAGE} }} .quality {{ fill: var(--soft); font-size: 12px; stroke: var(--paper); stroke-width: 4px; paint-order: stroke; }}"
    return "\n".join([*kept, "svg { background: var(--paper); }", text])


def _where_it_begins(plan: Plan, name: str) -> Box:
    cell = plan.begin.get(name)
    return plan.mobile_node(name, () if cell is None else (cell,))


def _radio_wires(plan: Plan) -> Iterator[Wire]:
    """From the cells to the mobile nodes that are there at first."""
    if plan.crowded:
        return
    for node, cell in plan.begin.items():
        if cell is not None:
            yield Wire(cell, node, (plan.radio_of(node, cell) or "",))


def _crowd(plan: Plan) -> list[Box]:
    """One box in each cell for its many mobile nodes."""
    found = []
    for cell in plan.cells if plan.crowded else ():
        here = [node for node, at in plan.begin.items() if at == cell.name]
        if here:
            place = plan.mobile_node(here[0], (cell.name,))
            name = f"{len(here)} mobile nodes: {', '.join(here)}"
            label = here[0] if len(here) == 1 else f"{len(here)} mobile"
            found.append(Box(name, cell.x, place.y, place.width, place.height, label=label))
    return found


def _qualities(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a link does to packets, by the capture's name of its first end."""
    for link in model["links"]:
        end = link["first"]
        yield f"{end['node']}:{end['interface']}", _both_ways(link)
    for attachment in model["attachments"]:
        end = attachment["end"]
        yield f"{end['node']}:{end['interface']}", _both_ways(attachment)
    for radio in model["radios"]:
        yield f"{radio['node']}:{radio['interface']}", _both_ways(radio)


def _both_ways(link: Mapping[str, Any]) -> str:
    there, back = (_quality(link.get(way) or {}) for way in ("forward", "backward"))
    return there if there == back else f"{there or 'perfect'} there, {back or 'perfect'} back"


def _quality(quality: Mapping[str, Any]) -> str:
    words = []
    if delay := quality.get("delay_s"):
        jitter = quality.get("jitter_s")
        words.append(f"{delay * 1e3:g} ms" + (f" ±{jitter * 1e3:g}" if jitter else ""))
    for name, word in (("loss", "lost"), ("duplicate", "twice"), ("reorder", "out of order")):
        if share := quality.get(name):
            words.append(f"{share * 100:g} % {word}")
    if rate := quality.get("rate_bps"):
        words.append(f"{rate / 1e6:g} Mbit/s")
    return ", ".join(words)


def _titles(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a picture says of each node when it is pointed at: what it is, and its addresses."""
    ends = [end for link in model["links"] for end in (link["first"], link["second"])]
    ends += [attachment["end"] for attachment in model["attachments"]]
    for node in model["nodes"]:
        own = [f"{end['interface']} {end['address']}" for end in ends if end["node"] == node["name"]]
        own += [
            f"{radio['interface']} {address} in {cell}"
            for radio in model["radios"]
            if radio["node"] == node["name"]
            for cell, address in radio["addresses"]
        ]
        kind = f"{node['kind']} {node.get('daemon', '')}".strip()
        yield str(node["name"]), f"{node['name']}: {kind}; {', '.join(own)}"

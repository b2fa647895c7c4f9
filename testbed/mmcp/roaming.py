"""Labs in which any number of mobile nodes go from cell to cell, each when its link events say so: a lab in some lines.

::

    def world(values: Values) -> Lab:
        return session_lab("my-lab", line(values.family, cells=3), mobiles=2)

    TOPOLOGY = roaming("my-lab", "two nodes walk through three cells", world)

The network is any `testbed.net.shapes.Shape`, or any model in which `testbed.mmcp.places` finds the roles. Where nobody gives link
events, of a movement say, the nodes walk through the cells one after the other, each ahead of the next by the same time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any

from testbed.host.progress import counted
from testbed.mmcp import places, roaming_figures, staying
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.expectation import Expectation, address_times, exchange_between, expect, in_words
from testbed.mmcp.options import address_delay_option, max_excess_option, stream_options
from testbed.mmcp.plan import PlannedHandover, completed, handovers_of, walks
from testbed.mmcp.results import SessionMeasurements
from testbed.mmcp.session import Begun, Provisioning
from testbed.mmcp.streaming import nominal_spacing_ns, receiver_window
from testbed.net.model import Lab, ModelError, Stream
from testbed.net.shapes import Shape
from testbed.radio.link_events import LinkEvent, Movement, attached_at_first
from testbed.run.laboratory import Conclusion, RunningLab, Topology
from testbed.run.mobility import Drift, Later, Moment, as_told, carry, carry_out, pass_through
from testbed.run.movement_map import draw
from testbed.run.options import Option, Values, duration_option, family_option, list_option, number_option, seconds
from testbed.run.radio_options import cells_of
from testbed.run.results import Table
from testbed.run.roles import RunningRole
from testbed.run.trees import keep_trees

GROUPS = {4: "239.1.1.{}", 6: "ff1e::1:{:x}"}
STREAMS_MAX = 250
BEGIN_S = 0.5
"""From the beginning of the movement to the first trigger, where the walk is the lab's own."""

ASKED_AT_ONCE = 8  # agents that are told of link events at a time

LATE_AT_MOST_S = 2.0  # a run whose links come and go later shows another movement; two processors need a second for 200 nodes at once
MAP = "movement.svg"  # in the run's folder, where nodes go through cells with positions

ROAMING = Provisioning(link_trigger="going-down")

Events = Callable[[Values, Lab], Sequence[LinkEvent]]
Conclude = Callable[[Values, SessionMeasurements, Mapping[str, Any]], Conclusion]


def session_lab(name: str, shape: Shape, mobiles: int, streams: int = 1, **rest: Any) -> Lab:
    """A lab of a shape with everything that MMCP needs.

    The source ``mcs`` of all streams and the SM are behind the root router; each cell has an LMC, ``lmc1`` to ``lmcN``; the mobile
    nodes ``mn1`` to ``mnM`` begin in one cell after the other, and the streams go round among them. ``rest``: what else a
    `Lab` has, such as ``unicast``. Raises ModelError without a mobile node, a stream or a cell.
    """
    for count, what in ((mobiles, "mobile nodes"), (streams, "streams"), (len(shape.cells), "cells")):
        if count < 1:
            raise ModelError(f"{count} {what}", f"lab {name}", "nothing would happen: give one at least")
    shape.host("mcs", shape.root)
    shape.host(places.SESSION_MANAGER, shape.root)
    for number, cell in enumerate(shape.cells, 1):
        shape.resident(f"{places.CONTROLLER_PREFIX}{number}", cell)
    for number in range(mobiles):
        shape.mobile(f"mn{number + 1}", shape.cells[number % len(shape.cells)])
    groups = [GROUPS[shape.family].format(number) for number in range(1, min(streams, STREAMS_MAX) + 1)]
    return shape.lab(name, [Stream(group, "mcs") for group in groups], **rest)


def walk_in_turn(values: Values, model: Lab) -> list[LinkEvent]:
    """Each node goes round through all cells from where it is at first; options handovers, every, l2-gap and overlap."""
    cells = [cell.name for cell in model.points_of_attachment]
    names = places.mobiles(model)
    every_s = values.seconds("every")
    paths: dict[str, list[str]] = {}
    for node in names:
        at = cells.index(model.radio(node).initially or cells[0])
        paths[node] = [cells[(at + number) % len(cells)] for number in range(values.number("handovers") + 1)]
    first_s = {node: BEGIN_S + every_s * number / len(names) for number, node in enumerate(names)}
    return walks(
        paths, every_s=every_s, first_s=first_s, gap_s=values.seconds("l2-gap"), overlap_s=values.seconds("overlap")
    )


MODES = ("proactive", "reactive", "silent")

WALK_OPTIONS = (
    number_option("handovers", "Of each mobile node", "3", 1, 1000),
    duration_option("every", "From one handover of a node to its next", "3s", 0.5, 600.0),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "300ms", 0.0, 10.0),
)
"""Those of `walk_in_turn`."""


def roaming(
    name: str,
    summary: str,
    world: Callable[[Values], Lab],
    *,
    events: Events = walk_in_turn,
    movement: Callable[[Values, Lab], Movement] | None = None,
    options: Sequence[Option] = WALK_OPTIONS,
    rate: str = "100",
    modes: str = "proactive",
    conclude: Conclude = roaming_figures.conclude,
    tables: tuple[Table, ...] = roaming_figures.TABLES,
    example: str = "",
) -> Topology[SessionMeasurements]:
    """A lab whose mobile nodes do what link events say, once in each mode; every handover is measured.

    The link events are those of ``movement``, or else of ``events``.

    ``options``: the lab's own, what ``world`` and ``events`` ask for; it has family, modes, address-delay, settle, max-excess and
    those of the stream besides. ``rate``: of the stream, packets/s. ``modes``: by default. ``conclude`` fills the ``tables``.
    """

    @lru_cache(maxsize=1)
    def moves(values: Values, model: Lab) -> Movement:
        return Movement(events(values, model)) if movement is None else movement(values, model)

    def perform(lab: RunningLab) -> SessionMeasurements:
        moving = moves(lab.values, lab.model)
        if moving.tracks:
            (lab.network.run_folder / MAP).write_text(draw(cells_of(lab.model), moving), encoding="utf-8")
        return _perform(lab, completed(moving.events))

    return Topology(
        name=name,
        summary=summary,
        options=(
            family_option(),
            *options,
            list_option("modes", "Ways to move, one after the other", modes, MODES),
            address_delay_option(),
            duration_option("settle", "Link up until a handover's measurement ends", "1s", 0.1, 60.0),
            *stream_options(rate),
            max_excess_option(),
        ),
        build=world,
        perform=perform,
        conclude=conclude,
        begin=mmcp_session.begin,
        foresee=lambda values, model: _foresee(values, model, moves(values, model).events),
        movement=moves,
        tables=tables,
        example=example,
    )


def _perform(lab: RunningLab, events: Sequence[LinkEvent]) -> SessionMeasurements:
    """Once in each mode: all nodes join where they begin, go where they go, and leave."""
    measurements = SessionMeasurements()
    starts = {node: lab.model.radio(node).initially for node in places.mobiles(lab.model)}
    starts |= attached_at_first(events)
    mmcp_session.record_parameters(lab, nominal_spacing_ns(lab.values))
    begun = mmcp_session.begin_without_nodes(lab)
    for mode in lab.values.words("modes"):
        for node, cell in starts.items():
            bring(lab, node, cell)
        mmcp_session.begin_nodes(lab, begun, mode, starts, ROAMING)
        if measurements.start_to_first_data_s is None:
            measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
        settle_s = lab.values.seconds("settle") + address_times(lab.values, lab.model)["address_most_s"]
        planned = handovers_of(events, settle_s, after=len(measurements.windows))
        windows = play(lab, begun, mode, events, planned, measurements)
        end_nodes(lab, begun, mode, windows, measurements)
    for role in begun.infrastructure:
        lab.roles.stop(role)
    _for_each(lab.roles.stop, begun.receivers.values())
    return measurements


def bring(lab: RunningLab, node: str, cell: str | None) -> None:
    """Take a node that is in no session where it is to begin, unless it is there."""
    radio = lab.model.radio(node)
    if cell is None:
        raise ModelError("it begins in no cell", f"node {node}", "let it begin where it hears one")
    if lab.network.sandbox_namespace.state(radio.bridge_port).master != cell:
        carry(lab.network, radio, cell)


def play(
    lab: RunningLab,
    begun: Begun,
    mode: str,
    events: Sequence[LinkEvent],
    planned: Sequence[PlannedHandover],
    measurements: SessionMeasurements,
) -> dict[int, tuple[str, int, int]]:
    """Let link events happen, each at its time; gives each handover's node and window (CLOCK_REALTIME ns) by its number."""
    windows: dict[int, tuple[str, int, int]] = {}
    at_link = {(each.node, at_s): each for each in planned for at_s in (each.down_s, each.up_s)}
    triggers = {id(each.told): each for each in planned if each.told is not None}
    # What each handover's times allow is found out beforehand: there is no time for that when many happen at once.
    allowed = [_expected(lab.values, lab.model, each) for each in planned]
    moments = [
        Moment(each.begin_s, 0, partial(_begin, lab, mode, each, expected, windows))
        for each, expected in zip(planned, allowed, strict=True)
    ]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as asking:
        asked: list[Future[None]] = []

        def tell(node: str, fields: Mapping[str, object]) -> None:
            asked.append(asking.submit(_tell, begun.nodes[node], fields))

        for event in events:
            if event.at_s > 0:
                of = triggers.get(id(event)) or at_link.get((event.node, event.at_s))
                moments.append(Moment(event.at_s, 1, partial(_happen, lab, event, of, windows)))
        for at_s, node, fields in as_told(lab.network, events):
            moments.append(Moment(at_s, 2, partial(tell, node, fields)))
        moving = f"{counted(len(planned), 'handover')} of {counted(len(begun.nodes), 'mobile node')}, {mode}"
        with lab.progress.step(moving):
            drift = pass_through(lab.network, moments)
        for answer in asked:
            answer.result()
    measurements.notes.append(f"{mode}: what was to happen was {drift}")
    measurements.failures += too_late(mode, drift)
    return windows


def too_late(mode: str, drift: Drift) -> list[str]:
    """What is wrong with a run whose links came and went so late."""
    if drift.worst_s <= LATE_AT_MOST_S:
        return []
    return [f"{mode}: what was to happen was {drift}: this run does not show what it should"]


def _begin(
    lab: RunningLab,
    mode: str,
    handover: PlannedHandover,
    expected: Expectation,
    windows: dict[int, tuple[str, int, int]],
) -> None:
    begin_ns = lab.steps.add(
        "handover_begin",
        handover=handover.number,
        mode=mode,
        mn=handover.node,
        cold=False,
        **{"from": handover.origin, "to": handover.target},
        l2_gap_ms=round(handover.gap_s * 1000, 3),
        overlap_ms=round(handover.overlap_s * 1000, 3),
        address_delay_ms=lab.values.milliseconds("address-delay") if lab.model.addressing.mode == "static" else None,
        expected=expected.allowed,
        because=expected.because,
    )
    windows[handover.number] = (handover.node, begin_ns, begin_ns)


def _foresee(values: Values, model: Lab, events: Sequence[LinkEvent]) -> list[str]:
    """What is to be said beforehand of handovers that need not be prepared, by the reason: how many.

    Raises ModelError where there is none at all.
    """
    planned = handovers_of(events, values.seconds("settle"))
    if not planned:
        remedy = "let nodes go from cell to cell: their movement, the cells' positions and the radio decide"
        raise ModelError("no node changes its cell", f"lab {model.name}", remedy)
    said = Counter(in_words(_expected(values, model, handover)) for handover in planned)
    return [f"{count} of {len(planned)} handovers: {text}" for text, count in said.items() if text]


def _expected(values: Values, model: Lab, handover: PlannedHandover) -> Expectation:
    """What its times and what it is told allow; in a hurry, or told of another cell, it need not be prepared."""
    told = handover.told
    if told is None or told.next_cell != handover.target:
        why = "nothing tells the node of it" if told is None else f"the node is told of {told.next_cell or 'no cell'}"
        return Expectation("unprepared", why)
    times = address_times(values, model)
    exchange = exchange_between(model, handover.node, handover.origin, handover.target)
    if handover.stayed_s < times["address_most_s"] + exchange.ample_s:
        return Expectation(
            "either", f"the node was at {handover.origin} for {seconds(round(handover.stayed_s, 3))} only"
        )
    return expect(exchange, gap_s=handover.gap_s, overlap_s=handover.overlap_s, **times)


def _end(lab: RunningLab, handover: PlannedHandover, windows: dict[int, tuple[str, int, int]]) -> None:
    node, begin_ns, _ = windows[handover.number]
    windows[handover.number] = (node, begin_ns, lab.steps.add("handover_end", handover=handover.number))


def _happen(
    lab: RunningLab, event: LinkEvent, of: PlannedHandover | None, windows: dict[int, tuple[str, int, int]]
) -> Later | None:
    """One link event: to the link what it says; as a step of its handover, which ends some time after its link is up."""
    details: dict[str, object] = {"mn": event.node} | ({} if of is None else {"handover": of.number})
    if event.kind == "link_going_down":
        lab.steps.add("link_trigger", next=event.next_cell, prediction=event.prediction, **details)
    carry_out(lab.network, event, lab.steps, **details)
    if event.kind != "link_up" or of is None:
        return None
    return Later(of.end_s - of.up_s, 3, partial(_end, lab, of, windows))


def _tell(agent: RunningRole, fields: Mapping[str, object]) -> None:
    """Tell a mobile node's agent of a link event; a stranger's that has no control socket finds out by itself."""
    if agent.is_ours or agent.control.exists():
        agent.ask("link-event", **fields)


def end_nodes(
    lab: RunningLab,
    begun: Begun,
    mode: str,
    windows: Mapping[int, tuple[str, int, int]],
    measurements: SessionMeasurements,
) -> None:
    """Ask the receivers what they counted; then all nodes leave, and their routers forget them."""
    keep_trees(lab, f"at the end of mode {mode}")
    with lab.progress.step(f"leave of {counted(len(begun.nodes), 'mobile node')}"):
        received = _for_each(lambda window: receiver_window(begun.receivers[window[0]], *window[1:]), windows.values())
        measurements.windows.update(zip(windows, received, strict=True))
        # A stranger's agent leaves when it is stopped: its session ends there, and nobody reports any more.
        _for_each(lambda role: role.ask("leave") if role.is_ours else lab.roles.stop(role), begun.nodes.values())
        ours = {node: role for node, role in begun.nodes.items() if role.is_ours}
        for node in begun.nodes.keys() - ours:
            lab.steps.add("session_end", mode=mode, mn=node)
        left = [
            (lab.network.sandbox_namespace.state(lab.model.radio(node).bridge_port).master, each.session.group)
            for node in begun.nodes
            for each in (places.mobile(lab.model, node),)
        ]
        for cell, group in dict.fromkeys(left):
            if cell is not None:
                staying.await_no_member(lab, cell, group)
        _for_each(lab.roles.stop, ours.values())
        for node in ours:
            lab.steps.add("session_end", mode=mode, mn=node)
    begun.nodes.clear()


def _for_each(do: Callable[[Any], Any], things: Iterable[Any]) -> list[Any]:
    """Do something with each of many things, some at a time."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as doing:
        return list(doing.map(do, things))

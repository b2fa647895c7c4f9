r"""A mobile node walks between two cells of different subnets while it receives a multicast stream.

::

    mcs ──── rr ──── sm            rr is the rendezvous point, the first router
            /  \
          ar1   ar2                access routers: PIM towards rr, IGMP or MLD towards their cell
           |     |
         poa1   poa2               points of attachment: Linux bridges, one radio cell each
         /  \   /  \
      lmc1   mn     lmc2           mn moves between poa1 and poa2; an LMC in each cell

The scenario compares ways to move, in one run: *proactive* (MMCP: the LMC of the next cell joins before the node is there),
*reactive* (no MMCP: the node joins again when it has its new address) and *silent* (the node waits for the router's query).
Each measured handover begins cold: the next cell's router has nothing of the group, in its daemon and in the kernel.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import agreement, mmcp_session
from testbed.laboratory import Conclusion, Measurements, Stage, Topology
from testbed.mobility import move
from testbed.model import FRR_PIM, Attachment, End, Family, Lab, Link, Node, PointOfAttachment, Radio
from testbed.observation import groups_joined, udp_counter
from testbed.options import (
    OptionError,
    Values,
    choice_option,
    duration_option,
    file_option,
    list_option,
    number_option,
)
from testbed.roles import RoleError, RunningRole
from testbed.routing.frr import make_cold

MODES = ("proactive", "reactive", "silent")
CELLS = ("poa1", "poa2")
GROUPS = {4: "239.1.1.1", 6: "ff1e::1:1"}
QUIET_PACKETS = 100  # packets that must arrive undisturbed before and after a handover's own part
LEFT_DEADLINE_S = 15.0
STREAM_DEADLINE_S = 45.0  # a silent node waits for a general query, every 10 s, and its response time

OPTIONS = (
    choice_option("family", "IP version", "4", ("4", "6")),
    list_option("modes", "Ways to move, in this order", "proactive,reactive", MODES),
    number_option("repeat", "Handovers of each mode", "5", 1, 1000),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "200ms", 0.0, 10.0),
    duration_option("address-delay", "Link up until the new address is there, stands for DHCP", "100ms", 0.0, 10.0),
    number_option("rate", "Stream, without --media", "1000", 10, 5000, "packets/s"),
    number_option("size", "RTP payload of each packet, without --media", "188", 8, 1400, "bytes"),
    file_option("media", "MPEG-TS file to stream at its own rate instead; what the node receives is kept"),
    duration_option("max-excess", "Bound on a proactive handover's disruption beyond the gap", "250ms", 0.001, 60.0),
)


def build(values: Values) -> Lab:
    """The model, IPv4 or IPv6. A media file that cannot be streamed is refused before anything is made."""
    _nominal_spacing_ns(values)
    family: Family = 4 if values.word("family") == "4" else 6

    def at(subnet: int, host: int) -> str:
        return f"10.0.{subnet}.{host}/24" if family == 4 else f"2001:db8:{subnet}::{host}/64"

    def link(router: str, other: str, subnet: int) -> Link:
        return Link(End(other, f"{other}-{router}", at(subnet, 2)), End(router, f"{router}-{other}", at(subnet, 1)))

    return Lab(
        name="handover",
        family=family,
        nodes=(
            Node("mcs"),
            Node("sm"),
            *(Node(name, "router", (FRR_PIM,)) for name in ("rr", "ar1", "ar2")),
            *(Node(name) for name in ("lmc1", "lmc2", "mn")),
        ),
        points_of_attachment=tuple(PointOfAttachment(cell) for cell in CELLS),
        links=(link("rr", "mcs", 10), link("rr", "sm", 20), link("rr", "ar1", 101), link("rr", "ar2", 102)),
        attachments=tuple(
            Attachment(End(f"{kind}{cell}", f"{kind}{cell}-poa{cell}", at(cell, host)), f"poa{cell}")
            for cell in (1, 2)
            for kind, host in (("ar", 1), ("lmc", 2))
        ),
        radios=(Radio("mn", "mn-radio", (("poa1", at(1, 100)), ("poa2", at(2, 100))), initially="poa1"),),
        rendezvous_point=at(10, 1).partition("/")[0],
        group=GROUPS[family],
    )


@dataclass(slots=True)
class Walk:
    """Where the node is, and the handovers so far."""

    cell: str = CELLS[0]
    handovers: int = 0

    @property
    def next_cell(self) -> str:
        """The other cell."""
        return CELLS[1 - CELLS.index(self.cell)]


def perform(stage: Stage) -> Measurements:
    """Start the roles, let the node walk in every mode, and measure."""
    measurements = Measurements()
    spacing_ns = _nominal_spacing_ns(stage.values)
    mmcp_session.record_parameters(stage, spacing_ns)
    infrastructure = mmcp_session.start_infrastructure(stage)
    receiver = mmcp_session.start_receiver(stage)
    walk = Walk()
    for mode in stage.values.words("modes"):
        stage.steps.add("session_begin", mode=mode, mn="mn")
        node = mmcp_session.start_mobile_node(stage, mode, walk.cell)
        _await_stream(stage, f"the stream at the mobile node ({mode})")
        if measurements.start_to_first_data_s is None:
            measurements.start_to_first_data_s = round(time.monotonic() - stage.started, 3)
        for _ in range(stage.values.number("repeat")):
            number, begin_ns, end_ns = _hand_over(stage, node, mode, walk)
            window = _receiver_window(receiver, begin_ns, end_ns)
            measurements.windows[number] = window
            if "error" not in window:
                gap_ms = window["longest_gap_ns"] / 1e6
                stage.progress.note(f"  the receiver: {gap_ms:.1f} ms without a packet, {window['lost']} lost")
        _stop_mobile_node(stage, node, walk)
        stage.steps.add("session_end", mode=mode, mn="mn")
    for role in (receiver, *infrastructure):
        stage.roles.stop(role)
    return measurements


def _stop_mobile_node(stage: Stage, node: RunningRole, walk: Walk) -> None:
    """The node leaves with notice where it can, then ends; its router forgets it."""
    router = stage.routers[_router(walk.cell)]
    if node.is_ours:
        node.ask("leave")

        def gone() -> tuple[bool, str]:
            members = router.group_state(stage.world.lab.group).members
            return not members, f"members on {', '.join(members)}"

        stage.world.eventually(f"{router.node} to see the node leave", gone, LEFT_DEADLINE_S)
    stage.roles.stop(node)


# --- one handover -----------------------------------------------------------------------------------------------------


def _router(cell: str) -> str:
    return cell.replace("poa", "ar")


def _hand_over(stage: Stage, node: RunningRole, mode: str, walk: Walk) -> tuple[int, int, int]:
    """One measured handover; returns its number and its window (CLOCK_REALTIME ns)."""
    world, steps, values = stage.world, stage.steps, stage.values
    origin, target = walk.cell, walk.next_cell
    walk.handovers += 1
    number = walk.handovers
    with stage.progress.step(f"handover {number}, {mode}, {origin} to {target}"):
        _make_cold(stage, target)
        begin_ns = steps.add(
            "handover_begin",
            handover=number,
            mode=mode,
            mn="mn",
            **{"from": origin, "to": target},
            l2_gap_ms=values.milliseconds("l2-gap"),
            overlap_ms=values.milliseconds("overlap"),
            address_delay_ms=values.milliseconds("address-delay"),
        )
        _await_packets(stage, QUIET_PACKETS, "the stream before the handover", quiet=True)
        triggered = time.monotonic()
        steps.add("link_trigger", handover=number)
        node.ask("link-detected", interface=world.lab.radio("mn").interface, point_of_attachment=target)
        remaining = values.seconds("overlap") - (time.monotonic() - triggered)
        if remaining > 0:
            time.sleep(remaining)  # the overlap of the cells: the scenario's own time, not a wait for something
        move(world, world.lab.radio("mn"), target, values.seconds("l2-gap"), steps, handover=number)
        walk.cell = target
        _await_packets(stage, 1, "the stream after the move", quiet=True)
        # The address delay in packets: what the node does when it has its address belongs to the handover too.
        delay_packets = values.seconds("address-delay") / (_nominal_spacing_ns(values) / 1e9)
        _await_packets(stage, int(delay_packets) + 2 * QUIET_PACKETS, "an undisturbed stream", quiet=True)
        end_ns = steps.add("handover_end", handover=number)
    return number, begin_ns, end_ns


def _make_cold(stage: Stage, cell: str) -> None:
    """Before a handover to a cell: nobody there is a member any more, and its router's daemon and kernel know nothing.

    An LMC that lingers from an earlier handover is waited for; what a node that just went away left is dropped.
    """
    lmc, group = cell.replace("poa", "lmc"), stage.world.lab.group

    def left() -> tuple[bool, str]:
        return group not in groups_joined(stage.world, lmc), f"{lmc} is still a member"

    stage.world.eventually(f"{lmc} to leave {group}", left, LEFT_DEADLINE_S, quiet=True)
    make_cold(stage.world, stage.routers, _router(cell), group)


def _await_stream(stage: Stage, awaited: str) -> None:
    _await_packets(stage, QUIET_PACKETS, awaited, quiet=False)


def _await_packets(stage: Stage, count: int, awaited: str, *, quiet: bool) -> None:
    """Wait until so many more datagrams have been handed to a socket of the mobile node."""
    world = stage.world
    before = udp_counter(world, "mn", "InDatagrams")

    def arrived() -> tuple[bool, str]:
        seen = udp_counter(world, "mn", "InDatagrams") - before
        return seen >= count, f"{seen} of {count} datagrams"

    world.eventually(awaited, arrived, STREAM_DEADLINE_S, quiet=quiet)


def _receiver_window(receiver: RunningRole, begin_ns: int, end_ns: int) -> Mapping[str, Any]:
    """What the receiver itself counted in the window, or why that is not known."""
    if not receiver.is_ours:
        return {"error": "the receiver is an external command"}
    try:
        window = receiver.ask("window", begin_ns=begin_ns, end_ns=end_ns)["window"]
    except RoleError as error:
        return {"error": str(error)}
    return window if isinstance(window, dict) else {"error": f"the receiver answered {window!r}"}


# --- parameters and conclusion ----------------------------------------------------------------------------------------


def _nominal_spacing_ns(values: Values) -> int:
    media = values.file("media")
    if media is None:
        return round(1e9 / values.number("rate"))
    return _media_spacing_ns(media)


def _media_spacing_ns(path: Path) -> int:
    argv = [sys.executable, "-m", "agents", "media", "describe", str(path)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise OptionError(f"--media {done.stderr.strip().removeprefix('error: ')}")
    spacing: int = json.loads(done.stdout)["mean_spacing_ns"]
    return spacing


def conclude(values: Values, measurements: Measurements, verdict: Mapping[str, Any]) -> Conclusion:
    """Put the judge's and the receiver's figures side by side, and hold them to the bounds."""
    failures: list[str] = []
    rows: list[dict[str, Any]] = []
    expected = values.number("repeat") * len(values.words("modes"))
    judged = verdict["handovers"]
    if len(judged) != expected:
        failures.append(f"{expected} handovers were made, the capture shows {len(judged)}")
    for row in judged:
        window = measurements.windows.get(row["handover"], {"error": "not measured"})
        problems = agreement.problems(row, window, _nominal_spacing_ns(values), values.milliseconds("max-excess"))
        rows.append({**row, "receiver": measurements.windows.get(row["handover"]), "problems": problems})
        failures += [f"handover {row['handover']} ({row['mode']}): {problem}" for problem in problems]
    return Conclusion(rows, failures)


TOPOLOGY = Topology(
    name="handover",
    summary="a mobile node walks between two cells and keeps receiving",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
)

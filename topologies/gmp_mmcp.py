r"""A session is created and announced by GMP, and served to a mobile node by MMCP.

::

    creator ──── rr ──── server       rr is the rendezvous point; the stream comes from the creator's node
               / |  \
            ar1  sm  ar2              sm: MMCP's session manager, and beside it a participant of the GMP session
             |        |
           poa1      poa2             a cell each
           /  \      /  \
        lmc1   mn        lmc2         mn moves between the cells

The session manager's node finds the session on the GMP server's page, registers, enrols and is active in it; its SDP says which group MMCP
is to serve. The mobile node joins by MMCP, is handed over between the cells and back, and leaves. Then sm leaves the GMP session for good,
and the creator ends it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from testbed.gmp import public
from testbed.gmp.options import session_options
from testbed.gmp.places import CREATOR, GROUP, SERVER
from testbed.gmp.session import ACTIVE, ENDED, ENROLLED, PORT, REGISTERED, Plan, Session
from testbed.mmcp import handover_figures, staying, streaming
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.options import max_excess_option, walk_options
from testbed.mmcp.places import SESSION_MANAGER
from testbed.mmcp.results import CASES, TABLES, SessionMeasurements
from testbed.mmcp.streaming import nominal_spacing_ns, receiver_window
from testbed.mmcp.two_cells import CELLS, two_cells
from testbed.mmcp.walking import Walk, await_stream, hand_over
from testbed.net.model import End, Lab, Link, Node, Stream
from testbed.run.laboratory import Conclusion, RunningLab, Topology
from testbed.run.options import Values, number_option
from testbed.run.roles import RunningRole

SM, MEMBER = SESSION_MANAGER, "sm-member"
ROUTER, ORIGIN = "rr", "mcs"


def build(values: Values) -> Lab:
    """MMCP's two cells, whose stream is the GMP creator's; and the GMP server."""
    nominal_spacing_ns(values)
    cells = two_cells("gmp-mmcp", 4)
    links = [replace(link, first=_renamed(link.first), second=_renamed(link.second)) for link in cells.links]
    server = Link(End(SERVER, f"{SERVER}-{ROUTER}", "10.0.30.2/24"), End(ROUTER, f"{ROUTER}-{SERVER}", "10.0.30.1/24"))
    return replace(
        cells,
        nodes=(*(Node(CREATOR) if node.name == ORIGIN else node for node in cells.nodes), Node(SERVER)),
        links=(*links, server),
        streams=(Stream(GROUP, CREATOR),),
    )


def _renamed(end: End) -> End:
    interface = end.interface.replace(ORIGIN, CREATOR)
    return replace(end, node=CREATOR if end.node == ORIGIN else end.node, interface=interface)


def perform(lab: RunningLab) -> SessionMeasurements:
    """GMP first, MMCP on what it says, and both to their ends."""
    measurements = SessionMeasurements()
    session = Session(lab, Plan())
    mmcp_session.record_parameters(lab, nominal_spacing_ns(lab.values), others={"gmp": session.parameters()})
    with lab.progress.step("the GMP session"):
        session.start_server()
        session.create()
        session.bring("activate", ACTIVE, CREATOR)
        session.await_streaming()
    with lab.progress.step(f"{SM} to find the session and to be in it"):
        found = public.download_sdp(session, SM).read_text()
        said = re.search(r"^c=IN IP4 ([0-9.]+)", found, re.MULTILINE), re.search(r"^m=video (\d+)", found, re.MULTILINE)
        told = [each[1] for each in said if each]
        problem = None if told == [lab.model.group, str(PORT)] else f"MMCP serves {lab.model.group}:{PORT}"
        _add(measurements, "announced", f"the SDP says {':'.join(told)}", problem)
        session.add_agent(SM, MEMBER)
        for command, state in (("register", REGISTERED), ("enrol", ENROLLED), ("activate", ACTIVE)):
            session.bring(command, state, SM)
    serving = _serve(lab, measurements)
    with lab.progress.step("the end of the GMP session"):
        session.ask(SM, "leave", level="registered")
        session.await_standing(SM, None)
        session.await_said(SM)
        _add(measurements, "left", f"the server has {SM} no more")
        session.ask(CREATOR, "end")
        session.await_state(CREATOR, ENDED)
        _add(measurements, "ended", "the creator is told")
    for role in serving:
        lab.roles.stop(role)
    session.stop()
    return measurements


def _serve(lab: RunningLab, measurements: SessionMeasurements) -> tuple[RunningRole, ...]:
    """The mobile node's session with MMCP; returns what runs still."""
    with lab.progress.step("MMCP on the same group"):
        sm = mmcp_session.start_session_manager(lab)
        lmcs = [mmcp_session.start_controller(lab, cell) for cell in CELLS]
        lab.roles.await_ready(sm, *lmcs)
    mmcp_session.await_announced(lab, *lmcs)
    receiver, walk = streaming.start_receiver(lab), Walk()
    lab.steps.add("session_begin", mode="proactive", mn="mn")
    node = mmcp_session.start_mobile_node(lab, "proactive", walk.cell)
    await_stream(lab, "the stream at the mobile node")
    for _ in range(lab.values.number("repeat")):
        number, begin_ns, end_ns = hand_over(lab, node, "proactive", walk)
        measurements.windows[number] = receiver_window(receiver, begin_ns, end_ns)
    staying.leave(lab, node, walk.cell)
    staying.end_session(lab, node)
    _add(measurements, "left MMCP", f"the mobile node is no member in {walk.cell}")
    return receiver, *lmcs, sm


def _add(measurements: SessionMeasurements, case: str, seen: str, problem: str | None = None) -> None:
    measurements.cases.append({"case": case, "seen": seen, "problems": [problem] if problem else []})


def conclude(values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """The handovers as MMCP's labs judge them, and what came before and after."""
    conclusion = handover_figures.conclude(values, measurements, verdict)
    conclusion.rows[CASES.name] = measurements.cases
    return conclusion


TOPOLOGY = Topology(
    name="gmp-mmcp",
    summary="a session created and announced by GMP is served by MMCP to a node that moves",
    options=(
        number_option("repeat", "Handovers", "2", 1, 100),
        *walk_options("200ms", "100ms"),
        max_excess_option(),
        *session_options(),
    ),
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    roles=(MEMBER,),
    example="--repeat 4 --transport tcp",
)

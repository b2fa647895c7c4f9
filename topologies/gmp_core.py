r"""A session cannot go on without its core members: one leaves, one falls silent, and so does the creator; each time all are told.

::

    server ──── r1 ──── creator       r1 is the rendezvous point; the stream comes from the creator's node
               /  \
            ar1    ar2                access routers
             |      |
           poa1    poa2
           /  \    /  \
         p1    p2 p3   p4             p2 is a core member

Three sessions, which start as soon as p2 is enrolled. In *leaves* p2 leaves and says so; in *silent* its agent is killed with SIGKILL,
and in *creator-silent* the creator's. Who is left is told of the end within the timeout and a period. A silent p3, who is no core
member, ends nothing: that comes first.
"""

from __future__ import annotations

import time

from testbed.gmp import places
from testbed.gmp.options import session_options
from testbed.gmp.places import CREATOR, PARTICIPANTS, SOURCE
from testbed.gmp.results import TABLES, SessionMeasurements, conclude
from testbed.gmp.session import ACTIVE, ENDED, ENROLLED, NAME, Plan, Session
from testbed.gmp.stays import Stays
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values, list_option

CORE, OTHER = "p2", "p3"
CASES = ("leaves", "silent", "creator-silent")
ENOUGH_S = 0.3  # of stream, to measure it
SLACK_S = 1.0  # for a machine that is busy; the judge is stricter


def build(_values: Values) -> Lab:
    """The model."""
    return places.network("gmp-core")


def begin(lab: RunningLab, case: str = CASES[0], *, first: bool = True) -> Session:
    """A session that has started and ends as ``case`` says; the server runs since the ``first``."""
    session = Session(lab, Plan(name=f"{NAME}, {case}", core=(CORE,), start_condition=2))
    if first:
        session.record_parameters()
        session.start_server()
    else:
        session.server = lab.roles.running[places.SERVER]
    session.create()
    session.add(*PARTICIPANTS)
    session.bring("enrol", ENROLLED, CORE)
    session.bring("activate", ACTIVE, CREATOR)
    return session


def perform(lab: RunningLab) -> SessionMeasurements:
    """One session after the other."""
    measurements = SessionMeasurements()
    for number, case in enumerate(lab.values.words("cases")):
        with lab.progress.step(f"a session to start ({case})"):
            session = begin(lab, case, first=number == 0)
            session.await_streaming()
        stays = Stays(session, measurements)
        stays.begin(*PARTICIPANTS)
        session.let_stream_go_on(ENOUGH_S)
        left = set(PARTICIPANTS)
        if number == 0:
            with lab.progress.step(f"{OTHER} to fall silent, which ends nothing"):
                silent_ns = _kill(lab, session, OTHER)
                after_s = session.await_standing(OTHER, ENROLLED)
                left.discard(OTHER)
                stays.end("killed", silent_ns, OTHER)
                measurements.add_case(
                    "other silent", f"{OTHER} dropped {after_s:.1f} s after its death, the session goes on"
                )
        with lab.progress.step(f"the end ({case})"):
            _end(lab, session, stays, case, left)
        session.stop(server=False)
    lab.roles.stop(lab.roles.running[places.SERVER])
    return measurements


def _end(lab: RunningLab, session: Session, stays: Stays, case: str, left: set[str]) -> None:
    who = CREATOR if case == "creator-silent" else CORE
    left = left | {CREATOR}
    at_most_s = SLACK_S if case == "leaves" else lab.values.seconds("timeout") + lab.values.seconds("period") + SLACK_S
    begun = time.monotonic()
    ended_ns = session.ask(who, "leave") if case == "leaves" else _kill(lab, session, who)
    if who in left - {CREATOR}:
        stays.end(case, ended_ns, who)
    told = sorted(left - {who})
    for node in told:
        session.await_state(node, ENDED)
    after_s = time.monotonic() - begun
    stays.end("the end", time.time_ns(), *(node for node in told if node != CREATOR))
    problem = None if after_s <= at_most_s else f"{after_s:.1f} s, not within {at_most_s:g} s"
    stays.measurements.add_case(
        case, f"{', '.join(told)} told {after_s:.2f} s after {who}", problem, told_after_s=after_s
    )


def _kill(lab: RunningLab, session: Session, node: str) -> int:
    moment = lab.steps.add("crash", role=node)
    lab.network.processes.kill(session.clients[node].process)
    if node == CREATOR:  # its program would go on for a while, and is in nobody's session
        lab.network.processes.kill(lab.roles.running[SOURCE].process)
    return moment


TOPOLOGY = Topology(
    name="gmp-core",
    summary="a core member leaves or falls silent, or the creator does: the session ends for everybody",
    options=(list_option("cases", "How the sessions end, in this order", ",".join(CASES), CASES), *session_options()),
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--cases silent --timeout 1s",
)

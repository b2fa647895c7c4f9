r"""The server is killed with SIGKILL at every phase of a session and begins again: it has forgotten nothing that anybody was told.

::

    server ──── r1 ──── creator       r1 is the rendezvous point; the stream comes from the creator's node
               /  \
            ar1    ar2                access routers
             |      |
           poa1    poa2
           /  \    /  \
         p1    p2 p3   p4

After *created*, *registered*, *enrolled* and *active* the server has the same session and members as before, with their User IDs; active
members stay active and lose no packet. In *registering*, *leaving* and *ending* it is killed at the moment at which somebody asks: what
was asked comes about all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from testbed.gmp import places
from testbed.gmp.options import session_options
from testbed.gmp.places import CREATOR, PARTICIPANTS
from testbed.gmp.results import TABLES, SessionMeasurements, conclude
from testbed.gmp.session import ACTIVE, ENDED, ENROLLED, REGISTERED, Plan, Session
from testbed.gmp.stays import Stays
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values

STAYING, LEAVING = PARTICIPANTS[:3], PARTICIPANTS[3]
PATIENCE_S = 30.0  # a request that had no answer three times is made again after a while, longer each time


def build(_values: Values) -> Lab:
    """The model."""
    return places.network("gmp-restart")


def begin(lab: RunningLab) -> Session:
    """A session that is there, and participants that have not asked yet."""
    session = Session(lab, Plan())
    left_out = {
        "gmp-keep-alive-answered": "who has left says so again a second later, to a server that did not hear it"
    }
    session.record_parameters(left_out=left_out)
    with lab.progress.step("server, creator and participants"):
        session.start_server()
        session.create()
        session.add(*PARTICIPANTS)
    return session


def perform(lab: RunningLab) -> SessionMeasurements:
    """One phase after the other."""
    measurements = SessionMeasurements()
    session = begin(lab)
    phases = _Phases(session, measurements)
    phases.keeps("created")
    phases.comes_about(
        "registering",
        lambda: session.ask("p1", "register"),
        lambda: session.await_standing("p1", REGISTERED, PATIENCE_S),
    )
    session.bring("register", REGISTERED, *PARTICIPANTS)
    phases.keeps("registered")
    session.bring("enrol", ENROLLED, *PARTICIPANTS)
    phases.keeps("enrolled")
    stays = Stays(session, measurements)
    session.bring("activate", ACTIVE, CREATOR)
    session.await_streaming()
    stays.begin(*PARTICIPANTS)
    phases.keeps("active")
    for node in (CREATOR, *PARTICIPANTS):
        session.await_answers(node)
    left_ns = time.time_ns()
    phases.comes_about(
        "leaving",
        lambda: session.ask(LEAVING, "leave"),
        lambda: session.await_standing(LEAVING, ENROLLED, PATIENCE_S),
    )
    stays.end("it left", left_ns, LEAVING)

    def all_ended() -> None:
        session.ask(
            CREATOR, "end"
        )  # a request is made three times in 3 s, which a busy machine's server may have missed
        for node in (CREATOR, *STAYING):
            session.await_state(node, ENDED, deadline_s=PATIENCE_S)

    phases.comes_about("ending", lambda: session.ask(CREATOR, "end"), all_ended)
    stays.end("the end", time.time_ns(), *STAYING)
    session.stop()
    return measurements


class _Phases:
    """The server's deaths, one after the other."""

    def __init__(self, session: Session, measurements: SessionMeasurements) -> None:
        self._session, self._measurements = session, measurements

    def keeps(self, phase: str) -> None:
        """Kill the server, and see that it has afterwards what it had before."""
        before = self._known()
        began = self._restart(phase)
        after = self._known()
        differences = [name for name in before | after if before.get(name) != after.get(name)]
        problem = None if not differences else f"before {before}, after {after}"
        seen = f"{len(after)} members as before, {time.monotonic() - began:.2f} s after its death"
        self._measurements.add_case(phase, seen if problem is None else "not what it was", problem)

    def comes_about(self, phase: str, ask: Callable[[], object], wait: Callable[[], object]) -> None:
        """Let somebody ask, kill the server at that moment, and wait for what was asked."""
        steps = self._session.lab.steps
        steps.add("silence_begin", role=places.SERVER, why="killed")
        ask()
        began = self._restart(phase)
        steps.add("silence_end", role=places.SERVER)
        wait()
        self._measurements.add_case(phase, f"came about {time.monotonic() - began:.2f} s after its death")

    def _known(self) -> dict[str, Any]:
        session = self._session
        assert session.server is not None
        if not session.server.is_ours:
            return {}
        return {row["name"]: (row["user"], row["state"]) for row in session.rows("members")}

    def _restart(self, phase: str) -> float:
        session = self._session
        assert session.server is not None
        with session.lab.progress.step(f"the server to die and begin again ({phase})"):
            session.lab.steps.add("crash", role=places.SERVER)
            began = time.monotonic()
            session.lab.network.processes.kill(session.server.process)
            session.start_server()
        return began


TOPOLOGY = Topology(
    name="gmp-restart",
    summary="the server killed at each phase of a session: nothing confirmed is lost, active members stay",
    options=session_options(),
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--transport tcp",
)

r"""A closed session: who is invited and has its token comes in, and everybody else is refused, each for a reason of its own.

::

    server ──── r1 ──── creator       r1 is the rendezvous point; the stream comes from the creator's node
               /  \
            ar1    ar2                access routers
             |      |
           poa1    poa2
         /  |  \  /  |  \
        p1 p2 p3 p4 p5  p6

p1 and p2 are invited and have the token that the creator was given to hand out. p3 is invited and has another token, p4 has the token
and is not invited, p5 has none, and p6 comes with p1's name and the token while p1 is a member. Nobody of these receives anything.
"""

from __future__ import annotations

import secrets

from testbed.gmp import places
from testbed.gmp.asking import described
from testbed.gmp.options import session_options
from testbed.gmp.places import CREATOR
from testbed.gmp.results import TABLES, SessionMeasurements, conclude
from testbed.gmp.session import ACTIVE, ENDED, Plan, Session
from testbed.gmp.stays import Stays
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values

INVITED, REFUSED = ("p1", "p2"), {"p3": 5, "p4": 2, "p5": 8, "p6": 2}
"""Who is refused, and the reason that has to be given [G-16, G-23, G-26]."""

WHY = {
    "p3": "wrong token",
    "p4": "not invited",
    "p5": "no token",
    "p6": "another's name",
}


def build(_values: Values) -> Lab:
    """The model."""
    return places.network("gmp-closed", (*INVITED, *REFUSED))


def begin(lab: RunningLab) -> Session:
    """The session and everybody who wants to be in it, none of whom has asked yet."""
    session = Session(lab, Plan(closed=True, invited=(*INVITED, "p3")))
    session.record_parameters()
    with lab.progress.step("server, creator and whoever wants to take part"):
        session.start_server()
        session.create()
        session.add(*INVITED, "p4")
        session.add("p3", token=secrets.token_hex(16))
        session.add("p5", token="")
        session.add("p6", name="p1")
    return session


def perform(lab: RunningLab) -> SessionMeasurements:
    """Let the invited come, then the others; then the end."""
    measurements = SessionMeasurements()
    session = begin(lab)
    stays = Stays(session, measurements)
    with lab.progress.step("the session to start"):
        session.bring("activate", ACTIVE, CREATOR)
        session.await_streaming()
    stays.begin(*INVITED)
    for node, expected in REFUSED.items():
        with lab.progress.step(f"{node} to be refused: {WHY[node]}"):
            session.ask(node, "activate")
            reason = session.await_refusal(node)
        problem = None if reason in (None, expected) else f"refused for reason {reason}, not {expected}"
        measurements.add_case(WHY[node], f"{node} refused for reason {reason}", problem, reason=reason)
    session.let_stream_go_on(1.0)
    for node, row in zip(REFUSED, measurements.cases, strict=True):
        if session.receivers[node].is_ours and (packets := described(session.receivers[node])["packets_received"]):
            row["problems"].append(f"{packets} packets received")
    with lab.progress.step("the session to end"):
        ended_ns = session.ask(CREATOR, "end")
        for node in (CREATOR, *INVITED):
            session.await_state(node, ENDED)
        stays.end("the end", ended_ns, *INVITED)
    session.stop()
    return measurements


TOPOLOGY = Topology(
    name="gmp-closed",
    summary="a closed group session: invited with a token come in, four others are refused, each for its reason",
    options=session_options(),
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--transport tcp",
)

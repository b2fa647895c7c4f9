r"""A group session from its creation to its end: four participants come, one of them late, leave, come again, and are told of the end.

::

    server ──── r1 ──── creator       r1 is the rendezvous point; the stream comes from the creator's node
               /  \
            ar1    ar2                access routers: PIM towards r1, IGMP towards their cell
             |      |
           poa1    poa2               a cell each
           /  \    /  \
         p1    p2 p3   p4, visitor    participants, and somebody who only looks

The creator creates an open session and describes it. p1, p2 and p3 register, enrol and are active before the creator's own activation
starts the session; p4 comes late. p2 leaves and comes again from where it is, enrolled; p3 leaves for good, level by level. An active
member asks who is there. Then the creator ends the session, and everybody is told.

A visitor in the second cell speaks no GMP: it hears of the session by SAP, finds it on the server's page and downloads its SDP there.
With ``--media`` its ffprobe is given nothing but that SDP, and receives the stream.
"""

from __future__ import annotations

import time
from contextlib import closing

from testbed.gmp import places, public
from testbed.gmp.options import session_options
from testbed.gmp.places import CREATOR
from testbed.gmp.results import TABLES, SessionMeasurements, conclude
from testbed.gmp.session import ACTIVE, ENDED, ENROLLED, REGISTERED, Plan, Session
from testbed.gmp.stays import Stays
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values

EARLY, LATE, VISITOR = ("p1", "p2", "p3"), "p4", "visitor"


def build(_values: Values) -> Lab:
    """The model."""
    return places.network("gmp", (*places.PARTICIPANTS, VISITOR), of_first=2)


def begin(lab: RunningLab) -> Session:
    """An open session whose first three members are enrolled."""
    session = Session(lab, Plan())
    _begin(session)
    return session


def _begin(session: Session) -> None:
    lab = session.lab
    session.record_parameters()
    with lab.progress.step("server, creator and participants"):
        session.start_server()
        session.create()
        session.add(*places.PARTICIPANTS)
    with lab.progress.step(f"{', '.join(EARLY)} to be enrolled"):
        session.bring("register", REGISTERED, *EARLY)
        session.bring("enrol", ENROLLED, *EARLY)


def perform(lab: RunningLab) -> SessionMeasurements:
    """The course of the session."""
    measurements = SessionMeasurements()
    session = Session(lab, Plan())
    with closing(public.SapListener(session, VISITOR)) as listener:
        _perform(session, measurements, listener)
    return measurements


def _perform(session: Session, measurements: SessionMeasurements, listener: public.SapListener) -> None:
    lab = session.lab
    _begin(session)
    listener.await_announcement()
    measurements.add_case("SAP", f"{VISITOR} hears of the session")
    stays = Stays(session, measurements)
    with lab.progress.step("the session to start"):
        session.bring("activate", ACTIVE, CREATOR)
        session.await_streaming()
    stays.begin(*EARLY)
    measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
    with lab.progress.step(f"{LATE} to come late"):
        stays.begin(LATE, entry="late")
    session.ask("p1", "members")
    session.let_stream_go_on(1.0)
    with lab.progress.step(f"{VISITOR} to look at the server's page"):
        measurements.add_case("page", f"{VISITOR} finds the session", public.seen_on_page(session, VISITOR))
        sdp = public.download_sdp(session, VISITOR)
    if lab.values.file("media") is not None:
        with lab.progress.step("ffprobe to receive what the SDP says"):
            measurements.add_case("ffprobe", public.played(session, VISITOR, sdp))
    with lab.progress.step("p2 to leave, and to come again"):
        left_ns = session.ask("p2", "leave")
        session.await_standing("p2", ENROLLED)
        session.let_stream_go_on(1.0)
        stays.end("it left", left_ns, "p2")
        stays.begin("p2")
    with lab.progress.step("p3 to leave for good"):
        left_ns = session.ask("p3", "leave", level="registered")
        session.await_standing("p3", None)
        session.let_stream_go_on(1.0)
        session.await_said("p3")
        stays.end("it left for good", left_ns, "p3")
    with lab.progress.step("the session to end"):
        ended_ns = session.ask(CREATOR, "end")
        for node in (CREATOR, "p1", "p2", LATE):
            session.await_state(node, ENDED)
        stays.end("the end", ended_ns, "p1", "p2", LATE)
    listener.await_deletion()
    measurements.add_case("SAP deletion", f"{VISITOR} hears that it is gone")
    session.stop()


TOPOLOGY = Topology(
    name="gmp",
    summary="an open group session: created, entered, entered late, left, ended",
    options=session_options(),
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--transport tcp --media clip.ts",
)

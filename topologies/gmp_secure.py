r"""A secure session: who leaves for good cannot read on, who stays loses nothing, who comes late reads a stream that has wrapped.

::

    server ──── r1 ──── creator       r1 is the rendezvous point; the stream comes from the creator's node
               /  \
            ar1    ar2                access routers
             |      |
           poa1    poa2
         /  |  \  /  |
        p1 p2  p3 p4  eve

The data is SRTP under the session's key. p3 comes when the stream's 16-bit number has wrapped: it reads nothing without the roll-over
counter, which comes with the key. p4 leaves for good and is an eavesdropper from then on: a member of the multicast group still, with
the key it had. eve is one from the beginning, and never had any. After the rekeying both receive packets and read none.
"""

from __future__ import annotations

import time

from testbed.gmp import places
from testbed.gmp.asking import received
from testbed.gmp.options import session_options
from testbed.gmp.places import CREATOR
from testbed.gmp.results import TABLES, SessionMeasurements, conclude
from testbed.gmp.session import ACTIVE, ENDED, REGISTERED, Plan, Session
from testbed.gmp.stays import FOREVER_NS, Stays
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values

FIRST, LATE, LEAVER, EAVESDROPPER = ("p1", "p2"), "p3", "p4", "eve"
ROLL_OVERS = 2
"""Wraps before the first packet: as many as a receiver tries by itself. The next one it has to be told."""
UNTIL_WRAP = 100  # packets
WATCHED_S = 1.0  # of stream, in which nobody may read who has no key


def build(_values: Values) -> Lab:
    """The model."""
    return places.network("gmp-secure", (*FIRST, LATE, LEAVER, EAVESDROPPER))


def begin(lab: RunningLab) -> Session:
    """A secure session whose members have not come yet, and somebody who will never be one."""
    session = Session(lab, Plan(secure=True, first_number=((ROLL_OVERS + 1) << 16) - UNTIL_WRAP))
    session.record_parameters()
    with lab.progress.step("server, creator, participants and an eavesdropper"):
        session.start_server()
        session.create()
        session.add(*FIRST, LATE)
        session.add(LEAVER, eavesdrops=True)
        session.add_eavesdropper(EAVESDROPPER)
    return session


def perform(lab: RunningLab) -> SessionMeasurements:
    """The course of the session."""
    measurements = SessionMeasurements()
    session = begin(lab)
    stays = Stays(session, measurements)
    with lab.progress.step("the session to start"):
        session.bring("activate", ACTIVE, CREATOR)
        session.await_streaming()
    stays.begin(*FIRST, LEAVER)
    session.let_stream_go_on(UNTIL_WRAP / lab.values.number("rate") + lab.values.seconds("period"))
    with lab.progress.step(f"{LATE} to come when the stream's number has wrapped"):
        stays.begin(LATE, entry="late")
    session.let_stream_go_on(WATCHED_S)
    with lab.progress.step(f"a new key, since {LEAVER} has left for good"):
        left_ns, left = session.ask(LEAVER, "leave", level="enrolled"), time.monotonic()
        session.await_standing(LEAVER, REGISTERED)
        for node in (*FIRST, LATE, CREATOR):
            session.await_generation(node, 2)
        known_s = time.monotonic() - left
        for node in (*FIRST, LATE):
            session.await_decrypted(node, 2)
        used_s = time.monotonic() - left
    stays.end("it left for good", left_ns, LEAVER, goes_on=True)
    spied = {node: session.undecryptable(node) for node in (LEAVER, EAVESDROPPER)}
    without_ns = time.time_ns()
    session.let_stream_go_on(WATCHED_S)
    for node, before in spied.items():
        _spied(session, measurements, node, before, without_ns)
    with lab.progress.step("the session to end"):
        ended_ns = session.ask(CREATOR, "end")
        for node in (CREATOR, *FIRST, LATE):
            session.await_state(node, ENDED)
        stays.end("the end", ended_ns, *FIRST, LATE)
    lost = sum(row["lost"] for row in measurements.stays if row["member"] in (*FIRST, LATE) and "lost" in row)
    measurements.add_case(
        "rekey",
        f"known to all {known_s * 1000:.0f} ms after {LEAVER} left, used after {used_s * 1000:.0f} ms; {lost} packets lost",
        rekey_known_ms=known_s * 1000,
        rekey_used_ms=used_s * 1000,
        lost_at_rekey=lost,
    )
    session.stop()
    return measurements


def _spied(session: Session, measurements: SessionMeasurements, node: str, before: int | None, since_ns: int) -> None:
    """What an eavesdropper received and read since; ``before``: packets that it could not read until then."""
    after = session.undecryptable(node)
    if before is None or after is None:
        measurements.add_case(f"eavesdropper {node}", "an external command, of which it is not known")
        return
    read, unread = received(session.receivers[node], since_ns, FOREVER_NS).get("packets", 0), after - before
    expected = WATCHED_S * session.lab.values.number("rate")
    problem = f"{read} packets read without the key" if read else None
    if unread < expected / 2:
        problem = f"only {unread} packets came to it: that it reads none says nothing"
    measurements.add_case(
        f"eavesdropper {node}", f"{unread} packets came, {read} read", problem, unread=unread, read=read
    )


TOPOLOGY = Topology(
    name="gmp-secure",
    summary="a secure group session: a new key when a member leaves, which eavesdroppers do not have",
    options=session_options(),
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--transport tcp",
)

r"""Every way in which a session join can end, each in the roles' own tables and on the wire.

::

    mcs ──── rr ──── sm            the SM admits one MN ID and no other
            /  \
          ar1   ar2
           |     |
         poa1   poa2               an LMC serves poa1 and none serves poa2
         /  \   ╎
      lmc1   mn ╎                  between two joins mn is carried from poa1 to poa2

Five joins of one node, in this order, each in a cell whose router knows nothing of the group:

- *lmc*: SJR, SJC with the LMC's address, LJR, LJC F=1; only then the IGMP or MLD report, and then data.
- *refused-by-sm*: the node says that it is somebody else. SJC F=0; no report ever leaves it, and no data arrives.
- *refused-by-lmc*: lmc1 has been started again for another session, while the SM still has it for this one and assigns it.
  LJC F=0, with the same consequences.
- *direct*: the node is at poa2. SJC without an LMC makes it a member at once; its reports go to the SM.
- *unanswered*: the SM is gone. SJR, JWT later once more, and the join has failed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from testbed.mmcp import session as mmcp_session
from testbed.mmcp import staying, streaming
from testbed.mmcp.options import stream_options
from testbed.mmcp.places import MN_ID
from testbed.mmcp.results import TABLES, Row, SessionMeasurements, conclude_cases
from testbed.mmcp.session import Provisioning, begin
from testbed.mmcp.streaming import nominal_spacing_ns
from testbed.mmcp.two_cells import CELLS, two_cells
from testbed.mmcp.walking import await_stream
from testbed.net.model import Lab
from testbed.net.observation import groups_joined, udp_counter
from testbed.run.laboratory import Conclusion, RunningLab, Topology
from testbed.run.mobility import carry
from testbed.run.options import Values, duration_option, family_option, list_option
from testbed.run.roles import RunningRole

CASES = ("lmc", "refused-by-sm", "refused-by-lmc", "direct", "unanswered")
ADMITTED = ("lmc", "direct")
ANSWERS = {"lmc": 2, "refused-by-sm": 1, "refused-by-lmc": 2, "direct": 1, "unanswered": 0}  # SJC, LJC
# What the application is to be told. An LMC that refuses is told apart from an SM that does.
TOLD = {
    "lmc": "established",
    "refused-by-sm": "join-refused session_id=1 by=sm",
    "refused-by-lmc": "join-refused session_id=1 by=lmc",
    "direct": "established",
    "unanswered": "join-failed session_id=1 awaited=SJC",
}
STRANGER_ID = "stranger"
OTHER_SESSION = 2
JOIN_RETRIES = 1
ABSENCE_S = 0.5  # of stream, in which nothing of it may reach a node that was refused

OPTIONS = (
    family_option(),
    list_option("cases", "Joins to make; their order is the lab's", ",".join(CASES), CASES),
    duration_option("srt", "SRT, the period of status reports", "500ms", 0.2, 60.0),
    duration_option("jwt", "JWT, the wait for SJC or LJC", "500ms", 0.1, 60.0),
    *stream_options("500"),
)


def build(values: Values) -> Lab:
    """The two-cell model with one LMC."""
    return two_cells("join", values.family, controlled=CELLS[:1])


def perform(lab: RunningLab) -> SessionMeasurements:
    """One join after the other."""
    values = lab.values
    provisioning = Provisioning(
        srt_s=values.seconds("srt"), jwt_s=values.seconds("jwt"), join_retries=JOIN_RETRIES,
        admitted=(MN_ID,), other_session=OTHER_SESSION,
    )  # fmt: skip
    mmcp_session.record_parameters(
        lab,
        nominal_spacing_ns(values),
        expects=("join",),
        provisioning=provisioning,
        mn_ids={"mn": MN_ID, STRANGER_ID: STRANGER_ID},
    )
    running = {role.name: role for role in mmcp_session.start_infrastructure(lab, provisioning)}
    receiver = streaming.start_receiver(lab)
    joins = _Joins(lab, provisioning, running)
    for case in CASES:
        if case in values.words("cases"):
            with lab.progress.step(f"join {case}"):
                joins.make(case)
    for name in ("mcs", "lmc1", "sm"):
        lab.roles.stop(running[name])
    lab.roles.stop(receiver)
    return joins.measurements


class _Joins:
    """The joins of one run: where the node is, and what the roles said of each."""

    def __init__(self, lab: RunningLab, provisioning: Provisioning, running: dict[str, RunningRole]) -> None:
        self.measurements = SessionMeasurements()
        self._lab, self._provisioning, self._running = lab, provisioning, running
        self._cell = CELLS[0]

    def make(self, case: str) -> None:
        """Bring about what the case is about, and let the node join."""
        match case:
            case "refused-by-lmc":
                self._provision_controller_anew()
            case "direct":
                self._cell = CELLS[1]
                carry(self._lab.network, self._lab.model.radio("mn"), self._cell)
            case "unanswered":
                self._lab.steps.add("silence_begin", role="sm", why="stopped")
                self._lab.roles.stop(self._running["sm"])
            case _:
                pass
        self._join(case)

    def _provision_controller_anew(self) -> None:
        """Start lmc1 again for another session; the SM does not hear of it before lmc1 has been silent for 4 SPT."""
        lab = self._lab
        lab.steps.add("silence_begin", role="lmc1", why="started again without the session")
        lab.roles.stop(self._running["lmc1"])
        answers = udp_counter(lab.network, "lmc1", "InDatagrams")
        self._running["lmc1"] = mmcp_session.start_controller(
            lab, CELLS[0], self._provisioning, session_id=OTHER_SESSION
        )
        lab.roles.await_ready(self._running["lmc1"])
        staying.await_datagrams(lab, "lmc1", "InDatagrams", answers + 1)

    def _join(self, case: str) -> None:
        lab, provisioning = self._lab, self._provisioning
        name, mn_id = (STRANGER_ID, STRANGER_ID) if case == "refused-by-sm" else ("mn", MN_ID)
        before = udp_counter(lab.network, "mn", "OutDatagrams")
        node = staying.begin_session(lab, self._cell, provisioning, expected=case, name=name, mn_id=mn_id)
        told = staying.await_notice(lab, node, "(established|join-refused|join-failed)", ANSWERS[case])
        is_member = case in ADMITTED if told is None else told.startswith("established")
        if is_member:
            await_stream(lab, f"the stream at the mobile node ({case})")
            if self.measurements.start_to_first_data_s is None:
                self.measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
            # Its requests, SJR and perhaps LJR, and its first USR.
            staying.await_datagrams(lab, "mn", "OutDatagrams", before + ANSWERS[case] + 1)
        else:
            # As long as another SJR could be due, and a while in which data would come if any did.
            resends_s = (2 + JOIN_RETRIES) * provisioning.jwt_s if case == "unanswered" else 0.0
            staying.let_stream_go_on(lab, max(ABSENCE_S, resends_s))
        problems = self._wrong_tables(case, node, mn_id)
        if told is not None and not told.startswith(TOLD[case]):
            problems.append(f"the application was told {told}")
        self.measurements.cases.append({"case": case, "told": told, "problems": problems})
        if is_member:
            staying.leave(lab, node, self._cell)
        staying.end_session(lab, node, name)

    def _wrong_tables(self, case: str, node: RunningRole, mn_id: str) -> list[str]:
        """Where the node, its kernel, the LMC and the SM do not have the node in their tables as they should."""
        lab, sm, lmc, identifier = self._lab, self._running["sm"], self._running["lmc1"], mn_id.encode().hex()
        problems: list[str] = []

        def compare(what: str, found: object, wanted: object) -> None:
            if found != wanted:
                problems.append(f"{what}: {found}, not {wanted}")

        group = lab.model.group
        compare(f"the kernel is a member of {group}", group in groups_joined(lab.network, "mn"), case in ADMITTED)
        if node.is_ours:
            state = staying.table(node).get("state")
            compare("the node's state", state, "ESTABLISHED" if case in ADMITTED else "CLOSED")
        if lmc.is_ours:
            compare("lmc1 has the node", identifier in staying.table(lmc).get("members", {}), case == "lmc")
        if sm.is_ours and case in (*ADMITTED, "refused-by-sm"):
            row = staying.table(sm).get("members", {}).get(identifier)
            known = "nothing" if row is None else row["lmc"]
            wanted = {"lmc": b"lmc1".hex(), "direct": None, "refused-by-sm": "nothing"}[case]
            compare("the SM has for the node's LMC", known, wanted)
        return problems


def conclude(_values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """What the capture shows of each join, beside what the roles said of it."""
    return conclude_cases(measurements, verdict["joins"], "joins", _problems, _in_words)


def _problems(measured: Row, join: Row) -> list[str]:
    return [] if join["outcome"] == measured["case"] else [f"the capture shows {join['outcome']}"]


def _in_words(measured: Row, join: Row) -> str:
    told = "" if measured["told"] is None else f"; the application was told: {measured['told']}"
    match join["outcome"]:
        case "lmc" | "direct" if join["report_ms"] is not None and join["first_data_ms"] is not None:
            of = "its LMC" if join["outcome"] == "lmc" else "the SM"
            return (
                f"a member of {of} {join['established_ms']:.1f} ms after SJR, "
                f"its report at {join['report_ms']:.1f} ms, the first packet at {join['first_data_ms']:.1f} ms"
            )
        case "refused-by-sm":
            return f"SJC F=0 {join['sjr_sjc_ms']:.1f} ms after SJR, {join['packets']} packets{told}"
        case "refused-by-lmc":
            return f"LJC F=0 {join['ljr_ljc_ms']:.1f} ms after LJR, {join['packets']} packets{told}"
        case outcome:
            return f"{outcome}: {join['requests']} SJRs, {join['packets']} packets{told}"


TOPOLOGY = Topology(
    name="join",
    summary="every way in which a session join can end: admitted, refused by the SM or an LMC, unanswered",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--family 6 --srt 1s --cases lmc,refused-by-sm",
)

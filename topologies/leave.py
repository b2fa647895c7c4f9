r"""Every way in which a mobile node leaves its session: what is said, when the data stops, and who learns of it when.

::

    mcs ──── rr ──── sm
            /  \
          ar1   ar2                the routers ask for members before they stop the data on a link
           |     |
         poa1   poa2               between two sessions mn is carried from poa1 to poa2
         /  \   ╎  \
      lmc1   mn ╎   lmc2           lmc2 is provisioned to tell the SM of each leave at once, lmc1 is not

Four sessions of one node, each in a cell whose router knows nothing of the group:

- *direct*: before there are LMCs. ULR to the SM, ULC; the SM has forgotten the node.
- *lmc*: ULR to lmc1, ULC; lmc1 has forgotten the node, the SM learns from the next ASR how many lmc1 has, and forgets the
  node itself when nobody has reported it for 4 SPT [M-26].
- *at-once*: the same with lmc2, whose ASR follows its ULC at once.
- *killed*: the node's agent is killed with SIGKILL. The kernel leaves the group by itself; lmc2 probes three times and has
  forgotten the node 4 SPT after its last report.

With notice or without, an IGMP or MLD leave goes out on the link, and the leave latency is measured from there to the last
data packet: two queries for pimd, and for pim6d the response time of a general query as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from testbed.mmcp import places, staying, streaming
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.options import stream_options
from testbed.mmcp.results import CASES as CASES_TABLE
from testbed.mmcp.results import TABLES, Row, SessionMeasurements, conclude_cases
from testbed.mmcp.session import Provisioning, begin
from testbed.mmcp.staying import without_member
from testbed.mmcp.streaming import nominal_spacing_ns
from testbed.mmcp.two_cells import CELLS, two_cells
from testbed.mmcp.walking import await_stream
from testbed.net.model import Lab
from testbed.net.observation import udp_counter
from testbed.run.laboratory import Conclusion, RunningLab, Topology
from testbed.run.mobility import carry
from testbed.run.options import Values, duration_option, family_option, list_option
from testbed.run.roles import RunningRole

CASES = ("direct", "lmc", "at-once", "killed")
CELL_OF = {"direct": CELLS[0], "lmc": CELLS[0], "at-once": CELLS[1], "killed": CELLS[1]}
FORGETTING_SPT = 4  # SPTs after which a parent has given up a child that does not report
AFTERWARDS_S = 0.5  # of stream, in which none of it may reach the link any more

OPTIONS = (
    family_option(),
    list_option("cases", "Leaves to make; their order is the lab's", ",".join(CASES), CASES),
    duration_option("srt", "SRT, the period of status reports; SPT is three times as long", "500ms", 0.2, 60.0),
    *stream_options("500"),
)


def build(values: Values) -> Lab:
    """The two-cell model."""
    return two_cells("leave", values.family)


def perform(lab: RunningLab) -> SessionMeasurements:
    """One session after the other; the LMCs start after the first."""
    values, chosen = lab.values, lab.values.words("cases")
    provisioning = Provisioning(srt_s=values.seconds("srt"))
    mmcp_session.record_parameters(lab, nominal_spacing_ns(values), expects=("leave",), provisioning=provisioning)
    with lab.progress.step("SM and the stream"):
        sm, source = mmcp_session.start_core(lab, provisioning)
        lab.roles.await_ready(source)
    streaming.await_streaming(lab)
    receiver = streaming.start_receiver(lab)
    running = {"sm": sm}
    leaves = _Leaves(lab, provisioning, running)
    if "direct" in chosen:
        leaves.make("direct")
    lmcs = []
    if set(chosen) != {"direct"}:
        lmcs = [
            mmcp_session.start_controller(lab, cell, provisioning, asr_on_leave=cell == CELL_OF["at-once"])
            for cell in CELLS
        ]
        lab.roles.await_ready(*lmcs)
        mmcp_session.await_announced(lab, *lmcs)
        running |= {lmc.name: lmc for lmc in lmcs}
    for case in CASES[1:]:
        if case in chosen:
            leaves.make(case)
    for role in (source, *lmcs, sm, receiver):
        lab.roles.stop(role)
    return leaves.measurements


class _Leaves:
    """The sessions of one run: where the node is, and what the roles said of each leave."""

    def __init__(self, lab: RunningLab, provisioning: Provisioning, running: Mapping[str, RunningRole]) -> None:
        self.measurements = SessionMeasurements()
        self._lab, self._provisioning, self._running = lab, provisioning, running
        self._cell = CELLS[0]

    def make(self, case: str) -> None:
        """Let the node join, then leave as the case says, and wait until everybody knows."""
        lab, cell = self._lab, CELL_OF[case]
        if cell != self._cell:
            carry(lab.network, lab.model.radio("mn"), cell)
            self._cell = cell
        node = self._join(case)
        notice = case != "killed"
        lab.steps.add("leave", mn="mn", notice=notice, asr_on_leave=case == "at-once")
        left = time.monotonic()
        if notice:
            node.ask("leave")
        else:
            lab.network.processes.kill(node.process)
        self.measurements.cases.append({"case": case, "problems": [], **self._await_knowledge(case, left)})
        staying.await_no_member(lab, cell)
        staying.let_stream_go_on(lab, AFTERWARDS_S)
        staying.end_session(lab, node)

    def _join(self, case: str) -> RunningRole:
        """A member that receives the stream and has sent its first USR."""
        lab = self._lab
        before = udp_counter(lab.network, "mn", "OutDatagrams")
        expected = "direct" if case == "direct" else "lmc"
        node = staying.begin_session(lab, self._cell, self._provisioning, expected=expected)
        await_stream(lab, f"the stream at the mobile node ({case})")
        if self.measurements.start_to_first_data_s is None:
            self.measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
        requests = 1 if case == "direct" else 2
        staying.await_datagrams(lab, "mn", "OutDatagrams", before + requests + 1)
        return node

    def _await_knowledge(self, case: str, left: float) -> dict[str, float | None]:
        """Wait until the parent, and the SM where it is another, have it in their tables; seconds since the leave.

        Strangers' tables are not known: then it is waited for as long as ours would need.
        """
        lab, sm, srt_s = self._lab, self._running["sm"], self._provisioning.srt_s
        forgetting_s = FORGETTING_SPT * self._provisioning.spt_s

        def await_known(
            role: RunningRole, awaited: str, known: Callable[[Any], bool], patience_s: float
        ) -> float | None:
            return staying.await_known(lab, role, awaited, known, left, patience_s + srt_s)

        if case == "direct":
            return {"sm_forgot_s": await_known(sm, "sm to forget the node", without_member, 0.0)}
        lmc = self._running[places.controller_of(lab.model, self._cell)]
        name = lmc.name.encode().hex()

        def counts_nobody(table: Any) -> bool:
            return bool(table["lmcs"][name]["members"] == 0)

        patience_s = forgetting_s if case == "killed" else 0.0
        told = {
            "lmc_forgot_s": await_known(lmc, f"{lmc.name} to forget the node", without_member, patience_s),
            "sm_counts_s": await_known(sm, f"sm to know that {lmc.name} has nobody", counts_nobody, 0.0),
        }
        if case == "lmc":
            told["sm_forgot_s"] = await_known(sm, "sm to forget the node", without_member, forgetting_s)
        return told


def conclude(_values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """What the capture shows of each leave, beside when the roles knew of it."""
    may_go_on = "on-demand" in measurements.cannot
    conclusion = conclude_cases(
        measurements, verdict["leaves"], "leaves", partial(_problems, may_go_on=may_go_on), _in_words
    )
    for row in conclusion.rows[CASES_TABLE.name]:
        if row["goes_on"] and not row["problems"]:
            row["verdict"] = "pass: static"
    return conclusion


def _problems(measured: Row, leave: Row, *, may_go_on: bool) -> list[str]:
    parent = {"direct": "sm", "lmc": "lmc1"}.get(measured["case"], "lmc2")
    found = []
    if leave["parent"] != parent:
        found.append(f"the node was a member of {leave['parent']}, not of {parent}")
    if leave["latency_ms"] is None and not (leave["goes_on"] and may_go_on):
        found.append("the capture does not show when the data stopped")
    return found


def _in_words(measured: Row, leave: Row) -> str:
    parts = []
    if leave["ulr_ulc_ms"] is not None:
        parts.append(f"ULC of {leave['parent']} {leave['ulr_ulc_ms']:.1f} ms after ULR")
    if leave["goes_on"] and leave["observed_ms"] is not None:
        parts.append(f"no end of the data while observed ({leave['observed_ms'] / 1000:.1f} s)")
    elif leave["latency_ms"] is not None:
        parts.append(f"data for {leave['latency_ms']:.0f} ms after the group was left")
    if leave["unnamed_ms"] is not None:
        parts.append(f"ASR without the node after {leave['unnamed_ms']:.0f} ms")
    if measured.get("sm_forgot_s") is not None:
        parts.append(f"forgotten by the SM after {measured['sm_forgot_s']:.1f} s")
    return "; ".join(parts)


TOPOLOGY = Topology(
    name="leave",
    summary="every way in which a node leaves: with notice to the SM or an LMC, and killed; when the data stops",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--family 6 --srt 1s --cases lmc,killed",
)

r"""Who notices when somebody falls silent, and when: status reports, probes, and what becomes of those who are left.

::

    mcs ──── rr ──── sm            the SM watches lmc1, and mn when it has no LMC
            /  \
          ar1   ar2
           |     |
         poa1   poa2               nobody is there
         /  \
      lmc1   mn                    lmc1 watches mn

One session of one node. SRT is half a second here and SPT, after which a parent probes, a second and a half.

- *periodic*: USR and ASR, every SRT.
- *answered*: mn's reports are lost by nftables until a probe has come. mn answers it at once, and is not given up; that the
  next silence takes three probes shows that the answer has cleared the count.
- *mn-silent*: mn's agent is stopped (SIGSTOP). Probes SPT, 2 SPT and 3 SPT after its last report; at 4 SPT lmc1 gives it
  up, and its next ASR says so. When the agent goes on, its answers are a stranger's, and its renewal makes it a member
  again [M-25].
- *lmc-silent*: lmc1 is killed. The SM probes it and gives it up like any child. mn renews its membership three times in
  vain, then joins the session again, and goes on until the SM has no LMC for it any more: it is the SM's [M-25, M-27]. It
  stays in the group and loses nothing of the stream.
- *direct-silent*: mn's agent is killed, now a child of the SM, which probes it and gives it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from testbed.mmcp import packets, staying, streaming
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.options import stream_options
from testbed.mmcp.places import MN_ID
from testbed.mmcp.results import CASES, TABLES, Row, SessionMeasurements, conclude_cases
from testbed.mmcp.session import MMCP_PORT, Provisioning, begin
from testbed.mmcp.streaming import nominal_spacing_ns, receiver_window
from testbed.mmcp.two_cells import CELLS, two_cells
from testbed.mmcp.walking import await_stream
from testbed.net.impairment import heard, lose_all_until_heard, lose_no_more
from testbed.net.model import Lab
from testbed.net.observation import udp_counter
from testbed.run.laboratory import Conclusion, RunningLab, Topology
from testbed.run.options import Values, duration_option, family_option
from testbed.run.roles import RunningRole

CELL = CELLS[0]
REPORTS = 3  # USRs of the periodic part
PROBES = 3
GIVEN_UP_SPT = 4  # SPTs after a child's last report
AFTERWARDS_S = 0.5  # of stream, in which no fourth probe may come

OPTIONS = (
    family_option(),
    duration_option("srt", "SRT, the period of status reports; SPT is three times as long", "500ms", 0.2, 60.0),
    *stream_options("500"),
)


def build(values: Values) -> Lab:
    """The two-cell model with one LMC."""
    return two_cells("status", values.family, controlled=(CELL,))


def perform(lab: RunningLab) -> SessionMeasurements:
    """Join, then let one after the other fall silent."""
    provisioning = Provisioning(srt_s=lab.values.seconds("srt"), jwt_s=lab.values.seconds("srt"))
    mmcp_session.record_parameters(lab, nominal_spacing_ns(lab.values), expects=("status",), provisioning=provisioning)
    running = {role.name: role for role in mmcp_session.start_infrastructure(lab, provisioning)}
    receiver = streaming.start_receiver(lab)
    before = udp_counter(lab.network, "mn", "OutDatagrams")
    node = staying.begin_session(lab, CELL, provisioning, expected="lmc")
    await_stream(lab, "the stream at the mobile node")
    silences = _Silences(lab, provisioning, running, receiver, node)
    silences.measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
    with lab.progress.step(f"{REPORTS} status reports"):
        staying.await_datagrams(lab, "mn", "OutDatagrams", before + 2 + REPORTS)  # SJR, LJR, USRs
    silences.lose_reports()
    silences.stop_node()
    silences.kill_controller()
    silences.kill_node()
    staying.end_session(lab, node)
    for name in ("mcs", "sm"):
        lab.roles.stop(running[name])
    lab.roles.stop(receiver)
    return silences.measurements


class _Silences:
    """The silences of one run, and what the roles said of each."""

    def __init__(
        self,
        lab: RunningLab,
        provisioning: Provisioning,
        running: Mapping[str, RunningRole],
        receiver: RunningRole,
        node: RunningRole,
    ) -> None:
        self.measurements = SessionMeasurements()
        self._lab, self._spt_s, self._srt_s = lab, provisioning.spt_s, provisioning.srt_s
        self._sm, self._lmc, self._receiver, self._node = running["sm"], running["lmc1"], receiver, node

    def lose_reports(self) -> None:
        """The node's reports are lost until it is probed."""
        lab, network = self._lab, self._lab.network
        lose_all_until_heard(network, "mn", MMCP_PORT, packets.USP)
        lab.steps.add("silence_begin", role="mn", why="its reports lost", answers=True)

        def probed() -> tuple[bool, str]:
            return heard(network, "mn") > 0, "no probe has come"

        network.eventually("a probe at the mobile node", probed, self._spt_s + staying.SLACK_S)
        dropped = lose_no_more(network, "mn")
        lab.steps.add("silence_end", role="mn")
        problems = [] if dropped else ["nothing was lost: this part shows nothing"]
        if self._lmc.is_ours and MN_ID.encode().hex() not in staying.table(self._lmc).get("members", {}):
            problems.append("lmc1 has forgotten the node")
        self._note("answered", problems=problems, dropped=dropped)
        # Its next reports come on their old schedule.
        staying.await_datagrams(lab, "mn", "OutDatagrams", udp_counter(network, "mn", "OutDatagrams") + 2)

    def stop_node(self) -> None:
        """The node's agent does nothing until lmc1 has given it up."""
        lab = self._lab
        lab.steps.add("silence_begin", role="mn", why="stopped")
        lab.network.processes.pause(self._node.process)
        began = time.monotonic()
        given_up_s = self._await(self._lmc, "lmc1 to give the node up", staying.without_member, began)

        def nobody(table: Any) -> bool:
            return bool(table["lmcs"][b"lmc1".hex()]["members"] == 0)

        self._await(self._sm, "the SM to know it", nobody, began)
        staying.let_stream_go_on(lab, AFTERWARDS_S)
        lab.steps.add("silence_end", role="mn")
        resumed = time.monotonic()
        lab.network.processes.resume(self._node.process)
        back_s = self._await(
            self._lmc, "the node to be a member again", lambda table: not staying.without_member(table), resumed
        )
        self._note("mn-silent", given_up_s=given_up_s, back_s=back_s)
        # Two reports later the next renewal is near: the node will be without a parent before the SM has given lmc1 up.
        staying.await_datagrams(lab, "mn", "OutDatagrams", udp_counter(lab.network, "mn", "OutDatagrams") + 2)

    def kill_controller(self) -> None:
        """lmc1 is gone; the node becomes the SM's."""
        lab = self._lab
        begin_ns = lab.steps.add("silence_begin", role="lmc1", why="killed")
        began = time.monotonic()
        lab.network.processes.kill(self._lmc.process)

        def without_controller(table: Any) -> bool:
            return not table["lmcs"]

        def with_own_member(table: Any) -> bool:
            row = table["members"].get(MN_ID.encode().hex())
            return row is not None and row["lmc"] is None

        given_up_s = self._await(self._sm, "the SM to give lmc1 up", without_controller, began)
        back_s = self._await(self._sm, "the node to be a member of the SM", with_own_member, began)
        state = staying.table(self._node).get("state")
        problems = [f"the node is {state}"] if self._node.is_ours and state != "ESTABLISHED" else []
        window = receiver_window(self._receiver, begin_ns, time.time_ns())
        lost = window.get("lost")
        if lost:
            problems.append(f"{lost} packets of the stream were lost")
        self._note("lmc-silent", problems=problems, given_up_s=given_up_s, back_s=back_s, lost=lost)
        staying.await_datagrams(lab, "mn", "OutDatagrams", udp_counter(lab.network, "mn", "OutDatagrams") + 2)

    def kill_node(self) -> None:
        """The node's agent is gone, and with it its membership of the group."""
        lab = self._lab
        lab.steps.add("silence_begin", role="mn", why="killed")
        began = time.monotonic()
        lab.network.processes.kill(self._node.process)
        self._note(
            "direct-silent",
            given_up_s=self._await(self._sm, "the SM to give the node up", staying.without_member, began),
        )

    def _await(self, role: RunningRole, awaited: str, known: Callable[[Any], bool], began: float) -> float | None:
        """Wait until a role's table says so; seconds since it began."""
        return staying.await_known(self._lab, role, awaited, known, began, (GIVEN_UP_SPT + 1) * self._spt_s)

    def _note(self, case: str, problems: list[str] | None = None, **measured: object) -> None:
        self.measurements.cases.append({"case": case, "problems": problems or [], **measured})


def conclude(_values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """What the capture shows of each silence, beside when the roles knew of it; before that, the reports on schedule."""
    conclusion = conclude_cases(measurements, verdict["silences"], "silences", _problems, _in_words)
    periods = [
        rule["message"] for rule in verdict["rules"]["all"] if rule["rule"] in ("mmcp-usr-period", "mmcp-asr-period")
    ]
    conclusion.rows[CASES.name].insert(0, {"case": "periodic", "seen": "; ".join(periods), "problems": []})
    return conclusion


def _problems(measured: Row, silence: Row) -> list[str]:
    if measured["case"] == "answered":
        answered = silence["answered_ms"] is not None and not silence["failed"]
        return [] if answered else ["the capture shows no answer to the probe"]
    if silence["failed"] and len(silence["probes_s"]) == PROBES:
        return []
    return [f"the capture shows {len(silence['probes_s'])} probes and no end of it"]


def _in_words(measured: Row, silence: Row) -> str:
    probes = ", ".join(f"{at:.2f}" for at in silence["probes_s"])
    parts = [f"{silence['parent']} probed it {probes} s after its last report"]
    if silence["answered_ms"] is not None and not silence["failed"]:
        parts.append(f"the answer came {silence['answered_ms']:.1f} ms after the probe")
    if silence["unnamed_s"] is not None:
        parts.append(f"the ASR after {silence['unnamed_s']:.2f} s does not name it")
    if measured.get("back_s") is not None:
        who = "the node was a member of the SM" if measured["case"] == "lmc-silent" else "it was a member again"
        parts.append(f"{who} {measured['back_s']:.1f} s after it {'went on' if who.startswith('it') else 'was killed'}")
    if measured["case"] == "lmc-silent" and measured["lost"] is not None:
        parts.append(f"{measured['lost']} packets lost meanwhile")
    return "; ".join(parts)


TOPOLOGY = Topology(
    name="status",
    summary="who notices that a node or an LMC has fallen silent, when, and what becomes of the others",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
    example="--family 6 --srt 1s",
)

"""Whether the roles of an MMCP session agree on where the mobile node is, and what a lab with faults in it must show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.mmcp import places
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.handover_figures import differences
from testbed.mmcp.results import Row, SessionMeasurements, conclude_handovers
from testbed.mmcp.staying import table
from testbed.mmcp.walking import JoinedSession
from testbed.net.model import Lab
from testbed.run.laboratory import Conclusion, RunningLab
from testbed.run.options import Values

STATUS_PROBE_S = 3 * mmcp_session.STATUS_REPORT_S  # SPT
# An LMC that a node has left without its knowledge has forgotten it at 4 SPT [M-13]; where reports are lost it takes longer.
AGREEMENT_DEADLINE_S = 5 * STATUS_PROBE_S
AGREEMENT_DEADLINE_WITH_LOSS_S = 8 * STATUS_PROBE_S


def await_agreement(
    lab: RunningLab, joined: JoinedSession, when: str, deadline_s: float = AGREEMENT_DEADLINE_S
) -> float:
    """Wait until the node, both LMCs and the SM say that it is where it walked to; returns the seconds that took."""
    return lab.network.eventually(f"all roles to agree ({when})", lambda: _agreement(lab.model, joined), deadline_s)


def _agreement(model: Lab, joined: JoinedSession) -> tuple[bool, str]:
    """Whether the node, all LMCs and the SM say the same of where the node is."""
    wanted = places.controller_of(model, joined.walk.cell)
    mn = table(joined.node)
    lmcs = {name: table(joined.running[name]) for name in places.controllers(model).values()}
    sm = table(joined.running["sm"])
    if not all((mn, *lmcs.values(), sm)):
        return False, "not every role answers"
    mn_id = places.MN_ID.encode().hex()
    having = [name for name, state in lmcs.items() if mn_id in state["members"]]
    known = sm["members"].get(mn_id, {}).get("lmc")
    seen = f"MN {mn['state']}; it is a member at {', '.join(having) or 'no LMC'}; the SM says {known}"
    return mn["state"] == "ESTABLISHED" and having == [wanted] and known == wanted.encode().hex(), seen


def conclude(_values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """The stream must have come back within SPT in each handover, however it went, and the capture and the receiver must say the same."""

    def problems(judged: Row, window: Row) -> list[str]:
        away_ms = judged["disruption_ms"]
        found = [] if away_ms is None else differences(judged, window)
        if away_ms is None or away_ms > STATUS_PROBE_S * 1000:
            found.append(f"the stream was away for {away_ms} ms, more than SPT ({STATUS_PROBE_S:g} s)")
        return found

    return conclude_handovers(measurements, verdict["handovers"], problems)

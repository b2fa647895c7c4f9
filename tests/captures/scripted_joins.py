"""A lab of joins that never ran: a member of an LMC, a stranger, an LMC without the session, an MN of the SM, a dead SM."""

from __future__ import annotations

from typing import Any

from tests.captures.scripted_lab import DATA_PORT, INTERFACES, MMCP_PORT, MN_ID, ScriptedLab

STRANGER_ID = b"stranger".hex()


def good_join_lab(family: int = 4) -> ScriptedLab:
    """Five sessions, each ending as its session_begin says."""
    lab = ScriptedLab(family)
    a = lab.addresses
    node = {"node": "mn", "interface": INTERFACES["mn"], "addresses": {"poa1": a["mn1"], "poa2": a["mn2"]}}
    lmc = {"name": "lmc1", "address": a["lmc1"], "interface": INTERFACES["lmc1"], "point_of_attachment": "poa1"}
    lab.parameters(
        {
            "srt_s": 0.5, "jwt_s": 0.5, "join_retries": 1, "lmcs": [lmc],
            "mns": [{"name": "mn", "id": MN_ID, **node}, {"name": "stranger", "id": STRANGER_ID, **node}],
        },
        expects=["join"],
    )  # fmt: skip
    lab.mmcp(10, "lmc1.SJR", "lmc1", "sm", [["mn_id", b"lmc1".hex()], ["lmc", a["lmc1"], MMCP_PORT]])
    lab.mmcp(12, "lmc1.SJC", "sm", "lmc1", [group(lab)], f=1)
    for number in range(1, 4):
        members: list[list[Any]] = [["membership", 1], ["mn_id", MN_ID]] if number == 1 else [["membership", 0]]
        lab.mmcp(12 + 500 * number, f"lmc1.{number}.ASR", "lmc1", "sm", members)
    lab.mmcp(3012, "lmc1.USP", "sm", "lmc1")
    begin(lab, 100, "mn", "lmc")
    lab.mmcp(114, "lmc.LJR", "mn", "lmc1", [["mn_id", MN_ID]])
    lab.mmcp(116, "lmc.LJC", "lmc1", "mn", f=1)
    lab.report(118, "lmc.report", "mn")
    lab.mmcp(616, "lmc.USR", "mn", "lmc1", [["mn_id", MN_ID]])
    end(lab, 1000, "mn", "lmc", "lmc1")
    begin(lab, 1100, "stranger", "refused-by-sm")
    lab.step(1500, "session_end", mode="proactive", mn="stranger")
    lab.step(1590, "silence_begin", role="lmc1", why="provisioned without the session")
    begin(lab, 1600, "mn", "refused-by-lmc")
    lab.mmcp(1614, "refused-by-lmc.LJR", "mn", "lmc1", [["mn_id", MN_ID]])
    lab.mmcp(1616, "refused-by-lmc.LJC", "lmc1", "mn")
    lab.step(2000, "session_end", mode="proactive", mn="mn")
    lab.cell = 2
    begin(lab, 2100, "mn", "direct")
    lab.report(2114, "direct.report", "mn")
    lab.mmcp(2612, "direct.USR", "mn", "sm", [["mn_id", MN_ID]])
    end(lab, 3000, "mn", "direct", "sm")
    lab.step(3090, "silence_begin", role="sm", why="stopped")
    begin(lab, 3100, "mn", "unanswered")
    lab.copy("unanswered.SJR@mn", 500)
    lab.step(4400, "session_end", mode="proactive", mn="mn")
    lab.data(20, 4400, _nodes)
    return lab


def group(lab: ScriptedLab) -> list[Any]:
    """The session's multicast address parameter."""
    return ["multicast", lab.addresses["group"], DATA_PORT]


def begin(lab: ScriptedLab, at_ms: float, mn: str, expected: str) -> None:
    """The steps and the session join of one session; its messages are tagged by how it is expected to end."""
    lab.step(at_ms, "session_begin", mode="proactive", mn=mn, expected=expected)
    point = ["poa_id", f"poa{lab.cell}".encode().hex()]
    mn_id = STRANGER_ID if mn == "stranger" else MN_ID
    lab.mmcp(at_ms + 10, f"{expected}.SJR", "mn", "sm", [["mn_id", mn_id], point])
    with_lmc = [["lmc", lab.addresses["lmc1"], MMCP_PORT]] if expected in ("lmc", "refused-by-lmc") else []
    if expected == "refused-by-sm":
        lab.mmcp(at_ms + 12, f"{expected}.SJC", "sm", "mn")
    elif expected != "unanswered":
        lab.mmcp(at_ms + 12, f"{expected}.SJC", "sm", "mn", [group(lab), *with_lmc], f=1)


def end(lab: ScriptedLab, at_ms: float, mn: str, tag: str, parent: str) -> None:
    """The leave with notice and the end of a session, 100 ms later."""
    lab.mmcp(at_ms - 100, f"{tag}.ULR", "mn", parent, [["mn_id", MN_ID]])
    lab.mmcp(at_ms - 98, f"{tag}.ULC", parent, "mn", f=1)
    lab.report(at_ms - 97, f"{tag}.leave", "mn", kind=3)
    lab.step(at_ms, "session_end", mode="proactive", mn=mn)


def _nodes(t: float) -> set[str]:
    member = 130 <= t < 950 or 2130 <= t < 2950
    return {"mcs", "mn"} if member else {"mcs"}

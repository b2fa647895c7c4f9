"""A lab of leaves that never ran: from the SM, from an LMC, from an LMC that tells the SM at once, and without notice."""

from __future__ import annotations

from tests.captures.scripted_joins import group
from tests.captures.scripted_lab import MMCP_PORT, MN_ID, ScriptedLab

LAST_MEMBER_QUERY_MS = 100
# Of each leave: when it is, who is the parent, and in which cell.
LEAVES = {"direct": (800, "sm", 1), "lmc1": (2000, "lmc1", 1), "lmc2": (3200, "lmc2", 2), "killed": (4400, "lmc2", 2)}
END_MS = 10_900
FAILED_MS = 4216 + 4 * 1500  # of the one that was killed: SPT is 1.5 s, and its last report was at 4216


def good_leave_lab(family: int = 4) -> ScriptedLab:
    """Four sessions with their leaves; between the first and the second the LMCs announce themselves."""
    lab = ScriptedLab(family)
    lab.parameters({"srt_s": 0.5, "last_member_query_s": LAST_MEMBER_QUERY_MS / 1000}, expects=["leave"])
    for name in LEAVES:
        _session(lab, name)
    _controllers(lab)
    lab.data(20, END_MS, _nodes)
    return lab


def _session(lab: ScriptedLab, name: str) -> None:
    """Join 700 ms before the leave, one USR 200 ms before it; the end of data is the router's last member query away."""
    at, parent, lab.cell = LEAVES[name]
    began, mn = at - 700, ["mn_id", MN_ID]
    lab.step(began, "session_begin", mode="proactive", mn="mn")
    lab.mmcp(began + 10, f"{name}.SJR", "mn", "sm", [mn, ["poa_id", f"poa{lab.cell}".encode().hex()]])
    lmc = [] if parent == "sm" else [["lmc", lab.addresses[parent], MMCP_PORT]]
    lab.mmcp(began + 12, f"{name}.SJC", "sm", "mn", [group(lab), *lmc], f=1)
    if lmc:
        lab.mmcp(began + 14, f"{name}.LJR", "mn", parent, [mn])
        lab.mmcp(began + 16, f"{name}.LJC", parent, "mn", f=1)
    lab.report(began + 18, f"{name}.report", "mn")
    lab.mmcp(began + 516, f"{name}.USR", "mn", parent, [mn])
    notice = name != "killed"
    lab.step(at, "leave", mn="mn", notice=notice, asr_on_leave=parent == "lmc2")
    if notice:
        lab.mmcp(at + 1, f"{name}.ULR", "mn", parent, [mn])
        lab.mmcp(at + 2, f"{name}.ULC", parent, "mn", f=1)
    lab.report(at + 3, f"{name}.leave", "mn", kind=3)
    if not notice:
        for number in (1, 2, 3):
            lab.mmcp(4216 + 1500 * number, f"{name}.{number}.USP", parent, "mn")
    lab.step(END_MS if name == "killed" else at + 400, "session_end", mode="proactive", mn="mn")


def _controllers(lab: ScriptedLab) -> None:
    """Announced at 1250, an ASR every SRT, and lmc2's ASR at once after a leave with notice."""
    stays = {"lmc1": [(1316, 2002)], "lmc2": [(2516, 3202), (3716, FAILED_MS)]}
    for lmc, members in stays.items():
        lab.mmcp(1250, f"{lmc}.SJR", lmc, "sm", [["mn_id", lmc.encode().hex()], ["lmc", lab.addresses[lmc], MMCP_PORT]])
        lab.mmcp(1252, f"{lmc}.SJC", "sm", lmc, [group(lab)], f=1)
        for due in range(1752, END_MS, 500):
            here = [["mn_id", MN_ID]] if any(begin <= due < end for begin, end in members) else []
            lab.mmcp(due, f"{lmc}.{due}.ASR", lmc, "sm", [["membership", len(here)], *here])
    lab.mmcp(3203, "atonce.ASR", "lmc2", "sm", [["membership", 0]])


def _nodes(t: float) -> set[str]:
    member = any(at - 670 <= t < at + LAST_MEMBER_QUERY_MS for at, _, _ in LEAVES.values())
    return {"mcs", "mn"} if member else {"mcs"}

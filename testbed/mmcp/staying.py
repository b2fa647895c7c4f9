"""A mobile node that stays where it is: its sessions as steps of a scenario, and what can be waited for in one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from testbed.mmcp import places
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.places import MN_ID
from testbed.mmcp.session import SESSION_ID, Provisioning
from testbed.net.observation import await_count, sent_packets, udp_counter
from testbed.routing.families import make_cold
from testbed.run.laboratory import RunningLab
from testbed.run.roles import RoleError, RunningRole

DEADLINE_S = 15.0
SLACK_S = 5.0  # for a machine that is busy; the judge is stricter


def begin_session(
    lab: RunningLab,
    cell: str,
    provisioning: Provisioning,
    *,
    expected: str | None = None,
    name: str = "mn",
    mn_id: str = MN_ID,
) -> RunningRole:
    """Start the node's agent in a cell whose router knows nothing of the group; returns when it is ready.

    ``expected``: how its join is to end, for the judge. Nobody in the cell may be a member of the group any more.
    """
    make_cold(lab.network, lab.routers, places.router_of(lab.model, cell), lab.model.group)
    lab.steps.add("session_begin", mode="proactive", mn=name, expected=expected)
    return mmcp_session.start_mobile_node(lab, "proactive", cell, provisioning, mn_id=mn_id)


def end_session(lab: RunningLab, node: RunningRole, name: str = "mn") -> None:
    """Stop the node's agent, which is in no session any more; it may have been killed."""
    if node.process.running:
        lab.roles.stop(node)
    lab.steps.add("session_end", mode="proactive", mn=name)


def leave(lab: RunningLab, node: RunningRole, cell: str) -> None:
    """Let the node leave with notice, and wait until its router has seen it."""
    if node.is_ours:
        node.ask("leave")
    else:
        lab.roles.stop(node)
    await_no_member(lab, cell)


def await_no_member(lab: RunningLab, cell: str, group: str = "") -> None:
    """Wait until the router of a cell knows of no member of a group, the lab's, there, if it is one that ever forgets.

    A router that knows its listeners one by one, as pim6d does, has one that moved away until its membership runs out
    [RFC 3376 8.4, RFC 3810 9.4], and asks nobody when the others leave.
    """
    router = lab.routers[places.router_of(lab.model, cell)]
    if "cold" in router.cannot:
        return

    def gone() -> tuple[bool, str]:
        members = router.group_state(group or lab.model.group).members
        return not members, f"members on {', '.join(members)}"

    asked = lab.model.membership
    runs_out_s = asked.robustness * asked.every_s + asked.max_response_s
    lab.network.eventually(f"{router.node} to see the node leave", gone, DEADLINE_S + runs_out_s)


def await_notice(lab: RunningLab, node: RunningRole, pattern: str, datagrams: int) -> str | None:
    """Wait until our agent tells its application ``pattern``, and return the line.

    What a stranger's tells is not known: then it is waited for so many datagrams at the node, and None returned.
    """
    if node.is_ours:
        return lab.network.processes.wait_for_log(node.process, f"^{pattern}.*$", DEADLINE_S)[0]
    before = udp_counter(lab.network, node.node, "InDatagrams")
    await_datagrams(lab, node.node, "InDatagrams", before + datagrams)
    return None


def await_datagrams(lab: RunningLab, node: str, counter: str, count: int) -> None:
    """Wait until a UDP counter of a node's kernel has come to ``count``."""
    read = partial(udp_counter, lab.network, node, counter)
    await_count(lab.network, f"{node}: {counter} {count}", read, count, DEADLINE_S)


def let_stream_go_on(lab: RunningLab, seconds: float) -> None:
    """Wait until the source has sent what it sends in so many seconds, in which something must not happen."""
    origin = lab.model.streams[0].origin
    read = partial(sent_packets, lab.network, origin, places.first_end(lab.model, origin).interface)
    goal = read() + round(seconds * lab.values.number("rate"))
    await_count(lab.network, f"{seconds:g} s of stream at the source", read, goal, seconds + DEADLINE_S)


def await_known(
    lab: RunningLab, role: RunningRole, awaited: str, known: Callable[[Any], bool], since: float, patience_s: float
) -> float | None:
    """Wait until a role's table says so; seconds since ``since`` (monotonic).

    None of a stranger's, whose table nobody knows: it is given ``patience_s`` of stream, which is what ours needs.
    """
    if not role.is_ours:
        let_stream_go_on(lab, patience_s)
        return None

    def look() -> tuple[bool, str]:
        found = table(role)
        return bool(found) and known(found), f"its table is {found}"

    lab.network.eventually(awaited, look, patience_s + SLACK_S)
    return round(time.monotonic() - since, 3)


def without_member(table: Any) -> bool:
    """Whether the node is not in a role's table."""
    return MN_ID.encode().hex() not in table["members"]


def table(role: RunningRole, session_id: int = SESSION_ID) -> Any:
    """What a role of ours has in its table about a session, what there may be many of by identifier in hexadecimal.

    An empty table if it does not answer, or is a stranger's.
    """
    try:
        state: Any = role.ask("state")["state"]
        found = dict(state["sessions"].get(str(session_id), {}))
        for name in ("members", "lmcs", "handovers", "expected"):
            if name in found:
                found[name] = {
                    row["mn_id"] if "mn_id" in row else row["lmc"]: row
                    for row in _rows(role, name)
                    if row["session_id"] == session_id
                }
    except RoleError:
        return {}
    return found


def _rows(role: RunningRole, of: str) -> Iterator[dict[str, Any]]:
    offset, more = 0, True
    while more:
        page: Any = role.ask("list", of=of, offset=offset)
        yield from page["rows"]
        offset, more = offset + len(page["rows"]), page["more"]

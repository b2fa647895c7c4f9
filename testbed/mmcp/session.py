"""An MMCP session in a lab: what each role is configured with, who is started when, and what the judge is told of it.

The lab's model says where the roles are, as `testbed.mmcp.places` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface

from testbed.host.progress import counted
from testbed.mmcp import places
from testbed.mmcp.places import MN, SESSION_MANAGER, Mobile, Session
from testbed.mmcp.router_limits import rules_left_out
from testbed.mmcp.streaming import PORT, await_streaming, launch_receiver, launch_sources, nominal_spacing_ns
from testbed.net.model import Lab, ModelError, Radio
from testbed.net.observation import udp_counter
from testbed.net.routes import gateway
from testbed.run.laboratory import RunningLab
from testbed.run.roles import SHARING_MOBILES, RunningRole

SESSION_ID = 1
MMCP_PORT = 24793
# A short status report time, so that a run of some seconds shows several reports.
STATUS_REPORT_S = 2.0
JOINED_DEADLINE_S = 15.0
RECEIVING_PACKETS = 10  # received packets that show that a node is in its group
RECEIVING_DEADLINE_S = 45.0  # a silent node waits for a general query, every 10 s, and its response time


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What an operator gives the roles, as far as labs differ in it. Times in seconds.

    ``admitted``: the MN IDs that the SM lets into the session, None for everybody. ``other_session``: a second session,
    of which nothing is sent, for LMCs that serve that one instead. ``link_trigger``: which link events make nodes ask for a
    handover; where several cells are in reach, those that say which is next (``going-down``).
    """

    srt_s: float = STATUS_REPORT_S
    jwt_s: float = 2.0
    join_retries: int = 0
    admitted: tuple[str, ...] | None = None
    other_session: int | None = None
    link_trigger: str = "detected"

    @property
    def spt_s(self) -> float:
        """SPT, which follows from SRT [7.4]."""
        return 3 * self.srt_s

    @property
    def timers(self) -> dict[str, float]:
        """The timers that all roles are given."""
        return {"srt_s": self.srt_s, "jwt_s": self.jwt_s, "join_retries": self.join_retries}


USUAL = Provisioning()


def _controllers(lab: RunningLab) -> list[dict[str, object]]:
    """The table that the SM and the LMCs share."""
    model = lab.model
    return [
        {"name": name, "address": model.address_of(name), "points_of_attachment": [cell]}
        for cell, name in places.controllers(model).items()
    ]


def _sessions(lab: RunningLab, provisioning: Provisioning) -> list[dict[str, object]]:
    """The sessions that the SM serves."""
    found: list[dict[str, object]] = []
    for session in places.sessions(lab.model):
        own = {"session_id": session.session_id, "group": session.group, "port": PORT, **_source(session)}
        if provisioning.admitted is not None:
            own["allowed_mn_ids"] = list(provisioning.admitted)
        found.append(own)
    if provisioning.other_session is not None:
        group = str(ip_address(lab.model.group) + 1)
        found.append({"session_id": provisioning.other_session, "group": group, "port": PORT})
    return found


def _source(session: Session) -> dict[str, object]:
    """The key ``source`` of a session, where its group is a source-specific one."""
    return {} if session.source is None else {"source": session.source}


def _points_of_attachment(lab: RunningLab, radio: Radio) -> list[dict[str, str]]:
    return [
        {"name": name, "address": address, "gateway": gateway(lab.model, name)} for name, address in radio.addresses
    ]


def _interfaces(lab: RunningLab, node: str, cell: str) -> list[dict[str, object]]:
    """A mobile node's interfaces, of which one is attached to ``cell``; the first one for it is."""
    radios = lab.model.radios_of(node)
    at = next(radio for radio in radios if cell in dict(radio.addresses))
    return [
        {
            "name": radio.interface,
            "points_of_attachment": _points_of_attachment(lab, radio),
            **({"attached_to": cell} if radio is at else {}),
        }
        for radio in radios
    ]


@dataclass(slots=True)
class Begun:
    """A session that has begun: what runs of its infrastructure, to be stopped in this order, and what does at each mobile node."""

    infrastructure: tuple[RunningRole, ...]
    receivers: dict[str, RunningRole]
    nodes: dict[str, RunningRole] = field(default_factory=dict)


def begin(lab: RunningLab, mode: str = "proactive", left_out: Mapping[str, str] | None = None) -> Begun:
    """Start all roles of a lab; returns when every mobile node receives its stream where it is at first.

    ``mode``: as of `launch_mobile_node`. ``left_out``: rules not to be judged, with the reason.
    """
    record_parameters(lab, nominal_spacing_ns(lab.values), left_out)
    begun = begin_without_nodes(lab)
    begin_nodes(lab, begun, mode, {radio.node: radio.initially for radio in reversed(lab.model.radios)})
    return begun


def begin_without_nodes(lab: RunningLab) -> Begun:
    """Start everything but the mobile nodes' agents."""
    names = places.mobiles(lab.model)
    if len(names) >= SHARING_MOBILES:
        lab.roles.share_memory()
    infrastructure = start_infrastructure(lab)
    with lab.progress.step(counted(len(names), "receiver")):
        receivers = {node: launch_receiver(lab, node) for node in names}
        lab.roles.await_ready(*receivers.values())
    return Begun(infrastructure, receivers)


def begin_nodes(
    lab: RunningLab,
    begun: Begun,
    mode: str,
    cells: Mapping[str, str | None],
    provisioning: Provisioning = USUAL,
) -> None:
    """Start the agents of mobile nodes, each in the cell given, and wait until each receives its stream."""
    with lab.progress.step(f"{counted(len(cells), 'mobile node')}, {mode}"):
        for node, cell in cells.items():
            if cell is None:
                raise ModelError("in no cell at first", f"radio of {node}", "say where it is initially")
            lab.steps.add("session_begin", mode=mode, mn=node)
            begun.nodes[node] = launch_mobile_node(lab, mode, cell, provisioning, node=node)
        lab.roles.await_ready(*begun.nodes.values())
    waiting = {node: udp_counter(lab.network, node, "InDatagrams") + RECEIVING_PACKETS for node in cells}

    def receives() -> tuple[bool, str]:
        for node, goal in list(waiting.items()):
            if udp_counter(lab.network, node, "InDatagrams") >= goal:
                del waiting[node]
        return not waiting, f"not yet at {', '.join(waiting)}"

    awaited = f"the stream at {'the mobile node' if len(cells) == 1 else f'{len(cells)} mobile nodes'} ({mode})"
    lab.network.eventually(awaited, receives, RECEIVING_DEADLINE_S)


def start_session_manager(lab: RunningLab, provisioning: Provisioning = USUAL) -> RunningRole:
    """The SM, first or again."""
    return lab.roles.start(
        SESSION_MANAGER,
        SESSION_MANAGER,
        ("mmcp", "sm"),
        {
            "address": lab.model.address_of(SESSION_MANAGER),
            "sessions": _sessions(lab, provisioning),
            "controllers": _controllers(lab),
            "timers": provisioning.timers,
        },
    )


def start_controller(
    lab: RunningLab,
    cell: str,
    provisioning: Provisioning = USUAL,
    *,
    session_id: int | None = None,
    asr_on_leave: bool = False,
) -> RunningRole:
    """The LMC of a cell, first or again, for all sessions or for one."""
    model, of = lab.model, places.sessions(lab.model)
    name = places.controller_of(model, cell)
    return lab.roles.start(
        name,
        name,
        ("mmcp", "lmc"),
        {
            "name": name,
            "interface": (end := places.resident_end(model, name, cell)).interface,
            "subnet": str(ip_interface(end.address).network),
            "session_manager": model.address_of(SESSION_MANAGER),
            "controllers": _controllers(lab),
            "sessions": [session.session_id for session in of] if session_id is None else [session_id],
            "sources": {session.group: session.source for session in of if session.source is not None},
            "asr_on_leave": asr_on_leave,
            "timers": provisioning.timers,
        },
    )


def start_infrastructure(lab: RunningLab, provisioning: Provisioning = USUAL) -> tuple[RunningRole, ...]:
    """SM and streams, then the LMCs (each announces itself to the SM); returns what runs, to be stopped in this order."""
    with lab.progress.step("SM, LMCs and the stream"):
        sm, *sources = start_core(lab, provisioning)
        lmcs = [start_controller(lab, cell, provisioning) for cell in places.controllers(lab.model)]
        lab.roles.await_ready(*lmcs, *sources)
    await_announced(lab, *lmcs)
    await_streaming(lab)
    return *sources, *lmcs, sm


def start_core(lab: RunningLab, provisioning: Provisioning = USUAL) -> tuple[RunningRole, ...]:
    """The SM, ready, and the source of each stream, which may not be yet."""
    sm = start_session_manager(lab, provisioning)
    sources = launch_sources(lab)
    lab.roles.await_ready(sm)
    return sm, *sources


def await_announced(lab: RunningLab, *lmcs: RunningRole) -> None:
    """Wait until the SM has answered LMCs that have just been started for the first time."""
    network = lab.network

    def announced() -> tuple[bool, str]:
        answered = [lmc.name for lmc in lmcs if udp_counter(network, lmc.node, "InDatagrams")]
        return len(answered) == len(lmcs), f"answered so far: {', '.join(answered) or 'none'}"

    awaited = {1: lmcs[0].name, 2: "both LMCs"}.get(len(lmcs), f"{len(lmcs)} LMCs") if lmcs else "no LMC"
    network.eventually(f"the SM to answer {awaited}", announced, JOINED_DEADLINE_S)


def start_mobile_node(
    lab: RunningLab,
    mode: str,
    cell: str,
    provisioning: Provisioning = USUAL,
    *,
    node: str = MN,
    mn_id: str | None = None,
) -> RunningRole:
    """A mobile node's agent in ``cell``, ready: MMCP's for mode proactive, else one without MMCP (reactive or silent)."""
    role = launch_mobile_node(lab, mode, cell, provisioning, node=node, mn_id=mn_id)
    lab.roles.await_ready(role)
    return role


def launch_mobile_node(
    lab: RunningLab,
    mode: str,
    cell: str,
    provisioning: Provisioning = USUAL,
    *,
    node: str,
    mn_id: str | None = None,
) -> RunningRole:
    """As `start_mobile_node`, but it may not be ready yet."""
    mobile = places.mobile(lab.model, node)
    session = mobile.session
    is_static = lab.model.addressing.mode == "static"
    delay_s = lab.values.seconds("address-delay") if is_static and "address-delay" in lab.values else 0.0
    delay: dict[str, object] = {"addresses": "own" if is_static else "host", "address_delay_s": delay_s}
    if mode == "proactive":
        own: dict[str, object] = {
            "mn_id": mn_id or mobile.mn_id,
            "session_manager": lab.model.address_of(SESSION_MANAGER),
            "sessions": [{"session_id": session.session_id, **_source(session)}],
            "interfaces": _interfaces(lab, node, cell),
            "link_trigger": provisioning.link_trigger,
            "timers": provisioning.timers,
        }
        return lab.roles.start(node, node, ("mmcp", "mn"), delay | own)
    radio = lab.model.radio(node)
    own = {
        "interface": radio.interface,
        "points_of_attachment": _points_of_attachment(lab, radio),
        "attached_to": cell,
        "group": session.group,
        "port": PORT,
        "rejoin": mode == "reactive",
        **_source(session),
    }
    return lab.roles.start(node, node, ("mmcp", "bare"), delay | own)


def record_parameters(
    lab: RunningLab,
    spacing_ns: int,
    left_out: Mapping[str, str] | None = None,
    *,
    expects: tuple[str, ...] = ("handover",),
    provisioning: Provisioning = USUAL,
    mn_ids: Mapping[str, str] | None = None,
    others: Mapping[str, object] | None = None,
) -> None:
    """What the judge needs to know who is who; everything else it sees on the wire.

    ``left_out``: rules not to ask, with the reason. ``others``: what other protocols have to tell, by their names. ``expects``: what the lab is about. ``mn_ids``: the names under which
    a mobile node's sessions appear in the steps, each with its MN ID; it has one of each unless given.
    """
    model = lab.model
    known = places.sessions(model)
    sm_end = places.first_end(model, SESSION_MANAGER)
    forwarding_s = [s for router in lab.routers.values() for s in [router.last_member_query_s] if s is not None]
    lab.steps.add(
        "parameters",
        lab=model.name,
        family=model.family,
        expects=expects,
        left_out={**rules_left_out(lab.routers.values()), **(left_out or {})},
        group=model.group,
        source=model.source,
        port=PORT,
        nominal_spacing_ns=spacing_ns,
        **_origins(model),
        **(others or {}),
        mmcp={
            "port": MMCP_PORT,
            "session_id": SESSION_ID,
            "sessions": [{"session_id": s.session_id, "group": s.group, "source": s.source} for s in known],
            "srt_s": provisioning.srt_s,
            "spt_s": provisioning.spt_s,
            "jwt_s": provisioning.jwt_s,
            "join_retries": provisioning.join_retries,
            **({"last_member_query_s": max(forwarding_s)} if forwarding_s else {}),
            "sm": {
                "node": SESSION_MANAGER,
                "address": model.address_of(SESSION_MANAGER),
                "interface": f"{SESSION_MANAGER}:{sm_end.interface}",
            },
            "lmcs": [
                {
                    "name": name,
                    "node": name,
                    "address": model.address_of(name),
                    "interface": f"{name}:{places.resident_end(model, name, cell).interface}",
                    "point_of_attachment": cell,
                }
                for cell, name in places.controllers(model).items()
            ],
            "mns": [
                _as_parameters(model, places.mobile(model, node), name, mn_id)
                for node in places.mobiles(model)
                for name, mn_id in (mn_ids or {node: places.mobile(model, node).mn_id}).items()
            ],
        },
    )


def _origins(model: Lab) -> dict[str, object]:
    """Where streams come from: the role ``mcs``, of which there may be several."""
    found = [
        {
            "node": origin,
            "address": model.address_of(origin),
            "interface": f"{origin}:{places.first_end(model, origin).interface}",
        }
        for origin in dict.fromkeys(session.origin for session in places.sessions(model))
    ]
    return {"mcs": found[0]} if len(found) == 1 else {"mcss": found}


def _as_parameters(model: Lab, mobile: Mobile, name: str, mn_id: str) -> dict[str, object]:
    node = mobile.node
    first, *others = radios = model.radios_of(node)
    return {
        "name": name,
        "node": node,
        "id": mn_id.encode().hex(),
        "session_id": mobile.session.session_id,
        "interface": f"{node}:{first.interface}",
        "other_interfaces": [f"{node}:{radio.interface}" for radio in others],
        "addresses": {name: address.partition("/")[0] for radio in radios for name, address in radio.addresses},
    }

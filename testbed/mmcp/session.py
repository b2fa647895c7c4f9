"""An MMCP session in a lab: what each role is configured with, who is started when, and what the judge is told of it.

The lab's model says where the roles are, as `testbed.mmcp.places` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_interface

from testbed.mmcp import places
from testbed.mmcp.places import SESSION_MANAGER, Mobile, Session
from testbed.mmcp.router_limits import rules_left_out
from testbed.net.model import Lab, Radio
from testbed.net.observation import await_count, sent_packets, udp_counter
from testbed.net.routes import gateway
from testbed.run.laboratory import RunningLab
from testbed.run.roles import RunningRole

SESSION_ID = 1
PORT = 5004  # UDP, of the stream
MMCP_PORT = 24793
MN = "mn"
"""The mobile node of a lab that has one."""
# A short status report time, so that a run of some seconds shows several reports.
STATUS_REPORT_S = 2.0
JOINED_DEADLINE_S = 15.0
STREAMING_PACKETS = 10  # sent packets that show a source at work


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What an operator gives the roles, as far as labs differ in it. Times in seconds.

    ``admitted``: the MN IDs that the SM lets into the session, None for everybody. ``other_session``: a second session,
    of which nothing is sent, for LMCs that serve that one instead.
    """

    srt_s: float = STATUS_REPORT_S
    jwt_s: float = 2.0
    join_retries: int = 0
    admitted: tuple[str, ...] | None = None
    other_session: int | None = None

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
    sources = [
        lab.roles.start(name, session.origin, ("media", "source"), _source_configuration(lab, session))
        for name, session in source_roles(lab.model).items()
    ]
    lab.roles.await_ready(sm)
    return sm, *sources


def source_roles(model: Lab) -> dict[str, Session]:
    """The session of each role that sends a stream, by its name: that of its node, with a number from its second stream on."""
    found: dict[str, Session] = {}
    for session in places.sessions(model):
        name = session.origin if session.origin not in found else f"{session.origin}-{session.session_id}"
        found[name] = session
    return found


def await_announced(lab: RunningLab, *lmcs: RunningRole) -> None:
    """Wait until the SM has answered LMCs that have just been started for the first time."""
    network = lab.network

    def announced() -> tuple[bool, str]:
        answered = [lmc.name for lmc in lmcs if udp_counter(network, lmc.node, "InDatagrams")]
        return len(answered) == len(lmcs), f"answered so far: {', '.join(answered) or 'none'}"

    awaited = {1: lmcs[0].name, 2: "both LMCs"}.get(len(lmcs), f"{len(lmcs)} LMCs") if lmcs else "no LMC"
    network.eventually(f"the SM to answer {awaited}", announced, JOINED_DEADLINE_S)


def await_streaming(lab: RunningLab) -> None:
    """Wait until each source sends."""
    for origin in dict.fromkeys(session.origin for session in places.sessions(lab.model)):
        read = partial(sent_packets, lab.network, origin, places.first_end(lab.model, origin).interface)
        await_count(lab.network, f"{origin} to send", read, STREAMING_PACKETS, JOINED_DEADLINE_S, quiet=False)


def _source_configuration(lab: RunningLab, session: Session) -> dict[str, object]:
    values, media = lab.values, lab.values.file("media")
    shape = {"rate": values.number("rate"), "size": values.number("size")} if media is None else {"media": str(media)}
    interface = places.first_end(lab.model, session.origin).interface
    return {"group": session.group, "port": PORT, "interface": interface, **shape}


def start_receiver(lab: RunningLab, node: str = MN) -> RunningRole:
    """A mobile node's receiver, ready."""
    receiver = launch_receiver(lab, node)
    lab.roles.await_ready(receiver)
    return receiver


def launch_receiver(lab: RunningLab, node: str) -> RunningRole:
    """A mobile node's receiver, which may not be ready yet; with --media it keeps what it receives."""
    mobile = places.mobile(lab.model, node)
    media = None if lab.values.file("media") is None else str(lab.network.run_folder / f"{mobile.receiver}.ts")
    return lab.roles.start(
        mobile.receiver,
        node,
        ("media", "receiver"),
        {
            "group": mobile.session.group,
            "port": PORT,
            "media": media,
            "report_to": str(lab.roles.control_path(node)),
        },
    )


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
    delay_s = lab.values.seconds("address-delay") if "address-delay" in lab.values else 0.0
    delay: dict[str, object] = {"address_delay_s": delay_s}
    if mode == "proactive":
        own: dict[str, object] = {
            "mn_id": mn_id or mobile.mn_id,
            "session_manager": lab.model.address_of(SESSION_MANAGER),
            "sessions": [{"session_id": session.session_id, **_source(session)}],
            "interfaces": _interfaces(lab, node, cell),
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
) -> None:
    """What the judge needs to know who is who; everything else it sees on the wire.

    ``left_out``: rules not to ask, with the reason. ``expects``: what the lab is about. ``mn_ids``: the names under which
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
        {"node": origin, "address": model.address_of(origin)}
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

"""An MMCP session in a lab: what each role is configured with, who is started when, and what the judge is told of it.

The lab's model says where the roles are: ``sm``, ``mcs`` (the contents server, behind its router), ``lmcN`` and the access
router ``arN`` in each cell ``poaN``, and the mobile node ``mn``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from testbed.mmcp.two_cells import controlled_cells, controller_of
from testbed.net.model import Radio
from testbed.net.observation import await_count, sent_packets, udp_counter
from testbed.net.routes import gateway
from testbed.run.laboratory import RunningLab
from testbed.run.roles import RunningRole

SESSION_ID = 1
PORT = 5004  # UDP, of the stream
MMCP_PORT = 24793
MN_ID = "mn1"
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


def _address(lab: RunningLab, node: str) -> str:
    end = next(iter(lab.model.ends_of(node)))
    return end.address.partition("/")[0]


def _controllers(lab: RunningLab) -> list[dict[str, object]]:
    """The table that the SM and the LMCs share."""
    return [
        {"name": name, "address": _address(lab, name), "points_of_attachment": [cell]}
        for cell in controlled_cells(lab.model)
        for name in (controller_of(cell),)
    ]


def _sessions(lab: RunningLab, provisioning: Provisioning) -> list[dict[str, object]]:
    """The sessions that the SM serves."""
    group, admitted = lab.model.group, provisioning.admitted
    own: dict[str, object] = {"session_id": SESSION_ID, "group": group, "port": PORT, **_source(lab)}
    if admitted is not None:
        own["allowed_mn_ids"] = list(admitted)
    if provisioning.other_session is None:
        return [own]
    return [own, {"session_id": provisioning.other_session, "group": str(ip_address(group) + 1), "port": PORT}]


def _source(lab: RunningLab) -> dict[str, str]:
    """The key ``source`` of a session, where its group is a source-specific one."""
    source = lab.model.source
    return {} if source is None else {"source": source}


def _points_of_attachment(lab: RunningLab, radio: Radio) -> list[dict[str, str]]:
    return [
        {"name": name, "address": address, "gateway": gateway(lab.model, name)} for name, address in radio.addresses
    ]


def _interfaces(lab: RunningLab, cell: str) -> list[dict[str, object]]:
    """The mobile node's interfaces, of which one is attached to ``cell``; the first one for it is."""
    radios = lab.model.radios_of("mn")
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
        "sm",
        "sm",
        ("mmcp", "sm"),
        {
            "address": _address(lab, "sm"),
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
    session_id: int = SESSION_ID,
    asr_on_leave: bool = False,
) -> RunningRole:
    """The LMC of a cell, first or again, for one session."""
    name = controller_of(cell)
    return lab.roles.start(
        name,
        name,
        ("mmcp", "lmc"),
        {
            "name": name,
            "interface": f"{name}-{cell}",
            "subnet": str(next(s.network for s in lab.model.subnets() if s.point_of_attachment == cell)),
            "session_manager": _address(lab, "sm"),
            "controllers": _controllers(lab),
            "sessions": [session_id],
            "sources": {} if lab.model.source is None else {lab.model.group: lab.model.source},
            "asr_on_leave": asr_on_leave,
            "timers": provisioning.timers,
        },
    )


def start_infrastructure(lab: RunningLab, provisioning: Provisioning = USUAL) -> tuple[RunningRole, ...]:
    """SM and the stream, then the LMCs (each announces itself to the SM); returns what runs, to be stopped in this order."""
    with lab.progress.step("SM, LMCs and the stream"):
        sm, source = start_core(lab, provisioning)
        lmcs = [start_controller(lab, cell, provisioning) for cell in controlled_cells(lab.model)]
        lab.roles.await_ready(*lmcs, source)
    await_announced(lab, *lmcs)
    await_streaming(lab)
    return source, *lmcs, sm


def start_core(lab: RunningLab, provisioning: Provisioning = USUAL) -> tuple[RunningRole, RunningRole]:
    """The SM, ready, and the source, which may not be yet."""
    sm = start_session_manager(lab, provisioning)
    source = lab.roles.start("mcs", "mcs", ("media", "source"), _source_configuration(lab))
    lab.roles.await_ready(sm)
    return sm, source


def await_announced(lab: RunningLab, *lmcs: RunningRole) -> None:
    """Wait until the SM has answered LMCs that have just been started for the first time."""
    network = lab.network

    def announced() -> tuple[bool, str]:
        answered = [lmc.name for lmc in lmcs if udp_counter(network, lmc.node, "InDatagrams")]
        return len(answered) == len(lmcs), f"answered so far: {', '.join(answered) or 'none'}"

    awaited = "both LMCs" if len(lmcs) == 2 else ", ".join(lmc.name for lmc in lmcs)
    network.eventually(f"the SM to answer {awaited}", announced, JOINED_DEADLINE_S)


def await_streaming(lab: RunningLab) -> None:
    """Wait until the source sends."""
    read = partial(sent_packets, lab.network, "mcs", "mcs-rr")
    await_count(lab.network, "the source to send", read, STREAMING_PACKETS, JOINED_DEADLINE_S, quiet=False)


def _source_configuration(lab: RunningLab) -> dict[str, object]:
    values, media = lab.values, lab.values.file("media")
    shape = {"rate": values.number("rate"), "size": values.number("size")} if media is None else {"media": str(media)}
    return {"group": lab.model.group, "port": PORT, "interface": "mcs-rr", **shape}


def start_receiver(lab: RunningLab) -> RunningRole:
    """The mobile node's receiver; with --media it keeps what it receives."""
    media = None if lab.values.file("media") is None else str(lab.network.run_folder / "received.ts")
    receiver = lab.roles.start(
        "receiver",
        "mn",
        ("media", "receiver"),
        {
            "group": lab.model.group,
            "port": PORT,
            "media": media,
            "report_to": str(lab.roles.control_path("mn")),
        },
    )
    lab.roles.await_ready(receiver)
    return receiver


def start_mobile_node(
    lab: RunningLab, mode: str, cell: str, provisioning: Provisioning = USUAL, *, mn_id: str = MN_ID
) -> RunningRole:
    """The mobile node's agent in ``cell``: MMCP's for mode proactive, else one without MMCP (reactive or silent)."""
    delay_s = lab.values.seconds("address-delay") if "address-delay" in lab.values else 0.0
    delay: dict[str, object] = {"address_delay_s": delay_s}
    if mode == "proactive":
        own: dict[str, object] = {
            "mn_id": mn_id,
            "session_manager": _address(lab, "sm"),
            "sessions": [{"session_id": SESSION_ID, **_source(lab)}],
            "interfaces": _interfaces(lab, cell),
            "timers": provisioning.timers,
        }
        node = lab.roles.start("mn", "mn", ("mmcp", "mn"), delay | own)
    else:
        radio = lab.model.radio("mn")
        own = {
            "interface": radio.interface,
            "points_of_attachment": _points_of_attachment(lab, radio),
            "attached_to": cell,
            "group": lab.model.group,
            "port": PORT,
            "rejoin": mode == "reactive",
            **_source(lab),
        }
        node = lab.roles.start("mn", "mn", ("mmcp", "bare"), delay | own)
    lab.roles.await_ready(node)
    return node


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
    the node's sessions appear in the steps, each with its MN ID; it has one of each unless given.
    """
    model = lab.model
    first, *others = radios = model.radios_of("mn")
    sm_end = next(iter(model.ends_of("sm")))
    lab.steps.add(
        "parameters",
        lab=model.name,
        family=model.family,
        expects=expects,
        left_out=dict(left_out or {}),
        group=model.group,
        source=model.source,
        port=PORT,
        nominal_spacing_ns=spacing_ns,
        mcs={"node": "mcs", "address": _address(lab, "mcs")},
        mmcp={
            "port": MMCP_PORT,
            "session_id": SESSION_ID,
            "srt_s": provisioning.srt_s,
            "spt_s": provisioning.spt_s,
            "jwt_s": provisioning.jwt_s,
            "join_retries": provisioning.join_retries,
            "last_member_query_s": max(router.last_member_query_s for router in lab.routers.values()),
            "sm": {"node": "sm", "address": _address(lab, "sm"), "interface": f"sm:{sm_end.interface}"},
            "lmcs": [
                {
                    "name": name,
                    "node": name,
                    "address": _address(lab, name),
                    "interface": f"{name}:{name}-{cell}",
                    "point_of_attachment": cell,
                }
                for cell in controlled_cells(model)
                for name in (controller_of(cell),)
            ],
            "mns": [
                {
                    "name": name,
                    "node": "mn",
                    "id": mn_id.encode().hex(),
                    "interface": f"mn:{first.interface}",
                    "other_interfaces": [f"mn:{radio.interface}" for radio in others],
                    "addresses": {
                        name: address.partition("/")[0] for radio in radios for name, address in radio.addresses
                    },
                }
                for name, mn_id in (mn_ids or {"mn": MN_ID}).items()
            ],
        },
    )

"""An MMCP session in a lab: what each role is configured with, who is started when, and what the judge is told of it.

The lab's model says where the roles are: ``sm``, ``mcs`` (the contents server, behind its router), ``lmcN`` and the access
router ``arN`` in each cell ``poaN``, and the mobile node ``mn``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from testbed.mmcp.two_cells import controlled_cells, controller_of
from testbed.net.model import Radio
from testbed.net.observation import sent_packets, udp_counter
from testbed.net.routes import gateway
from testbed.routing.frr import PimTimers
from testbed.run.laboratory import Stage
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


def _address(stage: Stage, node: str) -> str:
    end = next(iter(stage.world.lab.ends_of(node)))
    return end.address.partition("/")[0]


def _controllers(stage: Stage) -> list[dict[str, object]]:
    """The table that the SM and the LMCs share."""
    return [
        {"name": name, "address": _address(stage, name), "points_of_attachment": [cell]}
        for cell in controlled_cells(stage.world.lab)
        for name in (controller_of(cell),)
    ]


def _sessions(stage: Stage, provisioning: Provisioning) -> list[dict[str, object]]:
    """The sessions that the SM serves."""
    group, admitted = stage.world.lab.group, provisioning.admitted
    own: dict[str, object] = {"session_id": SESSION_ID, "group": group, "port": PORT, **_source(stage)}
    if admitted is not None:
        own["allowed_mn_ids"] = list(admitted)
    if provisioning.other_session is None:
        return [own]
    return [own, {"session_id": provisioning.other_session, "group": str(ip_address(group) + 1), "port": PORT}]


def _source(stage: Stage) -> dict[str, str]:
    """The key ``source`` of a session, where its group is a source-specific one."""
    source = stage.world.lab.source
    return {} if source is None else {"source": source}


def _points_of_attachment(stage: Stage, radio: Radio) -> list[dict[str, str]]:
    lab = stage.world.lab
    return [{"name": name, "address": address, "gateway": gateway(lab, name)} for name, address in radio.addresses]


def _interfaces(stage: Stage, cell: str) -> list[dict[str, object]]:
    """The mobile node's interfaces, of which one is attached to ``cell``; the first one for it is."""
    radios = stage.world.lab.radios_of("mn")
    at = next(radio for radio in radios if cell in dict(radio.addresses))
    return [
        {
            "name": radio.interface,
            "points_of_attachment": _points_of_attachment(stage, radio),
            **({"attached_to": cell} if radio is at else {}),
        }
        for radio in radios
    ]


def start_session_manager(stage: Stage, provisioning: Provisioning = USUAL) -> RunningRole:
    """The SM, first or again."""
    return stage.roles.start(
        "sm",
        "sm",
        ("mmcp", "sm"),
        {
            "address": _address(stage, "sm"),
            "sessions": _sessions(stage, provisioning),
            "controllers": _controllers(stage),
            "timers": provisioning.timers,
        },
    )


def start_controller(
    stage: Stage,
    cell: str,
    provisioning: Provisioning = USUAL,
    *,
    session_id: int = SESSION_ID,
    asr_on_leave: bool = False,
) -> RunningRole:
    """The LMC of a cell, first or again, for one session."""
    name = controller_of(cell)
    return stage.roles.start(
        name,
        name,
        ("mmcp", "lmc"),
        {
            "name": name,
            "interface": f"{name}-{cell}",
            "subnet": str(next(s.network for s in stage.world.lab.subnets() if s.point_of_attachment == cell)),
            "session_manager": _address(stage, "sm"),
            "controllers": _controllers(stage),
            "sessions": [session_id],
            "sources": {} if stage.world.lab.source is None else {stage.world.lab.group: stage.world.lab.source},
            "asr_on_leave": asr_on_leave,
            "timers": provisioning.timers,
        },
    )


def start_infrastructure(stage: Stage, provisioning: Provisioning = USUAL) -> tuple[RunningRole, ...]:
    """SM and the stream, then the LMCs (each announces itself to the SM); returns what runs, to be stopped in this order."""
    with stage.progress.step("SM, LMCs and the stream"):
        sm, source = start_core(stage, provisioning)
        lmcs = [start_controller(stage, cell, provisioning) for cell in controlled_cells(stage.world.lab)]
        stage.roles.await_ready(*lmcs, source)
    await_announced(stage, *lmcs)
    await_streaming(stage)
    return source, *lmcs, sm


def start_core(stage: Stage, provisioning: Provisioning = USUAL) -> tuple[RunningRole, RunningRole]:
    """The SM, ready, and the source, which may not be yet."""
    sm = start_session_manager(stage, provisioning)
    source = stage.roles.start("mcs", "mcs", ("media", "source"), _source_configuration(stage))
    stage.roles.await_ready(sm)
    return sm, source


def await_announced(stage: Stage, *lmcs: RunningRole) -> None:
    """Wait until the SM has answered LMCs that have just been started for the first time."""
    world = stage.world

    def announced() -> tuple[bool, str]:
        answered = [lmc.name for lmc in lmcs if udp_counter(world, lmc.node, "InDatagrams")]
        return len(answered) == len(lmcs), f"answered so far: {', '.join(answered) or 'none'}"

    awaited = "both LMCs" if len(lmcs) == 2 else ", ".join(lmc.name for lmc in lmcs)
    world.eventually(f"the SM to answer {awaited}", announced, JOINED_DEADLINE_S)


def await_streaming(stage: Stage) -> None:
    """Wait until the source sends."""

    def streaming() -> tuple[bool, str]:
        sent = sent_packets(stage.world, "mcs", "mcs-rr")
        return sent >= STREAMING_PACKETS, f"{sent} packets sent"

    stage.world.eventually("the source to send", streaming, JOINED_DEADLINE_S)


def _source_configuration(stage: Stage) -> dict[str, object]:
    values, media = stage.values, stage.values.file("media")
    shape = {"rate": values.number("rate"), "size": values.number("size")} if media is None else {"media": str(media)}
    return {"group": stage.world.lab.group, "port": PORT, "interface": "mcs-rr", **shape}


def start_receiver(stage: Stage) -> RunningRole:
    """The mobile node's receiver; with --media it keeps what it receives."""
    media = None if stage.values.file("media") is None else str(stage.world.run_folder / "received.ts")
    receiver = stage.roles.start(
        "receiver",
        "mn",
        ("media", "receiver"),
        {
            "group": stage.world.lab.group,
            "port": PORT,
            "media": media,
            "report_to": str(stage.roles.control_path("mn")),
        },
    )
    stage.roles.await_ready(receiver)
    return receiver


def start_mobile_node(
    stage: Stage, mode: str, cell: str, provisioning: Provisioning = USUAL, *, mn_id: str = MN_ID
) -> RunningRole:
    """The mobile node's agent in ``cell``: MMCP's for mode proactive, else one without MMCP (reactive or silent)."""
    delay_s = stage.values.seconds("address-delay") if "address-delay" in stage.values else 0.0
    delay: dict[str, object] = {"address_delay_s": delay_s}
    if mode == "proactive":
        own: dict[str, object] = {
            "mn_id": mn_id,
            "session_manager": _address(stage, "sm"),
            "sessions": [{"session_id": SESSION_ID, **_source(stage)}],
            "interfaces": _interfaces(stage, cell),
            "timers": provisioning.timers,
        }
        node = stage.roles.start("mn", "mn", ("mmcp", "mn"), delay | own)
    else:
        radio = stage.world.lab.radio("mn")
        own = {
            "interface": radio.interface,
            "points_of_attachment": _points_of_attachment(stage, radio),
            "attached_to": cell,
            "group": stage.world.lab.group,
            "port": PORT,
            "rejoin": mode == "reactive",
            **_source(stage),
        }
        node = stage.roles.start("mn", "mn", ("mmcp", "bare"), delay | own)
    stage.roles.await_ready(node)
    return node


def record_parameters(
    stage: Stage,
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
    lab = stage.world.lab
    first, *others = radios = lab.radios_of("mn")
    sm_end = next(iter(lab.ends_of("sm")))
    stage.steps.add(
        "parameters",
        lab=lab.name,
        family=lab.family,
        expects=expects,
        group=lab.group,
        source=lab.source,
        port=PORT,
        session_id=SESSION_ID,
        mmcp_port=MMCP_PORT,
        nominal_spacing_ns=spacing_ns,
        left_out=dict(left_out or {}),
        srt_s=provisioning.srt_s,
        spt_s=provisioning.spt_s,
        jwt_s=provisioning.jwt_s,
        join_retries=provisioning.join_retries,
        last_member_query_s=PimTimers().last_member_query_s(lab.family),
        mcs={"node": "mcs", "address": _address(stage, "mcs")},
        sm={"node": "sm", "address": _address(stage, "sm"), "interface": f"sm:{sm_end.interface}"},
        lmcs=[
            {
                "name": name,
                "node": name,
                "address": _address(stage, name),
                "interface": f"{name}:{name}-{cell}",
                "point_of_attachment": cell,
            }
            for cell in controlled_cells(lab)
            for name in (controller_of(cell),)
        ],
        mns=[
            {
                "name": name,
                "node": "mn",
                "id": mn_id.encode().hex(),
                "interface": f"mn:{first.interface}",
                "other_interfaces": [f"mn:{radio.interface}" for radio in others],
                "addresses": {name: address.partition("/")[0] for radio in radios for name, address in radio.addresses},
            }
            for name, mn_id in (mn_ids or {"mn": MN_ID}).items()
        ],
    )

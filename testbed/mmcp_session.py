"""An MMCP session in a lab: what each role is configured with, who is started when, and what the judge is told of it.

The lab's model says where the roles are: ``sm``, ``mcs`` (the contents server, behind its router), ``lmcN`` and the access
router ``arN`` in each cell ``poaN``, and the mobile node ``mn``.
"""

from __future__ import annotations

from collections.abc import Mapping

from testbed.laboratory import Stage
from testbed.model import Radio
from testbed.observation import sent_packets, udp_counter
from testbed.roles import RunningRole
from testbed.routing.static import gateway
from testbed.two_cells import CELLS, controller_of

SESSION_ID = 1
PORT = 5004  # UDP, of the stream
MMCP_PORT = 24793
MN_ID = "mn1"
# A short status report time, so that a run of some seconds shows several reports.
STATUS_REPORT_S = 2.0
JOINED_DEADLINE_S = 15.0
STREAMING_PACKETS = 10  # sent packets that show a source at work


def _address(stage: Stage, node: str) -> str:
    end = next(iter(stage.world.lab.ends_of(node)))
    return end.address.partition("/")[0]


def _controllers(stage: Stage) -> list[dict[str, object]]:
    """The table that the SM and the LMCs share."""
    return [
        {"name": f"lmc{cell}", "address": _address(stage, f"lmc{cell}"), "points_of_attachment": [f"poa{cell}"]}
        for cell in (1, 2)
    ]


def _source(stage: Stage) -> dict[str, str]:
    """The key ``source`` of a session, where its group is a source-specific one."""
    source = stage.world.lab.source
    return {} if source is None else {"source": source}


def _timers() -> dict[str, float]:
    return {"srt_s": STATUS_REPORT_S}


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


def start_session_manager(stage: Stage) -> RunningRole:
    """The SM, first or again."""
    return stage.roles.start(
        "sm",
        "sm",
        ("mmcp", "sm"),
        {
            "address": _address(stage, "sm"),
            "sessions": [
                {"session_id": SESSION_ID, "group": stage.world.lab.group, "port": PORT, **_source(stage)},
            ],
            "controllers": _controllers(stage),
            "timers": _timers(),
        },
    )


def start_controller(stage: Stage, cell: str) -> RunningRole:
    """The LMC of a cell, first or again."""
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
            "sessions": [SESSION_ID],
            "sources": {} if stage.world.lab.source is None else {stage.world.lab.group: stage.world.lab.source},
            "timers": _timers(),
        },
    )


def start_infrastructure(stage: Stage) -> tuple[RunningRole, ...]:
    """SM and the stream, then the LMCs (each announces itself to the SM); returns what runs, to be stopped in this order."""
    world = stage.world
    with stage.progress.step("SM, LMCs and the stream"):
        sm = start_session_manager(stage)
        source = stage.roles.start("mcs", "mcs", ("media", "source"), _source_configuration(stage))
        stage.roles.await_ready(sm)
        lmcs = [start_controller(stage, cell) for cell in CELLS]
        stage.roles.await_ready(*lmcs, source)

    def announced() -> tuple[bool, str]:
        answered = [lmc.name for lmc in lmcs if udp_counter(world, lmc.node, "InDatagrams")]
        return len(answered) == len(lmcs), f"answered so far: {', '.join(answered) or 'none'}"

    world.eventually("the SM to answer both LMCs", announced, JOINED_DEADLINE_S)

    def streaming() -> tuple[bool, str]:
        sent = sent_packets(world, "mcs", "mcs-rr")
        return sent >= STREAMING_PACKETS, f"{sent} packets sent"

    world.eventually("the source to send", streaming, JOINED_DEADLINE_S)
    return source, *lmcs, sm


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


def start_mobile_node(stage: Stage, mode: str, cell: str) -> RunningRole:
    """The mobile node's agent in ``cell``: MMCP's for mode proactive, else one without MMCP (reactive or silent)."""
    delay: dict[str, object] = {"address_delay_s": stage.values.seconds("address-delay")}
    if mode == "proactive":
        own: dict[str, object] = {
            "mn_id": MN_ID,
            "session_manager": _address(stage, "sm"),
            "sessions": [{"session_id": SESSION_ID, **_source(stage)}],
            "interfaces": _interfaces(stage, cell),
            "timers": _timers(),
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


def record_parameters(stage: Stage, spacing_ns: int, left_out: Mapping[str, str] | None = None) -> None:
    """What the judge needs to know who is who; everything else it sees on the wire. ``left_out``: rules not to ask."""
    lab = stage.world.lab
    first, *others = radios = lab.radios_of("mn")
    stage.steps.add(
        "parameters",
        lab=lab.name,
        family=lab.family,
        group=lab.group,
        source=lab.source,
        port=PORT,
        session_id=SESSION_ID,
        mmcp_port=MMCP_PORT,
        nominal_spacing_ns=spacing_ns,
        left_out=dict(left_out or {}),
        srt_s=STATUS_REPORT_S,
        mcs={"node": "mcs", "address": _address(stage, "mcs")},
        sm={"node": "sm", "address": _address(stage, "sm")},
        lmcs=[
            {
                "name": f"lmc{cell}",
                "node": f"lmc{cell}",
                "address": _address(stage, f"lmc{cell}"),
                "interface": f"lmc{cell}:lmc{cell}-poa{cell}",
                "point_of_attachment": f"poa{cell}",
            }
            for cell in (1, 2)
        ],
        mns=[
            {
                "name": "mn",
                "node": "mn",
                "id": MN_ID.encode().hex(),
                "interface": f"mn:{first.interface}",
                "other_interfaces": [f"mn:{radio.interface}" for radio in others],
                "addresses": {name: address.partition("/")[0] for radio in radios for name, address in radio.addresses},
            }
        ],
    )

"""The streams of an MMCP session: their sources and receivers, how far apart packets are, and what a receiver counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.mmcp import places
from testbed.mmcp.places import MN, Session
from testbed.net.model import Lab
from testbed.net.stream_check import check_streams
from testbed.run.laboratory import RunningLab
from testbed.run.options import OptionError, Values
from testbed.run.roles import RoleError, RunningRole

PORT = 5004  # UDP


def launch_sources(lab: RunningLab) -> list[RunningRole]:
    """The source of each stream, which may not be ready yet."""
    return [
        lab.roles.start(name, session.origin, ("media", "source"), _source_configuration(lab, session))
        for name, session in source_roles(lab.model).items()
    ]


def source_roles(model: Lab) -> dict[str, Session]:
    """The session of each role that sends a stream, by its name: that of its node, with a number from its second stream on."""
    found: dict[str, Session] = {}
    for session in places.sessions(model):
        name = session.origin if session.origin not in found else f"{session.origin}-{session.session_id}"
        found[name] = session
    return found


def role_names(model: Lab) -> frozenset[str]:
    """The roles that have a name of their own, beside those that have their node's: sources and receivers."""
    if not model.streams:
        return frozenset()
    receivers = {places.mobile(model, node).receiver for node in places.mobiles(model)}
    return frozenset(receivers).union(source_roles(model))


def await_streaming(lab: RunningLab) -> None:
    """Wait until each source sends what can arrive. Raises NotObserved, ObservationError."""
    check_streams(lab.network)


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
    kept = f"{mobile.receiver.replace('receiver', 'received')}.ts"
    media = None if lab.values.file("media") is None else str(lab.network.run_folder / kept)
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


def receiver_window(receiver: RunningRole, begin_ns: int, end_ns: int) -> Mapping[str, Any]:
    """What the receiver itself counted in the window, or why that is not known."""
    if not receiver.is_ours:
        return {"error": "the receiver is an external command"}
    try:
        window = receiver.ask("window", begin_ns=begin_ns, end_ns=end_ns)["window"]
    except RoleError as error:
        return {"error": str(error)}
    return window if isinstance(window, dict) else {"error": f"the receiver answered {window!r}"}


def nominal_spacing_ns(values: Values) -> int:
    """The mean time between two packets of the stream: of options rate, or of the file of option media."""
    media = values.file("media")
    if media is None:
        return round(1e9 / values.number("rate"))
    return _media_spacing_ns(media)


def _media_spacing_ns(path: Path) -> int:
    argv = [sys.executable, "-m", "agents", "media", "describe", str(path)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise OptionError(f"--media {done.stderr.strip().removeprefix('error: ')}")
    spacing: int = json.loads(done.stdout)["mean_spacing_ns"]
    return spacing

"""The open session of scripted GMP as a lab: with a step that says who is who, data, joins of the group and announcements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from captures.files.capture import Step
from tests.captures.mutating import Capture, Copy, Packet
from tests.captures.scripted_gmp import GROUP, PORT, SERVER, ScriptedGMP, good_gmp, place
from tests.captures.scripted_link import INTERFACE, T0, report, udp

_SESSION = ("carla", "kern", "paul", "late")
_SDP = "v=0\r\no=- 5 1 IN IP4 10.1.0.1\r\ns=quartet\r\nc=IN IP4 239.1.1.1/16\r\nt=0 0\r\nm=video 5004 RTP/AVP 33\r\n"


def parameters(**more: Any) -> dict[str, Any]:
    """The step that says who is who, with other words in its section."""
    parties = [{"name": name, "address": place(name)[0], "interface": INTERFACE} for name in ("kern", "paul", "late")]
    return {
        "step": "parameters", "t_ns": T0 - 33_000_000_000, "lab": "gmp", "expects": [], "group": GROUP, "port": PORT,
        "mcs": {"name": "carla", "address": place("carla")[0], "interface": INTERFACE},
        "gmp": {
            "server": {"name": "server", "address": SERVER, "interface": INTERFACE},
            "creator": {"name": "carla", "address": place("carla")[0], "interface": INTERFACE},
            "participants": parties,
            "closed": False, "secure": False, "period_s": 1.0, "timeout_s": 3.0, "core_members": ["kern"],
            **more,
        },
    }  # fmt: skip


def announce(link: ScriptedGMP, at_s: float, tag: str, *, deletes: bool = False) -> None:
    """An announcement of the session, or its deletion."""
    octets = bytes([0x24 if deletes else 0x20, 0, 0x12, 0x34, 10, 1, 0, 1]) + b"application/sdp\0" + _SDP.encode()
    link.add(at_s, tag, "mcs", udp(SERVER, "239.255.255.255", 9875, 9875, octets, hops=255))


def joins(link: ScriptedGMP, at_s: float, client: str, kind: int = 4) -> None:
    """A report of a client that it joins the group (4), or leaves it (3)."""
    name = "join" if kind == 4 else "leave"
    link.membership(
        4, at_s, f"{client}.{name}", "mcs", report(4, [(kind, GROUP)]), "224.0.0.22", source=place(client)[0]
    )


def good_lab() -> ScriptedGMP:
    """Everything right."""
    link = ScriptedGMP([frame for frame in good_gmp().frames if frame.tag.partition(".")[0] in _SESSION])
    for number in range(370):
        link.rtp(2.05 + number / 20, f"data.{number}", number)
    for client, at_s, until_s in (("kern", 2.11, 20.7), ("paul", 2.21, 10.7), ("late", 6.21, 20.7)):
        for again_s in (0.0, 0.4):
            joins(link, at_s + again_s, client)
            joins(link, until_s + again_s, client, 3)
    for index, at_s in enumerate((-0.9, 4.1, 9.1, 14.1, 19.1)):
        announce(link, at_s, f"sap.{index}")
    announce(link, 20.8, "sap.deletion", deletes=True)
    link.rtp(40.0, "another.0", 0, payload_type=34)  # the capture goes on
    return link


def written(link: ScriptedGMP, folder: Path, *, killed_s: float | None = None, **section: Any) -> Path:
    """The lab as a file, with other words in its section; the server is killed, and there again at once."""
    step = parameters(**section)
    frames = [frame for frame in link.ordered() if not frame.tag.startswith("another")]
    packets = [Packet((Copy(T0 + round(frame.at_s * 1e9), INTERFACE, frame.data),)) for frame in frames]
    end = Step(0, T0 + 40_000_000_000, "session_end", {"step": "session_end", "t_ns": T0 + 40_000_000_000})
    steps = [Step(0, step["t_ns"], "parameters", step), end]
    if killed_s is not None:
        t_ns = T0 + round(killed_s * 1e9)
        steps.append(Step(0, t_ns, "crash", {"step": "crash", "t_ns": t_ns, "role": "server"}))
    return Capture(packets, tuple(steps)).write(folder / "lab.pcapng")

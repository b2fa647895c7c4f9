"""What anybody can learn of a session without a word of GMP: the server's pages, SAP, and what a stranger's player makes of the SDP."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from testbed.gmp import places
from testbed.gmp.places import SAP_GROUP, SERVER
from testbed.gmp.session import DEADLINE_S, NAME, WEB_PORT, Session

SAP_PORT = 9875  # [RFC 2974 3]
_SAP_DELETION = 0x04
PLAYER_DEADLINE_S = 20.0


def page(session: Session, node: str, path: str) -> tuple[str, bytes]:
    """A page of the server as a node gets it: its media type and content. Raises OSError, or ValueError for no page."""
    address = session.lab.model.address_of(SERVER)

    def get() -> tuple[str, bytes]:
        connection = http.client.HTTPConnection(address, WEB_PORT, timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ValueError(f"http://{address}:{WEB_PORT}{path}: status {answer.status}")
        return answer.headers.get_content_type(), content

    return session.lab.network.namespace(node).run(get)


def seen_on_page(session: Session, node: str) -> str | None:
    """What is wrong with the list of sessions as a node sees it; None if the session stands there, and no token."""
    _, content = page(session, node, "/")
    text = content.decode()
    if NAME not in text:
        return f"the list of sessions does not have {NAME!r}"
    if session.token and session.token in text:
        return "the list of sessions shows the access token"
    return None


def download_sdp(session: Session, node: str) -> Path:
    """The session's SDP, downloaded from its page by a node, in the run's folder. Raises ValueError for another media type."""
    kind, content = page(session, node, f"/sessions/{session.id}.sdp")
    if kind != "application/sdp":
        raise ValueError(f"the SDP comes as {kind}")
    file = session.lab.network.run_folder / "session.sdp"
    file.write_bytes(content)
    return file


def played(session: Session, node: str, sdp: Path) -> str:
    """What ffprobe on a node, which knows the SDP alone, finds in the stream; raises ProcessDied, NotObserved."""
    ffprobe = shutil.which("ffprobe")
    if ffprobe is None:
        return "no ffprobe on this machine"
    argv = [ffprobe, "-hide_banner", "-protocol_whitelist", "file,udp,rtp", "-i", str(sdp)]
    process = session.lab.network.processes.start(f"ffprobe-{node}", node, argv, may_end=True)
    said = session.lab.network.processes.wait_for_log(process, r"Stream #\S+ (Video: .+)$", PLAYER_DEADLINE_S)
    process.has_ended_within(PLAYER_DEADLINE_S)
    return re.sub(r"\s+", " ", said[1])[:60]


class SapListener:
    """A node that has joined the announcements' group and says what it has heard."""

    def __init__(self, session: Session, node: str) -> None:
        self._session, self._node = session, node
        interface = places.interface_of(session.lab.model, node)
        self._socket = session.lab.network.namespace(node).run(lambda: _joined(interface))
        self._heard: list[bytes] = []

    def await_announcement(self) -> str:
        """Wait until the session is announced; returns the SDP."""
        return self._await("announced", lambda packet: not packet[0] & _SAP_DELETION and f"s={NAME}".encode() in packet)

    def await_deletion(self) -> None:
        """Wait until it is said that the session is gone."""
        self._await("deleted", lambda packet: bool(packet[0] & _SAP_DELETION))

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()

    def _await(self, what: str, is_it: Callable[[bytes], bool]) -> str:
        found: list[bytes] = []

        def look() -> tuple[bool, str]:
            try:
                while True:
                    self._heard.append(self._socket.recv(2048))
            except BlockingIOError:
                pass
            found.extend(packet for packet in self._heard if is_it(packet))
            return bool(found), f"{len(self._heard)} SAP packets"

        awaited = f"the session to be {what} by SAP at {self._node}"
        self._session.lab.network.eventually(awaited, look, DEADLINE_S)
        return found[0].partition(b"\0v=0")[2].decode(errors="replace")


def _joined(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((SAP_GROUP, SAP_PORT))
    index = socket.if_nametoindex(interface)
    opened.setsockopt(
        socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(SAP_GROUP) + struct.pack("=4xi", index)
    )
    opened.setblocking(False)
    return opened

"""Sessions announced by SAP: when, to whom, and as a stranger's program reads it; and the texts about a session [GI-42, GI-43]."""

from __future__ import annotations

import email
import email.policy
import json
import shutil
import struct
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agents.core.agent import Endpoint
from agents.core.visible import visible
from agents.gmp.announcer import INTERVAL_MINIMUM, SIZE_MAXIMUM, Announcer, announced_at, packet
from agents.gmp.session_announcements import Announcement, date, mail, sdp, text
from agents.gmp.session_description import media_of

SDP = "v=0\no=- 7 1 IN IP4 10.0.0.3\ns=lecture\nc=IN IP4 239.1.1.1/16\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
SESSION = Announcement(7, "lecture", SDP, "239.1.1.1", 5004, is_closed=True, is_secure=True, owner="a\u202eb")
SOURCES = ("10.0.0.1", "fd00::1")
AT = Endpoint("239.195.255.255", 9875), Endpoint("ff08::2:7ffe", 9875)


def announcer(**given: float) -> Announcer:
    return Announcer(SOURCES, Random(1).randbytes, **given)  # type: ignore[arg-type]


def test_the_description_says_which_session_it_is_and_how_one_joins() -> None:
    lines = SDP.splitlines()
    assert sdp(SESSION).split("\r\n") == [*lines[:5], "a=x-gmp-session:7 closed secure", lines[5], ""]
    assert media_of(sdp(SESSION)) == media_of(SDP)


@pytest.mark.parametrize(
    ("group", "at"),
    [
        ("224.2.130.1", ("224.2.127.254", "ff0e::2:7ffe")),
        ("224.0.1.1", ("224.2.127.254", "ff0e::2:7ffe")),
        ("239.255.3.4", ("239.255.255.255", "ff03::2:7ffe")),
        ("239.253.3.4", ("239.255.255.255", "ff03::2:7ffe")),
        ("239.195.3.4", ("239.195.255.255", "ff08::2:7ffe")),
        ("239.1.1.1", ("239.195.255.255", "ff08::2:7ffe")),
        ("224.0.0.200", ("224.0.0.255", "ff02::2:7ffe")),
    ],
)
def test_a_session_is_announced_in_its_scope(group: str, at: tuple[str, str]) -> None:
    """By IPv6 in the same one [GI-24]."""
    assert announced_at(group) == at


def test_a_session_is_announced_at_once_then_again_and_again_and_deleted_three_times() -> None:
    given = announcer()
    given.put(SESSION, 100.0)
    assert len(given) == 1
    first = given.due(100.0)
    assert [to for _, to in first] == list(AT)
    assert [data[:2] for data, _ in first] == [b"\x20\0", b"\x30\0"]
    assert all(data.endswith(b"application/sdp\0" + sdp(SESSION).encode()) for data, _ in first)
    spaces = []
    now = 100.0
    for _ in range(200):
        deadline = given.next_deadline()
        assert deadline is not None
        assert given.due(deadline - 0.001) == []
        spaces.append(deadline - now)
        now = deadline
        assert given.due(now) == first
    assert INTERVAL_MINIMUM * 2 / 3 <= min(spaces) < INTERVAL_MINIMUM * 0.7
    assert INTERVAL_MINIMUM * 1.3 < max(spaces) <= INTERVAL_MINIMUM * 4 / 3
    given.remove(7, now)
    given.remove(7, now)
    assert len(given) == 0
    hash_ = first[0][0][2:4]
    gone = [(now + second, [data for data, _ in given.due(now + second)]) for second in range(3)]
    assert [len(each) for _, each in gone] == [2, 2, 2]
    assert gone[0][1][0] == b"\x24\0" + hash_ + b"\x0a\0\0\1application/sdp\0o=- 7 1 IN IP4 10.0.0.3\r\n"
    assert gone[0][1][1][:1] == b"\x34"
    assert given.next_deadline() is None


def test_a_changed_description_is_a_deletion_and_a_new_announcement() -> None:
    given = announcer()
    given.put(SESSION, 0.0)
    first = given.due(0.0)
    given.put(SESSION, 5.0)
    assert given.due(5.0) == []  # nothing has changed
    given.put(replace(SESSION, media=SDP.replace("lecture", "other")), 5.0)
    then = given.due(5.0)
    assert [data[0] for data, _ in then] == [0x24, 0x34, 0x20, 0x30]
    assert then[0][0][2:4] == first[0][0][2:4] != then[2][0][2:4]
    # In haste: what nobody was told is not deleted, and one who changes it all the time is told of once a second.
    for count in range(100):
        given.put(replace(SESSION, media=SDP.replace("lecture", f"haste{count}")), 5.0 + count / 200)
        assert given.due(5.0 + count / 200) == []
    later = given.due(6.0)
    assert [data[0] for data, _ in later] == [0x24, 0x34, 0x20, 0x30]
    assert later[0][0][2:4] == then[2][0][2:4]
    assert b"haste99" in later[2][0]
    # Into another scope: the deletion goes to the old one.
    given.put(replace(SESSION, media=SDP.replace("239.1.1.1", "239.255.1.1"), group="239.255.1.1"), 9.0)
    assert [to.address for _, to in given.due(9.0)] == [
        *(each.address for each in AT), "239.255.255.255", "ff03::2:7ffe",
    ]  # fmt: skip


def test_all_of_a_scope_share_its_bandwidth() -> None:
    given = announcer()
    for number in range(1, 1001):
        given.put(replace(SESSION, session_id=number, media=SDP.replace("lecture", f"lecture{number}")), 0.0)
    sent = given.due(0.0)
    assert len({data[2:4] for data, _ in sent}) == 1000
    size = sum(len(data) for data, to in sent if to == AT[1])
    deadlines = []
    while (deadline := given.next_deadline()) is not None and deadline < 10_000:
        deadlines.append(deadline)
        size += sum(len(data) for data, to in given.due(deadline) if to == AT[1])
    assert size * 8 / 10_000 < 4000 * 1.1  # bit/s, with what goes at once in the beginning
    given.put(replace(SESSION, session_id=2000, group="239.255.1.1"), 10_000.0)
    other = [to.address for _, to in given.due(10_000.0) if to not in AT]
    assert other == ["239.255.255.255", "ff03::2:7ffe"]  # which this one has for itself
    after = [(now, to) for now in range(10_001, 10_500) for _, to in given.due(float(now)) if to not in AT]
    assert after


def test_no_two_sessions_have_a_hash_in_common_and_none_has_0() -> None:
    given = announcer()
    given._hashes = set(range(1, 0x10000)) - {5}
    given.put(SESSION, 0.0)
    assert {data[2:4] for data, _ in given.due(0.0)} == {b"\0\5"}


def test_after_a_restart_all_wait_for_their_turn() -> None:
    given = announcer(interval_s=10.0)
    for number in range(1, 101):
        given.put(replace(SESSION, session_id=number), 0.0, is_known=True)
    counted = Counter(now for now in range(100) for _ in given.due(float(now)))
    assert 0 < max(counted.values()) < 60  # of 200


def test_what_no_packet_can_hold_is_not_announced() -> None:
    given = announcer()
    given.put(SESSION, 0.0)
    given.due(0.0)
    large = replace(SESSION, media=SDP.replace("lecture", "x" * SIZE_MAXIMUM))
    given.put(large, 5.0)
    assert given.too_large == {7}
    assert [data[0] for data, _ in given.due(5.0)] == [0x24, 0x34]
    given.put(SESSION, 6.0)
    assert given.too_large == set()
    assert [data[0] for data, _ in given.due(6.0)] == [0x24, 0x34, 0x20, 0x30]


def pcap(datagrams: list[tuple[bytes, Endpoint]]) -> bytes:
    """A capture of bare IP packets."""
    found = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
    for data, to in datagrams:
        udp = struct.pack("!HHHH", 9875, to.port, 8 + len(data), 0) + data
        group = bytes([239, 195, 255, 255])
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 255, 17, 0) + bytes([10, 0, 0, 1]) + group
        found.append(struct.pack("<IIII", 0, 0, len(head + udp), len(head + udp)) + head + udp)
    return b"".join(found)


def test_wireshark_reads_announcements_and_their_descriptions(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.fail("tshark is not installed: apt-get install --no-install-recommends tshark")
    given = announcer()
    given.put(SESSION, 0.0)
    sent = given.due(0.0)[:1]
    given.remove(7, 1.0)
    sent += given.due(1.0)[:1]
    (tmp_path / "sap.pcap").write_bytes(pcap(sent))
    done = subprocess.run(
        [tshark, "-r", str(tmp_path / "sap.pcap"), "-T", "json"], check=True, capture_output=True, text=True, timeout=50
    )
    layers = [each["_source"]["layers"] for each in json.loads(done.stdout)]
    assert [each["sap"]["sap.flags_tree"]["sap.flags.t"] for each in layers] in (
        ["0", "1"],
        [False, True],
        ["False", "True"],
    )
    assert [each["sap"]["sap.message_identifier_hash"] for each in layers] == [f"0x{sent[0][0][2:4].hex()}"] * 2
    assert [each["sap"]["sap.originating_source"] for each in layers] == ["10.0.0.1"] * 2
    assert "_ws.expert" not in done.stdout
    assert layers[0]["sdp"]["sdp.session_name"] == "lecture"
    assert json.dumps(layers[0]["sdp"]).count("x-gmp-session") > 0
    assert layers[1]["sdp"]["sdp.owner"] == "- 7 1 IN IP4 10.0.0.3"


def test_a_packet_has_the_fields_of_the_standard() -> None:
    assert packet("10.0.0.1", 0x1234, b"v=0") == bytes.fromhex("20001234 0a000001") + b"application/sdp\0v=0"
    assert packet("fd00::1", 1, b"", is_deletion=True)[:4] == bytes.fromhex("34000001")


def test_an_e_mail_can_be_opened_and_holds_the_description() -> None:
    hostile = replace(SESSION, name="lecture\r\nBcc: all@example.com\u202e", content="one\ntwo\x07")
    message = email.message_from_bytes(mail(hostile), policy=email.policy.default)
    assert message["Subject"].strip() == "Session: lecture[U+000D][U+000A]Bcc: all@example.com[U+202E] (closed, secure)"
    assert message["Bcc"] is None
    assert (message["X-Unsent"], message["From"], message["Date"]) == ("1", None, None)  # GI-25
    body, attached = message.iter_parts()
    assert body.get_content() == text(hostile)
    assert (attached.get_content_type(), attached.get_filename()) == ("application/sdp", "session-7.sdp")
    assert attached.get_content() == sdp(hostile).encode()
    assert mail(hostile) == mail(hostile)


def test_a_text_says_what_people_need() -> None:
    said = text(replace(SESSION, content="one\ntwo\x07", start_time=1_795_852_800, end_time=2**64 - 1))
    assert said.splitlines() == [
        "lecture",
        "=======",
        "",
        "Session:    7 (closed, secure)",
        "About:      one",
        "            two[U+0007]",
        "Owner:      a[U+202E]b",
        "Starts:     2026-11-28 08:00:00 UTC",
        "Ends:       18446744073709551615 s after 1970",
        "Group:      239.1.1.1, UDP port 5004",
        "Streams:    audio PCMU",
        "To join:    register for session 7 with the name and the token that its creator has given to you.",
    ]
    assert "as anybody may" in text(replace(SESSION, is_closed=False))
    assert date(None) == date(0) == ""


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Vorlesung für Anfänger 🎓", "Vorlesung für Anfänger 🎓"),
        ("درس", "درس"),
        ("a\u202eb\u2066c", "a[U+202E]b[U+2066]c"),
        ("a\x00\x1b[31m\nb", "a[U+0000][U+001B][31m[U+000A]b"),
        ("a\u200bb\ufeff\u2028", "a[U+200B]b[U+FEFF][U+2028]"),
        ("a\u00a0b", "a\u00a0b"),
        ("", ""),
    ],
)
def test_what_does_not_show_itself_is_shown_by_its_number(written: str, shown: str) -> None:
    assert visible(written) == shown

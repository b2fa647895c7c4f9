"""Session announcements: what the judge reads of them, the same as tshark, and every rule kept and broken."""

from __future__ import annotations

import ipaddress
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.dissectors.sap import dissect
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.history import History
from captures.ladder.words import words
from captures.rules.engine import verify
from captures.rules.packs.sap import sap_pack
from captures.wire.malformed import MalformedMessageError
from tests.captures.histories import history, on_ethernet
from tests.captures.scripted_link import ScriptedLink, udp

ORIGIN, GROUP = "10.1.0.1", "239.255.255.255"
SDP = "v=0\r\no=- 5 1 IN IP4 10.1.0.1\r\ns=quartet\r\nc=IN IP4 239.1.1.1/16\r\nt=0 0\r\nm=video 5004 RTP/AVP 33\r\n"


def sap(
    text: str = SDP,
    number: int = 0x1234,
    *,
    flags: int = 0x20,
    origin: str = ORIGIN,
    kind: bytes = b"application/sdp\0",
) -> bytes:
    payload = kind + text.encode()
    header = bytes([flags, 0]) + number.to_bytes(2) + ipaddress.ip_address(origin).packed
    return header + (zlib.compress(payload) if flags & 1 else payload)


DELETION = 0x24


def test_an_announcement_tells_its_session() -> None:
    for octets in (sap(), sap(kind=b""), sap(flags=0x21)):
        kind, fields = dissect(octets)
        assert kind == "announcement"
        assert {name: value for name, value in fields.items() if name != "payload"} == {
            "hash": 0x1234, "origin": ORIGIN, "payload_type": "application/sdp", "session": ("-", "5", ORIGIN),
            "title": "quartet", "group": "239.1.1.1", "port": 5004,
        }  # fmt: skip
    assert bytes.fromhex(dissect(sap())[1]["payload"]).decode() == SDP
    kind, fields = dissect(sap("o=- 5 1 IN IP6 ::1\r\n", flags=0x34, origin="2001:db8::1"))
    assert (kind, fields["origin"], fields["session"]) == ("deletion", "2001:db8::1", ("-", "5", "::1"))
    assert "title" not in dissect(sap(flags=0x22))[1]  # encrypted


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\x20\x00", "2 octets are shorter than the header of 4"),
        (sap(flags=0x40), "octet 0: version 2 is not 1"),
        (sap()[:7], "7 octets end inside a header of 8"),
        (b"\x20\x40" + sap()[2:60], "60 octets end inside a header of 264"),
        (sap(kind=b"text/plain"), "octet 8: neither a description nor a payload type that ends"),
        (sap(flags=0x21)[:8] + b"nothing", "a payload that is not compressed as it says"),
    ],
)
def test_what_is_wrong_is_said(octets: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessageError, match=reason):
        dissect(octets)


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(lambda rest: sap()[:8] + rest)))
def test_arbitrary_octets_are_read_or_refused(octets: bytes) -> None:
    try:
        kind, fields = dissect(octets)
    except MalformedMessageError:
        return
    assert kind in ("announcement", "deletion")
    assert {"hash", "origin", "payload"} <= fields.keys()


@pytest.mark.lab
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    link = announced()
    names = ("sap.flags.t", "sap.message_identifier_hash", "sap.originating_source", "sdp.session_name")
    asked = [word for name in names for word in ("-e", name)]
    path = link.write(tmp_path / "sap.pcapng")
    told = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *asked], check=True, capture_output=True, text=True, timeout=30
    ).stdout.splitlines()
    events = [event for event in history_of(path) if event.protocol == "sap"]
    assert len(told) == len(events) == 4
    for line, event in zip(told, events, strict=True):
        deletes, number, origin, title = line.split("\t")
        assert (event.kind == "deletion") is (deletes in ("1", "True"))
        assert int(number, 0) == event.fields["hash"]
        assert (origin, title) == (event.fields["origin"], event.fields.get("title", ""))


def history_of(path: Path) -> History:
    return History(CaptureReader(path), every_protocol({}))


def say(
    link: ScriptedLink, at_s: float, tag: str, octets: bytes, *, to: str = GROUP, source: str = ORIGIN, hops: int = 255
) -> None:
    link.add(at_s, tag, "mcs", udp(source, to, 9875, 9875, octets, hops=hops))


def announced() -> ScriptedLink:
    link = ScriptedLink()
    say(link, 1, "first", sap())
    say(link, 6, "again", sap())
    say(link, 8, "deleted", sap("o=- 5 1 IN IP4 10.1.0.1\r\n", flags=DELETION))
    say(link, 8.1, "changed", sap(SDP.replace("quartet", "quintet"), 0x4321))
    return link


BROKEN: dict[str, tuple[Callable[[ScriptedLink], object], str]] = {
    "cut short": (lambda link: say(link, 9, "x", sap()[:6]), "well-formed"),
    "a flipped bit": (
        lambda link: link.patch("changed", b"quintet", b"quintes"), "checksum",
    ),
    "to another group": (lambda link: say(link, 9, "x", sap(number=7), to="239.1.2.3"), "destination"),
    "a small TTL": (lambda link: say(link, 9, "x", sap(number=7), hops=16), "hop-limit"),
    "an origin of another family": (
        lambda link: say(link, 9, "x", sap(number=7, flags=0x30, origin="2001:db8::1")), "origin",
    ),
    "changed under one hash": (lambda link: say(link, 7, "x", sap(SDP + "a=x\r\n")), "one-description"),
    "announced after its deletion": (lambda link: say(link, 9, "x", sap()), "taken-back"),
    "taken back by another": (
        lambda link: say(link, 9, "x", sap("", 0x4321, flags=DELETION), source="10.1.0.9"), "taken-back",
    ),
}  # fmt: skip


def failing(link: ScriptedLink, folder: Path) -> set[str]:
    judgement = verify(CaptureReader(link.write(folder / "sap.pcapng")))
    return {verdict.rule for verdict in judgement.verdicts if verdict.verdict == "failed"}


def test_good_announcements_keep_every_rule(tmp_path: Path) -> None:
    judgement = verify(CaptureReader(announced().write(tmp_path / "sap.pcapng")))
    rules = {rule.name for rule in sap_pack().rules}
    assert {verdict.rule for verdict in judgement.verdicts if verdict.verdict == "passed"} == rules
    assert {f"sap-{rule}" for _, rule in BROKEN.values()} == rules


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_noticed(tmp_path: Path, case: str) -> None:
    spoil, rule = BROKEN[case]
    link = announced()
    spoil(link)
    assert failing(link, tmp_path) == {f"sap-{rule}"}


def test_words() -> None:
    (event,) = history(on_ethernet(udp(ORIGIN, GROUP, 9875, 9875, sap())))
    told = words(event)
    assert (told.label, told.text) == ("SAP announcement", "'quartet', group 239.1.1.1 port 5004, of 10.1.0.1")
    assert words(event, group="239.9.9.9").background

"""Descriptions in SDP: what players take is taken, and what none would take is refused with its line [GI-41]."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gmp.session_description import MalformedSdpError, Media, check, media_of

SDP = """\
v=0
o=- 20518 0 IN IP4 203.0.113.1
s=Lecture
i=What it is about
u=http://www.example.com/
e=jane@example.com (Jane Doe)
c=IN IP4 239.1.1.1/16
b=AS:2000
t=3400000000 3500000000
r=7d 1h 0 25h
t=0 0
a=tool:none
m=video 5004 RTP/AVP 33
m=audio 49170 RTP/AVP 0 97
i=second
c=IN IP4 239.1.1.2/4
a=rtpmap:97 opus/48000/2
a=sendonly
"""


def test_what_a_player_needs_is_read() -> None:
    assert media_of(SDP) == (
        Media("video", 5004, "RTP/AVP", ("33",), "239.1.1.1", 16),
        Media("audio", 49170, "RTP/AVP", ("0", "97"), "239.1.1.2", 4, {"97": "opus"}),
    )
    assert media_of(SDP.replace("\n", "\r\n")) == media_of(SDP)
    assert [str(each) for each in media_of(SDP)] == ["video MP2T", "audio PCMU, opus"]


def test_groups_of_ipv6_have_no_ttl() -> None:
    text = SDP.replace("IP4 239.1.1.1/16", "IP6 ff15::1")
    assert media_of(text)[0] == Media("video", 5004, "RTP/AVP", ("33",), "ff15::1", None)


def test_a_stream_is_where_the_session_is() -> None:
    check(SDP, "239.1.1.2", 49170)
    for group, port in (("239.1.1.2", 5004), ("239.1.1.9", 5004)):
        with pytest.raises(MalformedSdpError, match=f"line 18: no stream is at {group}:{port}"):
            check(SDP, group, port)


def changed(line: int, *put: str) -> str:
    """The description with other lines in the place of one."""
    lines = SDP.splitlines()
    lines[line - 1 : line] = put
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "a line is"),
        ("\n", 1, "a line is"),
        ("v=0\n", 1, "no o= line"),
        (SDP + "\n", 19, "a line is"),
        (SDP[: SDP.index("m=")], 12, "nothing to play"),
        (SDP.replace("s=Lecture\n", ""), 11, "no s= line"),
        (SDP.replace("t=3400000000 3500000000\nr=7d 1h 0 25h\nt=0 0\n", ""), 9, "no t= line"),
        (changed(1, "v=1"), 1, "version"),
        (changed(2, "o=- 20518 0 IN IP4"), 2, "six words"),
        (changed(2, "o=- 20518  IN IP4 x"), 2, "six words"),
        (changed(2, "o=- me 0 IN IP4 x"), 2, "numbers"),
        (changed(2, "o=- 1 0 IN IP5 x"), 2, "IN IP4 or IN IP6"),
        (changed(3, "s="), 3, "a line is"),
        (changed(3, "s= Lecture"), 3, "a line is"),
        (changed(3, "s=Lec\x1bture"), 3, "U\\+001B"),
        (changed(3, "s=Lec\x00ture"), 3, "U\\+0000"),
        (changed(3, "s=Lec\rture"), 3, "carriage return"),
        (changed(3, "s=" + "ä" * 512), 3, "1024 bytes"),
        (changed(3, "s=a", "s=b"), 4, "a second s="),
        (changed(3, "S=a"), 3, "a line is"),
        (changed(3, "s=a", "q=b"), 4, "q= is no line of a session"),
        (changed(4, "u=x", "i=y"), 5, "i= stands before u="),
        (changed(12, "a=x", "t=0 0"), 13, "t= stands before a="),
        (changed(7, "c=IN IP4 239.1.1.1"), 7, "TTL"),
        (changed(7, "c=IN IP4 239.1.1.1/256"), 7, "TTL"),
        (changed(7, "c=IN IP4 239.1.1.1/16/3"), 7, "TTL"),
        (changed(7, "c=IN IP4 239.1.1.1/x"), 7, "numbers"),
        (changed(7, "c=IN IP4 10.0.0.1/16"), 7, "no group"),
        (changed(7, "c=IN IP4 lecture.example"), 7, "no IP address"),
        (changed(7, "c=IN IP6 239.1.1.1"), 7, "no IP6 address"),
        (changed(7, "c=IN IP6 ff15::1/16"), 7, "no TTL"),
        (changed(7, "c=ATM 1"), 7, "three words"),
        (changed(9, "t=0"), 9, "two numbers"),
        (changed(9, "t=x 0"), 9, "two numbers"),
        (changed(9, "t=2 1"), 9, "stops before"),
        (changed(12, "k=clear:0123"), 12, "a key"),
        (changed(12, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc"), 12, "a key"),
        (changed(18, "a=key-mgmt:mikey AAAA"), 18, "a key"),
        (changed(13, "m=video 5004 RTP/AVP"), 13, "four words"),
        (changed(13, "m=video  RTP/AVP 33"), 13, "port"),
        (changed(13, "m=video 0 RTP/AVP 33"), 13, "port 0"),
        (changed(13, "m=video 65536 RTP/AVP 33"), 13, "port 65536"),
        (changed(13, "m=video 5004/2 RTP/AVP 33"), 13, "port 5004/2"),
        (changed(13, "m=video 5004 RTP//AVP 33"), 13, "words"),
        (changed(13, "m=video 5004 RTP/AVP 33 "), 13, "words"),
        (changed(13, "m=video 5004 RTP/AVP 128"), 13, "payload type 128"),
        (changed(13, "m=video 5004 RTP/AVP mp2t"), 13, "payload type mp2t"),
        (changed(13, "m=video 5004 RTP/AVP 96"), 13, "no a=rtpmap:96"),
        (changed(17, "a=rtpmap:97 opus"), 17, "clock rate"),
        (changed(17, "a=rtpmap:128 opus/48000"), 17, "clock rate"),
        (changed(18, "o=x"), 18, "o= is no line of a stream"),
        (changed(7), 12, "no c= line"),
        ("\n".join([SDP.rstrip(), *["m=video 5004 RTP/AVP 33"] * 31, ""]), 49, "more than 32 streams"),
    ],
)
def test_what_no_player_would_take_is_refused_with_the_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(MalformedSdpError, match=reason) as raised:
        check(text)
    assert raised.value.line == line


@given(st.text(max_size=200) | st.text(alphabet="vosictma=0 \n\r19.:/INPRAT4x", max_size=200))
def test_whatever_comes_there_is_one_error(text: str) -> None:
    try:
        check(text)
    except MalformedSdpError as error:
        assert 1 <= error.line <= text.count("\n") + 1


@given(st.data())
def test_a_line_that_is_missing_or_mutated_gives_no_other_error(data: st.DataObject) -> None:
    text = SDP
    at = data.draw(st.integers(0, len(text) - 1))
    text = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 4)) :]
    try:
        streams = media_of(text)
    except MalformedSdpError:
        return
    assert streams
    assert all(1 <= each.port <= 65535 for each in streams)

"""Pages of a role: what is answered, to whom, in which form; and what becomes of those who ask badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from agents.core.errors import ConfigurationError
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.datagram import PortError
from agents.runtime.host import AgentHost
from agents.web import connections, live, rendering
from agents.web.answers import HTML, JSON, preferred
from agents.web.server import WebServer, endpoint_of
from tests.agents.roles import Asking
from tests.agents.served import PAGES, Rooms, Served, serving

Scene = Callable[[Served], Awaitable[None]]


def played(scene: Scene, **rooms: int) -> Rooms:
    """The role whose pages are served while a scene is played."""
    role = Rooms(**(rooms or {"blue": 3}))

    async def play() -> None:
        async with serving(role) as served:
            await scene(served)
            assert served.raised == []
            await served.until_state(connections=0, live=0)

    asyncio.run(play())
    return role


def test_a_page_has_several_forms_at_one_address() -> None:
    async def scene(at: Served) -> None:
        status, headers, body = await at.get("/rooms/blue", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
        assert (status, headers["Content-Type"], headers["Vary"]) == (200, "text/html; charset=utf-8", "Accept")
        assert "<p>3 heard</p>" in body
        plain = {"name": "blue", "count": 3}
        for path, accept in (("/rooms/blue", JSON), ("/rooms/blue.json", "*/*")):
            status, headers, body = await at.get(path, Accept=accept)
            assert (status, headers["Content-Type"], json.loads(body)) == (200, JSON, plain)
        for path, accept in (("/rooms/blue", "text/csv"), ("/rooms/blue.csv", HTML)):
            status, headers, body = await at.get(path, Accept=accept)
            assert (status, headers["Content-Type"], body) == (200, "text/csv; charset=utf-8", "3\n")
            assert headers["Content-Disposition"] == 'inline; filename="blue.csv"'
        assert (await at.get("/"))[2].count("all &lt;of&gt; them") == 1
        assert "<p>5 heard</p>" in (await at.get("/?offset=5"))[2]
        assert (await at.ask("HEAD", "/"))[2] == ""

    played(scene)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", HTML),
        ("*/*", HTML),
        ("text/html", HTML),
        ("application/json", JSON),
        ("application/*", JSON),
        ("text/html;q=0.5, application/json", JSON),
        ("application/json;q=0.5, text/*", HTML),
        ("application/json;q=much", HTML),
        ("application/json;q=0", HTML),
        ("image/png", HTML),
        (";;,,;q=1,=", HTML),
    ],
)
def test_what_is_asked_for_most_is_given(accept: str, kind: str) -> None:
    assert preferred(accept, (HTML, JSON)) == kind


TRICKS = (
    "/rooms", "/rooms/", "/rooms/green", "/rooms/green.csv", "/rooms/green.live", "/rooms/blue/", "/rooms/blue.exe", "/rooms/blue.csv/x",
    "/static", "/static/", "/static/nothing", "/static/..", "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py",
    "/static/%2e%2e%2fserver.py", "/static//etc/passwd", "//etc/passwd", "/..//../etc/passwd", "/%00", "/rooms/blue%00", "/rooms/%2e%2e",
    "/rooms/blue%0d%0aX-Evil:1", "/static/style.css%00.js", "/{room}", "/rooms/{room}", "/.git/config", "/%ff%fe", "/rooms/" + "x" * 4000,
)  # fmt: skip


def test_tricks_with_paths_lead_nowhere() -> None:
    async def scene(at: Served) -> None:
        for path in TRICKS:
            status, headers, body = await at.get(path)
            assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8"), path
            assert "root:" not in body
            assert "X-Evil" not in headers
        assert (await at.get("/nothing", Accept=JSON))[2] == '{"error": "Not Found"}'
        for offset in ("-1", "x", "1e3", "%b2", "12345678", ""):
            assert (await at.get(f"/?offset={offset}"))[0] == 400, offset

    role = played(scene)
    assert role.counters["answered.web.404"] == len(TRICKS) + 1
    assert role.counters["answered.web.400"] == 6


def test_every_answer_forbids_scripts_from_elsewhere() -> None:
    async def scene(at: Served) -> None:
        for path in (
            "/",
            "/rooms/blue",
            "/rooms/blue.csv",
            "/rooms/blue.json",
            "/nothing",
            "/static/style.css",
            "/static/live.js",
        ):
            _, headers, body = await at.get(path)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert (headers["X-Content-Type-Options"], headers["Server"]) == ("nosniff", "agents")
            assert "Set-Cookie" not in headers
            assert "style=" not in body
            assert "onclick" not in body
        _, headers, _ = await at.get("/static/style.css")
        assert (headers["Content-Type"], headers["Cache-Control"]) == ("text/css; charset=utf-8", "max-age=300")

    played(scene)


def test_nothing_can_be_changed() -> None:
    async def scene(at: Served) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            status, headers, _ = await at.ask(method, "/rooms/blue", Content_Length="1000000")
            assert (status, headers["Allow"]) == (405, "GET,HEAD")

    played(scene)


def test_a_page_that_cannot_be_made_is_the_operators_concern() -> None:
    async def scene(at: Served) -> None:
        status, headers, body = await at.get("/rooms/broken")
        assert (status, at.raised) == (500, ["the disk said <no>"])
        assert "disk" not in body
        assert "Content-Security-Policy" in headers
        at.raised.clear()
        assert (await at.get("/"))[0] == 200

    assert played(scene).counters["answered.web.500"] == 1


def test_what_many_ask_for_is_made_once_a_second() -> None:
    async def scene(at: Served) -> None:
        for _ in range(20):
            assert "<p>3 heard</p>" in (await at.get("/rooms/blue"))[2]
        at.role.rooms["blue"] = 4
        async with asyncio.timeout(5):
            while "<p>4 heard</p>" not in (await at.get("/rooms/blue"))[2]:
                pass
        del at.role.rooms["blue"]
        async with asyncio.timeout(5):
            while (await at.get("/rooms/blue"))[0] != 404:
                pass

    assert played(scene).looked < 10


def test_all_pages_together_have_their_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "AHEAD", 0.0)
    monkeypatch.setattr(rendering, "AGE", 60.0)

    async def scene(at: Served) -> None:
        at.server._answers._rendering._paid_until = 0.0
        assert (await at.get("/rooms/blue"))[0] == 200
        at.server._answers._rendering._paid_until += 60.0
        status, headers, _ = await at.get("/rooms/blue?offset=1")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert (await at.get("/rooms/blue"))[0] == 200  # is kept
        at.server._answers._rendering._paid_until -= 60.0
        async with asyncio.timeout(5):
            while (await at.get("/rooms/blue?offset=1"))[0] != 200:
                pass

    assert played(scene).counters["refused.web.busy"] >= 1


def test_who_looks_on_is_told_of_what_concerns_the_page() -> None:
    async def scene(at: Served) -> None:
        first, first_writer = await at.look_on("/rooms/blue.live")
        second, second_writer = await at.look_on("/rooms/blue.live")
        other, other_writer = await at.look_on("/rooms/red.live")
        for reader, count in ((first, 3), (second, 3), (other, 7)):
            assert await at.block(reader) == f'block "<p>{count} heard</p>"'
        assert at.state() == {"connections": 3, "live": 3}
        looked = at.role.looked
        for count in range(1000):
            at.role.rooms["blue"] = count
            at.server.told({"room": "blue"})
        assert await at.block(first) == 'block "<p>999 heard</p>"'
        assert await at.block(second) == 'block "<p>999 heard</p>"'
        at.role.rooms["blue"] = 5
        at.server.told({"room": "blue"})
        assert await at.block(first) == 'block "<p>5 heard</p>"'
        assert await at.block(second) == 'block "<p>5 heard</p>"'
        assert at.role.looked == looked + 2  # red was not looked at, and blue once a second
        at.server.told({"room": "blue"})  # nothing has changed
        at.role.rooms["red"] = 8
        at.server.told({})  # it may concern all
        assert await at.block(other) == 'block "<p>8 heard</p>"'
        del at.role.rooms["blue"]
        at.server.told({"room": "blue"})
        assert await at.block(first) == "over "
        assert await at.block(second) == "over "
        other_writer.close()  # has gone without a word
        await at.until_state(connections=2, live=0)
        for writer in (first_writer, second_writer):
            writer.close()

    played(scene, blue=3, red=7)


def test_the_end_of_a_role_is_the_end_of_looking_on() -> None:
    async def play() -> None:
        async with serving(Rooms(blue=3)) as at:
            reader, writer = await at.look_on("/rooms/blue.live")
            assert await at.block(reader) == 'block "<p>3 heard</p>"'
            async with asyncio.timeout(5):
                await at.server.close()
                assert (await reader.read()) in {b"", b"0\r\n\r\n"}
            writer.close()

    asyncio.run(play())


def test_so_many_may_look_on_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LISTENERS_OF_ADDRESS_MAXIMUM", 3)

    async def scene(at: Served) -> None:
        there = [await at.look_on("/rooms/blue.live") for _ in range(3)]
        status, headers, _ = await at.get("/rooms/blue.live")
        assert (status, headers["Retry-After"]) == (503, "60")
        assert (await at.get("/rooms/blue"))[0] == 200  # pages are there for everybody
        there.pop()[1].close()
        await at.until_state(connections=2, live=2)
        there.append(await at.look_on("/rooms/blue.live"))
        for _, writer in there:
            writer.close()

    role = played(scene)
    assert role.counters["refused.web.too-many-live"] == role.counters["answered.web.503"] == 1


def test_hundreds_may_look_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LISTENERS_OF_ADDRESS_MAXIMUM", 1000)
    monkeypatch.setattr(connections, "CONNECTIONS_OF_ADDRESS_MAXIMUM", 1000)

    async def scene(at: Served) -> None:
        at.server._door._maximum = 1000
        there = [await at.look_on("/rooms/blue.live") for _ in range(300)]
        for reader, _ in there:
            assert await at.block(reader) == 'block "<p>3 heard</p>"'
        at.role.rooms["blue"] = 4
        at.server.told({"room": "blue"})
        for reader, _ in there:
            assert await at.block(reader) == 'block "<p>4 heard</p>"'
        for _, writer in there:
            writer.close()

    played(scene)


def test_so_many_connections_may_there_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_OF_ADDRESS_MAXIMUM", 5)

    async def scene(at: Served) -> None:
        there = [await at.connect() for _ in range(5)]
        await at.until_state(connections=5, live=0)
        for _ in range(3):
            assert await at.say(b"") == b""
        at.server._door._maximum = 5
        assert await at.say(b"") == b""
        for _, writer in there:
            writer.close()
        await at.until_state(connections=0, live=0)
        assert (await at.get("/"))[0] == 200

    role = played(scene)
    assert role.counters["refused.web.too-many-of-address"] == 3
    assert role.counters["refused.web.too-many"] == 1
    assert role.counters["closed.web.no-request"] == 5


@pytest.mark.parametrize(
    ("said", "more"),
    [
        (b"", b""),
        (b"G", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a: b\r\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-a: ", b"x"),
    ],
    ids=["nothing", "an octet", "fields", "half a field"],
)
def test_who_never_comes_to_an_end_is_let_go(said: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.3)

    async def scene(at: Served) -> None:
        reader, writer = await at.connect()
        writer.write(said)
        trickle = asyncio.create_task(_trickle(writer, more))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        trickle.cancel()
        writer.close()

    assert played(scene).counters["closed.web.no-request"] == 1


async def _trickle(writer: asyncio.StreamWriter, what: bytes) -> None:
    while True:
        writer.write(what)
        await asyncio.sleep(0.05)


def test_a_body_is_not_waited_for() -> None:
    async def scene(at: Served) -> None:
        async with asyncio.timeout(3):
            said = await at.say(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        assert said.startswith(b"HTTP/1.1 200 OK")

    played(scene)


@pytest.mark.parametrize(
    "head",
    [b"X-a: " + b"x" * 20_000, b"X-a: x\r\n" * 3000, b"Cookie: " + b"x" * 1_000_000],
    ids=["one", "many", "huge"],
)
def test_a_head_that_is_too_large_is_refused(head: bytes) -> None:
    async def scene(at: Served) -> None:
        try:
            assert (await at.say(b"GET / HTTP/1.1\r\nHost: x\r\n" + head)).startswith(b"HTTP/1.1 431 ")
        except ConnectionResetError:
            assert len(head) > 500_000  # what is still on the way when it is closed

    assert played(scene).counters["closed.web.too-large"] == 1


def test_what_is_no_http_is_counted() -> None:
    wrong = (b"\x16\x03\x01\x02\0\x01\0", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", b"X" * 9000 + b"\r\n\r\n",
             b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100 + b"\r\n")  # fmt: skip

    async def scene(at: Served) -> None:
        for said in wrong:
            assert (await at.say(said)).startswith(b"HTTP/1.0 400")
        assert (await at.get("/"))[0] == 200

    assert played(scene).counters["dropped.web.malformed"] == len(wrong)


def test_who_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_TIMEOUT", 500)

    async def scene(at: Served) -> None:
        reader, writer = await at.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /rooms/large HTTP/1.1\r\nHost: x\r\n\r\n")
        await at.until_counted("closed.web.unread")
        writer.transport.abort()

    played(scene)


@pytest.mark.parametrize(
    "where", ["", "8080", "localhost:8080", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:0", "1.2.3.4:70000", "::1"]
)
def test_where_pages_cannot_be_is_said(where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"runtime\.web: .*give ADDRESS:PORT"):
        endpoint_of(where)


def test_where_pages_can_be() -> None:
    assert endpoint_of("127.0.0.1:8080") == ("127.0.0.1", 8080)
    assert endpoint_of("[::]:80") == ("::", 80)


def test_a_port_in_use_is_said() -> None:
    async def scene(at: Served) -> None:
        second = WebServer(f"127.0.0.1:{at.port}", PAGES, at.role)
        with pytest.raises(PortError, match=r"TCP 127\.0\.0\.1:\d+ cannot be opened: .*ss -lntup"):
            await second.open()

    played(scene)


def test_a_role_without_pages_takes_no_address_for_them() -> None:
    host = AgentHost(Asking(), RuntimeConfiguration(web="127.0.0.1:8080"))
    with pytest.raises(ConfigurationError, match=r"runtime\.web: .*this role has no pages; remove it"):
        asyncio.run(host.run())

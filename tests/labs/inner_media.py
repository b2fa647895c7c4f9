"""Media processes and the role that orders them: `python -m tests.labs.inner_media SCENE FAMILY FOLDER`, in a network namespace.

The role is played here, on a real application socket; the processes are real, and so are the packets between them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from agents.core.counters import Counters
from agents.core.media_control import MediaOrder, MediaReport, decode_report, encode
from agents.media import source as source_module
from agents.media.source import Source, SourceConfiguration
from agents.media.srtp import GRACE_S
from agents.runtime.application import Application
from agents.runtime.control import request
from tests.agents.srtp_forger import Forger
from tests.labs.inner_runtime import GROUP, run

PORT = 5004
INTERFACE = "here0"
DEADLINE_S = 15.0
FIRST_NUMBER = 65_400  # wraps 136 packets later
KEYS = {generation: os.urandom(30) for generation in (1, 2, 9)}


class Media:
    """A media process and the role that it takes orders of."""

    def __init__(self, folder: Path, name: str, kind: str, **configuration: object) -> None:
        self.name = name
        self.reports: list[MediaReport] = []
        self._socket, self._control = folder / f"{name}.role", folder / f"{name}.control"
        self._file = folder / f"{name}.toml"
        control = {"runtime": {"control": str(self._control)}} if kind == "receiver" else {}
        self._has_role = "group" not in configuration
        orders = {"orders": str(self._socket)} if self._has_role else {}
        self._file.write_text(tomli_w.dumps({**orders, **configuration, **control}))
        self._kind = kind
        self.output = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self.appear()

    def appear(self) -> None:
        """The role is there, perhaps again."""
        self._role = Application(self._socket, Counters(), lambda data: self.reports.append(decode_report(data)))

    def vanish(self) -> None:
        self._role.close()

    async def start(self) -> None:
        with self.output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agents", "media", self._kind, "--config", str(self._file),
                stdout=output, stderr=output,
            )  # fmt: skip
        if self._has_role:
            await until(lambda: self.reports, f"{self.name} to report")
            assert self.reports[0] == MediaReport(action="stop")
        else:
            await until(lambda: b"ready" in self.output.read_bytes(), f"{self.name} to be ready")

    async def order(self, order: MediaOrder) -> None:
        """Order, and wait until the process says that it does as it is told."""
        seen = len(self.reports)
        self._role.deliver(encode(order))
        await until(
            lambda: (
                [(each.action, each.generation) for each in self.reports[seen:]][-1:]
                == [(order.action, order.generation)]
            ),
            f"{self.name} to {order.action} with generation {order.generation}",
        )

    def words(self) -> bytes:
        """What anybody on this machine can read of the process."""
        assert self._process is not None
        folder = Path("/proc", str(self._process.pid))
        return (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes() + self.output.read_bytes()

    async def end(self) -> None:
        self.vanish()
        if self._process is not None:
            self._process.terminate()
            assert await self._process.wait() == 0, self.output.read_text()

    async def state(self) -> Mapping[str, Any]:
        answer: Any = await asyncio.to_thread(request, self._control, {"command": "state"})
        return answer["state"]  # type: ignore[no-any-return]

    async def decrypted(self, generation: int) -> int:
        """Packets that this key has opened."""
        count: int = (await self.state())["decrypted"].get(str(generation), 0)
        return count

    async def undecryptable(self) -> int:
        count: int = (await self.state())["counters"].get("undecryptable.authentication", 0)
        return count

    async def window(self) -> Mapping[str, Any]:
        """What came from the first packet to the last."""
        state = await self.state()
        asked = {"command": "window", "begin_ns": state["first_ns"], "end_ns": state["last_ns"]}
        answer: Any = await asyncio.to_thread(request, self._control, asked)
        return answer["window"]  # type: ignore[no-any-return]


async def until(is_so: Any, what: str) -> None:
    """Wait until something is so; a coroutine function is asked again."""
    seen: object = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not (seen := await is_so() if asyncio.iscoroutinefunction(is_so) else is_so()):  # noqa: ASYNC110  a process announces little
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what}: not so after {DEADLINE_S} s, last {seen!r}") from None


@contextlib.asynccontextmanager
async def started(*processes: Media) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(each.start() for each in processes))
        yield
    finally:
        for each in processes:
            await each.end()


def member(family: int) -> socket.socket:
    """This namespace has one link, and is a member of the group there while the socket is open."""
    run("ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "there0")
    for each in ("there0", INTERFACE):
        run("ip", "link", "set", each, "up")
    run("ip", "address", "add", *(("10.9.0.1/24",) if family == 4 else ("fd09::1/64", "nodad")), "dev", INTERFACE)
    run("ip", "route", "add", "default", "dev", INTERFACE)  # by which a player joins
    opened = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    group, index = socket.inet_pton(opened.family, GROUP[family]), socket.if_nametoindex(INTERFACE)
    if family == 4:
        request = group + bytes(4) + index.to_bytes(4, sys.byteorder)  # struct ip_mreqn
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + index.to_bytes(4, sys.byteorder))
    return opened


def receive(family: int, generation: int, roll_over_counter: int = 0) -> MediaOrder:
    return MediaOrder("receive", GROUP[family], PORT, "", generation, KEYS.get(generation), roll_over_counter)


def send(family: int, generation: int) -> MediaOrder:
    return MediaOrder("send", GROUP[family], PORT, INTERFACE, generation, KEYS.get(generation))


async def forged(family: int, count: int) -> None:
    """Send to the group what a forger makes of the packets that it sees there."""
    with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.setblocking(False)
        heard.bind((GROUP[family], PORT))
        forger, made = Forger(random.Random(count)), 0
        while made < count:
            forger.seen.append(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(heard, 2048), DEADLINE_S))
            for _ in range(5):
                heard.sendto(forger.packet(), (GROUP[family], PORT))
                made += 1


async def keys(family: int, folder: Path) -> None:
    """Who has the key opens what comes, over wraps, rekeys and pauses; who has not, or not any more, opens nothing."""
    sender = Media(folder, "source", "source", first_number=FIRST_NUMBER)
    forger = Media(folder, "forger", "source")
    enrolled, late, wrong, guessing = (
        Media(folder, name, "receiver") for name in ("enrolled", "late", "wrong", "guessing")
    )
    left = Media(folder, "left", "receiver", eavesdrops_on=INTERFACE)
    never = Media(folder, "never", "receiver", group=GROUP[family], port=PORT, eavesdrops_on=INTERFACE)
    everybody = (sender, forger, enrolled, late, wrong, guessing, left, never)
    async with started(*everybody):
        await enrolled.order(receive(family, 1))
        await left.order(receive(family, 1))
        await guessing.order(receive(family, 9))
        await sender.order(send(family, 1))

        await until(lambda: sender.reports[-1].roll_over_counter == 1, "the source to tell of its wrap")
        await late.order(receive(family, 1, roll_over_counter=1))
        await wrong.order(receive(family, 1, roll_over_counter=7))
        await until(lambda: late.reports[-1].packets > 500, "the late joiner to receive")
        assert late.reports[-1].roll_over_counter == 1
        assert await wrong.decrypted(1) == 0
        assert await wrong.undecryptable() > 500

        await forged(family, 1000)
        for each in (enrolled, late):
            await each.order(receive(family, 2, roll_over_counter=1))
        await sender.order(send(family, 2))

        async def has_gone_over() -> bool:
            return await enrolled.decrypted(2) > 0

        await until(has_gone_over, "the source to go over to the new key")
        await left.order(MediaOrder("stop"))  # it has left, and goes on listening
        opened, seen = await left.decrypted(1), await left.undecryptable()
        assert opened > 500

        async def has_seen_more() -> bool:
            return await left.undecryptable() > seen + GRACE_S * 1000 + 500  # packets, a thousand each second

        sender.vanish()  # the stream does not need its role
        reported = len(sender.reports)
        await until(has_seen_more, "the member that has left to see what it cannot open")
        sender.appear()
        await until(lambda: len(sender.reports) > reported, "the source to report to its role again")
        assert (sender.reports[reported].action, sender.reports[reported].generation) == ("send", 2)
        assert await left.decrypted(1) == opened
        assert await enrolled.decrypted(2) > GRACE_S * 1000

        # Who has left sends under the old key, which the others no longer take.
        before = await enrolled.undecryptable()
        await forger.order(send(family, 1))

        async def is_refused() -> bool:
            return await enrolled.undecryptable() > before + 200

        await until(is_refused, "the old key to be refused")
        assert await left.decrypted(1) > opened  # so it was sent, and is what it should be
        assert await enrolled.decrypted(1) < opened + 200
        await forger.order(MediaOrder("stop"))

        await sender.order(MediaOrder("stop"))
        at_rest = sender.reports[-1].packets
        await sender.order(send(family, 2))
        await until(lambda: sender.reports[-1].packets > at_rest + 500, "the source to go on")
        await sender.order(MediaOrder("stop"))
        sent = sender.reports[-1].packets

        async def has_all() -> bool:
            return bool((await enrolled.state())["packets_received"] == sent)

        await until(has_all, f"the enrolled member to have all {sent}")
        for each in (enrolled, late):
            window = await each.window()
            assert (window["lost"], window["duplicates"], window["reordered"]) == (0, 0, 0), window
        state = await enrolled.state()
        assert state["counters"]["decrypted.superseded-key"] > 0
        assert "received.new-source" not in state["counters"]
        assert await guessing.decrypted(9) == 0
        assert await guessing.undecryptable() > sent - 100
        state_of_never = await never.state()
        assert state_of_never["packets_received"] == 0
        assert state_of_never["counters"]["undecryptable.no-key"] > sent - 100

        said = b"".join(each.words() for each in everybody)
        said += json.dumps([await each.state() for each in (enrolled, left)]).encode()
        for key in KEYS.values():
            for form in (key, key.hex().encode(), base64.b64encode(key), repr(key).encode()):
                assert form[:12] not in said
        print(json.dumps({"sent": sent, **state["counters"]}), flush=True)


def description(file: Path, key: bytes | None) -> Path:
    """What a player needs to know of the stream; ffmpeg hears of a key only behind another stream, which never comes."""
    lines = ["v=0", "o=- 1 1 IN IP4 10.9.0.1", "s=clip", f"c=IN IP4 {GROUP[4]}/16", "t=0 0"]
    if key:
        lines += [f"m=audio {PORT + 2} RTP/AVP 0", f"m=video {PORT} RTP/SAVP 33"]
        lines += [f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(key).decode()}"]
    else:
        lines += [f"m=video {PORT} RTP/AVP 33"]
    file.write_text("\r\n".join([*lines, ""]))
    return file


class Player:
    """A stranger's player, which is given a description and looks for video."""

    def __init__(self, file: Path) -> None:
        words = ["-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,udp,rtp,srtp,crypto"]
        words += ["-analyzeduration", "2000000", "-select_streams", "v", "-of", "json"]
        words += ["-show_entries", "stream=codec_name,width,height", str(file)]
        self._process = subprocess.Popen(
            ["ffprobe", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def sees(self) -> object:
        """The stream that it has seen, if any; it is not asked again."""
        self._process.kill()
        output, _ = self._process.communicate()
        return (json.loads(output or b"{}").get("streams") or [None])[0]


async def clip(family: int, folder: Path) -> None:
    """A real clip by real processes: a stranger's player opens it by its description, where it is SRTP with its key only."""
    file, received = folder / "clip.ts", folder / "received.ts"
    run(
        "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
        "-t", "3", "-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-b:v", "1M", "-f", "mpegts", str(file),
    )  # fmt: skip
    sender = Media(folder, "source", "source", media=str(file))
    enrolled = Media(folder, "enrolled", "receiver", media=str(received))
    stream = {"codec_name": "h264", "width": 320, "height": 240}
    async with started(sender, enrolled):
        await enrolled.order(receive(family, 1))
        await sender.order(send(family, 1))
        plain = description(folder / "plain.sdp", None)
        others = [Player(plain), Player(description(folder / "wrong.sdp", KEYS[9]))]
        player = Player(description(folder / "secure.sdp", KEYS[1]))
        await until(player.has_ended, "the player that has the key to see the stream")
        assert [each.sees() for each in (player, *others)] == [stream, None, None]
        await until(lambda: received.stat().st_size > file.stat().st_size, "the whole clip to be received")
        await enrolled.order(receive(family, 0))
        await sender.order(send(family, 0))
        player = Player(plain)
        await until(player.has_ended, "the player to see the stream that has no key")
        assert player.sees() == stream
    assert received.read_bytes().startswith(file.read_bytes())


async def orphan(family: int, folder: Path) -> None:
    """A source that cannot do as it is told says so; one whose role does not come back stops."""
    source_module.ORPHANED_S = 0.5
    path, reports = folder / "source.role", list[MediaReport]()
    role = Application(path, Counters(), lambda data: reports.append(decode_report(data)))
    source = Source(SourceConfiguration(orders=str(path), rate=100.0))
    thread = threading.Thread(target=lambda: source.send_all(source._synthetic(), time.monotonic()))
    thread.start()
    try:
        await until(lambda: reports, "the first report")
        role.deliver(encode(MediaOrder("send", GROUP[family], PORT, "none0")))
        await until(lambda: source._counters["failed.send.no-interface"], "the interface to be missed")
        assert {each.action for each in reports} == {"stop"}
        role.deliver(b"what the application says to others")
        role.deliver(encode(send(family, 1)))
        role.deliver(encode(receive(family, 1)))
        await until(lambda: reports[-1].action == "send" and source.sent > 20, "the source to send")
        assert source._counters["dropped.media-order"] == 1
        role.close()
        await until(lambda: source._counters["stopped.no-role"], "the source to stop")
        sent = source.sent
        role = Application(path, Counters(), lambda data: reports.append(decode_report(data)))
        reports.clear()
        await until(lambda: reports, "the source to report again")
        assert (reports[0].action, reports[0].packets, source.sent) == ("stop", sent, sent)
        role.deliver(encode(send(family, 2)))
        await until(lambda: source.sent > sent + 30, "the source to go on")
        assert source.behind < 20  # it does not make up for its pause of more than a second, which were 100 packets
    finally:
        source._stopping = True
        thread.join(DEADLINE_S)
        source.close()
        role.close()


SCENES = {"keys": keys, "clip": clip, "orphan": orphan}

if __name__ == "__main__":
    with member(int(sys.argv[2])):
        asyncio.run(SCENES[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])))

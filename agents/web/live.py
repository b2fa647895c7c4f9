"""What happens, for those who look on: the live block of a page is sent again when it has changed (server-sent events).

However much happens and however many look on, a page's block is made once a second at most, and all blocks together take a fifth of the
role's time at most. Who reads slowly is sent the newest, and misses what was between.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from agents.core.counters import Counters
from agents.core.pages import Page
from agents.web.rendering import Rendering

LISTENERS_MAXIMUM = 1024
LISTENERS_OF_ADDRESS_MAXIMUM = 128
PERIOD = 1.0  # s between two of a page
SHARE = 0.2  # of the role's time
HEARTBEAT = 15.0  # s without anything new, after which a comment shows who has gone
RETRY = 2000  # ms after which a browser connects again

_OVER = b"event: over\ndata: \n\n"


@dataclass(eq=False, slots=True)
class _Watched:
    """A page that is looked at: its block as an event (b"": it is over), when it was made (s), and who is told of a new one."""

    page: Page
    part: str
    event: bytes
    made: float
    listeners: set[asyncio.Event] = field(default_factory=set)


class Live:
    """Those who look on at the pages of one role."""

    def __init__(self, rendering: Rendering, counters: Counters) -> None:
        self._rendering = rendering
        self._counters = counters
        self._watched: dict[tuple[Page, str], _Watched] = {}
        self._changed: OrderedDict[_Watched, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._of_address: dict[str, int] = {}
        self.count = 0
        self._is_closing = False

    def told(self, details: Mapping[str, object]) -> None:
        """The role has told something: what it may concern is looked at again."""
        for watched in self._watched.values():
            part = watched.page.part
            if not part or str(details.get(part, watched.part)) == watched.part:
                self._changed.setdefault(watched)
        self._arm()

    async def follow(self, request: web.Request, page: Page, part: str) -> web.StreamResponse:
        """Send a page's block, and again when it has changed, until one of both has had enough."""
        address = request.remote or ""
        if self._is_closing or not self._admits(address):
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"})
        watched = self._watch(page, part)
        if watched is None:
            raise web.HTTPNotFound
        changed = asyncio.Event()
        changed.set()
        watched.listeners.add(changed)
        self.count += 1
        self._of_address[address] = self._of_address.get(address, 0) + 1
        try:
            return await self._send(request, watched, changed)
        finally:
            self.count -= 1
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
            watched.listeners.discard(changed)
            if not watched.listeners and self._watched.get((page, part)) is watched:
                del self._watched[page, part]
                self._changed.pop(watched, None)

    def close(self) -> None:
        """Nobody is told any more."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        for watched in self._watched.values():
            for listener in watched.listeners:
                listener.set()

    def _admits(self, address: str) -> bool:
        if self.count >= LISTENERS_MAXIMUM or self._of_address.get(address, 0) >= LISTENERS_OF_ADDRESS_MAXIMUM:
            self._counters.add("refused.web.too-many-live")
            return False
        return True

    def _watch(self, page: Page, part: str) -> _Watched | None:
        watched = self._watched.get((page, part))
        if watched is None:
            block = self._rendering.live(page, part)
            if block is None:
                return None
            now = asyncio.get_running_loop().time()
            watched = self._watched[page, part] = _Watched(page, part, _event(block), now)
        return watched

    async def _send(self, request: web.Request, watched: _Watched, changed: asyncio.Event) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await response.write(f"retry: {RETRY}\n\n".encode())
        while not self._is_closing:
            if changed.is_set():
                changed.clear()
                await response.write(watched.event or _OVER)
                if not watched.event:
                    break
            else:
                await response.write(b":\n\n")
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await changed.wait()
            except TimeoutError:
                pass
        return response

    def _arm(self, wait: float = 0.0) -> None:
        """Look at the first that may have changed, when its time has come."""
        if self._timer is None and self._changed and not self._is_closing:
            loop = asyncio.get_running_loop()
            first = next(iter(self._changed))
            self._timer = loop.call_at(max(loop.time() + wait, first.made + PERIOD), self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._changed:
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        watched, _ = self._changed.popitem(last=False)
        try:
            block = self._rendering.live(watched.page, watched.part)
            event = b"" if block is None else _event(block)
            watched.made = loop.time()
            if event != watched.event:
                watched.event = event
                for listener in watched.listeners:
                    listener.set()
            if not event:
                self._watched.pop((watched.page, watched.part), None)
        finally:
            self._arm((loop.time() - began) * (1 / SHARE - 1))


def _event(block: str) -> bytes:
    return f"event: block\ndata: {json.dumps(block)}\n\n".encode()

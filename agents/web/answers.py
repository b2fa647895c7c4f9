"""Answers to requests: which page, in which form, behind which headers.

There are as few ways as there are pages: an address leads to a page of the role, to a form of it, to its live block, or to one of the files
in ``static``, which are read once. No name in a request ever becomes that of a file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import web

from agents.core.agent import Agent
from agents.core.counters import Counters
from agents.core.pages import Form, Page, Pages
from agents.web.connections import Connection
from agents.web.live import Live
from agents.web.rendering import AHEAD, HERE, BusyError, Rendering

OFFSET_DIGITS = 7
HTML, JSON = "text/html", "application/json"

HEADERS = {
    # Nothing inline, nothing from elsewhere, in nobody's frame: what somebody has written stays text.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept",
    "Cache-Control": "no-cache",
    "Server": "agents",
}
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def preferred(accept: str, offered: tuple[str, ...]) -> str:
    """Which of the media types that are ``offered`` an Accept header wants most; the first where it wants none."""
    best, most = offered[0], 0.0
    wanted = dict(map(_weighed, accept.split(",")))
    for kind in offered:
        ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
        weight = next((wanted[each] for each in ranges if each in wanted), 0.0)
        if weight > most:
            best, most = kind, weight
    return best


def _weighed(part: str) -> tuple[str, float]:
    kind, *parameters = (each.strip().lower() for each in part.split(";"))
    try:
        return kind, next((float(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
    except ValueError:
        return kind, 0.0


class Answers:
    """The pages of one role; ``live`` has those who look on."""

    def __init__(self, pages: Pages, agent: Agent, counters: Counters) -> None:
        self._agent = agent
        self._counters = counters
        self._rendering = Rendering(pages, agent)
        self.live = Live(self._rendering, counters)
        self._files = {file.name: (KINDS[file.suffix], file.read_bytes()) for file in (HERE / "static").iterdir()}
        self.application = web.Application(middlewares=[self._around])
        self.application.on_response_prepare.append(self._headed)
        get = self.application.router.add_get
        get("/static/{name}", self._file)
        for page in pages.pages:
            path = page.path.replace(f"{{{page.part}}}", "{part:[^/.{}]+}")
            get(path, partial(self._page, page))
            if path == "/":  # has no name that a suffix could follow
                continue
            get(f"{path}.json", partial(self._page, page, form=JSON))
            for form in page.forms:
                get(f"{path}{form.suffix}", partial(self._form, form))
            if page.is_live:
                get(f"{path}.live", partial(self._live, page))

    async def _page(self, page: Page, request: web.Request, form: str = "") -> web.StreamResponse:
        if not form:
            kinds = (HTML, JSON, *(each.kind for each in page.forms))
            form = preferred(request.headers.get("Accept", HTML), kinds)
        other = next((each for each in page.forms if each.kind == form), None)
        if other is not None:
            return await self._form(other, request)
        part, offset = request.match_info.get("part", ""), request.query.get("offset", "0")
        if not (offset.isascii() and offset.isdecimal() and len(offset) <= OFFSET_DIGITS):
            raise web.HTTPBadRequest(reason="offset: give a number of up to 7 digits")
        make = self._rendering.json if form == JSON else self._rendering.html
        try:
            return _response(make(page, part, int(offset)), form)
        except BusyError:
            self._counters.add("refused.web.busy")
            raise web.HTTPServiceUnavailable(headers={"Retry-After": f"{AHEAD:.0f}"}) from None

    async def _form(self, form: Form, request: web.Request) -> web.StreamResponse:
        part = request.match_info.get("part", "")
        response = _response(form.content(self._agent, part), form.kind)
        if part.isalnum() and part.isascii():
            response.headers["Content-Disposition"] = f'inline; filename="{part}{form.suffix}"'
        return response

    async def _live(self, page: Page, request: web.Request) -> web.StreamResponse:
        return await self.live.follow(request, page, request.match_info.get("part", ""))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        kind, content = self._files.get(request.match_info["name"], ("", None))
        response = _response(content, kind)
        response.headers["Cache-Control"] = "max-age=300"
        return response

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count it, and make a page of what went wrong."""
        if isinstance(request.protocol, Connection):
            request.protocol.requested()
        self._counters.add("received.web.request")
        headers: Mapping[str, str] = {}
        try:
            return await handler(request)
        except web.HTTPException as error:
            status, reason = error.status, error.reason
            headers = {name: value for name, value in error.headers.items() if name in {"Allow", "Retry-After"}}
        except (ConnectionError, asyncio.CancelledError):  # the browser has gone
            raise
        except Exception as error:  # noqa: BLE001  any fault of a page's; others go on
            context = {"message": f"no page can be made for {request.path!r}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            status, reason = 500, "This page cannot be made; the operator's log says why."
        self._counters.add(f"answered.web.{status}")
        if preferred(request.headers.get("Accept", HTML), (HTML, JSON)) == JSON:
            body, kind = json.dumps({"error": reason}).encode(), JSON
        else:
            body, kind = self._rendering.error(status, reason), HTML
        response = _response(body, kind, status)
        response.headers.update(headers)
        if status == 405:  # it may have more to say, which nobody reads
            response.force_close()
        return response

    async def _headed(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.pop("Server", None)  # the library's
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)


def _response(content: bytes | None, kind: str, status: int = 200) -> web.Response:
    if content is None:
        raise web.HTTPNotFound
    charset = "utf-8" if kind.startswith("text/") else None
    return web.Response(body=content, content_type=kind, charset=charset, status=status)

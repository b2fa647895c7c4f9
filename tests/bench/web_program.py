"""Serves a page on the loopback interface: `web_program PORT`, GMP's list of 1,000 sessions; `web_program PORT FILE`, that by a bare handler.

The bare handler does nothing but answer with what is in a file, in the same framework.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from agents.core.agent import Endpoint
from agents.gmp.constants import MemberType
from agents.gmp.pages import PAGES
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration
from agents.gmp.session import Description, Member, Session, SessionInput
from agents.web.server import WebServer

SESSIONS = 1000
SDP = "v=0\no=- {0} 1 IN IP4 10.0.0.3\ns=lecture {0}\nc=IN IP4 239.1.1.1/16\nt=0 0\nm=video 5004 RTP/AVP 33\n"


def filled() -> Server:
    """A server with sessions."""
    server = Server(ServerConfiguration(durable=False))
    server.keeps_history = False
    for number in range(1, SESSIONS + 1):
        creator = Member(1, f"host {number}", MemberType.CREATOR, Endpoint("10.0.0.3", number))
        session = Session(server, number, creator, is_secure=number % 3 == 0, is_closed=number % 2 == 0)
        session.add(creator)
        session.machine.move(SessionInput.DESCRIBED)
        session.describe(Description(f"Lecture {number}", SDP.format(number), "239.1.1.1", 5004, owner="somebody"))
        server.sessions[number] = session
    return server


async def serve(port: int, content: bytes | None) -> None:
    if content is None:
        pages = WebServer(f"127.0.0.1:{port}", PAGES, filled())
        await pages.open()
        await pages.serve()
    else:

        async def answer(_request: web.Request) -> web.Response:
            return web.Response(body=content, content_type="text/html", charset="utf-8")

        application = web.Application()
        application.router.add_get("/", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes() if len(sys.argv) > 2 else None))

"""A UDP socket in an asyncio loop without any protocol: what the agents' figures are held against.

``bare_loop.py PORT [all]`` drains its socket at each wake-up, as the agents' runtime does, and sends back what begins with one of
the octets 1 (as an SM answers SJR) or 5 (as an LMC answers ULR), or all; the rest it only takes. Run as a process of its own.
"""

from __future__ import annotations

import asyncio
import socket
import sys

ANSWERED = frozenset((1, 5))
ALL = frozenset(range(256))
DATAGRAMS_PER_WAKE_UP = 256


async def serve(port: int, answered: frozenset[int]) -> None:
    """Echo forever what begins with one of the octets ``answered``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", port))
        here.setblocking(False)

        def drain() -> None:
            for _ in range(DATAGRAMS_PER_WAKE_UP):
                try:
                    data, source = here.recvfrom(2048)
                except BlockingIOError:
                    return
                if data[0] in answered:
                    here.sendto(data, source)

        asyncio.get_running_loop().add_reader(here, drain)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), ALL if sys.argv[2:] == ["all"] else ANSWERED))

"""Run by a test in a network namespace of its own: an IPv6 group of each scope, heard on the interface it was joined on."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from agents.core.agent import Endpoint, GroupJoined, JoinGroup, SendDatagram
from agents.core.room import Port
from tests.agents.hosts import running, told, until
from tests.agents.roles import Asking

OWN, NUMBER = "2001:db8::1", 7777
SET_UP = (
    "ip link add one type veth peer name other",
    "ip link set one up",
    "ip link set other up",
    f"ip address add {OWN}/64 dev one nodad",
    "ip address add 2001:db8:1::1/64 dev other nodad",
)


async def scene(group: str) -> None:
    """One role hears on both interfaces, another speaks on one of them."""
    joins = [JoinGroup(group, name, port=NUMBER, listen=name) for name in ("one", "other")]
    agent = Asking(*joins)
    async with running(agent, Port("", NUMBER, family=6)):
        events = await told(agent, GroupJoined, 2)
        assert all(event.succeeded for event in events), events
        speaker = Asking(SendDatagram(group.encode(), Endpoint(group, NUMBER), dscp=10, interface="one"))
        async with running(speaker, Port("", 0, address=OWN, family=6)):
            await until(lambda: len(agent.heard) == 2)
            assert speaker.counters == {}
        # Its own link gives it back to it; the other end of the cable hears it too, being the next link.
        assert {(port, data, source.address) for port, data, source in agent.heard} == {
            ("one", group.encode(), OWN),
            ("other", group.encode(), OWN),
        }


if __name__ == "__main__":
    for words in SET_UP:
        subprocess.run(words.split(), check=True)
    for each in sys.argv[1:]:
        asyncio.run(scene(each))
        print("heard", each)

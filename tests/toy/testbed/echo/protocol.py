"""Echo's world: clients on a faulty network, and a server whose machine dies every five seconds."""

from collections.abc import Iterator

from agents.echo.protocol import PROTOCOL as ROLES
from agents.echo.roles import Client, Configuration, Echo, Server

from agents.core.agent import Notify
from testbed.protocol import Protocol
from testbed.run.options import Values, number_option
from testbed.sim.faults import Faults
from testbed.sim.node import Node
from testbed.sim.world import Simulation, World

GIVEN = Configuration("239.7.7.7", "lan", enough=1_000_000)
DIES_EVERY_S = 5.015  # in the middle of what an announcement sets off


class EchoWorld(World):
    """``given``: by client, the numbers of all answers that it has had."""

    def __init__(self, values: Values, faults: Faults) -> None:
        super().__init__(values.number("seed"), faults)
        server, client = (role.ports(GIVEN) for role in ROLES.roles)
        self.server = self.add("server", Server(GIVEN), "10.0.0.1/24", server)
        self.given: dict[str, set[int]] = {f"client{number}": set() for number in range(values.number("clients"))}
        for number, name in enumerate(self.given, 2):
            self.add(name, Client(GIVEN), f"10.0.0.{number}/24", client)
        self.later(DIES_EVERY_S, self.die)

    def die(self) -> None:
        self.replace(self.server, Server(GIVEN))
        self.later(DIES_EVERY_S, self.die)

    def notified(self, node: Node, notice: Notify) -> None:
        self.given[node.name].add(int(str(notice.details["number"])))

    def inspect(self) -> Iterator[tuple[str, str]]:
        yield from (("answered", f"{name} had no answer") for name, numbers in self.given.items() if not numbers)
        if len(set[int]().union(*self.given.values())) < sum(map(len, self.given.values())):
            yield "counted-once", "a number was given to two clients"
        for node in self.nodes.values():
            if isinstance(node.agent, Echo) and len(node.agent.framers) > len(self.given):  # one of each is under way
                yield "lets-go", f"{node.name} keeps {len(node.agent.framers)} streams"


PROTOCOL = Protocol("echo", (Simulation(
    "echo", "Echo: clients ask a server that dies now and then.", "A server counts its answers on disk.", EchoWorld,
    (number_option("clients", "Clients", "5", 1, 200),),
    {"answered": "every client has had an answer", "counted-once": "no two clients have had an answer of one number",
     "lets-go": "nobody keeps streams that have been answered or broken off"},
    EchoWorld.inspect, has_streams=True,
),))  # fmt: skip

r"""Two clients hear a server through a router and ask it both ways; between them it is killed, and must not count anew.

::

    server ──── r ──── client
"""

from testbed.net.model import End, Lab, Link, Node, Stream
from testbed.routing.pim import FRR
from testbed.run.laboratory import Conclusion, Measurements, RunningLab, Topology
from testbed.run.options import Values, family_option


def build(values: Values) -> Lab:
    """The model, IPv4 or IPv6."""
    at = "10.7.{}.{}/24" if values.family == 4 else "2001:db8:7:{}::{}/64"
    links = (Link(End(name, f"{name}-r", at.format(number, 2)), End("r", f"r-{name}", at.format(number, 1)))
             for number, name in enumerate(("server", "client"), 1))  # fmt: skip
    return Lab("echo", values.family, (Node("server"), Node("r", "router", FRR), Node("client")), links=tuple(links),
               streams=(Stream("239.7.7.7" if values.family == 4 else "ff1e::7", "server"),),
               rendezvous_point=at.format(1, 1).partition("/")[0])  # fmt: skip


def perform(lab: RunningLab) -> Measurements:
    """Start, wait for an answer, kill."""
    measured, last, group = Measurements(), 0, lab.model.group
    lab.steps.add("parameters", lab="echo", family=lab.model.family, group=group, echo={})
    for name in ("first", "second"):
        configurations = ({"group": group, "interface": f"{node}-r"} for node in ("server", "client"))
        server = lab.roles.start("server", "server", ("echo", "server"), next(configurations), keeps=True)
        lab.roles.await_ready(server)
        client = lab.roles.start(name, "client", ("echo", "client"), next(configurations), ends=True)
        said = lab.network.processes.wait_for_log(client.process, r"answered number=(\d+) text=stream", 20)
        measured.failures += [] if int(said[1]) > last else [f"{name} was given {said[1]} after {last}"]
        last = int(said[1])
        lab.steps.add("crash", role="server")
        lab.network.processes.kill(server.process)
        lab.roles.stop(client)
    return measured


TOPOLOGY = Topology("echo", "a server answers and counts, whatever happens to it", (family_option(),), build, perform,
                    lambda _values, _measured, _verdict: Conclusion(), roles=("first", "second"))  # fmt: skip

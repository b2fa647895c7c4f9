"""The console of a running lab: Mininet's own, over the lab's nodes, with the commands of `testbed.shell.commands`.

The nodes are Mininet's in name and behaviour, but nothing here makes or configures anything: their interfaces, addresses and
links are the model's, and what is run in them is started as everything in a lab is. Whatever needs a terminal (a command in a
node) is not run here but by whoever has typed it.
"""

from __future__ import annotations

import inspect
import io
import logging
import subprocess
from cmd import Cmd
from collections.abc import Sequence
from functools import cached_property
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

from mininet.cli import CLI
from mininet.log import lg
from mininet.net import Mininet

from testbed.host.entering import TOOLS, provide_tools
from testbed.host.processes import ManagedProcess
from testbed.net.model import End
from testbed.shell.commands import ConsoleError, LabCommands

if TYPE_CHECKING:
    from testbed.run.laboratory import RunningLab

COMMAND_DEADLINE_S = 60.0
"""For a command that Mininet runs in a node for one of its own, such as a ping."""

FROM_ROUTING_ROOT = ("ping", "tcpdump", "nft", "tc")
"""What a person may want in a node and the host may lack; the host's own come first."""

_OF_SWITCHES = {
    "dpctl",
    "switch",
    "wait",
    "ports",
    "iperf",
    "iperfudp",
    "x",
    "xterm",
    "gterm",
    "noecho",
    "source",
    "EOF",
}
"""Mininet's commands that have no meaning here: OpenFlow's, and those of a terminal, which whoever types has."""


class _Interface:
    """An interface as Mininet's commands look at it."""

    def __init__(self, end: End) -> None:
        self.name, self.address = end.interface, str(ip_interface(end.address).ip)
        self.link: _Link | None = None

    def __str__(self) -> str:
        return self.name

    def updateIP(self) -> str:  # noqa: N802  # Mininet's name
        """Its address, in the model's beginning."""
        return self.address


class _Link:
    """A link as Mininet's commands look at it."""

    def __init__(self, first: _Interface, second: _Interface, lab: RunningLab, nodes: tuple[str, str]) -> None:
        self.intf1, self.intf2 = first, second
        self._lab, self._nodes = lab, nodes
        first.link = second.link = self

    def __str__(self) -> str:
        return f"{self.intf1}<->{self.intf2}"

    def status(self) -> str:
        """Whether its ends have carrier."""
        ends = zip(self._nodes, (self.intf1, self.intf2), strict=True)
        carriers = (self._lab.network.namespace(node).state(str(end)).carrier for node, end in ends)
        return "({})".format(" ".join("OK" if carrier else "DOWN" for carrier in carriers))


class _Node:
    """A node as Mininet's commands look at it."""

    waiting = False

    def __init__(self, name: str, lab: RunningLab) -> None:
        self.name, self._lab = name, lab
        self.pid = lab.network.pid(name)
        self.intfs = dict(enumerate(map(_Interface, lab.model.ends_of(name))))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        kind = self._lab.model.node(self.name).kind
        shown = ",".join(f"{each}:{each.address}" for each in self.intfList())
        return f"<{kind} {self.name}: {shown} pid={self.pid}>"

    def intfList(self) -> list[_Interface]:  # noqa: N802  # Mininet's name
        """Its interfaces."""
        return list(self.intfs.values())

    def intfNames(self) -> list[str]:  # noqa: N802  # Mininet's name
        """Their names."""
        return [each.name for each in self.intfList()]

    def defaultIntf(self) -> _Interface | None:  # noqa: N802  # Mininet's name
        """The first of its interfaces."""
        return self.intfs.get(0)

    def IP(self, _interface: object = None) -> str | None:  # noqa: N802  # Mininet's name
        """Its first address."""
        return self.intfs[0].address if self.intfs else None

    def cmd(self, *words: object, **_options: object) -> str:
        """What a shell command in the node says."""
        line = " ".join(map(str, words))
        process = self._lab.network.popen(
            self.name,
            ["bash", "-c", f"PATH=$PATH:{TOOLS}; {line}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, _ = process.communicate(timeout=COMMAND_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        return said.decode(errors="replace")


def _as_mininet(lab: RunningLab) -> Any:
    """The lab as Mininet's own commands want it."""
    network: Any = Mininet(build=False, controller=None)
    network.hosts = [_Node(node.name, lab) for node in lab.model.nodes]
    network.nameToNode = {node.name: node for node in network.hosts}
    ends = {(node.name, end.name): end for node in network.hosts for end in node.intfList()}
    network.links = [
        _Link(
            ends[link.first.node, link.first.interface],
            ends[link.second.node, link.second.interface],
            lab,
            (link.first.node, link.second.node),
        )
        for link in lab.model.links
    ]
    return network


class _Refused(logging.Handler):
    """Hears whether Mininet says that something is wrong, which it says as it says all else."""

    said = False

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, _record: logging.LogRecord) -> None:
        """Somebody has said so."""
        self.said = True


class LabConsole(LabCommands, CLI):  # type: ignore[misc]  # Mininet has no types
    """Answers lines about one running lab, one at a time."""

    def __init__(self, lab: RunningLab) -> None:
        Cmd.__init__(self, stdin=io.StringIO(), stdout=io.StringIO())  # not CLI's, which begins to read lines
        self.lab, self.locals = lab, {"lab": lab}
        self._wanted: dict[str, Any] | None = None
        self._refused = _Refused()
        self._told_of: set[ManagedProcess] = set()
        if lab.network.routing_root is not None:
            provide_tools(lab.network.routing_root, FROM_ROUTING_ROOT)

    @cached_property
    def mn(self) -> Any:
        """The lab as Mininet's commands want it, made when somebody asks: most labs are run without."""
        return _as_mininet(self.lab)

    def say(self, text: str) -> None:
        """Put a line into the answer."""
        self.stdout.write(text + "\n")

    def do_sh(self, line: str) -> None:
        """Run a shell command outside of all nodes, where the cells' bridges are.

        sh COMMAND
        Example: sh bridge link
        """
        self.run(None, ["bash", "-c", line])

    def run(self, node: str | None, argv: Sequence[str], into: Sequence[str] = ()) -> None:
        """Have whoever has typed the line run a program in a node, its output going ``into`` a module of ours if one is named."""
        self._wanted = {"node": node, "argv": list(argv), "into": list(into)}

    def close(self) -> None:
        """End what was begun and not ended."""
        if self.recording is not None:
            self.do_capture("off")

    def hello(self) -> dict[str, Any]:
        """What whoever is to ask needs to know."""
        model, network = self.lab.model, self.lab.network
        nodes = [node.name for node in model.nodes]
        cells = [cell.name for cell in model.points_of_attachment]
        return {
            "lab": model.name,
            "family": model.family,
            "nodes": {name: network.pid(name) for name in nodes},
            "words": [*nodes, *cells, *self.lab.roles.running, *filter(None, (model.group,))],
            "commands": {name: inspect.getdoc(getattr(self, f"do_{name}")) or "" for name in self._names()},
        }

    def _names(self) -> list[str]:
        names = {name.removeprefix("do_") for name in self.get_names() if name.startswith("do_")}
        return sorted(names - _OF_SWITCHES)

    def answer(self, line: str) -> dict[str, Any]:
        """Do what a line says; what Mininet prints meanwhile is part of the answer."""
        self.stdout, self._wanted, ok = io.StringIO(), None, True
        before = lg.ch.setStream(self.stdout)
        lg.addHandler(self._refused)
        self._refused.said = False
        try:
            self.onecmd(line)
        except (RuntimeError, ValueError, OSError) as error:
            ok = False
            self.say(f"error: {error}")
        finally:
            lg.removeHandler(self._refused)
            if before is not None:
                lg.ch.setStream(before)
        for process in {process for process in self.lab.network.processes if _has_died(process)} - self._told_of:
            self._told_of.add(process)
            self.say(f"{process.name} on {process.node} has ended: see logs/{process.name}.log")
        return {"ok": ok and not self._refused.said, "text": self.stdout.getvalue(), "run": self._wanted}

    def default(self, line: str) -> None:
        """``NODE COMMAND``: to be run in a node, with the names of nodes replaced by their addresses, as Mininet does."""
        node, _, rest = line.strip().partition(" ")
        if node not in self.mn:
            raise ConsoleError(f"no command {node!r}, and no node; `help` shows the commands, `nodes` the nodes")
        if not rest.strip():
            raise ConsoleError(f"{node}: give a command, such as {node} ip address")
        words = [(self.mn[word].IP() or word) if word in self.mn else word for word in rest.split(" ")]
        self.run(node, ["bash", "-c", " ".join(words)])

    def onecmd(self, line: str) -> Any:
        """As Cmd's, without the commands that make no sense here."""
        name, _, _ = self.parseline(line)
        return self.default(line) if name in _OF_SWITCHES else super().onecmd(line)


def _has_died(process: ManagedProcess) -> bool:
    status = process.popen.poll()
    return status is not None and not process.stopping and not (process.may_end and status == 0)

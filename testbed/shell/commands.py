"""What a running lab can be asked to tell and to do, beside what Mininet's own console can.

Each ``do_NAME`` takes the words after its name and answers with text; its docstring is its help. ``ConsoleError`` says what
is wrong with a line, or why it could not be done.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from testbed.host.processes import ManagedProcess, describe_status
from testbed.net.model import PERFECT, Radio
from testbed.net.observation import groups_joined
from testbed.net.quality_text import parse_quality
from testbed.net.wires import Wire, between
from testbed.routing.tree import forwarding_tree
from testbed.run.mobility import attach, carry, detach, move
from testbed.run.options import duration
from testbed.run.recording import Recording, draw, merge

if TYPE_CHECKING:
    from testbed.run.laboratory import RunningLab

GAP_S, OVERLAP_S = 0.05, 0.2
LONGEST_S = 60.0
EVENTS = 20


class ConsoleError(ValueError):
    """A line that cannot be done; says why, and what can."""


def table(rows: Iterable[Sequence[object]], titles: Sequence[str]) -> str:
    """Columns as wide as they need; "none" without rows."""
    lines = [titles, *([str(cell) for cell in row] for row in rows)]
    if len(lines) == 1:
        return "none"
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class LabCommands:
    """The commands about one running lab.

    ``say`` prints; ``run`` asks whoever typed the line to run a program in a node, with its output into a module of ours if one
    is named.
    """

    lab: RunningLab
    say: Callable[[str], None]
    run: Callable[[str | None, Sequence[str], Sequence[str]], None]
    recording: Recording | None = None

    def do_move(self, line: str) -> None:
        """Move a mobile node to another cell, or take its link away.

        move NODE CELL [gap 50ms] [overlap 200ms]     move NODE nowhere

        The agents on the node are told of the cell, as a radio would that detects it; `overlap` later the link goes, and `gap`
        after that it is there in the new cell. On a node without agents address and default route are changed as well.
        Example: move mn poa2 gap 20ms
        """
        words = line.split()
        settings = {"gap": GAP_S, "overlap": OVERLAP_S}
        for name, value in zip(words[2::2], [*words[3::2], ""], strict=False):
            if name not in settings:
                raise ConsoleError(f"{name!r}: give gap or overlap and a time, such as gap 20ms")
            settings[name] = duration(value, 0.0, LONGEST_S)
        if len(words) < 2:
            raise ConsoleError("move NODE CELL, such as: move mn poa2")
        node, cell = words[:2]
        radio, at = self._radio(node, cell)
        if cell == "nowhere":
            detach(self.lab.network, radio, self.lab.steps, mn=node)
            self.say(f"{node} has no link")
            return
        if at is None:
            attach(self.lab.network, radio, cell, self.lab.steps, mn=node)
            self.say(f"{node} is in {cell}")
            return
        told = [role for role in self.lab.roles.running.values() if role.node == node and self._told(role, radio, cell)]
        if told:
            time.sleep(settings["overlap"])  # what was asked for
            done = move(self.lab.network, radio, cell, settings["gap"], self.lab.steps, mn=node)
            gap_ms = (done.link_up_ns - done.link_down_ns) / 1e6
            self.say(
                f"{node}: {at} → {cell}, {gap_ms:.1f} ms without link; {', '.join(r.name for r in told)} told before"
            )
        else:
            carry(self.lab.network, radio, cell)
            self.say(f"{node}: {at} → {cell}, with its address there")

    def _radio(self, node: str, cell: str) -> tuple[Radio, str | None]:
        """The radio that is meant, and the cell it is in."""
        cells = {each.name for each in self.lab.model.points_of_attachment}
        if cell not in cells | {"nowhere"}:
            raise ConsoleError(f"there is no cell {cell!r}; cells: {', '.join(sorted(cells))}")
        radios = self.lab.model.radios_of(node)
        if not radios:
            mobile = sorted({radio.node for radio in self.lab.model.radios})
            raise ConsoleError(f"{node!r} is no mobile node; mobile nodes: {', '.join(mobile) or 'none'}")
        able = [radio for radio in radios if cell == "nowhere" or cell in dict(radio.addresses)]
        if not able:
            raise ConsoleError(f"{node} has no address in {cell}")
        linked = [each for each in able if self.lab.network.namespace(node).state(each.interface).carrier]
        if not linked:
            return able[0], None
        return linked[0], self.lab.network.sandbox_namespace.state(linked[0].bridge_port).master

    @staticmethod
    def _told(role: Any, radio: Radio, cell: str) -> bool:
        """Whether a role takes to be told of a cell that its node hears."""
        if not role.is_ours or not role.process.running or not role.control.exists():
            return False
        try:
            role.ask("link-event", event="link_detected", interface=radio.interface, point_of_attachment=cell)
        except RuntimeError:
            return False
        return True

    def do_tree(self, line: str) -> None:
        """Show the forwarding tree of a group, router by router, from the kernels' tables.

        tree [GROUP] [svg]     without GROUP: the lab's own; svg: as a picture too, tree.svg in the run's folder
        Example: tree 239.1.1.1
        """
        words = line.split()
        picture = words[-1:] == ["svg"]
        tree = forwarding_tree(self.lab.network, self._group(" ".join(words[: len(words) - picture])))
        self.say(str(tree))
        if picture:
            file = self.lab.network.run_folder / "tree.svg"
            file.write_text(draw(self.lab.model, tree.sending), encoding="utf-8")
            self.say(str(file))

    def _group(self, text: str) -> str:
        text = text or self.lab.model.group
        if not text:
            raise ConsoleError("the lab has no group: name one, such as tree 239.1.1.1")
        try:
            group = ip_address(text)
        except ValueError:
            raise ConsoleError(f"{text!r} is no address of a group, such as 239.1.1.1 or ff1e::1") from None
        if not group.is_multicast or group.version != self.lab.model.family:
            raise ConsoleError(f"{text} is no IPv{self.lab.model.family} multicast group")
        return str(group)

    def do_members(self, _line: str) -> None:
        """Show which groups programs on each host are members of.

        members
        """
        hosts = (node.name for node in self.lab.model.nodes if node.kind == "host")
        found = ((node, _of_note(groups_joined(self.lab.network, node))) for node in hosts)
        self.say(table(((node, ", ".join(groups)) for node, groups in found if groups), ("node", "groups")))

    def do_agents(self, line: str) -> None:
        """Show the roles that run, or what one says of itself.

        agents           every role: node, process, whether it runs
        agents NAME      its state and what it has counted, if it is one of ours
        Example: agents lmc1
        """
        name = line.strip()
        if not name:
            rows = ((p.name, p.node, p.popen.pid, describe_status(p.popen.poll())) for p in self._role_processes())
            self.say(table(rows, ("role", "node", "process", "state")))
            return
        role = self.lab.roles.running.get(name)
        if role is None:
            raise ConsoleError(f"there is no role {name!r}; roles: {', '.join(self.lab.roles.running) or 'none'}")
        for word in ("state", "counters"):
            self.say(json.dumps(role.ask(word), indent=2))

    def _role_processes(self) -> Iterator[ManagedProcess]:
        return (role.process for role in self.lab.roles.running.values())

    def do_kill(self, line: str) -> None:
        """Kill a process of the lab at once, as SIGKILL does: a role, a daemon, a recorder. Its peers have to notice.

        kill NAME        `kill` alone shows the names
        Example: kill lmc1
        """
        nodes = {
            node.name for node in self.lab.model.nodes
        }  # what keeps the nodes and links themselves is no part of the lab
        running = {each.name: each for each in self.lab.network.processes if each.node in nodes and each.running}
        name = line.strip()
        if name not in running:
            raise ConsoleError(f"no process {name!r} runs; there are {', '.join(running)}")
        self.lab.network.processes.kill(running[name])
        self.lab.steps.add("crash", role=name)
        self.say(f"{name} is killed")

    def do_events(self, line: str) -> None:
        """Show what has happened so far: the scenario's steps and the links that came and went.

        events [NUMBER]     the last NUMBER (20); times are seconds since the lab began
        """
        text = line.strip() or str(EVENTS)
        if not text.isdecimal():
            raise ConsoleError(f"{text!r} is no number of events")
        lines = (self.lab.network.run_folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
        steps = [json.loads(each) for each in lines]
        begun = steps[0]["t_ns"] if steps else 0
        for step in steps[-int(text) :] if int(text) else []:
            details = (f"{name}={value}" for name, value in step.items() if name not in ("t_ns", "step"))
            said = " ".join(details)
            self.say(
                f"{(step['t_ns'] - begun) / 1e9:9.3f} s  {step['step']:16} {said if len(said) < 120 else said[:119] + '…'}"
            )

    def do_capture(self, line: str) -> None:
        """Record every link, or end that and join what was recorded into lab.pcapng.

        capture on       from now on; `python -m captures show --follow` shows it live
        capture off      writes lab.pcapng into the run's folder
        """
        word, folder = line.strip() or "on", self.lab.network.run_folder
        if word == "on":
            if self.recording is not None or (folder / "capture").exists():
                raise ConsoleError(f"every link is recorded already, in {folder / 'capture'}")
            self.recording = Recording(self.lab.network)
            self.recording.start()
            self.say(f"every link is recorded, in {folder / 'capture'}")
        elif word == "off":
            if self.recording is None:
                raise ConsoleError("nothing is recorded that `capture on` has begun")
            self.recording.stop()
            self.recording = None
            self.say(f"{merge(folder)}")
        else:
            raise ConsoleError("capture on, or capture off")

    def do_wireshark(self, line: str) -> None:
        """Show the packets of a node as they come: in Wireshark, or without a display by tshark in this terminal.

        wireshark NODE [INTERFACE]     Ctrl-C ends it
        Example: wireshark ar1
        """
        node, *interface = line.split() or [""]
        self._known_node(node)
        root = self._routing_root()
        argv = [
            "chroot",
            root,
            "tcpdump",
            "-i",
            *(interface[:1] or ["any"]),
            "-s",
            "2048",
            "-n",
            "-U",
            "-Z",
            "root",
            "-w",
            "-",
        ]
        self.run(node, argv, ("captures", "wireshark", "--stdin"))

    def do_vtysh(self, line: str) -> None:
        """Talk to FRR on a router: a shell, or one command.

        vtysh NODE [COMMAND]
        Example: vtysh ar1 show ip mroute
        """
        node, _, command = line.strip().partition(" ")
        self._known_node(node)
        if self.lab.model.node(node).kind != "router":
            raise ConsoleError(f"{node} is no router; routers: {', '.join(r.name for r in self.lab.model.routers())}")
        running = [process.name for process in self.lab.network.processes if process.node == node and process.running]
        if f"{node}-zebra" not in running:
            raise ConsoleError(f"FRR does not run on {node}; there {', '.join(running) or 'no daemon'} runs")
        argv = ["chroot", self._routing_root(), "vtysh", "-N", node]
        self.run(node, [*argv, "-c", command] if command else argv, ())

    def _known_node(self, name: str) -> None:
        names = [node.name for node in self.lab.model.nodes]
        if name not in names:
            raise ConsoleError(f"there is no node {name!r}; nodes: {', '.join(names)}")

    def _routing_root(self) -> str:
        if self.lab.network.routing_root is None:
            raise ConsoleError("this lab has no routing daemons")
        return str(self.lab.network.routing_root)

    def do_link(self, line: str) -> None:
        """Change what a link does to packets, take it away, or give it back.

        link NODE NODE up|down
        link NODE NODE perfect
        link NODE NODE [delay 20ms] [jitter 2ms] [loss 1%] [duplicate 1%] [reorder 1%] [rate 10mbit] [queue 100] [back …]
        The second node may be a cell, or `air` for a mobile node. Both ways are changed alike; what stands behind `back` is for the
        way from the second to the first. Of a lab under `testbed run` only links that are not perfect can be changed.
        Example: link rr ar1 delay 20ms loss 1%
        """
        first, second, *words = [*line.split(), "", ""][: max(2, len(line.split()))]
        network = self.lab.network
        found = between(network.model, first, second)
        text, _, back = " ".join(words).partition("back ")
        if text.strip() in ("up", "down"):
            for wire, _ in found:
                self._carry(wire, up=text.strip() == "up")
        elif text.strip() == "perfect":
            network.links.change(first, second, PERFECT)
        elif words:
            network.links.change(first, second, parse_quality(text), parse_quality(back) if back else None)
        else:
            raise ConsoleError("say what the link is to do, such as delay 20ms loss 1%, perfect, down or up")
        self.lab.steps.add("link", first=first, second=second, asked=" ".join(words))
        self.say(f"{first}-{second}: {' '.join(words)}")

    def _carry(self, wire: Wire, *, up: bool) -> None:
        """Give both ends of a wire a carrier, or take it: addresses and routes stay, as on a cable that is pulled."""
        pieces = self.lab.network.links.pieces(wire.part)
        if pieces is None:
            raise ConsoleError(
                f"{wire.name} runs straight from end to end: only a lab of `testbed shell` can take it away"
            )
        for piece in pieces:
            self.lab.network.sandbox_namespace.set_up(piece, up)


def _of_note(groups: Iterable[str]) -> list[str]:
    """Without those that every host is in."""
    every = re.compile(r"224\.0\.0\.|ff0[12]::", re.IGNORECASE)
    return sorted(group for group in groups if not every.match(group))

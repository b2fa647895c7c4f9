"""A network in virtual time that carries out every action of every role, and does to datagrams what networks do.

A run of many nodes is bound by memory more than by anything else: each event finds its node's objects cold. So what belongs
to a node is few objects, two steps that are taken for every datagram are written into one, and what is the common case (one
interface, the role's own UDP port, no member of the group) is asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agents.core.agent import (
    AddressConfigured,
    Agent,
    ClosePort,
    CloseStream,
    ConfigureAddress,
    Connect,
    End,
    Endpoint,
    SendDatagram,
    SendStream,
)
from agents.core.room import Port
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.groups import Member, Memberships
from testbed.sim.machine import ENTRY
from testbed.sim.node import Interface, KnownPorts, Node
from testbed.sim.streams import Streams

ADDRESS_TIME_S = 0.001  # from the request to configure an address until it is there

Datagram = tuple[Endpoint, bytes, Endpoint]
"""The destination, the data, the source."""


class Network(Memberships):
    """Nodes, what lies between them, and what became of what they have sent, in numbers."""

    def __init__(self, seed: int, faults: Faults = PERFECT, begin: float = 0.0) -> None:
        super().__init__(seed, begin)
        self.faults = faults
        self._sent = self._delivered = 0  # datagrams; one to a group counts for each receiver
        self._rare_fates = dict.fromkeys(
            ("lost", "duplicated", "reordered", "partitioned", "no-link", "no-receiver"), 0
        )
        self._cuts: dict[tuple[str, str], int] = {}
        # By a datagram's first octet: called before it is handed over.
        self.watches: dict[int, Callable[[Node], None]] = {}
        self._addresses: dict[str, Node] = {}
        self._known_ports: dict[tuple[Port, ...], KnownPorts] = {}
        self.streams = Streams(self, self._chance)
        self._arrive_datagram = self._arrive  # bound once: it stands in the agenda a hundred thousand times

    # --- building -------------------------------------------------------------------------------------------------

    def add(
        self, name: str, agent: Agent, address: str, ports: Sequence[Port], site: str = "", interface: str = "lan"
    ) -> Node:
        """Put a role at an address ("address" or "address/prefix length"); it does nothing before ``start``."""
        if name in self.nodes:
            raise ValueError(f"there is a node {name} already")
        known = self._known_ports.get(tuple(ports))
        if known is None:
            known = self._known_ports[tuple(ports)] = KnownPorts(ports)
        first = Interface(interface, address, site)
        node = self.nodes[name] = Node(len(self.nodes), name, agent, known, first, keeps=self.keeps_history)
        self._addresses[first.address] = node
        self.members.open_raw(node)
        self._run(agent, node)
        return node

    def add_interface(
        self, node: Node, name: str, address: str = "", site: str = "", *, link_is_up: bool = True
    ) -> None:
        """Give a node one more interface; without an address it has none yet."""
        interface = Interface(name, address, site)
        node.interfaces += (interface,)
        interface.link_is_up = link_is_up
        if interface.address:
            self._addresses[interface.address] = node
        self.members.open_raw(node)
        node.changed()

    @property
    def fates(self) -> dict[str, int]:
        """What became of the datagrams, and of the pieces of streams, in numbers."""
        return {"sent": self._sent, "delivered": self._delivered, **self._rare_fates}

    # --- faults ---------------------------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two sites from now on; datagrams under way are lost too."""
        for pair in ((one, other), (other, one)):
            self._cuts[pair] = self._cuts.get(pair, 0) + 1

    def mend(self, one: str, other: str) -> None:
        """Undo one ``cut`` of two sites, if they are still cut."""
        for pair in ((one, other), (other, one)):
            if self._cuts.get(pair, 0) > 1:
                self._cuts[pair] -= 1
            else:
                self._cuts.pop(pair, None)

    def heal(self) -> None:
        """Undo every ``cut``."""
        self._cuts.clear()

    def lose_link(self, node: Node, interface: str = "") -> None:
        """A link goes (of the default route's interface): nothing leaves by it and nothing reaches it."""
        node.named(interface).link_is_up = False
        node.changed()

    def regain_link(self, node: Node, site: str, routable_as: str | None = None, interface: str = "") -> None:
        """An interface has a link at ``site``, where only the address ``routable_as`` fits (None: any)."""
        found = node.named(interface)
        found.link_is_up, found.site, found.routable_as = True, site, routable_as
        node.changed()
        self.renew_memberships(node, found)

    def kill(self, node: Node) -> None:
        """The node's machine dies: from now on it is silent. What it had committed is on its disk."""
        node.is_alive = False
        node.life += 1
        if node.disk is not None:
            node.disk.lose_power(self._chance)
        self.streams.lose(node)
        self._close(node)

    def replace(self, node: Node, agent: Agent) -> None:
        """The node's machine dies and begins again."""
        self.kill(node)
        self.install(node, agent)
        self.start(node)

    def install(self, node: Node, agent: Agent) -> None:
        """A dead machine is there again: ``agent`` knows what was committed, and nothing else."""
        node.is_alive, node.ended = True, None
        node.open_ports()
        self.members.open_raw(node)
        self._run(agent, node)

    # --- what a world built on this network may look at, and answer -------------------------------------------------

    def configured(self, node: Node, address: str, gateway: str) -> None:
        """Called when an interface has got its address."""

    def ended(self, node: Node, action: End) -> None:
        """Called after a role has ended."""

    # --- what streams are made of -----------------------------------------------------------------------------------

    def node_at(self, address: str) -> Node | None:
        """The node that has an address, dead or alive."""
        return self._addresses.get(address)

    def passes(self, one: Node, address: str, other: Node, to: str) -> bool:
        """Whether something passes between two nodes' addresses now."""
        here, there = one.interface_at(address), other.interface_at(to)
        if here is None or there is None or not here.is_reachable or not there.is_reachable:
            return False
        return (here.site, there.site) not in self._cuts

    def count(self, fate: str) -> None:
        """Count a fate that is not frequent."""
        self._rare_fates[fate] = self._rare_fates.get(fate, 0) + 1

    def hand_over_stream(self, node: Node, stream: Any, data: bytes) -> None:
        """Give a role the next bytes of a stream."""
        self._record(10, node, data)
        node.agent.received(stream, data, self._agenda.now)
        self._carry_out(node)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _close(self, node: Node) -> None:
        """Nothing of the role is left: no timer, group or port."""
        node.alarms.clear()
        for group in node.groups:
            self.members.remove(node, group)
        node.groups.clear()
        node.numbers.clear()
        node.ports.clear()
        node.changed()

    # --- datagrams --------------------------------------------------------------------------------------------------

    def send_datagram(self, node: Node, action: SendDatagram) -> None:
        """Send it by the one interface to the one receiver, where that is all there is to it."""
        destination = action.destination
        if action.port or not node.is_plain or self.members:
            self.send_otherwise(node, action)
            return
        self._sent += 1
        if not node.is_reachable:
            self._is_unsent(node)
            return
        faults = self.faults
        datagram = (destination, action.data, node.endpoint)
        if faults.only_delay:
            delay = faults.delay_s + self._chance() * faults.jitter_s
            self._put(self._agenda.now + delay, self._arrive_datagram, datagram, node)
        else:
            self._dispatch(node, datagram, self._arrive_datagram, node)

    @staticmethod
    def interface_for(node: Node, action: SendDatagram) -> Interface:
        """The interface by which a datagram leaves."""
        named = node.interface(action.interface) if action.interface else None
        return named or node.interface_to(action.destination.address)

    def send_otherwise(self, node: Node, action: SendDatagram) -> None:
        """Send from any port by any interface, to each member of a group."""
        destination, interface = action.destination, self.interface_for(node, action)
        port = node.known.by_name.get(action.port)
        protocol = port.number if port is not None and port.kind == "ip" else None
        number = 0 if protocol is not None else node.port(action.port)
        own_address = "" if port is None else port.address
        datagram = (destination, action.data, Endpoint(own_address or interface.address, number))
        members = self.members.receivers(destination, protocol, interface.address)
        self._sent += max(1, len(members))
        if not interface.is_reachable:
            self._is_unsent(node, max(1, len(members)))
        elif members:
            for member in members:
                self._dispatch(node, datagram, self._arrive_at_member, (interface, member))
        elif protocol is None:
            self._dispatch(node, datagram, self._arrive_datagram, node)
        else:
            self._dispatch(node, datagram, self._arrive_raw, (node, protocol))

    def _is_unsent(self, node: Node, receivers: int = 1) -> None:
        self._rare_fates["no-link"] += receivers
        node.agent.counters.add("unsent.no-link")

    def _dispatch(self, node: Node, datagram: Datagram, arrive: Callable[[Any, Any], None], second: Any) -> None:
        delays = self.fate(datagram)
        if not delays:
            self.count("lost")
            self._record(4, node, datagram[1])
        for delay in delays:
            self._put(self._agenda.now + delay, arrive, datagram, second)

    def fate(self, _datagram: Datagram) -> Sequence[float]:
        """After which times (s) copies of a datagram arrive, as the faults have it; none of one that is lost."""
        faults, chance, copies = self.faults, self._chance, 1
        if faults.loss and chance() < faults.loss:
            return ()
        if faults.duplication and chance() < faults.duplication:
            self._rare_fates["duplicated"] += 1
            copies = 2
        found = []
        for _ in range(copies):
            delay = faults.delay_s + chance() * faults.jitter_s
            if faults.reordering and chance() < faults.reordering:
                self._rare_fates["reordered"] += 1
                delay += faults.held_back_s
            found.append(delay)
        return found

    def _arrive(self, datagram: Datagram, sender: Node) -> None:
        destination, data, source = datagram
        node = self._addresses.get(destination[0])
        port = ""
        if node is None or not node.is_reachable or destination[1] != node.plain_port:
            found = self._port_at(node, "udp", destination)
            if found is None or node is None:
                self._rare_fates["no-receiver"] += 1
                return
            port = found
        if self._cuts and not self._is_passed(sender, node, datagram):
            return
        self._delivered += 1
        now = self._agenda.now
        self._driven = node
        self._undigested += (ENTRY.pack(now, node.index, 5, len(data)), data)
        if data and data[0] in self.watches:
            self.watches[data[0]](node)
        node.agent.receive(data, source, now, port)
        actions = self._actions
        if len(actions) == 1:
            action = actions.pop()
            self._ways[type(action)](node, action)
        elif actions:
            self._carry_out(node)

    @staticmethod
    def _port_at(node: Node | None, kind: str, destination: Endpoint) -> str | None:
        """The open port of a node that a datagram is for, or None."""
        interface = None if node is None or node.ended is not None else node.interface_at(destination.address)
        if node is None or interface is None or not interface.is_reachable:
            return None
        return node.port_name(kind, destination.port, destination.address)

    def _is_passed(self, sender: Node, node: Node, datagram: Datagram) -> bool:
        here, there = sender.interface_at(datagram[2].address), node.interface_at(datagram[0].address)
        sites = ((here or sender.default).site, (there or node.default).site)
        if sites in self._cuts:
            self._rare_fates["partitioned"] += 1
        return sites not in self._cuts

    def _arrive_raw(self, datagram: Datagram, sent: tuple[Node, int]) -> None:
        sender, protocol = sent
        destination, data, source = datagram
        node = self._addresses.get(destination.address)
        port = self._port_at(node, "ip", Endpoint(destination.address, protocol))
        if node is None or port is None:
            self.count("no-receiver")
        elif self._is_passed(sender, node, datagram):
            self.hand_over(node, data, source, port)

    def _arrive_at_member(self, datagram: Datagram, sent: tuple[Interface, Member]) -> None:
        sender, member = sent
        destination, data, source = datagram
        if not member.takes(destination.address, sender.site):
            self.count("no-receiver")
        elif (sender.site, member.interface.site) in self._cuts:
            self.count("partitioned")
        else:
            self.hand_over(member.node, data, source, member.port)

    def hand_over(self, node: Node, data: bytes, source: Endpoint, port: str) -> None:
        """Give a role a datagram that has come to one of its ports."""
        self._delivered += 1
        self._record(5, node, data)
        if data and data[0] in self.watches:
            self.watches[data[0]](node)
        node.agent.receive(data, source, self._agenda.now, port)
        self._carry_out(node)

    def close_port(self, node: Node, action: ClosePort) -> None:
        """Close it."""
        node.close_port(action.port)

    # --- streams ----------------------------------------------------------------------------------------------------

    def connect(self, node: Node, action: Connect) -> None:
        """Begin to connect."""
        self.streams.connect(node, action)

    def send_stream(self, node: Node, action: SendStream) -> None:
        """Queue the data."""
        self.streams.send(node, action)

    def close_stream(self, node: Node, action: CloseStream) -> None:
        """Close it."""
        self.streams.close(node, action)

    # --- addresses --------------------------------------------------------------------------------------------------

    def configure_address(self, node: Node, action: ConfigureAddress) -> None:
        """Give it to the interface, and the default route with it; ValueError where there is no such interface."""
        node.named(action.interface)
        self.later(ADDRESS_TIME_S, self._configured, node, node.life, action)

    def _configured(self, node: Node, life: int, action: ConfigureAddress) -> None:
        if node.life != life:
            return
        interface = node.named(action.interface)
        if self._addresses.get(interface.address) is node:
            del self._addresses[interface.address]
        interface.configure(action.address)
        node.default = interface
        self._addresses[interface.address] = node
        node.changed()
        self.renew_memberships(node, interface)
        self.configured(node, action.address, action.gateway)
        self.tell(node, AddressConfigured(action.interface, action.address))

    # --- the end ----------------------------------------------------------------------------------------------------

    def end(self, node: Node, action: End) -> None:
        """The role is gone: its streams close in order, its ports and groups at once."""
        self._record(13, node, f"{action.status} {action.reason}".encode())
        self.keep(node, action)
        node.ended = action.status
        node.life += 1
        self.streams.close_all(node)
        self._close(node)
        self.ended(node, action)

"""The driver of one role on a real host: hands it what comes with the time, and carries out its actions in order.

What an action needs of the kernel is done by a module of its own: ports by ``datagram``, ``streams``, ``groups``, addresses by
``addresses``, the store by ``store``, and so on. Here is only who is told what, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agents.core.agent import (
    Action,
    AddressConfigured,
    Agent,
    ApplicationData,
    AskOperator,
    ClosePort,
    CloseStream,
    Commit,
    Committed,
    ConfigureAddress,
    Connect,
    DeliverData,
    End,
    Endpoint,
    Event,
    JoinGroup,
    LeaveGroup,
    Notify,
    RenewMembership,
    SendDatagram,
    SendStream,
    Trace,
)
from agents.core.driver import Driver
from agents.core.errors import ConfigurationError
from agents.core.links import LinkDown, LinkUp
from agents.core.pages import Pages
from agents.core.room import Command, Port
from agents.runtime.application import Application
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.control import ControlServer, answering
from agents.runtime.datagram import DROPPED, DatagramPort, PortError, family_of
from agents.runtime.groups import Groups
from agents.runtime.link_events import LinkEvent, Places, link_event_request
from agents.runtime.links import Links
from agents.runtime.membership import Memberships
from agents.runtime.operator import Operator
from agents.runtime.output import standard_error, standard_output
from agents.runtime.requests import requests_of
from agents.runtime.streams import Streams
from agents.runtime.tasks import Tasks
from agents.runtime.tracing import TraceFile

if TYPE_CHECKING:
    from agents.runtime.addresses import Addresses
    from agents.runtime.store import Store
    from agents.web.server import WebServer

# How long an address is waited with that the kernel has refused; meanwhile the route or the link may come right.
ADDRESS_RETRY = 1.0  # s


class AgentHost(Driver[None]):
    """One agent on the real network.

    ``ports`` are open before it starts, ``commands`` are what its protocol adds to the control socket. One that ``moves``
    will ask for addresses, and must not wait then for what gives them to be loaded. ``pages`` are for who has a browser.
    """

    def __init__(
        self,
        agent: Agent,
        runtime: RuntimeConfiguration,
        *,
        ports: Sequence[Port] = (),
        commands: Sequence[Command] = (),
        moves: bool = False,
        pages: Pages | None = None,
    ) -> None:
        self._agent = agent
        self._runtime = runtime
        self._described = ports
        self._commands = commands
        self._ways = self.ways
        self._asked: list[Action] = []  # that are being carried out
        self._ports: dict[str, DatagramPort] = {}
        self._tasks = Tasks(self._fail)
        self._streams = Streams(agent.counters, self._happened, self._stream_received, self._tasks)
        self._memberships = Memberships(agent.counters)
        self._groups = Groups(
            self._memberships,
            self._ports,
            self._tasks,
            agent.counters,
            received=self._received,
            settle=self._settle,
            happened=self._happened,
            tell_application=self._tell_application,
        )
        self._operator = Operator(runtime.authorise)
        groups = self._groups
        self._links = Links(self._link_changed, groups.address_came, groups.interface_gone, self._fail, agent.counters)
        self._moves = moves
        self._places = Places(self._links.is_up)
        self._addresses = self._load_addresses() if moves else None
        self._store: Store | None = None
        self._pages = pages
        self._web: WebServer | None = None
        self._application: Application | None = None
        self._output = standard_output(agent.counters)
        self._errors = standard_error(agent.counters)
        self._trace = TraceFile(None if runtime.trace is None else Path(runtime.trace), runtime.node, agent.counters)
        agent.keeps_history = self._trace.is_kept
        agent.random_bytes = os.urandom
        self._timer: asyncio.TimerHandle | None = None
        self._notices: list[str] = []
        self._last_address: ConfigureAddress | None = None
        self._finished = asyncio.Event()
        self._failure: BaseException | None = None
        self._end: End | None = None
        self.is_ready = False  # whether the role has been started

    def finish(self) -> None:
        """Have ``run`` end, as SIGTERM does."""
        self._finished.set()

    async def run(self) -> int:
        """Run until SIGTERM, SIGINT, the role's own end, whose status is returned, or a failure of ours, which is raised."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.finish)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._errors.close)
            stack.callback(loop.set_exception_handler, loop.get_exception_handler())
            loop.set_exception_handler(self._raised)
            stack.callback(self._output.close)
            stack.callback(self._trace.close)
            stack.callback(self._close_ports)
            stack.callback(self._memberships.close)
            stack.callback(self._stop_timer)
            stack.push_async_callback(self._tasks.close)
            stack.push_async_callback(self._close_addresses)
            stack.callback(self._links.close)
            stack.push_async_callback(self._streams.close_all)
            stack.push_async_callback(self._close_store)
            await self._open(stack)
            self._output.write("ready\n")
            self._drive(self._agent.start)
            await self._streams.serve()
            if self._web is not None:
                await self._web.serve()
            self.is_ready = True
            await self._finished.wait()
            await self._close_store()  # what is on disk in the end may still be told to a peer
            await self._streams.close_all()
            await self._tasks.close()
            self._trace.write("counters", self._counters())
        if self._failure is not None:
            raise self._failure
        return 0 if self._end is None else self._end.status

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open what is configured and described; whatever cannot be raises ConfigurationError or OSError.

        What is waited for comes first: nothing may reach the role before it is started.
        """
        runtime = self._runtime
        if runtime.store is not None:
            from agents.runtime.store import Store  # noqa: PLC0415  SQLite takes a while to load, and few roles have a store

            self._store = Store(Path(runtime.store), self._happened, self._tasks, self._agent.counters)
            self._agent.restore(self._store.entries)
        for port in self._described:
            if port.kind == "tcp":
                await self._streams.listen(port)
        if runtime.control is not None:
            requests = [*requests_of(self._agent, self._state, self._commands, self._commanded, self._counters)]
            if self._moves:
                requests.append(link_event_request(self._link_told))
            control = ControlServer(Path(runtime.control), answering(requests), self._tasks)
            stack.push_async_callback(control.close)
            await control.start()
        if runtime.application is not None:
            self._application = Application(Path(runtime.application), self._agent.counters, self._application_sent)
            stack.callback(self._application.close)
        if runtime.web is not None:
            await self._open_web(stack, runtime.web)
        for port in self._described:
            if port.kind != "tcp":
                opened = self._open_port(port.name, port.family, port.address, port.number, is_bare=port.kind == "ip")
                opened.enlarge_buffers()
        self._links.start()

    async def _open_web(self, stack: contextlib.AsyncExitStack, where: str) -> None:
        """Listen for who reads the role's pages."""
        if self._pages is None:
            raise ConfigurationError("runtime.web", f"{where!r}, and this role has no pages", "remove it")
        from agents.web.server import WebServer  # noqa: PLC0415  takes as long to load as all else, and few roles have pages

        self._web = WebServer(where, self._pages, self._agent)
        stack.push_async_callback(self._web.close)
        await self._web.open()

    # --- into the agent -------------------------------------------------------------------------------------------

    def _drive(self, step: Callable[[float], None]) -> None:
        """Take one step of the agent with the time, carry out what it asks, re-arm the one timer."""
        try:
            if self._end is None:
                step(monotonic())  # the clock of asyncio's timers
                self._carry_out()
        finally:
            self._settle()

    def _received(self, port: str, data: bytes, source: Endpoint) -> None:
        """Take one datagram. Its answers leave at once; what can wait for the end of the wake-up does."""
        self._agent.receive(data, source, monotonic(), port)
        self._carry_out()

    def _stream_received(self, stream: Hashable, data: bytes) -> None:
        self._drive(partial(self._agent.received, stream, data))

    def _settle(self) -> None:
        """What is done once after a step, or after all datagrams of a wake-up: print notices, re-arm the timer."""
        if self._notices:
            self._output.write("".join(self._notices))
            self._notices.clear()
        deadline = self._agent.next_deadline() if self._end is None else None
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self._timer = None
        self._drive(self._agent.expire)

    def _happened(self, event: Event) -> None:
        """Tell the role. A fault of its own is survived, as one with a datagram is, and whoever has told it goes on."""
        try:
            self._commanded(event)
        except Exception as error:  # noqa: BLE001  any of its faults
            context = {"message": f"the role cannot take {event}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _commanded(self, event: Event) -> None:
        """Tell the role what its operator wants, who is not answered where it raises."""
        self._drive(partial(self._agent.handle, event))

    def _application_sent(self, data: bytes) -> None:
        self._happened(ApplicationData(data))

    def _link_changed(self, interface: str, is_up: bool) -> None:  # noqa: FBT001  called by Links
        self._trace.write("link-up" if is_up else "link-down", {"interface": interface})
        place = self._places.carrier_changed(interface, is_up=is_up)
        self._happened(LinkUp(interface, place) if is_up else LinkDown(interface))
        self._groups.interface_gone(interface)  # or has it been made anew?
        if is_up:
            self._groups.link_came(interface)

    def _link_told(self, event: LinkEvent) -> None:
        """Whoever drives the radio has told of a link."""
        told = {name: value for name, value in asdict(event).items() if value not in ("", None)}
        self._trace.write("link-event", {"kind": type(event).__name__, **told})
        if self._places.told(event):
            self._commanded(event)
            if isinstance(event, LinkUp) and self._places.is_back(event.interface):
                self._groups.link_came(event.interface)

    # --- out of the agent: the ways of a Driver ---------------------------------------------------------------------

    def _carry_out(self) -> None:
        """Do what the agent has asked for since the last time."""
        ways = self._ways
        self._asked = asked = self._agent.take_actions()
        for action in asked:
            ways[type(action)](None, action)

    def send_datagram(self, place: None, action: SendDatagram) -> None:
        """Send from the port of that name, opening an extra one."""
        port = self._ports.get(action.port) or self._extra_port(action.port, action.destination)
        if port is not None:
            port.send(action.data, action.destination, action.dscp, action.interface)

    def close_port(self, place: None, action: ClosePort) -> None:
        """Close it."""
        port = self._ports.pop(action.port, None)
        if port is not None:
            port.close()

    def connect(self, place: None, action: Connect) -> None:
        """Connect from the role's own address."""
        self._streams.connect(action, self._own_address(family_of(action.destination.address)))

    def send_stream(self, place: None, action: SendStream) -> None:
        """Queue the data."""
        self._streams.send(action)

    def close_stream(self, place: None, action: CloseStream) -> None:
        """Close it."""
        self._streams.close(action)

    def join_group(self, place: None, action: JoinGroup) -> None:
        """Begin to join, and listen first where the datagrams are wanted."""
        self._groups.join(action)

    def leave_group(self, place: None, action: LeaveGroup) -> None:
        """Leave, and listen no more."""
        self._groups.leave(action)

    def renew_membership(self, place: None, action: RenewMembership) -> None:
        """Have the kernel report it again."""
        self._groups.renew(action)

    def configure_address(self, place: None, action: ConfigureAddress) -> None:
        """Begin to give the interface its address."""
        self._tasks.begin(self._configure_address(action))

    def commit(self, place: None, action: Commit) -> None:
        """Begin to make it durable; without a store, or once that is being closed, it is refused."""
        if self._store is None:
            reason = "no store is configured as runtime.store" if self._runtime.store is None else "the role is ending"
            refusal = Committed(action.key, succeeded=False, reason=reason)
            asyncio.get_running_loop().call_soon(self._happened, refusal)
        else:
            self._store.commit(action)

    def ask_operator(self, place: None, action: AskOperator) -> None:
        """Begin to ask the operator's command."""
        self._tasks.begin(self._ask_operator(action))

    def deliver_data(self, place: None, action: DeliverData) -> None:
        """Hand it to the programs that are connected."""
        if self._application is None:
            self._agent.counters.add("undelivered.no-application")
        else:
            self._application.deliver(action.data)

    def notify(self, place: None, action: Notify) -> None:
        """Print it, and write down what is not secret."""
        self._tell_application(action.event, action.details, action.secrets)

    def write_trace(self, place: None, action: Trace) -> None:
        """Write it down."""
        self._trace.write(action.event, action.details)

    def end(self, place: None, action: End) -> None:
        """End this process once what was asked before is done."""
        self._end = action
        self._asked.clear()  # what was asked for after it
        self._close_ports()
        self._tell_application("ended", {"status": action.status, "reason": action.reason})
        self.finish()

    # --- how they are done ------------------------------------------------------------------------------------------

    def _tell_application(
        self, event: str, details: Mapping[str, object], secrets: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        if self._agent.keeps_history:
            self._trace.write(event, details)
        words = "".join([f" {key}={value}" for key, value in (*details.items(), *secrets.items())])
        self._notices.append(f"{event}{words}\n")
        if self._web is not None:
            self._web.told(details)

    def _own_address(self, family: int) -> str:
        """The address that the role sends from, "" where the routes say."""
        own = (port.address for port in self._described if port.family == family and port.address)
        address = next(own, "")
        return "" if not address or ip_address(address).is_unspecified else address

    def _extra_port(self, name: str, destination: Endpoint) -> DatagramPort | None:
        """A new port of that name. Where there is none its datagrams are lost and counted, as on a full network."""
        family = family_of(destination.address)
        try:
            return self._open_port(name, family, self._own_address(family), 0)
        except PortError as error:
            self._agent.counters.add(f"unsent.PortError.{error.errno}")
            return None

    def _open_port(self, name: str, family: int, address: str, number: int, *, is_bare: bool = False) -> DatagramPort:
        receiver = partial(self._received, name)
        where = (address, 0) if is_bare else (address, number)
        opened = DatagramPort(
            family, *where, self._agent.counters, receiver, self._settle, protocol=number if is_bare else None
        )
        self._ports[name] = opened
        return opened

    @staticmethod
    def _load_addresses() -> Addresses:
        from agents.runtime.addresses import Addresses  # noqa: PLC0415  pyroute2 takes as long to load as all else

        return Addresses()

    async def _close_addresses(self) -> None:
        if self._addresses is not None:
            await self._addresses.close()

    async def _close_store(self) -> None:
        """Finish the commits that were asked for; those that are asked for from now on are refused."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    def _close_ports(self) -> None:
        for port in self._ports.values():
            port.close()
        self._ports.clear()

    def _fail(self, error: BaseException) -> None:
        """End with an error of ours."""
        self._failure = error
        self.finish()

    def _raised(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what a callback has raised, and write it down where nothing waits; the role goes on."""
        error = context.get("exception")
        self._agent.counters.add("raised.nothing" if error is None else f"raised.{type(error).__name__}")
        told = [] if error is None else traceback.format_exception(error)
        self._errors.write("".join([context["message"], "\n", *told]))

    async def _configure_address(self, action: ConfigureAddress) -> None:
        """Give the interface its address, or wait for it; what the kernel refuses is tried again.

        It is until the link goes, after which the agent asks again, or until another address is asked for: that one is
        then where the default route leads.
        """
        self._last_address = action
        if self._addresses is None:
            self._addresses = self._load_addresses()
        told = ""
        while True:
            try:
                is_there = await self._addressed(self._addresses, action)
            except OSError as error:
                self._agent.counters.add("failed.address")
                if str(error) != told:
                    told = str(error)
                    self._tell_application("address-failed", {"interface": action.interface, "reason": told})
                    self._settle()
                await asyncio.sleep(ADDRESS_RETRY)
            else:
                if is_there:
                    self._happened(AddressConfigured(action.interface, action.address))
                    return
            if self._last_address is not action or not self._links.is_up(action.interface):
                return

    @staticmethod
    async def _addressed(addresses: Addresses, action: ConfigureAddress) -> bool:
        """Do what an action asks for; False where it is waited for and not there yet."""
        if action.is_given:
            return await addresses.await_address(action.interface, action.address, ADDRESS_RETRY)
        await addresses.configure_address(action.interface, action.address, action.gateway)
        return True

    async def _ask_operator(self, action: AskOperator) -> None:
        self._happened(await self._operator.ask(action))

    def _state(self) -> Mapping[str, object]:
        """What the role is doing, and who reads its pages."""
        web = {} if self._web is None else {"web": self._web.describe()}
        return {**self._agent.describe(), **web}

    def _counters(self) -> dict[str, int]:
        """The agent's counters, and what the kernel dropped before the agent saw it."""
        counted = self._agent.counters.snapshot()
        dropped = counted.get(DROPPED, 0) + sum(port.dropped for port in self._ports.values())
        return {**counted, DROPPED: dropped} if dropped else dict(counted)

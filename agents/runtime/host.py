"""Drives one agent: hands it datagrams, timers and events with the time, and carries out its actions in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

from agents.core.agent import (
    Action,
    AddressConfigured,
    Agent,
    AskOperator,
    ClosePort,
    ConfigureAddress,
    Endpoint,
    Event,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    LinkDown,
    LinkUp,
    Notify,
    RenewMembership,
    SendDatagram,
    Trace,
)
from agents.core.room import Command, Field, Port
from agents.runtime.addresses import AddressError, Addresses
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.control import ControlError, ControlServer, Request, answering
from agents.runtime.datagram import DatagramPort, PortError, family_of
from agents.runtime.links import Links
from agents.runtime.membership import MembershipError, Memberships
from agents.runtime.operator import Operator
from agents.runtime.output import standard_output
from agents.runtime.tasks import Tasks
from agents.runtime.tracing import TraceFile

ROWS = 100  # of a list in one answer, where no other number is asked for
ROWS_MAXIMUM = 1000

# How long an address is waited with that the kernel has refused; meanwhile the route or the link may come right.
ADDRESS_RETRY = 1.0  # s


class AgentHost:
    """One agent on the real network.

    ``ports`` are open before it starts, ``commands`` are what its protocol adds to the control socket.
    """

    def __init__(
        self,
        agent: Agent,
        runtime: RuntimeConfiguration,
        *,
        ports: Sequence[Port] = (),
        commands: Sequence[Command] = (),
    ) -> None:
        self._agent = agent
        self._runtime = runtime
        self._described = ports
        self._commands = commands
        self._ports: dict[str, DatagramPort] = {}
        self._memberships = Memberships(agent.counters)
        self._operator = Operator(runtime.authorise)
        self._links = Links(self._link_changed, self._fail, agent.counters)
        self._addresses = Addresses()
        self._output = standard_output(agent.counters)
        self._trace = TraceFile(None if runtime.trace is None else Path(runtime.trace), runtime.node, agent.counters)
        agent.keeps_history = self._trace.is_kept
        self._timer: asyncio.TimerHandle | None = None
        self._notices: list[str] = []
        self._last_address: ConfigureAddress | None = None
        self._tasks = Tasks(self._fail)
        self._finished = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or a failure of ours, which is raised."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._finished.set)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._output.close)
            stack.callback(self._trace.close)
            stack.callback(self._close_ports)
            stack.callback(self._memberships.close)
            stack.callback(self._stop_timer)
            stack.push_async_callback(self._addresses.close)
            stack.callback(self._links.close)
            self._links.start()
            for port in self._described:
                self._open_port(port.name, port.family, port.address, port.number).enlarge_buffers()
            if self._runtime.control is not None:
                control = ControlServer(Path(self._runtime.control), answering(self.requests()), self._tasks)
                stack.push_async_callback(control.close)
                await control.start()
            self._output.write("ready\n")
            self._drive(self._agent.start)
            await self._finished.wait()
            await self._tasks.close()
            self._trace.write("counters", self._counters())
        if self._failure is not None:
            raise self._failure

    # --- into the agent -------------------------------------------------------------------------------------------

    def _drive(self, step: Callable[[float], None]) -> None:
        """Take one step of the agent with the time, carry out what it asks, re-arm the one timer."""
        try:
            step(monotonic())  # the clock of asyncio's timers
            self._carry_out()
        finally:
            self._settle()

    def _received(self, port: str, data: bytes, source: Endpoint) -> None:
        """Take one datagram. Its answers leave at once; what can wait for the end of the wake-up does."""
        self._agent.receive(data, source, monotonic(), port)
        self._carry_out()

    def _settle(self) -> None:
        """What is done once after a step, or after all datagrams of a wake-up: print notices, re-arm the timer."""
        if self._notices:
            self._output.write("".join(self._notices))
            self._notices.clear()
        deadline = self._agent.next_deadline()
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
        self._drive(partial(self._agent.handle, event))

    def _link_changed(self, interface: str, is_up: bool) -> None:  # noqa: FBT001  called by Links
        self._trace.write("link-up" if is_up else "link-down", {"interface": interface})
        self._happened(LinkUp(interface) if is_up else LinkDown(interface))

    # --- out of the agent -----------------------------------------------------------------------------------------

    def _carry_out(self) -> None:
        """Do what the agent has asked for since the last time: the frequent actions here, the others below."""
        for action in self._agent.take_actions():
            match action:
                case SendDatagram():
                    port = self._ports.get(action.port) or self._extra_port(action.port, action.destination)
                    if port is not None:
                        port.send(action.data, action.destination)
                case Notify():
                    self._tell_application(action.event, action.details)
                case Trace():
                    self._trace.write(action.event, action.details)
                case _:
                    self._carry_out_rare(action)

    def _carry_out_rare(self, action: Action) -> None:
        match action:
            case ClosePort():
                port = self._ports.pop(action.port, None)
                if port is not None:
                    port.close()
            case JoinGroup():
                self._tasks.begin(self._join(action))
            case LeaveGroup():
                self._memberships.leave(action.group, action.interface, action.source)
            case RenewMembership():
                self._renew(action)
            case ConfigureAddress():
                self._tasks.begin(self._configure_address(action))
            case AskOperator():
                self._tasks.begin(self._ask_operator(action))

    def _tell_application(self, event: str, details: Mapping[str, object]) -> None:
        if self._agent.keeps_history:
            self._trace.write(event, details)
        words = "".join([f" {key}={value}" for key, value in details.items()])
        self._notices.append(f"{event}{words}\n")

    def _extra_port(self, name: str, destination: Endpoint) -> DatagramPort | None:
        """A new port of that name. Where there is none its datagrams are lost and counted, as on a full network."""
        family = family_of(destination.address)
        own = [port.address for port in self._described if port.name == "" and port.family == family]
        try:
            return self._open_port(name, family, own[0] if own else "", 0)
        except PortError as error:
            self._agent.counters.add(f"unsent.PortError.{error.errno}")
            return None

    def _open_port(self, name: str, family: int, address: str, number: int) -> DatagramPort:
        receiver = partial(self._received, name)
        opened = DatagramPort(family, address, number, self._agent.counters, receiver, self._settle)
        self._ports[name] = opened
        return opened

    def _close_ports(self) -> None:
        for port in self._ports.values():
            port.close()
        self._ports.clear()

    def _fail(self, error: BaseException) -> None:
        """End with an error of ours."""
        self._failure = error
        self._finished.set()

    async def _join(self, action: JoinGroup) -> None:
        try:
            await self._memberships.join(
                action.group, action.interface, action.source, action.port, expects_report=action.expects_report
            )
        except MembershipError as error:
            self._happened(GroupJoined(action.group, action.interface, succeeded=False, reason=str(error)))
        else:
            self._happened(GroupJoined(action.group, action.interface, succeeded=True))

    def _renew(self, action: RenewMembership) -> None:
        try:
            self._memberships.renew(action.group, action.interface, action.source)
        except OSError as error:
            self._agent.counters.add("failed.renew")
            reason = error.strerror or str(error)
            self._tell_application(
                "renew-failed", {"group": action.group, "interface": action.interface, "reason": reason}
            )

    async def _configure_address(self, action: ConfigureAddress) -> None:
        """Give the interface its address; what the kernel refuses is tried again.

        It is until the link goes, after which the agent asks again, or until another address is asked for: that one is
        then where the default route leads.
        """
        self._last_address = action
        told = ""
        while True:
            try:
                await self._addresses.configure_address(action.interface, action.address, action.gateway)
            except AddressError as error:
                self._agent.counters.add("failed.address")
                if str(error) != told:
                    told = str(error)
                    self._tell_application("address-failed", {"interface": action.interface, "reason": told})
                    self._settle()
            else:
                self._happened(AddressConfigured(action.interface, action.address))
                return
            await asyncio.sleep(ADDRESS_RETRY)
            if self._last_address is not action or not self._links.is_up(action.interface):
                return

    async def _ask_operator(self, action: AskOperator) -> None:
        self._happened(await self._operator.ask(action))

    def _counters(self) -> dict[str, int]:
        """The agent's counters, and what the kernel dropped before the agent saw it."""
        port = self._ports.get("")
        dropped = 0 if port is None else port.dropped
        counted = dict(self._agent.counters.snapshot())
        return {**counted, "dropped.by-kernel": dropped} if dropped else counted

    # --- the control socket ---------------------------------------------------------------------------------------

    def requests(self) -> Iterator[Request]:
        """What every role answers, and what its protocol adds."""
        yield Request("state", "What the role is doing, in brief.", lambda _: {"state": self._agent.describe()})
        yield Request("counters", "What was counted.", lambda _: {"counters": self._counters()})
        yield Request(
            "list",
            "What there may be many of, by page.",
            self._rows,
            (
                Field("of", f"What: {', '.join(self._agent.LISTS) or 'this role has none'}."),
                Field("offset", "How many to pass over; else none.", int, required=False),
                Field("most", f"How many at most, to {ROWS_MAXIMUM}; else {ROWS}.", int, required=False),
            ),
        )
        for command in self._commands:
            yield Request(command.name, command.summary, partial(self._tell, command), command.fields)

    def _tell(self, command: Command, values: Mapping[str, Any]) -> Mapping[str, object]:
        self._happened(command.event(values))
        return {}

    def _rows(self, values: Mapping[str, Any]) -> Mapping[str, object]:
        offset, most = values["offset"] or 0, ROWS if values["most"] is None else values["most"]
        if offset < 0 or not 1 <= most <= ROWS_MAXIMUM:
            raise ControlError(f"list: offset {offset}, most {most}; give 0 or more, and 1 to {ROWS_MAXIMUM}")
        if values["of"] not in self._agent.LISTS:
            raise ControlError(f"list: of {values['of']!r}; there are: {', '.join(self._agent.LISTS) or 'none'}")
        found = list(islice(self._agent.rows(values["of"]), offset, offset + most + 1))
        return {"rows": found[:most], "more": len(found) > most}

"""An MMCP world: one SM, LMCs, by default one for each cell, and mobile nodes that walk from cell to cell.

An MN is provisioned for a few neighbouring cells and walks among them. Its way: a link trigger, ``overlap_s`` later the
link goes, ``gap_s`` later it comes up in the next cell. An application stands over each MN: where its join has failed it
joins again after a while, as long as it is willing to be a member; an MN that was established needs no such help [M-27].
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial

from agents.core.agent import Notify
from agents.core.links import LinkDetected, LinkDown, LinkUp
from agents.core.room import Port
from agents.mmcp.configuration import (
    Controller,
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    NodeInterface,
    PointOfAttachment,
    Session,
    SessionManagerConfiguration,
    WantedSession,
)
from agents.mmcp.constants import DEFAULT_PORT, PacketType
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.mobile_node_state import State
from agents.mmcp.session_manager import SessionManager
from agents.mmcp.timing import Timers
from testbed.run.options import OptionError
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.node import Group, Node
from testbed.sim.world import World as SimulatedWorld

SESSION, GROUP, GROUP_PORT = 1, "239.1.1.1", 5004
SM_ADDRESS, CORE = "172.16.0.2", "core"
INTERFACE = "radio"
PORTS = (Port(number=DEFAULT_PORT),)
RETRIES = 10  # of SJR and LJR: a node on a lossy link is provisioned to insist
REJOIN_S = 1.0  # after a failed join, until the application tries again
SLACK_S = 0.1  # what a bound on a duration is allowed for datagrams under way
QUIET_SPT = 5  # after so many SPT of quiet everything must have settled [M-13: what failed is gone after 4]
FIRST_HOST = 256  # of a cell's subnet: the first MN's; 1 is the LMC's, 2 the router's


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is a function of. ``moves_per_s`` counts the moves of all MNs together; ``roam`` an MN's cells.

    ``serving`` has the cells of each LMC, which are one subnet; the SM is the parent in a cell without one. None: each
    cell has its own LMC.
    """

    mns: int
    cells: int
    seed: int
    faults: Faults = PERFECT
    moves_per_s: float = 0.0
    overlap_s: float = 0.2
    gap_s: float = 0.05
    roam: int = 3
    serving: tuple[tuple[int, ...], ...] | None = None
    timers: Timers = field(default_factory=partial(Timers, join_retries=RETRIES))


class PlanError(OptionError):
    """A plan that the address space cannot hold."""


@dataclass(slots=True)
class Mobile:
    """An MN in this world: where it may go, and what it is about."""

    node: Node
    agent: MobileNode
    cells: tuple[int, ...]
    cell: int
    willing: bool = False
    moving: bool = False
    arrived_at: float = 0.0  # when its link came up last
    established_at: float | None = None  # for the last time, since it joined
    handover: str | None = None  # how the handover under way would be counted if it ended now
    may_be_established: bool = False  # a request is open whose confirm has not yet had its effect


class World(SimulatedWorld):
    """The network with its roles."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.seed, plan.faults)
        self.plan = plan
        self.handovers = dict.fromkeys(("predictive", "fallback", "failed", "overtaken"), 0)
        self.moves = self.rejoins = 0
        self.moves_per_s = plan.moves_per_s
        self._choice = random.Random(f"movement {plan.seed}")
        self._host_bits = max(8, (plan.mns + FIRST_HOST).bit_length())
        if plan.cells > 1 << (24 - self._host_bits):
            raise PlanError(
                f"{plan.cells} cells with room for {plan.mns} MNs each: more addresses than 10.0.0.0/8 has, "
                f"at most {1 << (24 - self._host_bits)} cells"
            )
        self.wanted: dict[int, float] = {}  # by an LMC's index: when it last was told of somebody who comes
        self.watches[PacketType.HCT] = self._context_arrives
        # Texts that all MNs share.
        self._cells = [f"cell{cell}" for cell in range(plan.cells)]
        serving = plan.serving or tuple((cell,) for cell in range(plan.cells))
        self._first_cells = [cells[0] for cells in serving]  # where each LMC is, and whose subnet its cells share
        first = {cell: cells[0] for cells in serving for cell in cells}
        self._subnets = [first.get(cell, cell) for cell in range(plan.cells)]
        self._gateways = [self.address(subnet, 2) for subnet in self._subnets]
        self._table = [
            Controller(f"lmc{index}", self.address(cells[0], 1), [self._cells[cell] for cell in cells])
            for index, cells in enumerate(serving)
        ]
        self._controller_of = {cell: index for index, cells in enumerate(serving) for cell in cells}
        self.session_manager = self._new_session_manager()
        self.sm_node = self.add("sm", self.session_manager, SM_ADDRESS, PORTS, CORE)
        self.controllers: list[tuple[Node, LocalMobilityController]] = []
        for index, row in enumerate(self._table):
            lmc, site = self._new_controller(index), self._cells[self._first_cells[index]]
            self.controllers.append((self.add(row.name, lmc, row.address, PORTS, site), lmc))
        self.first_mobile = len(self.nodes)
        self.mobiles = [self._mobile(number) for number in range(plan.mns)]
        self._without_session: set[int] = set()  # LMCs that have left, by their numbers

    def address(self, cell: int, host: int) -> str:
        """A host's address in a cell's subnet."""
        number = (cell << self._host_bits) + host
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    def _new_session_manager(self) -> SessionManager:
        return SessionManager(
            SessionManagerConfiguration(
                SM_ADDRESS, [Session(SESSION, GROUP, GROUP_PORT)], self._table, self.plan.timers
            )
        )

    def _new_controller(self, index: int) -> LocalMobilityController:
        subnet = f"{self.address(self._first_cells[index], 0)}/{32 - self._host_bits}"
        return LocalMobilityController(
            LocalMobilityControllerConfiguration(
                f"lmc{index}", "lan", subnet, SM_ADDRESS, self._table, [SESSION], timers=self.plan.timers
            )
        )

    def _mobile(self, number: int) -> Mobile:
        plan = self.plan
        home = number % plan.cells
        cells = tuple((home + step) % plan.cells for step in range(min(plan.roam, plan.cells)))
        prefix = 32 - self._host_bits
        points = [
            PointOfAttachment(self._cells[cell], f"{self._address_at(cell, number)}/{prefix}", self._gateways[cell])
            for cell in cells
        ]
        agent = MobileNode(
            MobileNodeConfiguration(
                f"mn{number}",
                SM_ADDRESS,
                [WantedSession(SESSION)],
                [NodeInterface(INTERFACE, points, self._cells[home])],
                timers=plan.timers,
            )
        )
        node = self.add(f"mn{number}", agent, self._address_at(home, number), PORTS, self._cells[home], INTERFACE)
        return Mobile(node, agent, cells, home)

    def _address_at(self, cell: int, number: int) -> str:
        """The address of the MN of that number in a cell."""
        return self.address(self._subnets[cell], FIRST_HOST + number)

    def parent_at(self, cell: int) -> Node:
        """Who must be the parent of an MN in a cell: the LMC that serves it, or else the SM."""
        index = self._controller_of.get(cell)
        return self.sm_node if index is None or index in self._without_session else self.controllers[index][0]

    # --- the course of a run ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the SM and the LMCs now, and the MNs in equal distribution over the next SRT."""
        self.start(self.sm_node)
        for node, _ in self.controllers:
            self.start(node)
        # The first node begins first, and reports first ever after: so each SRT goes through memory from end to end.
        starts = sorted(self._choice.random() for _ in self.mobiles)
        for mobile, start in zip(self.mobiles, starts, strict=True):
            self.later(start * self.plan.timers.srt_s, self.join, mobile)
        if self.moves_per_s and min(self.plan.cells, self.plan.roam) > 1:
            self.later(self._choice.expovariate(self.moves_per_s), self._someone_moves)

    def calm(self) -> None:
        """No faults and no new moves from now on; let moves under way end and five SPT pass."""
        self.moves_per_s = 0.0
        self.end_faults()
        self.run_for(self.plan.overlap_s + self.plan.gap_s)
        self.run_for(self.plan.timers.probe_time)
        for mobile in self.mobiles:
            node = mobile.node
            if mobile.willing and not (node.groups and node.link_is_up):
                self.break_invariant("receives-again", node, f"is {mobile.agent.state.value} and in no group")
            elif mobile.willing and node.shown_at < mobile.arrived_at:
                self.break_invariant("receives-again", node, f"has shown no membership in {self._cells[mobile.cell]}")
        self.run_for((QUIET_SPT - 1) * self.plan.timers.probe_time)

    def restart_session_manager(self) -> None:
        """The SM dies and begins again with empty memory."""
        self.session_manager = self._new_session_manager()
        self.replace(self.sm_node, self.session_manager)

    def leave_controller(self, index: int) -> None:
        """An LMC leaves the session, until it is restarted: the SM is the parent in its cells."""
        self._without_session.add(index)
        self.tell(self.controllers[index][0], ApplicationLeave())

    def restart_controller(self, index: int) -> None:
        """An LMC dies and begins again with empty memory."""
        self._without_session.discard(index)
        node, lmc = self.controllers[index][0], self._new_controller(index)
        self.controllers[index] = (node, lmc)
        self.replace(node, lmc)

    # --- what MNs and their applications do -------------------------------------------------------------------------

    def join(self, mobile: Mobile) -> None:
        """The application wants to be a member: now, and until ``leave``."""
        mobile.willing = True
        self._join_if_closed(mobile)

    def leave(self, mobile: Mobile) -> None:
        """The application leaves, with notice."""
        mobile.willing = False
        mobile.handover = None
        self.tell(mobile.node, ApplicationLeave())

    def move(self, mobile: Mobile, cell: int) -> None:
        """A walk to ``cell``, one of the MN's cells, begins with its link trigger; an MN on its way goes on."""
        if mobile.moving:
            return
        self.moves += 1
        mobile.moving = True
        if mobile.handover is not None:
            self.handovers["overtaken"] += 1
        under_way = mobile.agent.state in (State.ESTABLISHED, State.HIR_SENT)
        mobile.handover = "predictive" if mobile.willing and under_way else None
        self.detect(mobile, cell)
        self.later(self.plan.overlap_s, self.link_down, mobile)
        self.later(self.plan.overlap_s + self.plan.gap_s, self.link_up, mobile, cell)

    def detect(self, mobile: Mobile, cell: int) -> None:
        """The MN's radio hears a cell."""
        self.tell(mobile.node, LinkDetected(INTERFACE, f"cell{cell}"))

    def link_down(self, mobile: Mobile) -> None:
        """The MN's link goes."""
        self.lose_link(mobile.node)
        self.tell(mobile.node, LinkDown(INTERFACE))

    def link_up(self, mobile: Mobile, cell: int) -> None:
        """The MN has a link in ``cell``."""
        mobile.moving = False
        mobile.may_be_established = mobile.willing
        mobile.cell, mobile.arrived_at = cell, self.now
        number = mobile.node.index - self.first_mobile
        self.regain_link(mobile.node, self._cells[cell], self._address_at(cell, number))
        self.tell(mobile.node, LinkUp(INTERFACE, self._cells[cell]))

    def _someone_moves(self) -> None:
        if not self.moves_per_s:
            return
        mobile = self._choice.choice(self.mobiles)
        cell = self._choice.choice([each for each in mobile.cells if each != mobile.cell])
        if mobile.willing:
            self.move(mobile, cell)
        self.later(self._choice.expovariate(self.moves_per_s), self._someone_moves)

    def _join_if_closed(self, mobile: Mobile) -> None:
        if mobile.willing and mobile.agent.state is State.CLOSED:
            mobile.may_be_established = True
            mobile.established_at = None
            self.start(mobile.node)

    # --- what the world sees ----------------------------------------------------------------------------------------

    def notified(self, node: Node, notice: Notify) -> None:
        """Count how handovers end, and join again where a join failed."""
        if node.index < self.first_mobile:
            return
        mobile = self.mobiles[node.index - self.first_mobile]
        match notice.event:
            case "established":
                if not mobile.may_be_established:
                    self.break_invariant("one-effect", node, "established without an open request")
                mobile.may_be_established = False
                mobile.established_at = self.now
                self.tell_received(mobile)
                if mobile.handover is not None and not mobile.moving:
                    self.handovers[mobile.handover] += 1
                    mobile.handover = None
            case "fallback":
                mobile.may_be_established = mobile.willing
                if mobile.handover is not None:
                    mobile.handover = "fallback"
            case "join-failed" | "join-refused":
                if mobile.handover is not None:
                    self.handovers["failed"] += 1
                    mobile.handover = None
                if mobile.established_at is None:
                    self.rejoins += 1
                    self.later(REJOIN_S, self._join_if_closed, mobile)

    def tell_received(self, mobile: Mobile) -> None:
        """Give the MN a count of data packets, so that its reports hold a Data Channel Status."""
        self.later(0.0, self.tell, mobile.node, DataChannelReport(int(self.now * 100)))

    def _context_arrives(self, node: Node) -> None:
        """Remember when an LMC was last told of an MN that comes: hold begins, and linger at its end at the latest."""
        if 0 < node.index < self.first_mobile:
            self.wanted[node.index] = self.now

    def left_group(self, node: Node, group: Group) -> None:
        """An LMC must not have stayed in a group for longer than hold and linger after the last who wanted it."""
        if 0 < node.index < self.first_mobile:
            self.check_idle_group(node)

    def check_idle_group(self, node: Node) -> None:
        """A breach if the LMC has been in its group for too long."""
        idle = self.now - self.wanted.get(node.index, 0.0)
        most = self.plan.timers.hold_time + self.plan.timers.linger_s + SLACK_S
        if idle > most:
            self.break_invariant(
                "idle-groups", node, f"joined for {idle:.3f} s after the last want, at most {most:g} s"
            )

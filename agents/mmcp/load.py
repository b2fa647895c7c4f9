"""The swarm: many mobile nodes that load an SM and its LMCs.

Every MN has a port of its own and stands at one point of attachment: it joins, reports and renews like any other, and never
moves. An LMC's own status interval is best set long, or the SM hears of every MN twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.core.checks import check_address, check_port
from agents.core.errors import ConfigurationError
from agents.core.room import Load, LoadConfiguration
from agents.mmcp import constants as c
from agents.mmcp.configuration import MobileNodeConfiguration, NodeInterface, PointOfAttachment, WantedSession
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.timing import Timers

_REQUESTS = frozenset({c.SJR, c.LJR})
_CONFIRMS = frozenset({c.SJC, c.LJC})


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmConfiguration(LoadConfiguration):
    """What a swarm is given. The MNs are named ``name`` and a number from 1."""

    session_manager: str
    session_id: int
    attached_to: str
    session_manager_port: int = c.DEFAULT_PORT
    name: str = "swarm"
    timers: Timers = field(default_factory=Timers)

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        LoadConfiguration.check(self)  # not super(): a dataclass with slots is another class than the one written here
        version = check_address("session_manager", self.session_manager)
        check_port("session_manager_port", self.session_manager_port)
        if self.address and check_address("address", self.address) != version:
            raise ConfigurationError("address", self.address, f"give an IPv{version} address like the SM's")
        self.mobile_node(self.count).check()

    @property
    def family(self) -> int:
        """4 or 6, as the SM's address."""
        return check_address("session_manager", self.session_manager)

    def mobile_node(self, number: int) -> MobileNodeConfiguration:
        """The configuration of the MN of that number."""
        place = "::1" if self.family == 6 else "127.0.0.1"  # it never moves
        return MobileNodeConfiguration(
            mn_id=f"{self.name}{number}",
            session_manager=self.session_manager,
            session_manager_port=self.session_manager_port,
            sessions=[WantedSession(self.session_id)],
            interfaces=[NodeInterface("none", [PointOfAttachment(self.attached_to, place, place)], self.attached_to)],
            timers=self.timers,
        )


def _mobile_node(configuration: SwarmConfiguration, number: int) -> MobileNode:
    return MobileNode(configuration.mobile_node(number))


# A round trip is a join request and its confirm, no renewal, since an agent that is settled is measured no more.
SWARM = Load(
    "swarm",
    "Many mobile nodes in one process, for load.",
    "MNs",
    SwarmConfiguration,
    _mobile_node,
    family=lambda configuration: configuration.family,
    is_request=lambda data: data[0] in _REQUESTS,
    is_answer=lambda data: data[:1] != b"" and data[0] in _CONFIRMS,
    joined=frozenset({"established"}),
    failed=frozenset({"join-failed", "join-refused"}),
    leaving=ApplicationLeave(),
    counted={"reports_sent": "sent.USR"},
)

"""The crowd: many participants of one session that load a server.

Each has ports of its own: its module SM's of any number, its module MM's the next after those of the others, since the server is told it. They
register, enrol and activate, and answer the server's KAREQ until they leave.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.core.checks import check_address, check_port, check_version
from agents.core.errors import ConfigurationError
from agents.core.room import Load, LoadConfiguration
from agents.gmp import constants as c
from agents.gmp.configuration import ParticipantConfiguration
from agents.gmp.constants import Level
from agents.gmp.events import Leave
from agents.gmp.participant import Participant
from agents.gmp.role import MM

FIRST_PORT = 20_000
_PORT_MAXIMUM = 0xFFFF

# A message's second octet: module SM has its type there, module MM its mode, which is never 0, in the high bits.
_REQUESTS = frozenset(packet.value for packet in (c.SRREQ, c.SJREQ, c.SAREQ))
_ANSWERS = frozenset(packet.value for packet in (c.SRACC, c.SJRES))
_SM_TYPES = 0x40
_MM_TYPE = 0x0F


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdConfiguration(LoadConfiguration):
    """What a crowd is given. The participants are named ``name`` and a number from 1; ``first_mm_port`` is the first one's."""

    server: str
    session_id: int
    server_sm_port: int = c.SM_PORT
    server_mm_port: int = c.MM_PORT
    name: str = "crowd"
    first_mm_port: int = FIRST_PORT

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        LoadConfiguration.check(self)  # not super(): a dataclass with slots is another class than the one written here
        check_address("server", self.server)
        if self.address:
            check_version("address", self.address, self.family, "server")
        check_port("first_mm_port", self.first_mm_port)
        if self.mm_port(self.count) > _PORT_MAXIMUM:
            found = f"{self.count} ports from {self.first_mm_port} on"
            raise ConfigurationError("first_mm_port", found, f"give {_PORT_MAXIMUM + 1 - self.count} at most")
        self.participant(self.count).check()

    @property
    def family(self) -> int:
        """4 or 6, as the server's address."""
        return check_address("server", self.server)

    def mm_port(self, number: int) -> int:
        """The port of module MM of the participant of that number."""
        return self.first_mm_port + number - 1

    def participant(self, number: int) -> ParticipantConfiguration:
        """The configuration of the participant of that number."""
        return ParticipantConfiguration(
            name=f"{self.name}{number}",
            server=self.server,
            server_sm_port=self.server_sm_port,
            server_mm_port=self.server_mm_port,
            session_id=self.session_id,
            interface="none",
            mm_port=self.mm_port(number),
        )


def _participant(configuration: CrowdConfiguration, number: int) -> Participant:
    return Participant(configuration.participant(number))


def _is_request(data: bytes) -> bool:
    return data[1] in _REQUESTS


def _is_answer(data: bytes) -> bool:
    if len(data) < c.HEADER_SIZE:
        return False
    return data[1] in _ANSWERS if data[1] < _SM_TYPES else data[0] & _MM_TYPE == c.KAREQ.value


# Three round trips to be active: SRREQ and SRACC, SJREQ and SJRES, SAREQ and KAREQ.
CROWD = Load(
    "crowd",
    "Many participants in one process, for load.",
    "participants",
    CrowdConfiguration,
    _participant,
    family=lambda configuration: configuration.family,
    is_request=_is_request,
    is_answer=_is_answer,
    joined=frozenset({"active"}),
    failed=frozenset({"refused", "unanswered", "ended"}),
    leaving=Leave(Level.REGISTERED),
    counted={"keep_alives_answered": "sent.KARES"},
    ports=lambda configuration, number: {MM: configuration.mm_port(number)},
)

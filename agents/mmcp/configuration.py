"""What an operator provisions for each MMCP role, and the bounds it must keep.

Plain dataclasses; the runtime fills them from TOML. Identifiers are written as text ("mn1"), as a MAC address
("02:00:00:00:0a:01", its six raw bytes are meant) or as "0x" and hexadecimal digits. Times are seconds.

All addresses in one role's configuration are of one IP version, that of its SM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address, ip_interface, ip_network
from typing import NamedTuple

from agents.core.agent import Endpoint
from agents.core.checks import check_address, check_group, check_port, check_version
from agents.core.errors import ConfigurationError
from agents.mmcp import constants as c
from agents.mmcp.constants import Profile
from agents.mmcp.timing import Timers

OWN_ADDRESSES, HOST_ADDRESSES = ADDRESSES = ("own", "host")
"""Who gives an MN's interfaces their addresses: the MN itself, or its host."""

_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_HEXADECIMAL = re.compile(r"0x(?:[0-9A-Fa-f]{2})+")


@lru_cache(maxsize=4096)
def identifier(text: str) -> bytes:
    """The bytes of an MN or PoA identifier written as text, MAC or 0x-hexadecimal."""
    if _MAC.fullmatch(text):
        return bytes.fromhex(text.replace(":", ""))
    if _HEXADECIMAL.fullmatch(text):
        return bytes.fromhex(text[2:])
    return text.encode()


def _check_identifier(key: str, text: str) -> None:
    size = len(identifier(text))
    if not c.IDENTIFIER_MINIMUM <= size <= c.IDENTIFIER_MAXIMUM:
        raise ConfigurationError(
            key, f"{text!r} has {size} bytes", f"give {c.IDENTIFIER_MINIMUM} to {c.IDENTIFIER_MAXIMUM}"
        )


def _check_session_id(key: str, session_id: int) -> None:
    if not 0 <= session_id <= c.SESSION_ID_MAXIMUM:
        raise ConfigurationError(key, str(session_id), f"give 0 to {c.SESSION_ID_MAXIMUM}")


def _check_profile(name: str) -> None:
    """Check the key ``profile``: in which form a role writes what it is not asked for [M-2]."""
    if name not in Profile.__members__:
        raise ConfigurationError("profile", repr(name), f"give {' or '.join(Profile.__members__)}")


@dataclass(frozen=True, slots=True)
class Session:
    """One multicast session: its group, and who may join (None: everybody). ``source`` is for SSM groups [M-6].

    With ``ask_authorisation`` the operator's AAA is asked too, about each MN that is not a member yet [M-30].
    """

    session_id: int
    group: str
    port: int
    source: str | None = None
    allowed_mn_ids: list[str] | None = None
    ask_authorisation: bool = False

    def check(self, key: str) -> None:
        """Raise ConfigurationError for a value that cannot be."""
        _check_session_id(f"{key}.session_id", self.session_id)
        check_group(self.group, self.source, f"{key}.")
        check_port(f"{key}.port", self.port)
        for number, mn_id in enumerate(self.allowed_mn_ids or ()):
            _check_identifier(f"{key}.allowed_mn_ids[{number}]", mn_id)


@dataclass(frozen=True, slots=True)
class Controller:
    """An LMC as all roles know it: its name, where it listens, and the points of attachment it serves."""

    name: str
    address: str
    points_of_attachment: list[str]
    port: int = c.DEFAULT_PORT

    @property
    def endpoint(self) -> Endpoint:
        """Where to send to."""
        return Endpoint(str(ip_address(self.address)), self.port)


class ProvisionedController(NamedTuple):
    """An LMC of the table as messages name it: its identifier, and where it listens."""

    name: bytes
    endpoint: Endpoint


class ControllerTable:
    """The table that operators share among the SM and all LMCs: which LMC serves which point of attachment [7.5]."""

    def __init__(self, controllers: list[Controller]) -> None:
        self._by_name: dict[bytes, ProvisionedController] = {}
        self._by_point: dict[bytes, ProvisionedController] = {}
        self._by_endpoint: dict[Endpoint, ProvisionedController] = {}
        self._by_address: dict[str, ProvisionedController] = {}
        for number, controller in enumerate(controllers):
            key = f"controllers[{number}]"
            _check_identifier(f"{key}.name", controller.name)
            check_address(f"{key}.address", controller.address)
            check_port(f"{key}.port", controller.port)
            name = identifier(controller.name)
            if name in self._by_name:
                raise ConfigurationError(f"{key}.name", f"{controller.name!r} is there twice", "name each LMC once")
            row = self._by_name[name] = ProvisionedController(name, controller.endpoint)
            if row.endpoint in self._by_endpoint:
                taken = next(each.name for each in controllers if each.endpoint == row.endpoint)
                raise ConfigurationError(
                    f"{key}.address",
                    f"{controller.name!r} and {taken!r} both listen at {controller.address} port {controller.port}",
                    "give each LMC its own address or port",
                )
            self._by_endpoint[row.endpoint] = row
            self._by_address.setdefault(row.endpoint.address, row)
            for point in controller.points_of_attachment:
                _check_identifier(f"{key}.points_of_attachment", point)
                other = self._by_point.setdefault(identifier(point), row)
                if other is not row:
                    names = {identifier(each.name): each.name for each in controllers}
                    raise ConfigurationError(
                        f"{key}.points_of_attachment",
                        f"{point!r} is served by {names[other.name]!r} and {controller.name!r}",
                        "give each point of attachment to one LMC",
                    )

    def check_version(self, version: int) -> None:
        """Raise ConfigurationError unless all LMCs listen on IP ``version``, the SM's."""
        for number, row in enumerate(self._by_name.values()):
            check_version(f"controllers[{number}].address", row.endpoint.address, version, "SM")

    def named(self, name: bytes) -> ProvisionedController | None:
        """The LMC of that name, or None."""
        return self._by_name.get(name)

    def at(self, source: Endpoint) -> ProvisionedController | None:
        """The LMC that sends from there, or None: the one that listens there, else the first with that address."""
        return self._by_endpoint.get(source) or self._by_address.get(source.address)

    def serving(self, point_of_attachment: bytes | None) -> ProvisionedController | None:
        """The LMC that serves that point of attachment, or None."""
        return None if point_of_attachment is None else self._by_point.get(point_of_attachment)


@dataclass(frozen=True, slots=True)
class SessionManagerConfiguration:
    """What an SM is given."""

    address: str
    sessions: list[Session]
    controllers: list[Controller] = field(default_factory=list)
    timers: Timers = field(default_factory=Timers)
    port: int = c.DEFAULT_PORT
    profile: str = Profile.L16.value

    @property
    def asks_for_authorisation(self) -> bool:
        """Whether a session needs an operator's AAA to be asked [M-30]."""
        return any(session.ask_authorisation for session in self.sessions)

    @property
    def listen(self) -> Endpoint:
        """Where the SM listens."""
        return Endpoint(str(ip_address(self.address)), self.port)

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        version = check_address("address", self.address)
        check_port("port", self.port)
        self.timers.check()
        _check_profile(self.profile)
        seen: set[int] = set()
        for number, session in enumerate(self.sessions):
            session.check(f"sessions[{number}]")
            check_version(f"sessions[{number}].group", session.group, version, "SM")
            if session.session_id in seen:
                raise ConfigurationError(
                    f"sessions[{number}].session_id", f"{session.session_id} is there twice", "give each its own"
                )
            seen.add(session.session_id)
        if not self.sessions:
            raise ConfigurationError("sessions", "empty", "give at least one session")
        if self.asks_for_authorisation and self.timers.jwt_s <= c.AUTHORISATION_TIME:
            reason = f"{self.timers.jwt_s} s, and a session asks the AAA, whose answer an MN could not wait for"
            raise ConfigurationError("timers.jwt_s", reason, f"give more than {c.AUTHORISATION_TIME:g} s")
        ControllerTable(self.controllers).check_version(version)


@dataclass(frozen=True, slots=True)
class LocalMobilityControllerConfiguration:
    """What an LMC is given; its own row of ``controllers`` is the one with its name."""

    name: str
    interface: str
    subnet: str
    session_manager: str
    controllers: list[Controller]
    sessions: list[int]
    session_manager_port: int = c.DEFAULT_PORT
    sources: dict[str, str] = field(default_factory=dict)  # group -> source of SSM groups [M-6]
    asr_on_leave: bool = False
    profile: str = Profile.L16.value
    timers: Timers = field(default_factory=Timers)

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        _check_identifier("name", self.name)
        version = check_address("session_manager", self.session_manager)
        check_port("session_manager_port", self.session_manager_port)
        self.timers.check()
        _check_profile(self.profile)
        table = ControllerTable(self.controllers)
        own = table.named(identifier(self.name))
        if own is None:
            raise ConfigurationError("controllers", f"no row named {self.name!r}", "give the LMC's own row too")
        table.check_version(version)
        try:
            subnet = ip_network(self.subnet)
        except ValueError as error:
            raise ConfigurationError("subnet", f"{self.subnet!r}: {error}", "give a prefix like 10.0.1.0/24") from None
        if ip_address(own.endpoint.address) not in subnet:
            raise ConfigurationError(
                "subnet", f"{own.endpoint.address} is not in {self.subnet}", "give the LMC's own subnet"
            )
        for group, source in self.sources.items():
            check_group(group, source, f"sources[{group!r}]: ")
            check_version(f"sources[{group!r}]", group, version, "SM")
        if not self.sessions:
            raise ConfigurationError("sessions", "empty", "give the session ids this LMC serves")
        for number, session_id in enumerate(self.sessions):
            _check_session_id(f"sessions[{number}]", session_id)
            if session_id in self.sessions[:number]:
                raise ConfigurationError(f"sessions[{number}]", f"{session_id} is there twice", "give each once")

    @property
    def source_of(self) -> dict[str, str]:
        """The source of each SSM group, both as canonical text [M-6]."""
        return {str(ip_address(group)): str(ip_address(source)) for group, source in self.sources.items()}

    @property
    def session_manager_endpoint(self) -> Endpoint:
        """Where the SM listens."""
        return Endpoint(str(ip_address(self.session_manager)), self.session_manager_port)

    @property
    def listen(self) -> Endpoint:
        """Where the LMC listens."""
        return self.own.endpoint

    @property
    def own(self) -> Controller:
        """The LMC's own row of the table."""
        return next(row for row in self.controllers if identifier(row.name) == identifier(self.name))


@dataclass(frozen=True, slots=True)
class PointOfAttachment:
    """What an MN finds behind a point of attachment: the address it will be given there, and its router."""

    name: str
    address: str
    gateway: str


def check_points_of_attachment(
    points: list[PointOfAttachment], attached_to: str | None, version: int, prefix: str = ""
) -> None:
    """Check where an interface may go, with addresses of IP ``version``, and that it begins at one of them, if at any."""
    if attached_to is not None and attached_to not in {point.name for point in points}:
        raise ConfigurationError(f"{prefix}attached_to", repr(attached_to), "give one of points_of_attachment")
    for number, point in enumerate(points):
        key = f"{prefix}points_of_attachment[{number}]"
        _check_identifier(f"{key}.name", point.name)
        check_address(f"{key}.gateway", point.gateway)
        check_version(f"{key}.gateway", point.gateway, version)
        try:
            address = ip_interface(point.address)
        except ValueError as error:
            raise ConfigurationError(f"{key}.address", str(error), "give address/prefix length") from None
        check_version(f"{key}.address", str(address.ip), version)
        gateway = ip_address(point.gateway)
        if gateway not in address.network and not (gateway.version == 6 == version and gateway.is_link_local):
            reason = f"{gateway} is not in {address.network}, where {point.name} gives the node its address"
            raise ConfigurationError(f"{key}.gateway", reason, "give the router's address there")


def check_addresses(origin: str, delay_s: float) -> None:
    """Check the keys ``addresses`` and ``address_delay_s``."""
    if origin not in ADDRESSES:
        raise ConfigurationError("addresses", repr(origin), f"give {' or '.join(ADDRESSES)}")
    if origin != OWN_ADDRESSES and delay_s:
        raise ConfigurationError(
            "address_delay_s", f"{delay_s:g} s, and the host's client takes its own", "leave it out"
        )
    if not 0 <= delay_s <= c.TIMER_MAXIMUM:
        raise ConfigurationError("address_delay_s", str(delay_s), f"give 0 to {c.TIMER_MAXIMUM:g} s")


@dataclass(frozen=True, slots=True)
class NodeInterface:
    """An interface of an MN: the points of attachment in its reach, and where it is at first (None: at none)."""

    name: str
    points_of_attachment: list[PointOfAttachment]
    attached_to: str | None = None


@dataclass(frozen=True, slots=True)
class WantedSession:
    """A session that an MN joins; ``source`` is that of an SSM group [M-6]."""

    session_id: int
    source: str | None = None


class LinkTrigger(StrEnum):
    """Which link event makes an MN ask for a handover [M-32]; one that says where the link goes always does."""

    DETECTED = "detected"
    GOING_DOWN = "going-down"


@dataclass(frozen=True, slots=True)
class MobileNodeConfiguration:
    """What an MN is given.

    ``addresses``: whether it gives its interfaces the addresses provisioned for each place itself ("own"), or its host does, by
    DHCP or SLAAC ("host"). ``address_delay_s``, of its own ones, stands for the time that this would take after link up.
    ``link_trigger``: ``detected`` where a point of attachment that is detected is the next one, ``going-down`` where several are
    in reach.
    """

    mn_id: str
    session_manager: str
    sessions: list[WantedSession]
    interfaces: list[NodeInterface]
    session_manager_port: int = c.DEFAULT_PORT
    port: int = c.DEFAULT_PORT
    addresses: str = OWN_ADDRESSES
    address_delay_s: float = 0.0
    link_trigger: str = LinkTrigger.DETECTED.value
    profile: str = Profile.L16.value
    timers: Timers = field(default_factory=Timers)

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        _check_identifier("mn_id", self.mn_id)
        if self.link_trigger not in [each.value for each in LinkTrigger]:
            remedy = f"give {' or '.join(each.value for each in LinkTrigger)}"
            raise ConfigurationError("link_trigger", repr(self.link_trigger), remedy)
        version = check_address("session_manager", self.session_manager)
        check_port("session_manager_port", self.session_manager_port)
        check_port("port", self.port)
        self.timers.check()
        _check_profile(self.profile)
        self._check_sessions(version)
        seen: set[str] = set()
        for number, interface in enumerate(self.interfaces):
            key = f"interfaces[{number}]."
            if interface.name in seen:
                raise ConfigurationError(f"{key}name", f"{interface.name!r} is there twice", "give each once")
            seen.add(interface.name)
            check_points_of_attachment(interface.points_of_attachment, interface.attached_to, version, key)
        if all(interface.attached_to is None for interface in self.interfaces):
            raise ConfigurationError("interfaces", "none is attached", "give attached_to of the one the MN begins with")
        check_addresses(self.addresses, self.address_delay_s)

    def _check_sessions(self, version: int) -> None:
        if not self.sessions:
            raise ConfigurationError("sessions", "empty", "give at least one session")
        seen: set[int] = set()
        for number, session in enumerate(self.sessions):
            key = f"sessions[{number}]"
            _check_session_id(f"{key}.session_id", session.session_id)
            if session.session_id in seen:
                raise ConfigurationError(f"{key}.session_id", f"{session.session_id} is there twice", "give each once")
            seen.add(session.session_id)
            if session.source is not None:
                check_address(f"{key}.source", session.source)
                check_version(f"{key}.source", session.source, version, "SM")

    @property
    def session_manager_endpoint(self) -> Endpoint:
        """Where the SM listens."""
        return Endpoint(str(ip_address(self.session_manager)), self.session_manager_port)

    @property
    def listen(self) -> Endpoint:
        """Where the MN listens: its port on all its addresses, because they change."""
        return Endpoint("0.0.0.0" if ip_address(self.session_manager).version == 4 else "::", self.port)

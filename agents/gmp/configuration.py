"""What a person provisions for GMP's clients, and the bounds it must keep. Times are seconds where no unit is said.

Plain dataclasses; the runtime fills them from TOML. What is secret stands in files or in the environment, hexadecimal, and is read
when the role is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from agents.core.agent import Endpoint
from agents.core.checks import check_address, check_group, check_port
from agents.core.errors import ConfigurationError, EncodeError
from agents.gmp import constants as c
from agents.gmp.client_state import Goal
from agents.gmp.keys import SECRET_MINIMUM
from agents.gmp.messages import SessionMessage, encode_session
from agents.gmp.options import KeepAlive, Options

TRANSPORTS = UDP, TCP = ("udp", "tcp")
GOALS = tuple(goal.name.lower() for goal in Goal)


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(key, repr(value), f"give one of {', '.join(choices)}")


def check_name(key: str, name: str) -> None:
    """Check the name of a client or session: it stands in a message, and an empty one is refused [G-26]."""
    if not 1 <= len(name.encode()) <= c.NAME_MAXIMUM:
        raise ConfigurationError(key, f"{len(name.encode())} bytes", f"give 1 to {c.NAME_MAXIMUM} bytes of UTF-8")


def read_hexadecimal(key: str, path: str) -> bytes:
    """The octets that a file holds as hexadecimal digits; raises ConfigurationError, which shows nothing of them."""
    return _octets(key, f"{path}", _text(key, path))


def _text(key: str, path: str) -> str:
    try:
        return Path(path).read_bytes().decode()  # with the line ends that SDP has
    except OSError as error:
        raise ConfigurationError(key, f"{path} cannot be read: {error.strerror}", "give a readable file") from error
    except UnicodeDecodeError:
        raise ConfigurationError(key, f"{path} is not UTF-8", "give a file of text") from None


def _octets(key: str, where: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        raise ConfigurationError(key, f"{where} has something else in it", "write hexadecimal digits") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfiguration:
    """What both clients are given: who they are, and where the server is.

    ``interface`` is where the session's data goes to or comes from. ``mm_port`` is this client's, to which the server's module MM
    sends [G-15, G-17]; ``address`` and ``sm_port`` are where the others come from (0: any port). The ``secret``, without which
    there is no secure session [G-18], is named by its file or its variable of the environment. ``until`` is what the client
    does by itself when it starts.
    """

    name: str
    server: str
    interface: str
    server_sm_port: int = c.SM_PORT
    server_mm_port: int = c.MM_PORT
    transport: str = UDP
    address: str = ""
    sm_port: int = 0
    mm_port: int = c.MM_PORT
    secret_file: str | None = None
    secret_environment: str | None = None
    until: str = "active"

    @property
    def goal(self) -> Goal:
        """``until``."""
        return Goal[self.until.upper()]

    @property
    def is_tcp(self) -> bool:
        """Whether it speaks over streams."""
        return self.transport == TCP

    @property
    def sm_endpoint(self) -> Endpoint:
        """The server's module SM."""
        return Endpoint(str(ip_address(self.server)), self.server_sm_port)

    @property
    def mm_endpoint(self) -> Endpoint:
        """The server's module MM."""
        return Endpoint(str(ip_address(self.server)), self.server_mm_port)

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        check_name("name", self.name)
        check_address("server", self.server)
        if self.address:
            check_address("address", self.address)
        for key in ("server_sm_port", "server_mm_port", "mm_port"):
            check_port(key, getattr(self, key))
        if self.sm_port:
            check_port("sm_port", self.sm_port)
        if self.sm_port == self.mm_port:
            raise ConfigurationError("sm_port", f"{self.sm_port} is mm_port too", "give each module a port of its own")
        _check_choice("transport", self.transport, TRANSPORTS)
        _check_choice("until", self.until, GOALS)
        if not self.interface:
            raise ConfigurationError("interface", "empty", "give the interface that the data goes by")
        self.read_secret()

    def read_secret(self) -> bytes | None:
        """The client's secret, or None where none is named; raises ConfigurationError."""
        if self.secret_file is not None:
            key, secret = "secret_file", read_hexadecimal("secret_file", self.secret_file)
        elif self.secret_environment is not None:
            key = "secret_environment"
            secret = _octets(key, self.secret_environment, os.environ.get(self.secret_environment, ""))
        else:
            return None
        if len(secret) < SECRET_MINIMUM:
            raise ConfigurationError(key, f"{len(secret)} octets", f"give {SECRET_MINIMUM} or more, of a random source")
        return secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantConfiguration(ClientConfiguration):
    """A participant. The session and, where it is closed, its token may also be said with ``register`` later."""

    session_id: int = 0
    token_file: str | None = None

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        ClientConfiguration.check(self)
        if not 0 <= self.session_id <= c.ID_MAXIMUM:
            raise ConfigurationError("session_id", str(self.session_id), f"give 1 to {c.ID_MAXIMUM}, or 0: said later")
        self.read_token()

    def read_token(self) -> bytes | None:
        """The session's access token, or None where no file is named; raises ConfigurationError."""
        return None if self.token_file is None else read_hexadecimal("token_file", self.token_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """What a creator says of its session [7.1.1, 9.1].

    ``name`` is its name and purpose, ``media`` its SDP, which may stand in ``media_file``. ``core_members`` are the names of those
    without whom it ends, ``invited_members`` of those who may come to a closed one beside them ([]: whoever has the token) [GI-18]. Times are
    Unix seconds; ``period`` and ``timeout`` of the keep-alive are in 100 ms [8.4]. ``start_condition``: 0 none, 1 core members
    registered, 2 enrolled [G-25].
    """

    name: str
    group: str
    port: int
    media: str = ""
    media_file: str | None = None
    content: str | None = None
    owner: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    core_members: list[str] = field(default_factory=list)
    invited_members: list[str] = field(default_factory=list)
    secure: bool = False
    closed: bool = False
    period: int = c.DEFAULT_PERIOD
    timeout: int = c.DEFAULT_TIMEOUT
    start_condition: int = c.StartCondition.CORE_REGISTERED

    def check(self, key: str) -> None:
        """Raise ConfigurationError for a value that cannot be; what SDP is the server says."""
        check_name(f"{key}.name", self.name)
        for kind in ("core_members", "invited_members"):
            for number, name in enumerate(getattr(self, kind)):
                check_name(f"{key}.{kind}[{number}]", name)
        if check_address(f"{key}.group", self.group, multicast=True) != 4:
            raise ConfigurationError(
                f"{key}.group", self.group, "give an IPv4 group: GMP's messages have room for no other"
            )
        check_group(self.group, None, f"{key}.")
        check_port(f"{key}.port", self.port)
        if bool(self.media) is (self.media_file is not None):
            raise ConfigurationError(f"{key}.media", "given twice, or not at all", "give media or media_file, the SDP")
        if not 1 <= self.period < self.timeout <= 255:
            found = f"period {self.period} and timeout {self.timeout}"
            raise ConfigurationError(f"{key}.timeout", found, "give 1 to 255 (100 ms), and more than the period [G-26]")
        if self.start_condition not in list(c.StartCondition):
            raise ConfigurationError(f"{key}.start_condition", str(self.start_condition), "give 0, 1 or 2 [G-25]")
        if self.invited_members and not self.closed:
            raise ConfigurationError(f"{key}.invited_members", "of an open session", "remove them, or say closed")
        for of in ("start_time", "end_time"):
            if not 0 <= (getattr(self, of) or 0) < 2**64:
                raise ConfigurationError(f"{key}.{of}", str(getattr(self, of)), "give Unix seconds")
        try:
            encode_session(SessionMessage(c.SCINF, options=self.options()))
        except EncodeError as error:
            raise ConfigurationError(key, str(error), "make the description shorter") from None

    def options(self) -> Options:
        """The description as SCINF has it; raises ConfigurationError for a media file that cannot be read."""
        return Options(
            name=self.name,
            content=self.content,
            owner=self.owner,
            start_time=self.start_time,
            end_time=self.end_time,
            media=self.media or _text("session.media_file", self.media_file or ""),
            core_members=tuple(self.core_members),
            keep_alive=KeepAlive(self.period, self.timeout),
            invited_members=tuple(self.invited_members),
            start_condition=self.start_condition,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatorConfiguration(ClientConfiguration):
    """A creator, and the session that it creates."""

    session: SessionDescription

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        ClientConfiguration.check(self)
        self.session.check("session")
        if self.session.secure and self.read_secret() is None:
            remedy = "give secret_file or secret_environment, without which nobody is in a secure session [G-12]"
            raise ConfigurationError("secret_file", "missing, and the session is secure", remedy)

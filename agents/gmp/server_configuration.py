"""What an operator provisions for a GMP server, and the bounds it must keep. Times are seconds."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from agents.core.checks import check_address, check_port
from agents.core.errors import ConfigurationError
from agents.gmp import constants as c
from agents.gmp.announcer import INTERVAL_MINIMUM
from agents.gmp.keys import SECRET_MINIMUM

SESSIONS = 1000
MEMBERS = 20_000
MEMBERS_OF_ADDRESS = 1024
ENROLMENT_TIMEOUT_MAXIMUM = 86_400.0  # s
INTERVAL_MAXIMUM = 3600.0  # s: who listens for an hour has heard of every session


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfiguration:
    """A server. It listens at ``address`` for datagrams and streams, with a port for each module [G-3].

    ``secrets_file`` is a TOML file of clients' names and secrets in hexadecimal digits [G-19]; without it there are no secure sessions.
    With ``require_names`` no nameless client creates a session [G-19]; with ``rekey_on_join`` a secure session has a new key for each
    member that enrols, too [7.3]. A member that is enrolled and not active falls to registered after ``enrolment_timeout_s`` (0: never; by
    default ten times its session's timeout) [G-21]. At most ``sessions`` are there at once, ``members`` in one, and
    ``members_of_address`` of them from one address. Sessions are announced by SAP from the addresses ``announce_from``, one of an IP
    version at most, by the interface ``announce_on`` ("": as the routes say), at intervals of ``announce_interval_s`` at least. A server that is not ``durable`` needs no store, and loses all when it ends [GI-10].
    """

    address: str = "0.0.0.0"
    sm_port: int = c.SM_PORT
    mm_port: int = c.MM_PORT
    secrets_file: str | None = None
    require_names: bool = False
    rekey_on_join: bool = False
    enrolment_timeout_s: float | None = None
    sessions: int = SESSIONS
    members: int = MEMBERS
    members_of_address: int = MEMBERS_OF_ADDRESS
    durable: bool = True
    announce_from: list[str] = field(default_factory=list)
    announce_on: str = ""
    announce_interval_s: float = INTERVAL_MINIMUM

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        check_address("address", self.address)
        for key in ("sm_port", "mm_port"):
            check_port(key, getattr(self, key))
        if self.sm_port == self.mm_port:
            raise ConfigurationError("mm_port", f"{self.mm_port} is sm_port too", "give each module a port of its own")
        for key in ("sessions", "members", "members_of_address"):
            if not 1 <= getattr(self, key) <= c.ID_MAXIMUM:
                raise ConfigurationError(key, str(getattr(self, key)), f"give 1 to {c.ID_MAXIMUM}")
        timeout = self.enrolment_timeout_s
        if timeout is not None and not 0 <= timeout <= ENROLMENT_TIMEOUT_MAXIMUM:
            found = f"{timeout} s"
            raise ConfigurationError("enrolment_timeout_s", found, f"give 0 to {ENROLMENT_TIMEOUT_MAXIMUM:g} s")
        versions = [check_address(f"announce_from[{number}]", each) for number, each in enumerate(self.announce_from)]
        if len(set(versions)) != len(versions):
            raise ConfigurationError(
                "announce_from", f"{len(versions)} addresses", "give one of each IP version at most"
            )
        if not 1 <= self.announce_interval_s <= INTERVAL_MAXIMUM:
            found = f"{self.announce_interval_s} s"
            raise ConfigurationError("announce_interval_s", found, f"give 1 to {INTERVAL_MAXIMUM:g} s")
        self.read_secrets()

    def read_secrets(self) -> dict[str, bytes] | None:
        """The clients' secrets by name, None without a file; raises ConfigurationError, which shows nothing of them."""
        if self.secrets_file is None:
            return None
        key, path = "secrets_file", self.secrets_file
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(key, f"{path} cannot be read: {error.strerror}", "give a readable file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            raise ConfigurationError(key, f"{path} is not TOML", 'write lines such as name = "00ff…"') from None
        return {name: _secret(f"{key}: {name}", text) for name, text in content.items()}


def _secret(key: str, text: object) -> bytes:
    try:
        secret = bytes.fromhex(text if isinstance(text, str) else "?")
    except ValueError:
        raise ConfigurationError(key, "something else than text of hexadecimal digits", "write those") from None
    if len(secret) < SECRET_MINIMUM:
        raise ConfigurationError(key, f"{len(secret)} octets", f"give {SECRET_MINIMUM} or more, of a random source")
    return secret

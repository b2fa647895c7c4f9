"""Checks that the configurations of all roles share; each raises ConfigurationError with the key it was given."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network

from agents.core.errors import ConfigurationError

# Groups of source-specific multicast [RFC 4607 1, RFC 3306 6: ff3x::/32 for each scope x].
_SOURCE_SPECIFIC = (
    ip_network("232.0.0.0/8"),
    *(ip_network(f"ff3{scope:x}::/32") for scope in range(16)),
)


@lru_cache(1024)
def is_source_specific(group: str) -> bool:
    """Whether ``group`` is a source-specific one, which only a join that names its source receives."""
    address = ip_address(group)
    return any(address in network for network in _SOURCE_SPECIFIC if network.version == address.version)


def check_address(key: str, text: str, *, multicast: bool = False) -> int:
    """Check an IP address, unicast unless ``multicast``, and return its version."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigurationError(key, f"{text!r} is no IP address", "give an IPv4 or IPv6 address") from None
    if address.is_multicast != multicast:
        wanted = "a multicast" if multicast else "a unicast"
        raise ConfigurationError(key, f"{text} is not {wanted} address", f"give {wanted} address")
    return address.version


def check_version(key: str, address: str, version: int, of: str = "") -> None:
    """Check that an address which is one is of IP ``version``, as that of ``of`` is, where this is named."""
    if ip_address(address).version != version:
        raise ConfigurationError(key, address, f"give an IPv{version} address" + (f" like the {of}'s" if of else ""))


def check_group(group: str, source: str | None, prefix: str = "") -> None:
    """Check the keys ``group`` and ``source`` (None: any-source) behind ``prefix``; an SSM group needs its source."""
    version = check_address(f"{prefix}group", group, multicast=True)
    if source is None and is_source_specific(group):
        raise ConfigurationError(f"{prefix}source", f"missing, and {group} is an SSM group", "give the group's source")
    if source is not None:
        check_address(f"{prefix}source", source)
        check_version(f"{prefix}source", source, version, "group")


def check_port(key: str, port: int) -> None:
    """Check a UDP port that can be sent to."""
    if not 1 <= port <= 0xFFFF:
        raise ConfigurationError(key, f"port {port}", "give 1 to 65535")

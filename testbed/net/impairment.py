"""Loss on purpose: of some messages at a node, by nftables in its own namespace, and what it has dropped.

What a whole link loses is the model's: `testbed.net.links`.
"""

from __future__ import annotations

import json
from functools import partial

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.tools import run_tool

_DENOMINATOR = 1000
_PAST_UDP_HEADER = 64  # bits


def lose_datagrams(network: EmulatedNetwork, node: str, port: int, share: float) -> None:
    """Drop a random ``share`` (0 to 1) of the UDP datagrams that reach ``node`` and have ``port`` at either end."""
    dropped = f"numgen random mod {_DENOMINATOR} < {round(share * _DENOMINATOR)} counter drop"
    _drop_on_input(network, node, "impairment", port, dropped)


def datagrams_lost(network: EmulatedNetwork, node: str) -> int:
    """How many datagrams ``lose_datagrams`` has dropped at ``node``."""
    return _dropped(network, node, "impairment")


def lose_all_until_heard(network: EmulatedNetwork, node: str, port: int, begins: bytes) -> None:
    """Drop every UDP datagram that ``node`` sends to ``port`` of somebody, until one has come from him that begins so.

    What is dropped is on no link, nor in any capture; the sender is told that it may not send.
    """
    family = "ipv4_addr" if network.model.family == 4 else "ipv6_addr"
    ip = "ip" if network.model.family == 4 else "ip6"
    rules = (
        f"table inet until-heard {{\n set heard {{ type {family}; flags dynamic; size 16; }}\n"
        " chain input {\n  type filter hook input priority 0;\n"
        f"  udp sport {port} {_beginning(begins)} add @heard {{ {ip} saddr }}\n }}\n"
        " chain output {\n  type filter hook output priority 0;\n"
        f"  udp dport {port} {ip} daddr != @heard counter drop\n }}\n}}\n"
    )
    _nft(network, node, "-f", "-", given=rules)


def heard(network: EmulatedNetwork, node: str) -> int:
    """From how many ``node`` has heard what was waited for since ``lose_all_until_heard``."""
    listing = json.loads(_nft(network, node, "-j", "list", "set", "inet", "until-heard", "heard"))
    return sum(len(entry["set"].get("elem", [])) for entry in listing["nftables"] if "set" in entry)


def lose_no_more(network: EmulatedNetwork, node: str) -> int:
    """End ``lose_all_until_heard``; returns how many datagrams it has dropped."""
    dropped = _dropped(network, node, "until-heard")
    _nft(network, node, "delete", "table", "inet", "until-heard")
    return dropped


def lose_packets(network: EmulatedNetwork, node: str, port: int, begins: bytes) -> None:
    """Drop every UDP datagram that reaches ``node``, has ``port`` at either end and begins with these octets."""
    _drop_on_input(network, node, "held", port, f"{_beginning(begins)} counter drop")


def packets_lost(network: EmulatedNetwork, node: str) -> int:
    """How many datagrams ``lose_packets`` has dropped at ``node``."""
    return _dropped(network, node, "held")


def let_packets_pass(network: EmulatedNetwork, node: str) -> None:
    """End ``lose_packets``."""
    _nft(network, node, "delete", "table", "inet", "held")


def _beginning(octets: bytes) -> str:
    """How nftables says that a UDP datagram's payload begins with some octets."""
    return f"@th,{_PAST_UDP_HEADER},{8 * len(octets)} 0x{octets.hex()}"


def _drop_on_input(network: EmulatedNetwork, node: str, table: str, port: int, dropped: str) -> None:
    """Make a table that does ``dropped`` with what reaches ``node`` and has ``port`` at either end, once for each datagram."""
    rules = (
        f"table inet {table} {{\n chain input {{\n  type filter hook input priority 0;\n"
        f"  udp dport {port} {dropped}\n  udp sport {port} udp dport != {port} {dropped}\n }}\n}}\n"
    )
    _nft(network, node, "-f", "-", given=rules)


def _dropped(network: EmulatedNetwork, node: str, table: str) -> int:
    listing = json.loads(_nft(network, node, "-j", "list", "table", "inet", table))
    rules = [entry["rule"] for entry in listing["nftables"] if "rule" in entry]
    return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)


def _nft(network: EmulatedNetwork, node: str, *arguments: str, given: str = "") -> str:
    return run_tool(
        network.routing_root, ["nft", *arguments], given, start=partial(network.popen, node), where=f"node {node}"
    )

"""Loss on purpose: nftables in a node's own namespace, run from the routing root, and what it has dropped.

This kernel or another may lack tc's netem; nftables' random numbers give loss anywhere.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from testbed.mininet_net import World

COMMAND_DEADLINE_S = 10.0
_DENOMINATOR = 1000


class ImpairmentError(RuntimeError):
    """nftables refused; says on which node and what it said."""


def lose_datagrams(world: World, node: str, port: int, share: float) -> None:
    """Drop a random ``share`` (0 to 1) of the UDP datagrams that reach ``node`` and have ``port`` at either end."""
    dropped = f"numgen random mod {_DENOMINATOR} < {round(share * _DENOMINATOR)} counter drop"
    rules = (
        "table inet impairment {\n chain input {\n  type filter hook input priority 0;\n"
        f"  udp dport {port} {dropped}\n  udp sport {port} udp dport != {port} {dropped}\n }}\n}}\n"
    )
    _nft(world, node, "-f", "-", given=rules)


def datagrams_lost(world: World, node: str) -> int:
    """How many datagrams ``lose_datagrams`` has dropped at ``node``."""
    listing = json.loads(_nft(world, node, "-j", "list", "table", "inet", "impairment"))
    rules = [entry["rule"] for entry in listing["nftables"] if "rule" in entry]
    return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)


def _nft(world: World, node: str, *arguments: str, given: str = "") -> str:
    root: Path | None = world.routing_root
    if root is None:
        raise ImpairmentError("this sandbox has no routing root folder, where nft is")
    process = world.popen(
        node,
        ["chroot", str(root), "nft", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = process.communicate(given.encode(), timeout=COMMAND_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ImpairmentError(f"node {node}: nft gave no answer for {COMMAND_DEADLINE_S:g} s") from None
    if process.returncode != 0:
        raise ImpairmentError(f"node {node}: nft {' '.join(arguments)}: {said.decode(errors='replace').strip()}")
    return said.decode()

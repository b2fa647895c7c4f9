"""Whether this machine can carry a lab, said before anything is made: what a lab of some size takes, against what there is."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

from testbed.net.model import Lab
from testbed.run.recording import buffer_kib
from testbed.run.roles import SHARING_MOBILES

# What each takes for itself, as measured; what all share counts for nothing.
NODE_MIB = 2.5  # its namespaces and links in the kernel, and the process that keeps them
ROUTER_MIB = 20.0  # FRR's daemons, of which there are most
ROLE_MIB = 25.0  # an agent, which is an interpreter
FORKED_ROLE_MIB = 9.0  # one of many, which share what they have imported
RECORDER_MIB = 1.5  # without the kernel's buffer for it
ITSELF_MIB = 120.0  # the lab's own program, and the judge afterwards

PROCESSES_OF_A_ROUTER = 4


class TooLargeError(RuntimeError):
    """A lab that this machine cannot carry. Says what it would take, and what there is."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a lab takes: memory, and processes at once. ``of``: what it was reckoned from, in words."""

    memory_mib: float
    processes: int
    of: str


def estimate(lab: Lab) -> Estimate:
    """What a lab takes whose every host plays a role, and every mobile node a second one that receives."""
    routers = sum(bool(node.daemon) for node in lab.routers())
    mobiles, recorders = len({radio.node for radio in lab.radios}), len(lab.captured_ends())
    roles = sum(node.kind == "host" for node in lab.nodes) + mobiles
    return Estimate(
        ITSELF_MIB
        + NODE_MIB * len(lab.nodes)
        + ROUTER_MIB * routers
        + (ROLE_MIB if mobiles < SHARING_MOBILES else FORKED_ROLE_MIB) * roles
        + (RECORDER_MIB + buffer_kib(recorders) / 1024) * recorders,
        len(lab.nodes) + PROCESSES_OF_A_ROUTER * routers + roles + recorders,
        f"{len(lab.nodes)} nodes, {roles} roles, {routers} multicast routers, {recorders} recorders",
    )


def require_room(lab: Lab) -> Estimate:
    """The estimate of a lab that this machine can carry. Raises TooLargeError for one that it cannot."""
    needed = estimate(lab)
    free_mib, free_processes = _available_mib(), _processes_allowed()
    if needed.memory_mib > free_mib:
        raise TooLargeError(
            f"lab {lab.name} would take about {needed.memory_mib:.0f} MiB ({needed.of}), and {free_mib:.0f} MiB are free: "
            "ask for a smaller one, or end other programs"
        )
    if needed.processes > free_processes:
        raise TooLargeError(
            f"lab {lab.name} would be about {needed.processes} processes ({needed.of}), and {free_processes} more may "
            "exist: ask for a smaller one, or raise kernel.pid_max and `ulimit -u`"
        )
    return needed


def _available_mib() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1024


def _processes_allowed() -> int:
    """What the tightest limit leaves beside what runs already."""
    running = sum(path.name.isdigit() for path in Path("/proc").iterdir())
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    return (most if soft == resource.RLIM_INFINITY else min(most, soft)) - running

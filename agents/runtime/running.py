"""Which agents run on this machine, in any namespace: found by their command lines and their configuration files.

A lab's agents have a mount namespace of their own, so their control sockets are reached through ``/proc/PID/root``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.runtime.control import ControlError

PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """An agent with a control socket: its process, its name, and the socket's path from here."""

    pid: int
    node: str
    control: Path


def running_agents(processes: Path = PROCESSES) -> Iterator[RunningAgent]:
    """Every agent that this user may look into; one that ends meanwhile is passed over."""
    for entry in sorted(processes.iterdir(), key=lambda each: each.name):
        if entry.name.isdigit():
            found = _agent(entry)
            if found is not None:
                yield found


def control_of(name: str, processes: Path = PROCESSES) -> Path:
    """The control socket of the agent called ``name``, or ``name`` itself where that is a socket's path.

    Raises ControlError where no agent is called so, or several are.
    """
    if "/" in name or Path(name).exists():
        return Path(name)
    agents = list(running_agents(processes))
    found = [agent for agent in agents if agent.node == name]
    if len(found) == 1:
        return found[0].control
    if found:
        paths = ", ".join(str(agent.control) for agent in found)
        raise ControlError(f"{name}: {len(found)} agents are called so; give one of {paths}")
    known = ", ".join(sorted({agent.node for agent in agents if agent.node})) or "none that you may look into"
    raise ControlError(f"{name}: no agent is called so; running are: {known}")


def _agent(process: Path) -> RunningAgent | None:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if "agents" not in words[:4] or "--config" not in words[:-1]:
            return None
        configuration = Path(words[words.index("--config") + 1])
        root = process / "root"
        file = _inside(root, configuration) if configuration.is_absolute() else process / "cwd" / configuration
        runtime = tomllib.loads(file.read_text(encoding="utf-8")).get("runtime", {})
        node, control = runtime["node"], runtime["control"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # it has ended, is not ours, or has no control socket
        return None
    where = _inside(root, Path(control)) if Path(control).is_absolute() else process / "cwd" / control
    return RunningAgent(int(process.name), str(node), where)


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")

"""Roles of a lab: what each is told in its configuration file, the command that plays it, and how to talk to it.

Every role is a command line. Ours is ``python -m agents …``; the lab's configuration may name another for any role, in
which ``{config}`` stands for the role's configuration file. What a lab waits for is seen from outside (sockets, kernel
counters, routers), so a stranger's program need not be built like ours.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from testbed.host.forking import Nursery
from testbed.host.processes import STOP_DEADLINE_S, Child, ManagedProcess
from testbed.host.sandbox import our_program
from testbed.net.mininet_net import EmulatedNetwork

ANSWER_DEADLINE_S = 5.0
READY_DEADLINE_S = 15.0

SHARING_MOBILES = 16
"""From so many mobile nodes on, a lab's roles are forked from one process: each is one still, and 200 of them fit."""

CONTROLS = Path("/run/roles")  # private to the sandbox


class RoleError(RuntimeError):
    """A role that did not answer, or refused; says which, what was asked and what it said."""


@dataclass(slots=True)
class RunningRole:
    """One role that runs: its process, and its control socket (ours has one; a stranger's may not)."""

    name: str
    node: str
    process: ManagedProcess
    control: Path
    is_ours: bool

    def ask(self, command: str, **fields: object) -> dict[str, object]:
        """Send one command to its control socket and return the answer's fields; raises RoleError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_DEADLINE_S)
                connection.connect(str(self.control))
                connection.sendall(json.dumps({"command": command, **fields}).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    answer = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise RoleError(f"{self.name} on node {self.node}: no answer to {command!r}: {error}") from None
        if not isinstance(answer, dict) or not answer.pop("ok", False):
            raise RoleError(f"{self.name} on node {self.node} refused {command!r}: {answer}")
        return answer


class Roles:
    """Starts the roles of one network. ``external``: role name -> argv of a command that plays it instead of ours.

    ``names``: those that roles may have, so that nobody gives a command for one that there is not.
    """

    def __init__(self, network: EmulatedNetwork, external: Mapping[str, Sequence[str]], names: Collection[str]) -> None:
        self._network = network
        self._external = external
        self._names = names
        self._started: set[str] = set()
        self._configurations = network.run_folder / "config"
        self._traces = network.run_folder / "traces"
        self.running: dict[str, RunningRole] = {}  # by name; of one that has ended its last process
        self._nursery: Nursery | None = None
        self.counters: dict[str, dict[str, int]] = {}  # by role; of a role that ran several times the sums
        for folder in (self._configurations, self._traces, CONTROLS):
            folder.mkdir(exist_ok=True)

    def share_memory(self) -> None:
        """From now on fork our roles from one process that has imported what they need: for labs with very many.

        Each is a process all the same. One that is forked takes a tenth of the time to start and a fifth of the memory.
        """
        if self._nursery is None:
            argv = our_program("agents", "nursery")
            self._nursery = Nursery(self._network.processes, argv, CONTROLS / "nursery.socket")

    def _fork(self, node: str, argv: Sequence[str], **options: Any) -> Child:
        assert self._nursery is not None
        words = argv[len(our_program("agents")) :]
        return self._nursery.fork(words, self._network.pid(node), options["stdout"].fileno())

    def control_path(self, name: str) -> Path:
        """Where the role's control socket is, or would be."""
        return CONTROLS / f"{name}.control"

    def application_path(self, name: str) -> Path:
        """Where the socket is to which the programs connect that the role works for, if it is given one."""
        return CONTROLS / f"{name}.application"

    def keep_private(self, name: str, text: str) -> Path:
        """Write what only the lab's own roles may read, such as a secret: it is in no run's folder, and gone with the lab."""
        path = CONTROLS / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def unused(self) -> list[str]:
        """External roles that nobody has started."""
        return [name for name in self._external if name not in self._started]

    def start(
        self,
        name: str,
        node: str,
        command: Sequence[str],
        configuration: Mapping[str, object],
        *,
        keeps: bool = False,
        ends: bool = False,
        serves: bool = False,
        web: str = "",
    ) -> RunningRole:
        """Write the role's configuration and start it.

        ``command``: the words after ``python -m agents`` that name the role, such as ("media", "source"). A role that
        ``keeps`` something has a durable store in the run's folder, and finds there what an earlier one of its name has put.
        One that ``ends`` by itself, well, has not died: the lab goes on. One that ``serves`` programs has a socket for them
        (`application_path`), one with ``web``, an ``ADDRESS:PORT``, has its pages there. Raises RoleError for a name that the lab has not told.
        """
        if name not in self._names:
            raise RoleError(f"role {name}: the lab does not say that it has one; name it in its Topology's roles")
        self._started.add(name)
        path = self._configurations / f"{name}.toml"
        control = self.control_path(name)
        runtime = {"node": name, "control": str(control), "trace": str(self._traces / f"{name}.jsonl")}
        if keeps:
            runtime["store"] = str(self._network.run_folder / f"{name}.sqlite")
        if serves:
            runtime["application"] = str(self.application_path(name))
        if web:
            runtime["web"] = web
        path.write_text(tomli_w.dumps({**_without_none(configuration), "runtime": runtime}), encoding="utf-8")
        external = self._external.get(name)
        if external is None:
            argv = our_program("agents", *command, "--config", str(path))
        else:
            argv = [word.replace("{config}", str(path)) for word in external]
        launch = self._fork if external is None and self._nursery is not None else None
        process = self._network.processes.start(name, node, argv, may_end=ends, launch=launch)
        self.running[name] = RunningRole(name, node, process, control, external is None)
        return self.running[name]

    def await_ready(self, *roles: RunningRole) -> None:
        """Wait until each of ours says that it is ready; a stranger's is only seen to run."""
        for role in roles:
            if role.is_ours:
                self._network.processes.wait_for_log(role.process, r"^ready$", READY_DEADLINE_S)

    def stop(self, role: RunningRole) -> None:
        """Stop one role; what ours has counted is kept in ``counters``, unless it has ended by itself before.

        Raises RoleError where it does not answer and yet runs, ProcessDied where it has ended and should not have.
        """
        if role.is_ours and role.control.exists():
            try:
                self._keep_counters(role)
            except RoleError:
                if not role.process.has_ended_within(STOP_DEADLINE_S if role.process.may_end else 0.0):
                    raise
                role.process.check_alive()
        self._network.processes.stop(role.process)

    def _keep_counters(self, role: RunningRole) -> None:
        counted = role.ask("counters")["counters"]
        if isinstance(counted, dict):
            kept = self.counters.setdefault(role.name, {})
            for name, value in counted.items():
                kept[name] = kept.get(name, 0) + int(value)


def await_answer(network: EmulatedNetwork, role: RunningRole, deadline_s: float) -> None:
    """Wait until a role of ours answers on its control socket: it may have been started again a moment ago."""

    def answers() -> tuple[bool, str]:
        try:
            role.ask("state")
        except RoleError as error:
            return False, str(error)
        return True, "it answers"

    network.eventually(f"{role.name} to answer", answers, deadline_s, quiet=True)


def _without_none(configuration: Mapping[str, object]) -> dict[str, object]:
    """TOML has no null: a key without a value is left out."""
    return {key: value for key, value in configuration.items() if value is not None}

"""FRR's daemons in a node, whatever they are for: started, told their configuration and asked, through vtysh."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from testbed.host.processes import ManagedProcess
from testbed.net.mininet_net import EmulatedNetwork
from testbed.routing.router import RoutingError, chroot, routing_root_of

START_DEADLINE_S = 20.0
"""For daemons to open their vty sockets: 0.2 s on an idle machine, but four labs may start at once."""

COMMAND_DEADLINE_S = 10.0
DATASTORE_LOCKED = "locked by another session"
"""FRR's complaint while mgmtd, just started, is still busy with its own start-up: to be asked again."""

CRASHES = {
    "pimd": "FRR's pimd is known to crash at times where a router has several cells (mended in FRR 10.4.4, 10.5.4 and 10.6): "
    "run the lab again, or with --routing pimd or --routing smcroute"
}
"""What is known of daemons that crash. In pimd a join does not refresh the timer of a group's any-source record. Where that runs
out and a later report brings the record back, it points to the route's state without being counted, and the last leave on
another interface frees that state twice."""


class FrrDaemons:
    """Some of FRR's daemons on one node. `launch` all nodes' first, then wait for each: they start side by side."""

    def __init__(self, network: EmulatedNetwork, node: str, daemons: tuple[str, ...]) -> None:
        self.network, self.node, self.daemons = network, node, daemons
        self.root: Path = routing_root_of(network)
        self._processes: list[ManagedProcess] = []

    def launch(self) -> None:
        """Starts the daemons, without waiting for them."""
        for folder in ("run/frr", "etc/frr", "var/lib/frr"):
            (self.root / folder / self.node).mkdir(parents=True, exist_ok=True)
        for where in (self.root / "etc/frr", self.root / "etc/frr" / self.node):
            (where / "vtysh.conf").touch()  # vtysh refuses to work without one
        for daemon in self.daemons:
            argv = chroot(
                self.root, f"/usr/lib/frr/{daemon}", "-N", self.node, "-u", "root", "-g", "root", "--log", "stdout"
            )
            # In UTC, so that what they log can be put in order with everything else.
            name = f"{self.node}-{daemon}"
            started = self.network.processes.start(
                name, self.node, argv, environment={"TZ": "UTC"}, crash=CRASHES.get(daemon, "")
            )
            self._processes.append(started)

    def await_listening(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Waits for the daemons to take commands. Raises ProcessDied, or NotObserved with the last lines of a daemon's log."""
        sockets = {daemon: self.root / "run/frr" / self.node / f"{daemon}.vty" for daemon in self.daemons}

        def listening() -> tuple[bool, str]:
            missing = [daemon for daemon, path in sockets.items() if not path.exists()]
            if not missing:
                return True, "all are listening"
            said = self.network.processes[f"{self.node}-{missing[0]}"].last_lines()
            return False, f"{', '.join(missing)} not listening; {missing[0]} said: {said or 'nothing'}"

        self.network.eventually(f"FRR on {self.node} to listen", listening, deadline_s, quiet=True)

    def load(self, name: str, configuration: str) -> None:
        """Hands them a configuration, which may be given again. Raises NotObserved, or RoutingError with FRR's complaint."""
        # Never pim6d.conf: a daemon may read a file of its own name by itself, and pim6d 10.3 then crashes on warnings.
        path = f"etc/frr/{self.node}/lab-{name}.conf"
        (self.root / path).write_text(configuration)

        def loaded() -> tuple[bool, str]:
            try:
                self._vtysh("-f", f"/{path}")
            except RoutingError as error:
                if DATASTORE_LOCKED in str(error):
                    return False, str(error)
                raise
            return True, "accepted"

        # Every line may be given twice, so the whole file is simply given again.
        self.network.eventually(f"FRR on {self.node} to accept {path}", loaded, COMMAND_DEADLINE_S, quiet=True)

    def _vtysh(self, *arguments: str) -> str:
        try:
            # vtysh talks over a socket in the file system, so it need not enter the node.
            finished = subprocess.run(
                chroot(self.root, "/usr/bin/vtysh", "-N", self.node, *arguments),
                env={**os.environ, "VTYSH_HISTFILE": "/dev/null"},  # nothing is written into the shared root
                capture_output=True,
                text=True,
                timeout=COMMAND_DEADLINE_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RoutingError(
                f"{self.node}: vtysh {' '.join(arguments)} gave no answer for {COMMAND_DEADLINE_S:g} s; "
                f"{self._log_tails()}"
            ) from None
        complaints = [
            line for line in finished.stdout.splitlines() if line.startswith("%") or " failed" in line.lower()
        ]
        if finished.returncode != 0 or complaints:
            self.network.processes.check_alive()
            said = "\n".join(complaints) or f"{finished.stdout}{finished.stderr}".strip()
            raise RoutingError(
                f"{self.node}: vtysh {' '.join(arguments)} failed (status {finished.returncode}): {said}"
            )
        return finished.stdout

    def _log_tails(self) -> str:
        return "; ".join(f"last lines of {p.name}:\n{p.last_lines() or 'nothing'}" for p in self._processes)

    def command(self, *commands: str) -> str:
        """Runs vtysh commands in order and returns what they print. Raises RoutingError with FRR's complaint."""
        return self._vtysh(*(part for command in commands for part in ("-c", command)))

    def show(self, *commands: str) -> Any:
        """Answers of `show … json` commands, parsed (`json` is added): one answer, or a list for several commands.

        One vtysh call for all, some 15 ms. Raises RoutingError if an answer is not JSON.
        """
        text = self.command(*(f"{command} json" for command in commands)).strip()
        answers: list[Any] = []
        try:
            while text:
                answer, end = json.JSONDecoder().raw_decode(text)
                answers.append(answer)
                text = text[end:].lstrip()
            if len(answers) != len(commands):
                raise ValueError(f"{len(answers)} answers")  # one report for both
        except ValueError as error:
            raise RoutingError(
                f"{self.node}: {'; '.join(commands)} did not answer with JSON ({error}): {text[:400]}"
            ) from None
        return answers if len(commands) > 1 else answers[0]

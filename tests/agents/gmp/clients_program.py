"""Run by a test in a network namespace of its own: `clients_program udp|tcp FOLDER`, GMP's clients and a stranger's server.

Each is a process of its own, as a person would start them. A closed and secure session is created, entered, rekeyed and ended.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agents.runtime.control import ControlError, request

DEADLINE_S = 15.0
SERVER = "10.9.0.1"
ADDRESSES = {"bob": "10.9.0.2", "alice": "10.9.0.3", "carol": "10.9.0.4"}
SDP = "v=0\\no=- 1 1 IN IP4 10.9.0.2\\ns=x\\nc=IN IP4 239.1.1.1/4\\nt=0 0\\nm=audio 5004 RTP/SAVP 0\\n"
SET_UP = (
    "ip link set lo up",
    "ip link add lan type veth peer name other",
    "ip link set lan up",
    "ip link set other up",
    f"ip address add {SERVER}/24 dev lan",
    *(f"ip address add {address}/24 dev lan" for address in ADDRESSES.values()),
)


class Client:
    """One agent: what it is told, and what it says."""

    def __init__(self, stack: ExitStack, folder: Path, role: str, name: str, transport: str, more: str) -> None:
        self.control = folder / f"{name}.control"
        secret, configuration, self.output = (folder / f"{name}.{kind}" for kind in ("secret", "toml", "output"))
        secret.write_text(hashlib.sha256(name.encode()).hexdigest())
        configuration.write_text(
            f'name = "{name}"\nserver = "{SERVER}"\ninterface = "lan"\naddress = "{ADDRESSES[name]}"\nmm_port = 16600\n'
            f'transport = "{transport}"\nuntil = "nothing"\nsecret_file = "{secret}"\n{more}\n'
            f'[runtime]\nnode = "{name}"\ncontrol = "{self.control}"\n'
        )
        argv = [sys.executable, "-m", "agents", "gmp", role, "--config", str(configuration)]
        written = stack.enter_context(self.output.open("w"))
        process = stack.enter_context(subprocess.Popen(argv, stdout=written))
        stack.callback(process.terminate)
        until(lambda: "ready" in self.output.read_text(), f"{name} to be ready")

    def notices(self, event: str) -> list[dict[str, str]]:
        lines = [line.split() for line in self.output.read_text().splitlines()]
        return [dict(word.split("=", 1) for word in words) for first, *words in lines if first == event]

    def tell(self, command: str, **fields: object) -> None:
        request(self.control, {"command": command, **fields})

    def state(self) -> dict[str, Any]:
        state = request(self.control, {"command": "state"})["state"]
        assert isinstance(state, dict)
        return state

    def becomes(self, state: str) -> None:
        until(lambda: self.state()["state"] == state, f"{self.control.stem} to be {state}")


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait until something is so, which other processes bring about."""
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < end, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.02)


def scene(transport: str, folder: Path, stack: ExitStack) -> None:
    argv = [sys.executable, str(Path(__file__).with_name("stranger_server.py")), SERVER, transport]
    heard = folder / "server.output"
    server = stack.enter_context(subprocess.Popen(argv, stdout=stack.enter_context(heard.open("w"))))
    stack.callback(server.terminate)

    def server_heard(module: str, kind: int) -> int:
        return sum(json.loads(line)[:2] == [module, kind] for line in heard.read_text().splitlines())

    session = f'[session]\nname = "x"\ngroup = "239.1.1.1"\nport = 5004\nmedia = "{SDP}"\nsecure = true\nclosed = true\nstart_condition = 0'
    bob = Client(stack, folder, "creator", "bob", transport, session)
    bob.tell("activate")
    bob.becomes("ACTIVE")
    [told] = bob.notices("registered")
    alice, carol = (Client(stack, folder, "participant", name, transport, "") for name in ("alice", "carol"))
    carol.tell("register", session_id=int(told["session"]), token=told["token"][:-2])
    until(lambda: carol.notices("refused"), "carol to be refused")
    assert carol.notices("refused")[0]["reason"] == "5"
    for client in (alice, carol):
        client.tell("register", session_id=int(told["session"]), token=told["token"])
        client.tell("activate")
    for client in (alice, carol):
        client.becomes("ACTIVE")
        assert client.state()["generation"] == 1
    alice.tell("members")
    until(lambda: alice.notices("members"), "the members")
    assert alice.notices("members")[0]["active"] == "3"
    until(lambda: server_heard("MM", 2) >= 4, "KARES")
    carol.tell("leave", level="enrolled")
    carol.becomes("REGISTERED")
    for client in (alice, bob):
        until(lambda client=client: client.state()["generation"] == 2, "the new key")  # type: ignore[misc]
    assert carol.state()["generation"] == 0
    try:
        carol.tell("leave", level="deeply")
    except ControlError as error:
        assert "give one of active, enrolled, registered" in str(error)
    carol.tell("activate")
    carol.becomes("ACTIVE")
    assert carol.state()["generation"] == 2
    bob.tell("end")
    for client in (alice, bob, carol):
        client.becomes("ENDED")
        assert client.notices("ended")[0]["reason"] == "ended"
        key = hashlib.sha256(b"key 1").hexdigest()[:60]
        assert key not in client.output.read_text() + json.dumps(client.state())
    assert "malformed" not in heard.read_text()
    assert server_heard("SM", 1) == 1


if __name__ == "__main__":
    for words in SET_UP:
        subprocess.run(words.split(), check=True)
    with ExitStack() as stack:
        scene(sys.argv[1], Path(sys.argv[2]), stack)
    print("done")

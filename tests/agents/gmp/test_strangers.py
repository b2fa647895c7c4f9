"""GMP's clients as processes with a server by a stranger, who has only read the protocol's page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_clients_with_a_strangers_server(transport: str, tmp_path: Path) -> None:
    argv = ["unshare", "--user", "--map-root-user", "--net", "--kill-child", "--pid", "--fork"]
    program = [sys.executable, "-m", "tests.agents.gmp.clients_program", transport, str(tmp_path)]
    done = subprocess.run([*argv, *program], capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")

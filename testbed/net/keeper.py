"""The program that keeps the nodes' namespaces: one small process for each node, which does nothing but live in them.

    keeper.py NAME…        says "NAME PID" for each when its namespaces exist; ends when told to, or when one of them has died

A node's network namespace is its own, and so is what it sees below /sys, which shows that network. They are made side by side on all
processors. Started by `testbed.net.mininet_net` only, without the site's packages: what is copied for each node is little.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15

_libc = ctypes.CDLL(None, use_errno=True)


def _require(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {doing}: {os.strerror(number)}")


def _keep(name: str, parent: int) -> None:
    """Make the namespaces of one node, say so, and live until killed."""
    _require(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "follow its parent")
    if os.getppid() != parent:
        return  # it is dead already
    _libc.prctl(PR_SET_NAME, f"node {name}".encode())  # what ps and top show of it, cut by the kernel where it is long
    _require(_libc.unshare(CLONE_NEWNET | CLONE_NEWNS), "make its namespaces")
    _require(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "keep its mounts to itself")
    _require(_libc.mount(b"sysfs", b"/sys", b"sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, None), "mount its /sys")
    os.write(1, f"{name} {os.getpid()}\n".encode())
    while True:
        signal.pause()


def main(names: Sequence[str]) -> int:
    """Keep the nodes; the exit status is 0 when told to end, 1 when one died or could not be made."""
    parent, nodes = os.getpid(), {}
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the nodes follow
    for name in names:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                _keep(name, parent)
            except OSError as error:
                print(f"node {name}: {error.strerror}", file=sys.stderr, flush=True)
            finally:
                os._exit(1)
        nodes[pid] = name
    pid, status = os.wait()
    if os.WIFSIGNALED(status):
        print(
            f"node {nodes[pid]} was killed by {signal.Signals(os.WTERMSIG(status)).name}", file=sys.stderr, flush=True
        )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

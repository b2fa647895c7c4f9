"""Whether a run goes on: whoever has begun it holds a lock on its folder for as long as it lives, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def hold(run_folder: Path) -> None:
    """Hold a new run's folder until this process has ended. Its children do not inherit the lock."""
    with suppress(OSError):  # a file system without locks: then nobody waits for a run that has no console yet
        fcntl.flock(os.open(run_folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)


def lives(run_folder: Path) -> bool:
    """Whether the process that has begun the run lives."""
    try:
        descriptor = os.open(run_folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)

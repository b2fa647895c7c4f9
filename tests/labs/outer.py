"""A program for the host's side: `python -m tests.labs.outer ARGV…` runs ARGV (`--lab …`: the inner lab) in a sandbox."""

import sys

from testbed.host.sandbox import SandboxError, run_inside
from testbed.setup import routing_root


def main() -> int:
    argv = sys.argv[1:]
    lab = argv[:1] == ["--lab"]
    if lab:
        argv = [sys.executable, "-m", "tests.labs.inner_lab", *argv[1:]]
    try:
        return run_inside(argv, routing_root=routing_root() if lab else None)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""A program for the host's side: `python -m tests.labs.outer ARGV…` runs ARGV in a sandbox.

ARGV may begin with `--lab` or `--links`, for the programs of those names here, which need the routing root.
"""

import sys

from testbed.host.sandbox import SandboxError, run_inside
from testbed.setup import routing_root

INNER = {"--lab": "tests.labs.inner_lab", "--links": "tests.labs.inner_links"}


def main() -> int:
    argv = sys.argv[1:]
    inner = INNER.get(argv[0])
    if inner:
        argv = [sys.executable, "-m", inner, *argv[1:]]
    try:
        return run_inside(argv, routing_root=routing_root() if inner else None)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

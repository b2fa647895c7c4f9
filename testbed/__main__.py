"""Run labs and look at what this host can do: ``python -m testbed --help``."""

from __future__ import annotations

from testbed.host.interruption import ending_at_once

if __name__ == "__main__":
    with ending_at_once():
        from testbed.commands.program import main
    main(prog_name="python -m testbed")

"""What the set-up made, for the labs that use it.

`setup.sh` makes the routing root, a folder with the routing daemons of one Debian release, once per recipe. The recipe is
`routing-root.sh` beside this file; the first twelve hexadecimal digits of its SHA-256 are in the folder's name.
"""

import hashlib
import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

RECIPE = Path(__file__).resolve().parent / "routing-root.sh"

_HASH_DIGITS = 12


class NotSetUpError(RuntimeError):
    """Something that `make setup` makes is not there."""


def routing_root(project: Path = PROJECT) -> Path:
    """Return the folder with the routing daemons, checked to be whole.

    Raises NotSetUpError, with the remedy, if there is none or it is not whole.
    """
    key = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:_HASH_DIGITS]
    root = project / ".lab" / f"routing-{key}"
    # setup.sh asks the same. The folder gets its name when it is whole, so this only has to notice later damage.
    if (
        not (root / "manifest").is_file()
        or not os.access(root / "usr/lib/frr/pimd", os.X_OK)
        or not (root / "run").is_dir()
    ):
        raise NotSetUpError(f"no routing daemons in {root}: run `make setup` in {project}")
    return root


def routing_versions(root: Path) -> dict[str, str]:
    """Return package name -> version of everything in a routing root."""
    lines = (root / "manifest").read_text(encoding="utf-8").splitlines()
    return {name: version for name, version, _architecture in (line.split(" ") for line in lines)}

#!/bin/bash
# The recipe of the Python environment: the distribution's Python, its packages (mininet), and ours as locked.
#
#   environment.sh FOLDER PLACE LOCK_FILE     makes FOLDER, which must not exist and will be renamed to PLACE
#
# The environment's stamp has the hash of this very file and of the lock file, so that a change in either builds a new one.
set -euo pipefail

folder=$1 place=$2 lock=$3

# -I: no variable and no folder of the caller's is looked at. Another python3 may come first on PATH.
/usr/bin/python3 -I -m venv --system-site-packages "$folder"
"$folder/bin/python" -m pip install --require-hashes --no-deps --no-input --requirement "$lock"

# Its few scripts name the folder they are in. A folder's name may have any character: nothing here takes it for a pattern.
/usr/bin/python3 -I - "$folder" "$place" <<'PYTHON'
import os, pathlib, sys
folder, place = map(os.fsencode, sys.argv[1:])
for file in [*pathlib.Path(sys.argv[1], "bin").iterdir(), pathlib.Path(sys.argv[1], "pyvenv.cfg")]:
    if not file.is_symlink() and folder in (content := file.read_bytes()):
        file.write_bytes(content.replace(folder, place))
PYTHON

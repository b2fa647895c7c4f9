"""Labs by their names, in the package ``topologies``, and by their files, anywhere.

A lab's file has a ``TOPOLOGY``, and its docstring says what the lab shows, with a drawing.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from testbed.run.laboratory import REQUEST, Topology, parse_values
from testbed.run.options import OptionError, Values

_DRAWING = re.compile(r"::\n\n((?:[ \t]+\S.*\n|\n)+)")
_SEE = re.compile(r"\bsee ((?:testbed|topologies)(?:\.\w+)+)")


class LabFileError(ValueError):
    """A lab that cannot be found or read: says which file, which line if one is to blame, and what to do."""


@dataclass(frozen=True, slots=True)
class FoundLab:
    """A lab, the file it is in and that file's docstring.

    ``named``: what finds it again, from any folder: its name, or the path of its file.
    """

    topology: Topology[Any]
    named: str
    file: Path
    text: str

    @property
    def drawing(self) -> str:
        """The drawing in its docstring, or in that of the module which its docstring says to see; else empty."""
        match = _DRAWING.search(self.text + "\n")
        if match is None and (see := _SEE.search(self.text)):
            match = _DRAWING.search((inspect.getdoc(importlib.import_module(see[1])) or "") + "\n")
        return "" if match is None else inspect.cleandoc("\n" + match[1].rstrip())


def labs() -> tuple[dict[str, FoundLab], dict[str, LabFileError]]:
    """Every lab of the package ``topologies`` by its name, and by its module's name what is wrong with a file that is none."""
    found, broken = {}, {}
    for entry in pkgutil.iter_modules(importlib.import_module("topologies").__path__):
        try:
            lab = _from_package(f"topologies.{entry.name}")
            found[lab.named] = lab
        except LabFileError as error:
            broken[entry.name] = error
    return dict(sorted(found.items())), broken


def _from_package(name: str) -> FoundLab:
    spec = importlib.util.find_spec(name)
    file = Path(spec.origin if spec and spec.origin else name)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise LabFileError(blame(error, file)) from error
    topology = _topology_of(module)
    return FoundLab(topology, topology.name, file, inspect.getdoc(module) or "")


def find_lab(named: str) -> FoundLab:
    """The lab of that name, or in the file that is named: with a slash in it, or .py at the end. Raises LabFileError."""
    if "/" in named or named.endswith(".py"):
        return _from_file(Path(named))
    known, broken = labs()
    if named not in known:
        if error := broken.get(named.replace("-", "_")):
            raise error
        nearest = difflib.get_close_matches(named, known, n=1, cutoff=0.4)
        guess = f" Did you mean {nearest[0]}?" if nearest else ""
        raise LabFileError(
            f"there is no lab {named!r}.{guess} Labs: {', '.join(known)}; one of your own: write ./{named}.py"
            + "".join(f"; {error}" for error in broken.values())
        )
    return known[named]


def read_request(run_folder: Path) -> tuple[FoundLab, Values, dict[str, list[str]]]:
    """What the run was asked to do, from its folder: lab, values, the commands that play roles."""
    request = json.loads((run_folder / REQUEST).read_text(encoding="utf-8"))
    lab = find_lab(request["lab"])
    return lab, parse_values(lab.topology, request["values"]), request["external"]


def _from_file(file: Path) -> FoundLab:
    if not file.is_file():
        remedy = "give a lab's file, or the name of one of `python -m testbed list`"
        raise LabFileError(f"{file}: there is no such file; {remedy}")
    file = file.resolve()
    spec = importlib.util.spec_from_file_location(f"lab_file_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise LabFileError(f"{file}: not a Python file: a lab's file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as dataclasses want it
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # what lies beside a lab can be imported by it, and hides nothing of ours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise LabFileError(blame(error, file)) from error
    return FoundLab(_topology_of(module), str(file), file, inspect.getdoc(module) or "")


def _topology_of(module: ModuleType) -> Topology[Any]:
    topology = getattr(module, "TOPOLOGY", None)
    if not isinstance(topology, Topology):
        what = "has no TOPOLOGY" if topology is None else f"has a TOPOLOGY that is {type(topology).__name__}"
        raise LabFileError(
            f"{_file_of(module)}: {what}: a lab ends with TOPOLOGY = Topology(name=…, …), see topologies/WRITING_A_LAB.md"
        )
    return topology


def _file_of(module: ModuleType) -> Path:
    return Path(module.__file__ or module.__name__)


def blame(error: BaseException, file: Path) -> str:
    """What went wrong and where: the last line of a lab's file that it came from; else it is a fault of ours."""
    said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}, line {error.lineno}: {said}"
    if line := _line_in(error, str(file)):
        return f"{file}, line {line}: {said}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
    return f"{where}{said}: a fault of the testbed, not of {file.name}"


def placed(error: Exception, named: str) -> str:
    """What an error says that knows its remedy, behind the line of a lab of one's own that it came from.

    ``named``: the lab's file, or the name of one of ours. What is wrong with an option is told without: it was not written there.
    """
    line = None if isinstance(error, OptionError) else _line_in(error, named)
    return str(error) if line is None else f"{named}, line {line}: {error}"


def _line_in(error: BaseException, file: str) -> int | None:
    """The last line of a file that an error came through; None if it did not."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((frame.lineno for frame in frames if frame.filename == file), None)

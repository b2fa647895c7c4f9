"""Who may import whom, enforced over the whole tree.

A machine whose code never touches a clock, a socket or another protocol can be replayed, simulated and tested in
milliseconds; a judge that shares no constant with the accused can find a wrong one. Both are lost by a single import, so
nobody has to remember the table: this reads every import statement, those inside functions and imports by name included.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

PACKAGES = ("agents", "captures", "testbed", "topologies")

WORLD_OUTSIDE = frozenset(
    # Named by the house: what makes a core depend on when and where it runs.
    {"asyncio", "socket", "select", "threading", "subprocess", "time", "random"}
    # The same by other names.
    | {
        "_socket",
        "_thread",
        "concurrent",
        "multiprocessing",
        "sched",
        "secrets",
        "selectors",
        "signal",
        "socketserver",
        "ssl",
    }
)


def rooms_in(folder: Path) -> set[str]:
    """Return the protocols that have a room in a folder: a subpackage of one of the packages with a module `protocol`."""
    return {
        file.parent.name
        for package in ("agents", "captures", "testbed")
        for file in (folder / package).glob("*/protocol.py")
    }


TOY = PROJECT / "tests" / "toy"
"""A protocol from outside the tree, whose rooms keep to the same table."""
PROTOCOLS = tuple(sorted(rooms_in(PROJECT) | rooms_in(TOY)))


@dataclass(frozen=True)
class Room:
    """A line of the table: modules, and what they may import.

    modules: names of modules or packages; a package stands for everything in it. `X.__init__` is only the package's own file.
    ours: what they may import of this project, in the same way.
    strangers: what of that they may not import after all.
    libraries: what they may import from outside the standard library.
    forbidden: what they may not import of the standard library.
    computed: whether they may import a module whose name is only known at run time.
    """

    modules: tuple[str, ...]
    ours: tuple[str, ...]
    strangers: tuple[str, ...] = ()
    libraries: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    computed: bool = False


ROOMS_OF_AGENTS = tuple(f"agents.{name}" for name in PROTOCOLS)
ROOMS_OF_TESTBED = tuple(f"testbed.{name}" for name in PROTOCOLS)

PURE_LIBRARIES = frozenset({"cryptography"})
"""What rooms of protocols may import: functions of their arguments alone, used as such."""
AGENT_LIBRARIES = frozenset({"click", "dacite", "pyroute2"})
TESTBED_LIBRARIES = frozenset({"click", "jinja2", "rich", "tomli_w"})
CAPTURES_LIBRARIES = frozenset({"click", "jinja2", "junitparser", "rich", "scapy"})

JUDGES_ROOMS = {
    "wire": (),
    "files": ("wire",),
    "dissectors": ("wire",),
    "history": ("dissectors", "files"),
    "rules": ("history",),
    "ladder": ("history",),
    "live": ("ladder",),
    "report": ("ladder", "rules"),
    "commands": ("live", "report"),
}
"""The general rooms of captures, each with those right below it: it may import these, and what these may."""
ROOMS_OF_CAPTURES = tuple(f"captures.{name}" for name in (*JUDGES_ROOMS, *PROTOCOLS))
JUDGES_RECORDS = ("captures.additions", "captures.protocol", "captures.protocols")


def rooms_of_captures(*names: str) -> tuple[str, ...]:
    """Return the rooms and everything below them, from the history on with the records that rooms of protocols hand over."""
    found = dict.fromkeys(f"captures.{name}" for name in names)
    for name in names:
        found |= dict.fromkeys(rooms_of_captures(*JUDGES_ROOMS[name]))
    return (*found, *(JUDGES_RECORDS if "captures.history" in found else ()))


TABLE = (
    # A module belongs to the first room that names it: the special ones stand before the general.
    Room(("agents.core", "agents.__init__"), ours=("agents.core",), forbidden=WORLD_OUTSIDE),
    *(
        Room(
            (f"agents.{name}",),
            ours=("agents.core", f"agents.{name}"),
            libraries=PURE_LIBRARIES,
            forbidden=WORLD_OUTSIDE,
        )
        for name in PROTOCOLS
    ),
    Room(("agents.runtime",), ours=("agents",), strangers=ROOMS_OF_AGENTS, libraries=AGENT_LIBRARIES),
    Room(("agents.media",), ours=("agents",), strangers=ROOMS_OF_AGENTS, libraries=AGENT_LIBRARIES | {"pylibsrtp"}),
    Room(
        ("agents.web",),
        ours=("agents",),
        strangers=ROOMS_OF_AGENTS,
        libraries=frozenset({"aiohttp", "jinja2", "markupsafe"}),
    ),
    Room(("agents.__main__",), ours=("agents",), strangers=ROOMS_OF_AGENTS, libraries=AGENT_LIBRARIES),
    Room(("agents.documentation",), ours=("agents",), strangers=ROOMS_OF_AGENTS, computed=True),
    Room(("agents.protocols",), ours=("agents",), strangers=ROOMS_OF_AGENTS, computed=True),
    Room(
        # The network that Mininet starts, and its console; what a person types there is no part of a lab.
        ("testbed.net.mininet_net", "testbed.shell.mininet_cli"),
        ours=("testbed",),
        strangers=ROOMS_OF_TESTBED,
        libraries=TESTBED_LIBRARIES | {"mininet"},
    ),
    Room(
        ("testbed.net.netlink", "testbed.net.batch"),  # one change at a time, and many at once
        ours=("testbed",),
        strangers=ROOMS_OF_TESTBED,
        libraries=TESTBED_LIBRARIES | {"pyroute2"},
    ),
    Room(
        ("testbed.radio",),
        ours=("testbed.radio", "testbed.net.model"),
        libraries=frozenset({"defusedxml"}),
        forbidden=WORLD_OUTSIDE - {"random"},
    ),
    Room(
        ("testbed.sim",),
        ours=("testbed", "agents.core"),
        strangers=ROOMS_OF_TESTBED,
        libraries=frozenset({"click"}),
    ),
    *(
        Room((f"testbed.{name}",), ours=("testbed", "agents.core", f"agents.{name}"), libraries=TESTBED_LIBRARIES)
        for name in PROTOCOLS
    ),
    # Labs and rooms are found by name: one module looks into each kind of folder, and nothing else of the testbed knows any.
    Room(
        ("testbed.run.finding",),
        ours=("testbed", "topologies"),
        strangers=ROOMS_OF_TESTBED,
        libraries=TESTBED_LIBRARIES,
        computed=True,
    ),
    Room(("testbed.protocols",), ours=("testbed",), computed=True),
    Room(("testbed",), ours=("testbed",), strangers=ROOMS_OF_TESTBED, libraries=TESTBED_LIBRARIES),
    Room(("topologies",), ours=("testbed", "topologies")),
    Room(("captures.__init__",), ours=()),
    Room(("captures.additions",), ours=()),
    Room(("captures.protocol",), ours=("captures.additions", "captures.wire")),
    # Rooms of protocols are found by name, as above.
    Room(("captures.protocols",), ours=("captures",), strangers=ROOMS_OF_CAPTURES, computed=True),
    # Not installed but by who wants Parquet.
    Room(("captures.report.parquet",), ours=rooms_of_captures("report"), libraries=CAPTURES_LIBRARIES | {"pyarrow"}),
    *(Room((f"captures.{name}",), ours=rooms_of_captures(name), libraries=CAPTURES_LIBRARIES) for name in JUDGES_ROOMS),
    Room(("captures.__main__",), ours=("captures.commands",), libraries=CAPTURES_LIBRARIES),
    *(
        Room(
            (f"captures.{name}",),
            ours=(*rooms_of_captures("history", "rules"), f"captures.{name}"),
            libraries=CAPTURES_LIBRARIES,
        )
        for name in PROTOCOLS
    ),
)

NOT_KNOWN_BEFORE_RUN_TIME = "a module whose name is computed"


@dataclass(frozen=True)
class Import:
    """An import: the dotted name asked for, and the line it stands in."""

    target: str
    line: int


def belongs(name: str, package: str) -> bool:
    """True if a dotted name is a module or package, or something in it."""
    return name == package or name.startswith(package + ".")


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of a file; that of a package's own file ends in __init__."""
    return ".".join(file.relative_to(root).with_suffix("").parts)


def imports(source: str, module: str) -> Iterator[Import]:
    """Yield every import in a module's source, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node.module or "", node.level, module)
            # `from package import module` asks for package.module; for any other name the longer form does no harm.
            yield from (Import(f"{origin}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            yield Import(name_imported_by(node, module), node.lineno)


def absolute(name: str, level: int, module: str) -> str:
    """Return the absolute name of what a module calls `name` with so many leading dots."""
    if level == 0:
        return name
    package = module.split(".")[:-level]
    return ".".join([*package, name] if name else package)


def called(call: ast.Call) -> str:
    """Return the last name of what is called, e.g. import_module for importlib.import_module."""
    function = call.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def name_imported_by(call: ast.Call, module: str) -> str:
    """Return the module imported by a call of import_module, or the package it must be in, as far as the source says."""
    argument = next(iter([*call.args, *(word.value for word in call.keywords if word.arg == "name")]), None)
    if isinstance(argument, ast.JoinedStr) and argument.values:
        # f"captures.dissectors.{name}" is a module of captures.dissectors, whatever the name.
        argument = argument.values[0]
        complete = False
    else:
        complete = True
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return NOT_KNOWN_BEFORE_RUN_TIME
    name = argument.value
    if not complete:
        name, dot, _rest = name.rpartition(".")
        if not dot:
            return NOT_KNOWN_BEFORE_RUN_TIME
    level = len(name) - len(name.lstrip("."))
    return absolute(name.lstrip("."), level, module)


def violation(module: str, target: str) -> str | None:
    """Return why a module may not import a target, or None if it may."""
    room = next((room for room in TABLE if any(belongs(module, name) for name in room.modules)), None)
    if room is None:
        return "has no line in the table"
    top = target.partition(".")[0]
    if target == NOT_KNOWN_BEFORE_RUN_TIME:
        allowed = room.computed
    elif top in PACKAGES:
        allowed = any(belongs(target, name) for name in room.ours) and not any(
            belongs(target, name) for name in room.strangers
        )
    elif top in sys.stdlib_module_names:
        allowed = top not in room.forbidden
    else:
        allowed = top in room.libraries
    return None if allowed else f"may not import {target}"


def violations(source: str, module: str) -> list[str]:
    """Return everything in a module's source that the table forbids."""
    found = ((wanted.line, violation(module, wanted.target)) for wanted in imports(source, module))
    return [f"{module}, line {line}: {why}" for line, why in found if why]


def source_files(root: Path) -> list[Path]:
    """Return every Python file the table is about."""
    return sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))


@pytest.mark.parametrize("root", [PROJECT, TOY], ids=["project", "toy"])
def test_the_tree_keeps_to_the_table(root: Path) -> None:
    files = source_files(root)
    # An absence only counts where there is something to see.
    assert {file.relative_to(root).parts[0] for file in files} == set(PACKAGES)
    found = [why for file in files for why in violations(file.read_text(encoding="utf-8"), module_name(file, root))]
    assert found == []


def test_every_file_has_a_line_in_the_table() -> None:
    strangers = [name for file in source_files(PROJECT) if violation(name := module_name(file, PROJECT), "sys")]
    assert strangers == []


def test_no_general_file_of_the_testbed_names_a_protocol() -> None:
    files = [file for file in (PROJECT / "testbed").rglob("*") if file.suffix in {".py", ".sh", ".j2", ".txt"}]
    protocols = rooms_in(PROJECT)
    general = [file for file in files if file.relative_to(PROJECT).parts[1] not in protocols]
    assert len(general) > 20
    name = re.compile(rf"(?<![a-z])({'|'.join(protocols)})(?![a-z])", re.IGNORECASE)
    assert [str(file.relative_to(PROJECT)) for file in general if name.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agents.core.timers", "import heapq\nfrom agents.core.errors import DecodeError"),
        ("agents.core.timers", "from . import errors"),
        ("agents.core.__init__", "from . import errors"),
        ("agents.mmcp.messages", "import struct\nfrom agents.core.tlv import read_parameters\nfrom . import constants"),
        ("agents.mmcp.__init__", "from agents.mmcp import constants\nfrom .messages import Message"),
        ("agents.gmp.keys", "from cryptography.hazmat.primitives.kdf.hkdf import HKDF"),
        ("agents.runtime.datagram", "import asyncio, socket, pyroute2\nfrom agents import core"),
        ("agents.media", "import time, random"),
        ("agents.__main__", "import click\nfrom agents.protocols import names"),
        ("agents.web.server", "import aiohttp, socket\nfrom agents.runtime.datagram import PortError"),
        ("agents.protocols", "import agents\nimportlib.import_module(name)"),
        ("agents.documentation", "import ast\nfrom agents.core import machine\nimportlib.import_module(name)"),
        ("testbed.net.mininet_net", "from mininet.net import Mininet"),
        ("testbed.net.netlink", "from pyroute2.netlink.exceptions import NetlinkError"),
        ("testbed.ectp.world", "from agents.core import agent\nimport agents.ectp.messages"),
        ("testbed.protocols", "importlib.import_module(f'testbed.{name}.protocol')"),
        ("testbed.run.finding", "import rich.table\nimportlib.import_module(f'topologies.{name}')"),
        ("testbed.radio.traces", "import random, defusedxml.sax\nfrom testbed.net.model import ModelError"),
        ("testbed.routing.frr", "import jinja2\nfrom ..model import Node"),
        ("topologies.handover", "from testbed import model\nimport dataclasses"),
        ("captures.mmcp.dissector", "from scapy.packet import Packet"),
        ("captures.mmcp.rules.wire", "from captures.rules import language\nfrom captures.wire import flows"),
        ("captures.protocols", "import captures\nimport_module(f'captures.{name}.protocol')"),
        ("captures.commands.judging", "importlib.import_module(f'captures.report.{name}')"),
        ("captures.__main__", "import_module('.commands', 'captures')"),
    ],
)
def test_what_the_table_allows(module: str, source: str) -> None:
    assert violations(source, module) == []


@pytest.mark.parametrize(
    ("module", "source", "forbidden"),
    [
        *(("agents.core.timers", f"import {name}", name) for name in sorted(WORLD_OUTSIDE)),
        *(("agents.mmcp.messages", f"import {name}", name) for name in sorted(WORLD_OUTSIDE)),
        ("agents.core.timers", "import asyncio.events", "asyncio.events"),
        ("agents.core.timers", "from time import monotonic", "time.monotonic"),
        ("agents.core.timers", "def now():\n    import time", "time"),
        ("agents.core.timers", "if TYPE_CHECKING:\n    import random", "random"),
        ("agents.core.timers", "importlib.import_module('socket')", "socket"),
        ("agents.core.timers", "import_module(name='socket')", "socket"),
        ("agents.core.timers", "__import__('socket')", "socket"),
        ("agents.core.timers", "importlib.import_module(name)", NOT_KNOWN_BEFORE_RUN_TIME),
        ("agents.core.timers", "importlib.import_module(f'{name}')", NOT_KNOWN_BEFORE_RUN_TIME),
        ("agents.core.timers", "import dacite", "dacite"),
        ("agents.core.timers", "from agents.mmcp import messages", "agents.mmcp.messages"),
        ("agents.core.timers", "from ..runtime import host", "agents.runtime.host"),
        ("agents.__init__", "from agents import mmcp", "agents.mmcp"),
        ("agents.mmcp.messages", "from agents import gmp", "agents.gmp"),
        ("agents.mmcp.messages", "from ..gmp import constants", "agents.gmp.constants"),
        ("agents.mmcp.__init__", "from ..gmp import constants", "agents.gmp.constants"),
        ("agents.mmcp.messages", "import agents.runtime.host", "agents.runtime.host"),
        ("agents.mmcp.messages", "import pyroute2", "pyroute2"),
        ("agents.mmcp.messages", "importlib.import_module('..gmp', __package__)", "agents.gmp"),
        ("agents.runtime.host", "import scapy.all", "scapy.all"),
        (
            "agents.runtime.host",
            "from agents.mmcp.events import ApplicationLeave",
            "agents.mmcp.events.ApplicationLeave",
        ),
        ("agents.media.receiver", "import agents.mmcp.constants", "agents.mmcp.constants"),
        ("agents.web.answers", "from agents.gmp import pages", "agents.gmp.pages"),
        ("agents.gmp.pages", "import jinja2", "jinja2"),
        ("agents.__main__", "from agents.mmcp.load import SWARM", "agents.mmcp.load.SWARM"),
        ("agents.__main__", "importlib.import_module(name)", NOT_KNOWN_BEFORE_RUN_TIME),
        ("agents.runtime.host", "from testbed.net import model", "testbed.net.model"),
        ("agents.media", "from captures.wire import headers", "captures.wire.headers"),
        ("agents.documentation", "import captures.rules", "captures.rules"),
        ("testbed.host.processes", "from mininet.node import Node", "mininet.node.Node"),
        ("testbed.net.netlink", "import mininet", "mininet"),
        ("testbed.net.mininet_net", "import pyroute2", "pyroute2"),
        ("testbed.scenario", "from agents.core import agent", "agents.core.agent"),
        ("testbed.scenario", "importlib.import_module(f'agents.{protocol}')", "agents"),
        ("testbed.sim", "from agents.runtime import host", "agents.runtime.host"),
        ("testbed.sim", "import agents.media", "agents.media"),
        ("testbed.scenario", "import captures", "captures"),
        ("testbed.scenario", "from testbed.mmcp import session", "testbed.mmcp.session"),
        ("testbed.sim", "import testbed.ectp", "testbed.ectp"),
        ("testbed.scenario", "importlib.import_module(f'topologies.{name}')", "topologies"),
        ("testbed.scenario", "import scapy", "scapy"),
        ("topologies.handover", "from agents.mmcp import constants", "agents.mmcp.constants"),
        ("topologies.handover", "import rich", "rich"),
        ("captures.mmcp.rules.wire", "from agents.mmcp import constants", "agents.mmcp.constants"),
        ("captures.mmcp.rules.wire", "import testbed.net.model", "testbed.net.model"),
        ("captures.__main__", "importlib.import_module('agents.mmcp')", "agents.mmcp"),
        ("captures.__main__", "importlib.import_module(name)", NOT_KNOWN_BEFORE_RUN_TIME),
        ("captures.files.capture", "import pyroute2", "pyroute2"),
        ("captures.wire.rtp", "from captures.history import events", "captures.history.events"),
        ("captures.wire.rtp", "from captures.protocol import Protocol", "captures.protocol.Protocol"),
        ("captures.history.run", "from captures.rules import engine", "captures.rules.engine"),
        ("captures.ladder.words", "from captures.report import page", "captures.report.page"),
        ("captures.live.screen", "if TYPE_CHECKING:\n    import captures.report.page", "captures.report.page"),
        ("captures.rules.engine", "from captures.mmcp import lab", "captures.mmcp.lab"),
        ("captures.report.page", "importlib.import_module('captures.mmcp.chapters')", "captures.mmcp.chapters"),
        ("captures.protocol", "from captures.rules import language", "captures.rules.language"),
        ("captures.protocols", "from captures.mmcp import protocol", "captures.mmcp.protocol"),
        ("captures.gmp.dissector", "from captures.mmcp import words", "captures.mmcp.words"),
        ("captures.mmcp.chapters", "from captures.report import page", "captures.report.page"),
    ],
)
def test_what_the_table_forbids(module: str, source: str, forbidden: str) -> None:
    line = source.count("\n") + 1
    assert violations(source, module) == [f"{module}, line {line}: may not import {forbidden}"]


def test_a_new_room_needs_a_line_in_the_table() -> None:
    assert violations("import sys", "agents.newcomer") == ["agents.newcomer, line 1: has no line in the table"]

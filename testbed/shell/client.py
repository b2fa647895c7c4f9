"""What a person types into: lines to the console of a running lab, from a terminal with history and completion, or piped.

What is to run in a node is run from here, with this terminal: a shell, an editor, Ctrl-C.
"""

from __future__ import annotations

import atexit
import readline
import subprocess
import sys
from cmd import Cmd
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from testbed.host.entering import run_in_node
from testbed.host.sandbox import our_program, program_environment
from testbed.shell.runs import Connection

HISTORY = Path("~/.testbed_history")
HISTORY_LINES = 1000
REFUSED = 1

_OWN = {
    "exit": "exit\nLeave; a lab that was built for this console ends. Ctrl-D does the same.",
    "help": "help [COMMAND]\nList the commands, or say what one does.",
    "source": "source FILE\nDo what a file says, line by line; a line that begins with # is a comment. Example: source steps.txt",
}


class Client(Cmd):
    """Lines for one lab. ``status``: 0, or that of the last line that failed: 1 if the lab refused it, else its program's own."""

    def __init__(self, connection: Connection, stdin: TextIO = sys.stdin) -> None:
        super().__init__(stdin=stdin)
        self._connection = connection
        self._hello = connection.hello
        self._interactive = stdin.isatty()
        self.use_rawinput = self._interactive
        self.prompt = f"{self._hello.lab}> " if self._interactive else ""
        self.status = 0
        self._sources: list[Path] = []

    def talk(self) -> int:
        """Until the lines end, or somebody says so. Returns ``status``. Raises NoConsoleError when the lab ends before."""
        if self._interactive:
            self._remember()
            print(f"{self._hello.lab}, IPv{self._hello.family}: {' '.join(self._hello.nodes)}")
            print("help: what can be asked; NODE COMMAND: runs it there; Ctrl-D: the end")
        while True:
            try:
                self.cmdloop()
            except KeyboardInterrupt:
                print("^C" if self._interactive else "")
                if not self._interactive:
                    raise
            else:
                return 0 if self._interactive else self.status

    @staticmethod
    def _remember() -> None:
        history = HISTORY.expanduser()
        with suppress(OSError):
            readline.read_history_file(history)
        readline.set_history_length(HISTORY_LINES)
        readline.set_completer_delims(" \t\n=,|")
        atexit.register(lambda: _write_history(history))

    def emptyline(self) -> bool:
        """Nothing; Cmd would do the last line again."""
        return False

    def onecmd(self, line: str) -> bool:
        """Do what a line says; True at the end."""
        name, rest, line = self.parseline(line.strip())
        if not line or line.startswith("#"):
            return False
        if name in ("exit", "quit", "EOF"):
            if self._interactive and line == "EOF":
                print()
            return True
        if name == "help":
            self._help((rest or "").strip())
        elif name == "source":
            self._source((rest or "").strip())
        else:
            self._ask(line)
        return False

    def _ask(self, line: str) -> None:
        answer = self._connection.answer(line)
        text = str(answer["text"]).removesuffix("\n")
        if text:
            print(text, file=sys.stdout if answer["ok"] else sys.stderr, flush=True)
        if not answer["ok"]:
            self.status = REFUSED
        elif answer["run"]:
            status = self._run(**answer["run"])
            self.status = status or self.status

    def _run(self, node: str | None, argv: list[str], into: list[str]) -> int:
        lab, process = self._connection.pid, None if node is None else self._hello.nodes[node]
        sys.stdout.flush()
        if not into:
            return run_in_node(lab, process, argv)
        with subprocess.Popen(our_program(*into), stdin=subprocess.PIPE, env=program_environment()) as reader:
            assert reader.stdin is not None
            run_in_node(lab, process, argv, stdout=reader.stdin.fileno())
            reader.stdin.close()
        return reader.returncode

    def _help(self, name: str) -> None:
        commands = {**self._hello.commands, **_OWN}
        if name in commands:
            print(commands[name])
            return
        if name:
            self._refuse(f"no command {name!r}; there are {', '.join(sorted(commands))}")
            return
        width = max(map(len, commands))
        for each in sorted(commands):
            first = commands[each].strip().splitlines() or [""]
            print(f"{each:{width}}  {first[1] if each in _OWN else first[0]}")
        print(f"{'NODE …':{width}}  Run a command in a node; the names of other nodes become their addresses.")

    def _source(self, name: str) -> None:
        file = Path(name).resolve()
        if file in self._sources:
            self._refuse(f"{name}: this file is being done already: a file cannot source itself")
            return
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self._refuse(f"{name or 'source FILE'}: {error}")
            return
        self._sources.append(file)
        try:
            for line in lines:
                if self.onecmd(line):
                    return
        finally:
            self._sources.pop()

    def _refuse(self, why: str) -> None:
        print(f"error: {why}", file=sys.stderr)
        self.status = REFUSED

    def completenames(self, text: str, *_ignored: Any) -> list[str]:
        """Commands and nodes that begin so."""
        names = {*self._hello.commands, *_OWN, *self._hello.nodes}
        return sorted(f"{name} " for name in names if name.startswith(text))

    def completedefault(self, text: str, *_ignored: Any) -> list[str]:
        """What a line may name that begins so."""
        return sorted({word for word in self._hello.words if word.startswith(text)})

    def get_names(self) -> list[str]:
        """No methods of Cmd's own are commands here."""
        return []


def _write_history(file: Path) -> None:
    with suppress(OSError):
        readline.write_history_file(file)
        file.chmod(0o600)

"""Agent configuration files: TOML into the plain dataclasses that each protocol declares; every fault names its place."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

import dacite

from agents.core.errors import ConfigurationError


class Checked(Protocol):
    """A role's configuration: a dataclass that knows its bounds."""

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""


RoleConfiguration = TypeVar("RoleConfiguration", bound=Checked)
Table = TypeVar("Table")


@dataclass(frozen=True, slots=True)
class RuntimeConfiguration:
    """The ``[runtime]`` table, the same for every role: what the agent's driver needs.

    ``node`` names the agent in traces; ``control`` is the path of its control socket, ``trace`` of its history. ``store``
    is the file of what it keeps for good (`agents.runtime.store`), ``application`` the socket of the program it works for
    (`agents.runtime.application`). ``authorise`` is the operator's command, see `agents.runtime.operator`. ``web`` is the
    address and port, such as "127.0.0.1:8080", of a role's pages (`agents.web`).
    """

    node: str = ""
    control: str | None = None
    trace: str | None = None
    store: str | None = None
    application: str | None = None
    authorise: list[str] | None = None
    web: str | None = None


def load(path: Path, role: type[RoleConfiguration]) -> tuple[RuntimeConfiguration, RoleConfiguration]:
    """Read ``path``: a ``[runtime]`` table and the role's own keys at top level.

    Raises ConfigurationError naming file, key and remedy: not readable, not TOML, a key that is unknown, missing, of
    the wrong type or out of its bounds.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}", "give a readable file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"is not TOML: {error}", "mend that line") from error
    runtime = _build(path, RuntimeConfiguration, content.pop("runtime", {}), "runtime.")
    configuration = _build(path, role, content, "")
    try:
        configuration.check()
    except ConfigurationError as error:
        raise error.in_file(path) from error
    return runtime, configuration


def check_interface(key: str, name: str) -> None:
    """Check that this node has the interface ``name``."""
    present = [interface for _, interface in socket.if_nameindex()]
    if name not in present:
        raise ConfigurationError(key, f"{name!r} is no interface of this node", f"give one of {', '.join(present)}")


def _build(path: Path, kind: type[Table], content: Any, prefix: str) -> Table:
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{path}: {prefix.rstrip('.')}", "is not a table", f"write it as [{prefix.rstrip('.')}]"
        )
    unknown = sorted(_unknown_keys(kind, content, prefix))
    if unknown:
        raise ConfigurationError(f"{path}: {', '.join(unknown)}", "unknown key", "remove it, or correct its spelling")
    try:
        # An integer where a float is meant ("srt_s = 2") is no fault.
        return dacite.from_dict(kind, content, dacite.Config(type_hooks={float: _as_float}))
    except dacite.MissingValueError as error:
        raise ConfigurationError(f"{path}: {prefix}{error.field_path}", "missing", "add it") from error
    except dacite.DaciteFieldError as error:
        raise ConfigurationError(f"{path}: {prefix}{error.field_path}", str(error), "give the right type") from error


def _unknown_keys(kind: type[Any], content: dict[str, Any], prefix: str) -> Iterator[str]:
    """Where ``content`` has keys that the dataclass ``kind``, or one inside it, does not."""
    hints = get_type_hints(kind)
    for key, value in content.items():
        if key not in hints:
            yield prefix + key
            continue
        inner = next((part for part in (hints[key], *get_args(hints[key])) if is_dataclass(part)), None)
        rows = {f"[{number}]": row for number, row in enumerate(value)} if isinstance(value, list) else {"": value}
        for place, row in rows.items():
            if isinstance(inner, type) and isinstance(row, dict):
                yield from _unknown_keys(inner, row, f"{prefix}{key}{place}.")


def _as_float(value: object) -> object:
    if isinstance(value, bool):  # an int to Python, and no number to anybody else
        raise dacite.WrongTypeError(float, value)
    return float(value) if isinstance(value, int) else value

"""Configuration files of programs, from the templates of a room."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(room: str) -> Environment:
    """The templates beside a package's modules; a value that one wants and is not given is jinja2's UndefinedError."""
    return Environment(  # noqa: S701  # no HTML: programs read it
        loader=PackageLoader(room, "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

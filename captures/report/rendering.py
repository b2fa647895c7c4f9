"""The templates of this room, whose text is HTML or SVG: all that is put into it is escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates() -> Environment:
    """The templates. The filter `px` writes a length."""
    environment = Environment(
        loader=PackageLoader("captures.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["px"] = "{:.1f}".format
    return environment

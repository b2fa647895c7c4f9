"""Configuration files of routing daemons, from the templates beside this module."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_TEMPLATES = Environment(  # noqa: S701  # no HTML: a daemon reads it
    loader=PackageLoader("testbed.routing", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, **values: Any) -> str:
    """The text that a template makes of the values. Raises jinja2's UndefinedError for one that is missing."""
    return _TEMPLATES.get_template(template).render(**values)

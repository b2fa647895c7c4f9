"""Configuration files of routing daemons, from the templates beside this module."""

from __future__ import annotations

from typing import Any

from testbed.net.rendering import templates

_TEMPLATES = templates("testbed.routing")


def render(template: str, **values: Any) -> str:
    """The text that a template makes of the values. Raises jinja2's UndefinedError for one that is missing."""
    return _TEMPLATES.get_template(template).render(**values)

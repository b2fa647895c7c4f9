"""Pages from templates: what others have written is escaped, and shown even where it would hide or turn round.

A page that is asked for by many is made once a second, and one that takes long to make less often: however many ask, it costs the role a
tenth of its time at most. What is shown is no older than that. All pages together have that tenth, too: who asks for ever other ones is
asked to come again.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import monotonic
from unicodedata import name

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agents.core.agent import Agent
from agents.core.pages import Page, Pages
from agents.core.visible import codes, pieces, visible

AGE = 1.0  # s for which a page is kept at least
SHARE = 0.1  # of the role's time that a page may take, and all pages together
AHEAD = 1.0  # s, by which their making may be ahead of its share: SHARE of it in one go
KEPT_MAXIMUM = 64  # pages
HERE = Path(__file__).parent


@lru_cache(4096)
def shown(text: object, kept: str = "") -> Markup:
    """Somebody's text as it stands in a page: apart from what is around it, nothing of it hidden."""
    whole = Markup()
    for piece, shows in pieces(str(text), kept):
        if shows:
            whole += piece
        else:
            title = ", ".join(name(each, "control character") for each in piece[:8])
            whole += Markup('<span class="odd" title="{}">{}</span>').format(title, codes(piece))
    return Markup("<bdi>{}</bdi>").format(whole)


def moment(seconds: object) -> Markup:
    """A time in Unix seconds as people and programs read it; "" for none."""
    if not isinstance(seconds, int) or not seconds:
        return Markup()
    try:
        when = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):  # no calendar has it
        return Markup("{} s after 1970").format(seconds)
    return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%Y-%m-%d %H:%M} UTC</time>').format(when, when)


@dataclass(slots=True)
class _Kept:
    """What was made of a page, and until when it is kept (s); the forms are made when they are first asked for."""

    until: float
    values: Mapping[str, object]
    html: bytes | None = None
    json: bytes | None = None


class BusyError(Exception):
    """Pages have had their share of the role's time; one that is not kept can be made in AHEAD."""


class Rendering:
    """The pages of one role."""

    def __init__(self, pages: Pages, agent: Agent) -> None:
        self._agent = agent
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(pages.templates), FileSystemLoader(HERE / "templates")]),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._environment.filters.update(shown=shown, moment=moment, plain=visible)
        self._environment.globals["title"] = pages.title
        self._kept: OrderedDict[tuple[Page, str, int], _Kept] = OrderedDict()
        self._paid_until = 0.0  # s, when the making of all pages so far is within its share

    def html(self, page: Page, part: str, offset: int) -> bytes | None:
        """A page as a browser has it; None where there is none. Raises BusyError."""
        kept = self._found(page, part, offset)
        if kept is not None and kept.html is None:
            began = monotonic()
            here = page.path.replace(f"{{{page.part}}}", part)
            kept.html = self._environment.get_template(page.template).render(kept.values, here=here).encode()
            kept.until += self._cost_since(began)
        return None if kept is None else kept.html

    def json(self, page: Page, part: str, offset: int) -> bytes | None:
        """The same as JSON; raises BusyError."""
        kept = self._found(page, part, offset)
        if kept is not None and kept.json is None:
            began = monotonic()
            kept.json = json.dumps(kept.values).encode()
            kept.until += self._cost_since(began)
        return None if kept is None else kept.json

    def live(self, page: Page, part: str) -> str | None:
        """The block of a page that follows what happens, as it is now."""
        values = page.view(self._agent, part, 0)
        if values is None:
            return None
        template = self._environment.get_template(page.template)
        here = page.path.replace(f"{{{page.part}}}", part)
        return "".join(template.blocks["live"](template.new_context({**values, "here": here})))

    def error(self, status: int, reason: str) -> bytes:
        """A page that says why there is none."""
        return self._environment.get_template("error.html").render(status=status, reason=reason, here="").encode()

    def _cost_since(self, began: float) -> float:
        """How long it takes (s) until what was made since ``began`` is within its share."""
        now = monotonic()
        cost = (now - began) / SHARE
        self._paid_until = max(self._paid_until, now) + cost
        return cost

    def _found(self, page: Page, part: str, offset: int) -> _Kept | None:
        key, now = (page, part, offset), monotonic()
        kept = self._kept.get(key)
        if kept is not None and now < kept.until:
            return kept
        if self._paid_until > now + AHEAD:
            raise BusyError
        values = page.view(self._agent, part, offset)
        cost = self._cost_since(now)
        if values is None:
            self._kept.pop(key, None)
            return None
        kept = self._kept[key] = _Kept(now + AGE + cost, values)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAXIMUM:
            self._kept.popitem(last=False)
        return kept

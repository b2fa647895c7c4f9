"""The pages that a role has for people with a browser, as the room of its protocol describes them; `agents.web` serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

View = Callable[[Any, str, int], Mapping[str, object] | None]
"""What a page shows, of the role, the page's part and the offset that was asked for: plain values, as JSON can say them.

None: there is no such page. Everybody may read it all.
"""


@dataclass(frozen=True, slots=True)
class Form:
    """Another form of a page: at its address behind ``suffix``, such as ".sdp", or where ``kind``, a media type, is asked for.

    ``content`` makes it of the role and the page's part; None: there is none.
    """

    suffix: str
    kind: str
    content: Callable[[Any, str], bytes | None]


@dataclass(frozen=True, slots=True)
class Page:
    """A page at ``path``, of which one part may be in braces, such as "/rooms/{room}": that is any word without a dot.

    ``template`` is filled in with what ``view`` says. One that ``is_live`` has a block "live", which follows what happens:
    it is made anew after a notice of the role, unless that has a detail of the part's name and another value.
    """

    path: str
    template: str
    view: View
    forms: tuple[Form, ...] = ()
    is_live: bool = False

    @property
    def part(self) -> str:
        """The name of the part in braces, "" where there is none."""
        return self.path.partition("{")[2].partition("}")[0]


@dataclass(frozen=True, slots=True)
class Pages:
    """A role's pages, under ``title``, and the folder of their ``templates``, which extend "base.html" of `agents.web`."""

    title: str
    templates: Path
    pages: tuple[Page, ...]

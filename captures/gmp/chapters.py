"""What a page shows of GMP: the three nested groups over time, and a table of the members."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from captures import additions as page
from captures.gmp.words import LEVELS

if TYPE_CHECKING:
    from captures.gmp.lab import Lab

_SETS = tuple(reversed(LEVELS))  # from the outermost inwards
_CAPTION = (
    "Registered, enrolled and active members, one group in the other, as the server's link shows it. At each change stands the"
    " message that made it; whose timer ends is moved when the server's next message shows it."
)
_TABLE_CAPTION = (
    "Each level: when it was reached first, in seconds from the capture's begin, and how long after its request, in milliseconds."
    " KAREQ: how many, how many of them were answered, and the median time to the answer."
)
_COLUMNS = (
    page.Column("member"),
    page.Column("user", "count"),
    page.Column("as"),
    *(column for level in _SETS for column in (page.Column(f"{level} s"), page.Column("after", "ms"))),
    page.Column("out s"),
    page.Column("by"),
    page.Column("KAREQ", "count"),
    page.Column("answered", "count"),
    page.Column("after", "ms"),
    page.Column("key", "count"),
)


def additions(lab: Lab, records: Mapping[str, Any], failed: Collection[str]) -> page.Additions:
    """The drawing, the table, and how long it took to come in."""
    del failed
    members = [record for record in records.get("members", ()) if isinstance(record, Mapping) and "user" in record]
    changes = tuple(
        page.Change(
            change.t_ns,
            lab.name_of(change.session, change.user),
            int(change.standing),
            change.event.kind,
            change.event.number,
        )
        for change in lab.changes
    )
    nested = page.Nested("Who belonged to the session", _CAPTION, _SETS, changes, lab.end_ns)
    lines = tuple(page.Line("", tuple(_cells(record))) for record in members)
    table = page.Table("Members", "member", _TABLE_CAPTION, _COLUMNS, lines)
    return page.Additions(tables=(table,) if lines else (), nested=(nested,) if changes else ())


def _cells(record: Mapping[str, Any]) -> Iterator[Any]:
    yield str(record.get("member"))
    yield record.get("user")
    yield str(record.get("kind"))
    for level in _SETS:
        yield _seconds(record.get(f"{level}_s"))
        yield record.get(f"{level}_after_ms")
    yield _seconds(record.get("left_s"))
    yield str(record.get("left_by") or "")
    yield from (record.get(name) for name in ("asked", "answered", "answer_ms", "generation"))


def _seconds(value: Any) -> str:
    return "" if value is None else f"{value:.3f}"

"""What an agent's own report of a membership says, ahead of the kernel's."""

from __future__ import annotations

import pytest

from agents.runtime import reports

MODE_IS_EXCLUDE, ALLOW_NEW_SOURCES = 2, 5  # RFC 3376 4.2.12, RFC 3810 5.2.12


@pytest.mark.parametrize(
    ("group", "source", "kind", "sources"),
    [
        ("239.1.1.1", None, MODE_IS_EXCLUDE, 0),
        ("ff3e::4:1", None, MODE_IS_EXCLUDE, 0),
        ("232.1.1.1", "10.0.0.1", ALLOW_NEW_SOURCES, 1),
    ],
)
def test_a_membership_that_is_told_anew_has_not_changed(
    group: str, source: str | None, kind: int, sources: int
) -> None:
    """FRR keeps a cell's data for the source of a report of what is, and not of one of a change."""
    record = reports._record(group, source)
    assert (record[0], int.from_bytes(record[2:4])) == (kind, sources)

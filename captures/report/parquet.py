"""Tables as Parquet. The one module that needs pyarrow, which is installed only by whoever asks for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from captures.report.exporting import Cell, Rows


def write_parquet(file: Path, columns: list[str], rows: Rows) -> None:
    """One row group, each column of one type: a column in which texts stand beside numbers is of texts."""
    arrays = {name: _column([row.get(name) for row in rows]) for name in columns}
    parquet.write_table(pa.table(arrays), file)


def _column(values: list[Cell]) -> list[Cell]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values

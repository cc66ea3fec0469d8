"""Rows that can still be read in a damaged SQLite file. None of them proves anything by itself."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from restore_batch.jobs.proof.columns import decoded
from restore_batch.jobs.proof.schema import columns_of

_FEWEST_BYTES_A_ROW = {"runs": 200, "units": 200, "items": 60, "faces": 100}
_MOST_FAILURES = 100_000
"""Of a table whose root is lost, no range can be read, however often it is halved."""


def salvage(path: Path, table: str) -> Iterator[dict[str, Any]]:
    """The rows of ``table`` (runs, units, items or faces) that can be read and make sense;
    ``path`` is a copy: opening it may change it."""
    if not path.is_file():
        return
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for columns, values in _readable(database, table, path.stat().st_size):
            with contextlib.suppress(ValueError):
                yield {
                    name: decoded(name, value)
                    for name, value in zip(columns, values, strict=True)
                    if name in columns_of(table)
                }


def _readable(
    database: sqlite3.Connection, table: str, size_bytes: int
) -> Iterator[tuple[list[str], tuple[Any, ...]]]:
    """Rows with the names of their columns; around what cannot be read by halving its range."""
    try:
        database.execute(f"SELECT rowid FROM {table} LIMIT 0")
    except sqlite3.Error:
        return  # the table, or the list of tables, is lost
    last = size_bytes // _FEWEST_BYTES_A_ROW[table] + 1
    with contextlib.suppress(sqlite3.Error):
        (named,) = database.execute(f"SELECT MAX(rowid) FROM {table}").fetchone()
        last = min(last, named or 0)
    ranges, failures = [(1, last)], 0
    while ranges and failures < _MOST_FAILURES:
        first, last = ranges.pop()
        reached = first
        try:
            rows = database.execute(
                f"SELECT rowid, * FROM {table} WHERE rowid BETWEEN ? AND ? ORDER BY rowid",
                (first, last),
            )
            columns = [column[0] for column in rows.description[1:]]
            for row in rows:
                reached = row[0] + 1
                yield columns, row[1:]
        except sqlite3.Error:
            failures += 1
            ranges += _around(reached, last)


def _around(unreadable: int, last: int) -> list[tuple[int, int]]:
    """The ranges to try after a row that could not be read, the first of them last."""
    if unreadable >= last:
        return []
    middle = (unreadable + last) // 2
    return [(middle + 1, last), (unreadable, middle)]

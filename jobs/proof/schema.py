"""The tables of a manifest: of this format, and how those of earlier formats become them.

What is asked of all items at once (how many are done, which have failed) is answered by the column
``unit_state`` of ``items`` and its indexes. Triggers keep it what the item's unit says, whoever
writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from functools import lru_cache

SCHEMA_VERSION = 6
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, outcome TEXT,
    version TEXT NOT NULL, job_file TEXT, job TEXT NOT NULL, models TEXT NOT NULL,
    total INTEGER);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT, probe TEXT);
CREATE TABLE IF NOT EXISTS items (
    output TEXT PRIMARY KEY, source TEXT NOT NULL, unit TEXT, run INTEGER,
    stand_in TEXT, stand_in_sha256 TEXT, unit_state TEXT);
CREATE TABLE IF NOT EXISTS units (
    id TEXT PRIMARY KEY, item TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
    base_key TEXT NOT NULL, face_key TEXT NOT NULL, source_sha256 TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, face_count INTEGER NOT NULL DEFAULT 0,
    staged_path TEXT, size_bytes INTEGER, mtime_ns INTEGER, sha256 TEXT,
    width INTEGER, height INTEGER, stage TEXT, error_kind TEXT, error TEXT,
    seconds TEXT, warnings TEXT, run INTEGER, sidecars TEXT, repaired REAL,
    quality TEXT);
CREATE TABLE IF NOT EXISTS attempts (
    unit TEXT NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL, ended REAL NOT NULL,
    outcome TEXT NOT NULL, message TEXT);
CREATE TABLE IF NOT EXISTS faces (
    unit TEXT NOT NULL, frame INTEGER NOT NULL, face INTEGER NOT NULL, box TEXT NOT NULL,
    landmarks TEXT NOT NULL, score REAL NOT NULL, restored INTEGER NOT NULL, identity REAL,
    blend REAL NOT NULL, note TEXT NOT NULL, PRIMARY KEY (unit, frame, face));
CREATE TABLE IF NOT EXISTS position (
    number INTEGER NOT NULL, first_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL)
"""
_BESIDE_TABLES = (
    "CREATE INDEX IF NOT EXISTS units_by_item ON units (item)",
    "CREATE INDEX IF NOT EXISTS units_staged ON units (id) WHERE state = 'staged'",
    "CREATE INDEX IF NOT EXISTS items_by_state ON items (unit_state, run)",
    "CREATE INDEX IF NOT EXISTS items_failed ON items (output) WHERE unit_state = 'failed'",
    "CREATE INDEX IF NOT EXISTS items_by_stand_in ON items (stand_in) WHERE stand_in IS NOT NULL",
    "CREATE TRIGGER IF NOT EXISTS state_of_new_unit AFTER INSERT ON units BEGIN"
    " UPDATE items SET unit_state = NEW.state WHERE output = NEW.item AND unit = NEW.id; END",
    "CREATE TRIGGER IF NOT EXISTS state_of_unit AFTER UPDATE OF state ON units BEGIN"
    " UPDATE items SET unit_state = NEW.state WHERE output = NEW.item AND unit = NEW.id; END",
    "CREATE TRIGGER IF NOT EXISTS state_of_no_unit AFTER DELETE ON units BEGIN"
    " UPDATE items SET unit_state = NULL WHERE output = OLD.item AND unit = OLD.id; END",
    "CREATE TRIGGER IF NOT EXISTS state_of_new_item AFTER INSERT ON items BEGIN"
    " UPDATE items SET unit_state = (SELECT state FROM units WHERE id = NEW.unit)"
    " WHERE output = NEW.output; END",
    "CREATE TRIGGER IF NOT EXISTS state_of_item AFTER UPDATE OF unit ON items BEGIN"
    " UPDATE items SET unit_state = (SELECT state FROM units WHERE id = NEW.unit)"
    " WHERE output = NEW.output; END",
)

KEYS = {"runs": "id", "sources": "source", "items": "output", "units": "id", "faces": "unit"}
"""The tables that the journal keeps, and the column that a change names their rows by."""
DERIVED = frozenset({("items", "unit_state")})
"""Columns that follow from others: no journal keeps them."""

_SINCE_FORMAT = {
    ("runs", "total"): 2, ("position", ""): 3, ("units", "sidecars"): 4, ("items", "unit_state"): 5,
    ("units", "repaired"): 5, ("units", "quality"): 6,
}  # fmt: skip
"""What a manifest of an earlier format lacks: a column, or with "" a whole table."""
_STATE_OF_ITEM = "(SELECT state FROM units WHERE units.id = items.unit)"
_ADDED = {
    ("runs", "total"): "INTEGER", ("units", "sidecars"): "TEXT", ("items", "unit_state"): "TEXT",
    ("units", "repaired"): "REAL", ("units", "quality"): "TEXT",
}  # fmt: skip

Tables = Mapping[str, tuple[str, ...]]
"""The columns of each table."""


def make_tables(database: sqlite3.Connection) -> None:
    """Make all tables of this format, empty."""
    for statement in _TABLES.split(";"):
        database.execute(statement)
    for statement in _BESIDE_TABLES:
        database.execute(statement)
    database.execute("INSERT INTO position VALUES (0, 0, 0)")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Make tables of an earlier format those of this one; the caller sees to it that this happens
    as a whole or not at all."""
    there = tables_in(database)
    for (table, column), kind in _ADDED.items():
        if column not in there[table]:
            database.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    for statement in _TABLES.split(";"):
        database.execute(statement)
    if "position" not in there:
        # No journal has such a line: it is yet to be written.
        database.execute("INSERT INTO position VALUES (-1, 0, 0)")
    database.execute(f"UPDATE items SET unit_state = {_STATE_OF_ITEM}")
    for statement in _BESIDE_TABLES:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def show_as_this_format(database: sqlite3.Connection) -> None:
    """Lay views over a read-only older manifest, so that it answers today's queries."""
    there = tables_in(database)
    for table in dict.fromkeys(table for table, _ in _ADDED):
        lacking = [c for (t, c) in _ADDED if t == table and c not in there[table]]
        if lacking:
            given = ", ".join(
                f"{_STATE_OF_ITEM if (table, c) in DERIVED else 'NULL'} AS {c}" for c in lacking
            )
            # A temporary view goes before a table of its name.
            database.execute(
                f"CREATE TEMP VIEW {table} AS SELECT {table}.*, {given} FROM main.{table}"
            )


def misfit(database: sqlite3.Connection, found: int) -> str:
    """What tables of format ``found`` lack; "" if nothing."""
    there = tables_in(database)
    for table, columns in tables_of_format().items():
        if found < _SINCE_FORMAT.get((table, ""), 1):
            continue
        if table not in there:
            return f"no table {table}"
        for column in columns:
            if column not in there[table] and found >= _SINCE_FORMAT.get((table, column), 1):
                return f"no column {column} in table {table}"
    return ""


def columns_of(table: str) -> tuple[str, ...]:
    """The columns of a table of this format."""
    return tables_of_format()[table]


@lru_cache(maxsize=1)
def tables_of_format() -> Tables:
    """All tables of this format."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        make_tables(database)
        return tables_in(database)


def tables_in(database: sqlite3.Connection) -> Tables:
    """The tables that are there."""
    listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return {row[0]: _columns(database, row[0]) for row in listed.fetchall()}


def _columns(database: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(row[1] for row in database.execute(f"PRAGMA table_info ({table})"))

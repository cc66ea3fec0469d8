"""The SQLite file under the manifest: its tables, how it is opened, how rows come out of it.

Every statement goes through :class:`Database`, and what SQLite meets at any moment leaves it as a
ManifestError: one line, and what to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from restore_batch.errors import RestoreBatchError
from restore_batch.files import publish
from restore_batch.jobs.proof.faults import damaged, fault_of, fault_of_file, lacking_permission

SCHEMA_VERSION = 4
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, outcome TEXT,
    version TEXT NOT NULL, job_file TEXT, job TEXT NOT NULL, models TEXT NOT NULL,
    total INTEGER);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT, probe TEXT);
CREATE TABLE IF NOT EXISTS items (
    output TEXT PRIMARY KEY, source TEXT NOT NULL, unit TEXT, run INTEGER,
    stand_in TEXT, stand_in_sha256 TEXT);
CREATE TABLE IF NOT EXISTS units (
    id TEXT PRIMARY KEY, item TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
    base_key TEXT NOT NULL, face_key TEXT NOT NULL, source_sha256 TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, face_count INTEGER NOT NULL DEFAULT 0,
    staged_path TEXT, size_bytes INTEGER, mtime_ns INTEGER, sha256 TEXT,
    width INTEGER, height INTEGER, stage TEXT, error_kind TEXT, error TEXT,
    seconds TEXT, warnings TEXT, run INTEGER, sidecars TEXT);
CREATE TABLE IF NOT EXISTS attempts (
    unit TEXT NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL, ended REAL NOT NULL,
    outcome TEXT NOT NULL, message TEXT);
CREATE TABLE IF NOT EXISTS faces (
    unit TEXT NOT NULL, frame INTEGER NOT NULL, face INTEGER NOT NULL, box TEXT NOT NULL,
    landmarks TEXT NOT NULL, score REAL NOT NULL, restored INTEGER NOT NULL, identity REAL,
    blend REAL NOT NULL, note TEXT NOT NULL, PRIMARY KEY (unit, frame, face));
CREATE TABLE IF NOT EXISTS position (
    number INTEGER NOT NULL, first_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS units_by_item ON units (item);
"""


KEYS = {"runs": "id", "sources": "source", "items": "output", "units": "id", "faces": "unit"}
"""The tables that the journal keeps, and the column that a change names their rows by."""

_SINCE_FORMAT = {("runs", "total"): 2, ("position", ""): 3, ("units", "sidecars"): 4}
"""What a manifest of an earlier format lacks: a column, or with "" a whole table."""

_LAST_WRITE_FORMAT = 2
Row = sqlite3.Row


class Database(sqlite3.Connection):
    """A connection whose errors are ManifestErrors and whose rows are what was put in: names as
    :func:`packed` took them, the columns that hold JSON as plain data."""

    manifest: Path
    """The file that errors name."""

    def cursor(self, *_: Any) -> _Cursor:  # type: ignore[override]
        return super().cursor(_Cursor)

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:  # type: ignore[override]
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> _Cursor:  # type: ignore[override]
        return self.cursor().executemany(sql, parameters)

    def put(self, table: str, values: Mapping[str, Any], *, unless_known: bool = False) -> None:
        """Insert a row as it came out of :meth:`execute`; columns left out are NULL."""
        columns = [name for name in columns_of(table) if name in values]
        how = "OR IGNORE " if unless_known else ""
        marks = ", ".join("?" * len(columns))
        self.execute(
            f"INSERT {how}INTO {table} ({', '.join(columns)}) VALUES ({marks})",
            [encoded(name, values[name]) for name in columns],
        )


class _Cursor(sqlite3.Cursor):
    connection: Database

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        return self._guarded(super().execute, sql, parameters)  # type: ignore[no-any-return]

    def executemany(self, sql: str, parameters: Iterable[Any]) -> _Cursor:
        return self._guarded(super().executemany, sql, parameters)  # type: ignore[no-any-return]

    def fetchone(self) -> Any:
        return self._guarded(super().fetchone)

    def fetchall(self) -> list[Any]:
        return self._guarded(super().fetchall)  # type: ignore[no-any-return]

    def __next__(self) -> Any:
        return self._guarded(super().__next__)

    def _guarded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return step(*arguments)
        except sqlite3.ProgrammingError:
            raise  # a mistake of ours, in a statement or its parameters
        except sqlite3.Error as error:
            raise fault_of(error, self.connection.manifest) from None
        except UnicodeDecodeError:  # SQLite's message quotes the damage
            raise damaged(self.connection.manifest, "a name in it is no text") from None


def connect(path: Path) -> Database:
    """Open for writing; made with all its tables where there is none.

    Raises DamagedManifestError for one that is not as it was written, ManifestError where the
    disk or its permissions do not let it be used, RestoreBatchError for a newer one.
    """
    if not os.path.lexists(path):
        wal = path.with_name(f"{path.name}-wal")
        if wal.exists() and wal.stat().st_size:
            raise damaged(path, "it is gone, and what was last written to it is left")
        create(path)
    if (error := lacking_permission(path)) is not None:
        raise error  # SQLite would open it all the same, for reading
    database = _opened(path, str(path))
    with _closed_on_error(database):
        found = _format(database)
        database.execute("PRAGMA journal_mode = WAL")
        for row in database.execute("PRAGMA integrity_check (1)"):
            if row[0] != "ok":
                raise damaged(path, str(row[0]).replace("*** in database main ***", ""))
        _check_tables(database, found)
        if _write_format(path) > _LAST_WRITE_FORMAT:
            # SQLite would say so only when something is to be written.
            raise damaged(path, "its header says that nobody may write to it")
        if found < SCHEMA_VERSION:
            _bring_up_to_date(database)
    return database


def connect_reading(path: Path) -> Database | None:
    """Open for reading beside a writer; None while there is nothing to read yet."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise fault_of_file(error, path) from None
    query = "mode=ro"
    if path.with_name(f"{path.name}-journal").exists() and os.access(path.parent, os.W_OK):
        # A run was killed while it made the manifest: only who may write can take that back.
        query = "mode=rw"
    wal = path.with_name(path.name + "-wal")
    if not (wal.exists() or os.access(path.parent, os.W_OK)):
        # Readers share an index file beside the database; where none can be made (a read-only
        # disk) there is no writer either.
        query += "&immutable=1"
    # as_uri escapes what a URI would take for its own syntax: ? # and %.
    database = _opened(path, f"{path.absolute().as_uri()}?{query}", uri=True)
    with _closed_on_error(database):
        _check_tables(database, _format(database))
    return database


def create(path: Path, manifest: Path | None = None) -> None:
    """Make an empty manifest, whole or not at all. ``manifest``: what errors are to name."""
    made = path.with_name(path.name + ".new")
    try:
        for leftover in (made, made.with_name(f"{made.name}-journal")):
            leftover.unlink(missing_ok=True)
        database = _opened(manifest or path, str(made))
        with contextlib.closing(database), transaction(database):
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT INTO position VALUES (0, 0, 0)")
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        publish(made, path)
    except OSError as error:
        raise fault_of_file(error, path) from None


def connect_rebuilding(path: Path, manifest: Path) -> Database:
    """Open a manifest that is being rebuilt beside ``manifest``, which errors name."""
    return _opened(manifest, str(path))


@contextlib.contextmanager
def transaction(database: Database, *, durable: bool = True) -> Iterator[None]:
    """All statements inside become durable together, or none of them.

    Without ``durable`` they survive the death of the process, but a power cut may take them (and
    the other such transactions since the last durable one) back.
    """
    database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # SQLite itself may have taken it back, and on a broken disk nothing more succeeds.
        with contextlib.suppress(sqlite3.Error, RestoreBatchError):
            if database.in_transaction:
                database.execute("ROLLBACK")
        raise


def packed(text: str) -> str | bytes:
    """``text`` as SQLite can keep it and give it back unchanged.

    File names that are not UTF-8 arrive with surrogate escapes, which are no Unicode text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


# --- rows --------------------------------------------------------------------------------------


def _name(value: Any) -> Any:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else _text(value)


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("text was expected")
    return value


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise ValueError("a number was expected")
    return value


_NAMES = ("output", "source", "stand_in", "item", "staged_path")
_JSON = ("job", "models", "probe", "seconds", "warnings", "sidecars", "box", "landmarks")
_TEXTS = (
    "outcome", "version", "job_file", "stamp", "sha256", "unit", "stand_in_sha256", "kind",
    "state", "base_key", "face_key", "source_sha256", "stage", "error_kind", "error", "message",
    "note",
)  # fmt: skip
_NUMBERS = (
    "started", "ended", "total", "run", "attempts", "face_count", "size_bytes", "mtime_ns",
    "width", "height", "attempt", "frame", "face", "score", "restored", "identity", "blend",
    "number", "first_byte", "end_byte",
)  # fmt: skip
_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_NAMES, _name),
    **dict.fromkeys(_JSON, json.loads),
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_NUMBERS, _number),
}


def decoded(column: str, value: Any) -> Any:
    """What was put into ``column``; ValueError where that cannot be."""
    if value is None or column not in _DECODERS:
        return value
    try:
        return _DECODERS[column](value)
    except (TypeError, ValueError) as error:  # a flipped bit may have made it another type
        raise ValueError(f"column {column} cannot be read: {error}") from None


def encoded(column: str, value: Any) -> Any:
    """What :func:`decoded` turns into ``value``."""
    if value is None:
        return None
    if column in _JSON:
        return json.dumps(value)
    return packed(value) if column in _NAMES else value


def columns_of(table: str) -> tuple[str, ...]:
    """The columns of a table of this format."""
    return _tables_of_format()[table]


@lru_cache(maxsize=1)
def _tables_of_format() -> dict[str, tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_SCHEMA)
        return _tables(database)


def _tables(database: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return {row[0]: _columns(database, row[0]) for row in listed.fetchall()}


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    names = [column[0] for column in cursor.description]
    try:
        plain = tuple(map(decoded, names, values))
    except ValueError as error:
        connection = cursor.connection
        assert isinstance(connection, Database)
        raise damaged(connection.manifest, str(error)) from None
    return Row(cursor, plain)


# --- opening -----------------------------------------------------------------------------------


def _opened(manifest: Path, name: str, *, uri: bool = False) -> Database:
    try:
        # Autocommit: what is to be one change says so by a transaction.
        database = sqlite3.connect(
            name, uri=uri, isolation_level=None, timeout=30, factory=Database
        )
    except sqlite3.Error as error:
        raise fault_of(error, manifest) from None
    database.manifest = manifest
    database.row_factory = _row
    return database


@contextlib.contextmanager
def _closed_on_error(database: Database) -> Iterator[None]:
    try:
        yield
    except BaseException:
        database.close()
        raise


def _format(database: Database) -> int:
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found > SCHEMA_VERSION:
        if _tables(database) == _tables_of_format():
            raise damaged(database.manifest, f"there is no format {found} with these tables")
        raise RestoreBatchError(
            f"{database.manifest}: written by a newer restore-batch (format {found}, this one"
            f" knows {SCHEMA_VERSION}); update restore-batch"
        )
    if found == 0:
        raise damaged(database.manifest, "it is empty")
    return found


def _write_format(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(19)[18]


def _bring_up_to_date(database: Database) -> None:
    with transaction(database):
        if "total" not in _columns(database, "runs"):
            database.execute("ALTER TABLE runs ADD COLUMN total INTEGER")
        if "sidecars" not in _columns(database, "units"):
            database.execute("ALTER TABLE units ADD COLUMN sidecars TEXT")
        if not _columns(database, "position"):
            for statement in _SCHEMA.split(";"):
                if "TABLE IF NOT EXISTS position" in statement:
                    database.execute(statement)
            # No journal has such a line: it is yet to be written.
            database.execute("INSERT INTO position VALUES (-1, 0, 0)")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_tables(database: Database, found: int) -> None:
    there = _tables(database)
    for table, columns in _tables_of_format().items():
        if found < _SINCE_FORMAT.get((table, ""), 1):
            continue
        if table not in there:
            raise damaged(database.manifest, f"no table {table}")
        for column in columns:
            if column not in there[table] and found >= _SINCE_FORMAT.get((table, column), 1):
                raise damaged(database.manifest, f"no column {column} in table {table}")


def _columns(database: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(row[1] for row in database.execute(f"PRAGMA table_info ({table})"))

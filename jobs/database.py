"""The SQLite file under the manifest: its tables, how it is opened, how rows come out of it.

Every statement goes through :class:`Database`, and what SQLite meets at any moment leaves it as a
ManifestError: one line, and what to do.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from restore_batch.errors import RestoreBatchError
from restore_batch.files import publish
from restore_batch.jobs.proof.columns import AS_IT_IS, READERS, decoded, encoded
from restore_batch.jobs.proof.faults import damaged, fault_of, fault_of_file, lacking_permission
from restore_batch.jobs.proof.schema import (
    SCHEMA_VERSION,
    bring_up_to_date,
    columns_of,
    make_tables,
    misfit,
    show_as_this_format,
    tables_in,
    tables_of_format,
)

_LAST_WRITE_FORMAT = 2
_MOST_VALUES = 500
"""That a statement is given at once."""
Row = sqlite3.Row


class Database(sqlite3.Connection):
    """A connection whose errors are ManifestErrors and whose rows are what was put in: names as
    :func:`.proof.columns.packed` took them, the columns that hold JSON as plain data."""

    manifest: Path
    """The file that errors name."""
    is_durable: bool | None = None
    """Whether a change is on the disk when it is committed; None: nobody has said so yet."""

    def cursor(self, *_: Any) -> _Cursor:  # type: ignore[override]
        return super().cursor(_Cursor)

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:  # type: ignore[override]
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> _Cursor:  # type: ignore[override]
        return self.cursor().executemany(sql, parameters)

    def among(self, sql: str, values: Sequence[Any]) -> Iterator[Row]:
        """The rows of a statement that asks for ``IN (?)``, for any number of ``values``."""
        for few in self._some_among(sql, values):
            yield from few.fetchall()

    def plain_among(self, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """The same as plain tuples, which are made in less time."""
        for few in self._some_among(sql, values):
            few.row_factory = _plain
            yield from few.fetchall()

    def _some_among(self, sql: str, values: Sequence[Any]) -> Iterator[_Cursor]:
        for first in range(0, len(values), _MOST_VALUES):
            few = values[first : first + _MOST_VALUES]
            marks = ", ".join("?" * len(few))
            yield self.execute(sql.replace("IN (?)", f"IN ({marks})"), few)

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
    readers: tuple[tuple[type, Callable[[Any], Any]], ...] | None = None
    """How the columns of the present statement are read: see ``READERS``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.odd: dict[tuple[type, ...], tuple[tuple[int, Callable[[Any], Any]], ...]] = {}
        """By the types of values that rows had: places of those that are not what was put in, and
        how they are read."""

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        self.readers = None
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


_TIDY_S, _TIDY_EVERY_S = 3.0, 0.05


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
    # Before SQLite has it: whoever closes a file gives up all locks that its process has on it.
    write_format = _write_format(path)
    database = _opened(path, str(path))
    with _closed_on_error(database):
        found = _format(database)
        database.execute("PRAGMA journal_mode = WAL")
        for row in database.execute("PRAGMA integrity_check (1)"):
            if row[0] != "ok":
                raise damaged(path, str(row[0]).replace("*** in database main ***", ""))
        _check_tables(database, found)
        if write_format > _LAST_WRITE_FORMAT:
            # SQLite would say so only when something is to be written.
            raise damaged(path, "its header says that nobody may write to it")
        if found < SCHEMA_VERSION:
            with transaction(database):
                bring_up_to_date(database)
    return database


def close_tidily(database: Database) -> None:
    """Close a manifest that was open for writing. SQLite deletes the log when the last connection
    closes; if a reader keeps it open, retry for up to 3 s."""
    path = database.manifest
    log = path.with_name(f"{path.name}-wal")
    database.close()
    end = time.monotonic() + _TIDY_S
    while log.exists() and time.monotonic() < end:
        time.sleep(_TIDY_EVERY_S)
        with contextlib.suppress(RestoreBatchError, OSError):
            connect_as(path, "mode=rw").close()


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
    return connect_as(path, query)


def connect_as(path: Path, query: str) -> Database:
    """Open for reading, as parameters of SQLite's file addresses say."""
    # as_uri escapes what a URI would take for its own syntax: ? # and %.
    database = _opened(path, f"{path.absolute().as_uri()}?{query}", uri=True)
    with _closed_on_error(database):
        found = _format(database)
        _check_tables(database, found)
        if found < SCHEMA_VERSION:
            show_as_this_format(database)
    return database


def create(path: Path, manifest: Path | None = None) -> None:
    """Make an empty manifest, whole or not at all. ``manifest``: what errors are to name."""
    made = path.with_name(path.name + ".new")
    try:
        for leftover in (made, made.with_name(f"{made.name}-journal")):
            leftover.unlink(missing_ok=True)
        database = _opened(manifest or path, str(made))
        with contextlib.closing(database), transaction(database):
            make_tables(database)
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
    if durable is not database.is_durable:
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        database.is_durable = durable
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


# --- rows --------------------------------------------------------------------------------------


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return Row(cursor, _plain(cursor, values))


def _plain(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> tuple[Any, ...]:
    assert isinstance(cursor, _Cursor)
    if cursor.readers is None:
        cursor.readers = tuple(READERS.get(column[0], AS_IT_IS) for column in cursor.description)
        cursor.odd.clear()
    kinds = tuple(map(type, values))
    if (odd := cursor.odd.get(kinds)) is None:
        odd = cursor.odd[kinds] = tuple(
            (place, decode)
            for place, (kind, (plain_type, decode)) in enumerate(
                zip(kinds, cursor.readers, strict=True)
            )
            if plain_type not in (object, kind) and kind is not NoneType
        )
    if not odd:
        return values
    plain = list(values)
    try:
        for place, decode in odd:
            plain[place] = decode(values[place])
    except (TypeError, ValueError):
        raise damaged(cursor.connection.manifest, _first_unreadable(cursor, values)) from None
    return tuple(plain)


def _first_unreadable(cursor: _Cursor, values: tuple[Any, ...]) -> str:
    for column, value in zip(cursor.description, values, strict=True):
        try:
            decoded(column[0], value)
        except ValueError as error:
            return str(error)
    return "a row cannot be read"


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
        if tables_in(database) == tables_of_format():
            raise damaged(database.manifest, f"there is no format {found} with these tables")
        raise RestoreBatchError(
            f"{database.manifest}: written by a newer restore-batch (format {found}, this one"
            f" knows {SCHEMA_VERSION}); update restore-batch"
        )
    if found == 0:
        raise damaged(database.manifest, "it is empty")
    return found


def _write_format(path: Path) -> int:
    """What the header says; 0 where there is none, which SQLite says better."""
    try:
        with path.open("rb") as file:
            header = file.read(19)
    except OSError:
        return 0
    return header[18] if len(header) == 19 else 0


def _check_tables(database: Database, found: int) -> None:
    if lacking := misfit(database, found):
        raise damaged(database.manifest, lacking)

"""The SQLite file under the manifest: its tables, how it is opened, how paths are kept in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from restore_batch.errors import OutputLockedError, RestoreBatchError

SCHEMA_VERSION = 2
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
    seconds TEXT, warnings TEXT, run INTEGER);
CREATE TABLE IF NOT EXISTS attempts (
    unit TEXT NOT NULL, attempt INTEGER NOT NULL, run INTEGER NOT NULL, ended REAL NOT NULL,
    outcome TEXT NOT NULL, message TEXT);
CREATE TABLE IF NOT EXISTS faces (
    unit TEXT NOT NULL, frame INTEGER NOT NULL, face INTEGER NOT NULL, box TEXT NOT NULL,
    landmarks TEXT NOT NULL, score REAL NOT NULL, restored INTEGER NOT NULL, identity REAL,
    blend REAL NOT NULL, note TEXT NOT NULL, PRIMARY KEY (unit, frame, face));
CREATE INDEX IF NOT EXISTS units_by_item ON units (item);
"""


def take_lock(path: Path) -> IO[str]:
    """Hold ``path`` for this process; raises OutputLockedError naming the process that does."""
    try:
        lock = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise RestoreBatchError(f"{path}: cannot write there ({error.strerror})") from None
    try:
        # flock is released by the kernel when the process dies, however it dies.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "another process"
        lock.close()
        raise OutputLockedError(
            f"{path.parent.parent}: {owner} is writing there; wait for it or choose another output"
        ) from None
    except OSError as error:
        lock.close()
        raise RestoreBatchError(
            f"{path}: this file system cannot lock files ({error.strerror}); choose another output"
        ) from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()}")
    lock.flush()
    return lock


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing, with all tables. Raises RestoreBatchError for what is not ours to open."""
    # Autocommit: every statement outside an explicit BEGIN is durable when it returns.
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    with _checked(path, database):
        _refuse_newer(path, database)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
        _bring_up_to_date(database)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return database


def connect_reading(path: Path) -> sqlite3.Connection | None:
    """Open for reading beside a writer; None while there is nothing to read yet."""
    if not path.exists():
        return None
    query = "mode=ro"
    wal = path.with_name(path.name + "-wal")
    if not (wal.exists() or os.access(path.parent, os.W_OK)):
        # Readers share an index file beside the database; where none can be made (a read-only
        # disk) there is no writer either.
        query += "&immutable=1"
    # as_uri escapes what a URI would take for its own syntax: ? # and %.
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}", uri=True, isolation_level=None, timeout=30
    )
    with _checked(path, database):
        if _refuse_newer(path, database) == 0:
            database.close()
            return None
    return database


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All statements inside become durable together, or none of them."""
    database.execute("BEGIN IMMEDIATE")
    with database:
        yield


def packed(text: str) -> str | bytes:
    """``text`` as SQLite can keep it and give it back unchanged.

    File names that are not UTF-8 arrive with surrogate escapes, which are no Unicode text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpacked(value: str | bytes) -> str:
    """What was given to :func:`packed`."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


@contextlib.contextmanager
def _checked(path: Path, database: sqlite3.Connection) -> Iterator[None]:
    database.row_factory = sqlite3.Row
    try:
        yield
    except sqlite3.DatabaseError as error:
        database.close()
        raise RestoreBatchError(
            f"{path}: cannot be opened as a manifest ({error}); put back a copy of it, or choose"
            " another output"
        ) from None
    except BaseException:
        database.close()
        raise


def _bring_up_to_date(database: sqlite3.Connection) -> None:
    # Format 1 had no totals, and headers of the originals without what they were read by.
    columns = {row["name"] for row in database.execute("PRAGMA table_info (runs)")}
    if "total" not in columns:
        database.execute("ALTER TABLE runs ADD COLUMN total INTEGER")


def _refuse_newer(path: Path, database: sqlite3.Connection) -> int:
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found > SCHEMA_VERSION:
        raise RestoreBatchError(
            f"{path}: written by a newer restore-batch (format {found}, this one knows"
            f" {SCHEMA_VERSION}); update restore-batch"
        )
    return found

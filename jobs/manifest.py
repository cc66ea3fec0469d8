"""The ledger of a job: what was asked, what is done, and proof of it.

One SQLite file in ``<output>/.restore-batch/``. A result is committed in three steps, each
durable before the next: row ``staged`` with the checksum, atomic rename into place, row
``done``. Whatever dies in between, :meth:`Manifest.recover` finishes or forgets it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.jobs.durable import publish, sha256_of
from restore_batch.jobs.records import ItemStatus, Result
from restore_batch.jobs.units import Unit

State = Literal["pending", "staged", "done", "failed"]
FOLDER = ".restore-batch"
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, outcome TEXT,
    version TEXT NOT NULL, job_file TEXT, job TEXT NOT NULL, models TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT, probe TEXT);
CREATE TABLE IF NOT EXISTS items (
    output TEXT PRIMARY KEY, source TEXT NOT NULL, unit TEXT, run INTEGER, stand_in TEXT);
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


class Manifest:
    """The open ledger of one output folder; the only writer while its lock is held."""

    def __init__(self, output_dir: Path, database: sqlite3.Connection, lock: IO[str] | None):
        self.output_dir = output_dir
        self.staging_dir = output_dir / FOLDER / "tmp"
        self._db = database
        self._lock = lock
        self._run = 0

    @classmethod
    def open(cls, output_dir: Path) -> Manifest:
        """Open for writing, creating what is missing.

        Raises OutputLockedError while another run holds the folder.
        """
        folder = output_dir / FOLDER
        try:
            (folder / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RestoreBatchError(
                f"{output_dir}: cannot write there ({error.strerror})"
            ) from None
        lock = (folder / "lock").open("a+", encoding="utf-8")
        try:
            # flock is released by the kernel when the process dies, however it dies.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise OutputLockedError(
                f"{output_dir}: {owner} is writing there; wait for it or choose another output"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        manifest = cls(output_dir, _connect(folder / "manifest.sqlite"), lock)
        manifest._db.executescript(_SCHEMA)
        found = manifest._db.execute("PRAGMA user_version").fetchone()[0]
        if found > _SCHEMA_VERSION:
            manifest.close()
            raise RestoreBatchError(
                f"{folder / 'manifest.sqlite'}: written by a newer restore-batch"
                f" (format {found}, this one knows {_SCHEMA_VERSION}); update restore-batch"
            )
        manifest._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        return manifest

    @classmethod
    def read(cls, output_dir: Path) -> Manifest | None:
        """Open for reading beside a running job; None when there is no manifest yet."""
        path = output_dir / FOLDER / "manifest.sqlite"
        if not path.exists():
            return None
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        database.row_factory = sqlite3.Row
        return cls(output_dir, database, None)

    def close(self) -> None:
        """Release the database and the lock."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- runs ---------------------------------------------------------------------------------
    def begin_run(
        self,
        version: str,
        job_file: str,
        job: Mapping[str, Any],
        models: Sequence[Mapping[str, Any]],
    ) -> int:
        """Record a run with all its options and the checksums of its weights."""
        cursor = self._db.execute(
            "INSERT INTO runs (started, version, job_file, job, models) VALUES (?, ?, ?, ?, ?)",
            (
                time.time(),
                version,
                job_file,
                json.dumps(job, default=str),
                json.dumps(list(models)),
            ),
        )
        self._run = int(cursor.lastrowid or 0)
        return self._run

    def end_run(self, outcome: str) -> None:
        """Record how the run ended."""
        self._db.execute(
            "UPDATE runs SET ended = ?, outcome = ? WHERE id = ?", (time.time(), outcome, self._run)
        )

    def recover(self) -> int:
        """Finish or forget what an earlier run left half-way; returns how many were finished."""
        finished = 0
        rows = self._db.execute("SELECT * FROM units WHERE state = 'staged'").fetchall()
        for row in rows:
            final, staged = self.output_dir / row["item"], Path(row["staged_path"])
            if staged.is_file() and sha256_of(staged) == row["sha256"]:
                publish(staged, final)
            if final.is_file() and sha256_of(final) == row["sha256"]:
                self._set_done(row["id"], final)
                finished += 1
            else:
                self._db.execute("UPDATE units SET state = 'pending' WHERE id = ?", (row["id"],))
        for leftover in self.staging_dir.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        return finished

    # -- sources ------------------------------------------------------------------------------
    def source_facts(self, source: str, stamp: str) -> tuple[str | None, dict[str, Any] | None]:
        """Checksum and probe noted for ``source`` while its stamp (size, time) is the same."""
        row = self._db.execute(
            "SELECT sha256, probe FROM sources WHERE source = ? AND stamp = ?",
            (_text(source), stamp),
        ).fetchone()
        if row is None:
            return None, None
        return row["sha256"], json.loads(row["probe"]) if row["probe"] else None

    def note_source(
        self, source: str, stamp: str, sha256: str | None, probe: Mapping[str, Any] | None
    ) -> None:
        """Remember checksum and probe, so that a second run need not read the file."""
        self._db.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET"
            " stamp = excluded.stamp, sha256 = excluded.sha256, probe = excluded.probe",
            (_text(source), stamp, sha256, json.dumps(probe, default=str) if probe else None),
        )

    # -- units --------------------------------------------------------------------------------
    def state_of(self, unit: Unit, *, verify: bool = False) -> State:
        """Whether the result asked for is there: ``done`` only when the file is too.

        A result also counts when only options of face restoration changed and it has no
        face. ``verify`` reads the file even when size and time look untouched.
        """
        row = self._db.execute(
            "SELECT units.* FROM units JOIN items ON items.unit = units.id WHERE items.output = ?",
            (unit.output,),
        ).fetchone()
        if row is None or row["kind"] != unit.kind or row["base_key"] != unit.base_key:
            return "pending"
        same_faces = row["face_key"] == unit.face_key
        if row["state"] == "failed":
            return "failed" if same_faces else "pending"
        if row["state"] != "done" or not (same_faces or row["face_count"] == 0):
            return "pending"
        return "done" if self._intact(row, verify) else "pending"

    def is_ours(self, output: str) -> bool:
        """Whether the file at ``output`` was put there by this job (else it must be kept)."""
        row = self._db.execute(
            "SELECT 1 FROM units WHERE item = :path AND sha256 IS NOT NULL"
            " UNION SELECT 1 FROM items WHERE stand_in = :path",
            {"path": output},
        ).fetchone()
        return row is not None

    def start(self, unit: Unit, source_sha256: str) -> Unit:
        """Register an attempt; returns the unit with its attempt number."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._transaction():
            self._db.execute(
                "INSERT INTO units (id, item, kind, state, base_key, face_key, source_sha256, run)"
                " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " state = 'pending', error = NULL, error_kind = NULL, run = excluded.run",
                (unit.id, unit.output, unit.kind, unit.base_key, unit.face_key, source_sha256,
                 self._run),
            )  # fmt: skip
            self._db.execute("UPDATE units SET attempts = attempts + 1 WHERE id = ?", (unit.id,))
            self._db.execute(
                "INSERT INTO items (output, source, unit, run) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (output) DO UPDATE SET source = excluded.source,"
                " unit = excluded.unit, run = excluded.run",
                (unit.output, _text(unit.source), unit.id, self._run),
            )
            row = self._db.execute("SELECT attempts FROM units WHERE id = ?", (unit.id,)).fetchone()
        return replace(unit, attempt=int(row["attempts"]))

    def commit(self, unit: Unit, result: Result) -> None:
        """Publish a staged file: durable checksum, atomic rename, then ``done``."""
        final = self.output_dir / unit.output
        if final.exists() and not self.is_ours(unit.output):
            raise RestoreBatchError(
                f"{final}: a file that this job did not write is in the way; move it or choose"
                " another output"
            )
        self._db.execute("BEGIN IMMEDIATE")
        with self._transaction():
            self._db.execute(
                "UPDATE units SET state = 'staged', staged_path = ?, size_bytes = ?, sha256 = ?,"
                " width = ?, height = ?, face_count = ?, seconds = ?, warnings = ?"
                " WHERE id = ?",
                (result.staged_path, result.size_bytes, result.sha256, result.width,
                 result.height, len(result.faces), json.dumps(dict(result.seconds)),
                 json.dumps(result.warnings), unit.id),
            )  # fmt: skip
            self._db.execute("DELETE FROM faces WHERE unit = ?", (unit.id,))
            self._db.executemany(
                "INSERT INTO faces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (unit.id, face.frame, number, json.dumps(face.box_xyxy),
                     json.dumps(face.landmarks_xy), face.score, face.restored, face.identity,
                     face.blend, face.note)
                    for number, face in enumerate(result.faces)
                ],
            )  # fmt: skip
        publish(Path(result.staged_path), final)
        self._set_done(unit.id, final)
        self._remove_stand_in(unit.output)
        self._note_attempt(unit, "done", "")

    def fail(self, unit: Unit, stage: str, kind: str, message: str, stand_in: str = "") -> None:
        """Record why a unit could not be done, and what stands in its place."""
        self._db.execute("BEGIN IMMEDIATE")
        with self._transaction():
            self._db.execute(
                "UPDATE units SET state = 'failed', stage = ?, error_kind = ?, error = ?"
                " WHERE id = ?",
                (stage, kind, _text(message), unit.id),
            )
            self._db.execute(
                "UPDATE items SET stand_in = ? WHERE output = ?", (stand_in or None, unit.output)
            )
            self._note_attempt(unit, kind, message)

    def forget_failures(self) -> int:
        """Make failed units pending again (``retry``); returns how many."""
        return self._db.execute(
            "UPDATE units SET state = 'pending', error = NULL, error_kind = NULL"
            " WHERE state = 'failed'"
        ).rowcount

    def error_of(self, output: str) -> str:
        """The recorded reason why the item at ``output`` failed, or ''."""
        row = self._db.execute(
            "SELECT error FROM units JOIN items ON items.unit = units.id WHERE items.output = ?",
            (output,),
        ).fetchone()
        return (row["error"] or "") if row else ""

    def face_count(self, output: str) -> int:
        """Faces recorded for the item at ``output``."""
        row = self._db.execute(
            "SELECT COUNT(*) FROM faces JOIN items ON items.unit = faces.unit"
            " WHERE items.output = ?",
            (output,),
        ).fetchone()
        return int(row[0])

    def items(self) -> Iterator[ItemStatus]:
        """Every item of the last state known, in order of output path."""
        rows = self._db.execute(
            "SELECT items.*, units.state, units.attempts, units.error, units.warnings,"
            " (SELECT COUNT(*) FROM faces WHERE faces.unit = units.id) AS faces"
            " FROM items LEFT JOIN units ON units.id = items.unit ORDER BY items.output"
        )
        for row in rows:
            yield ItemStatus(
                row["output"], row["source"], row["state"] or "pending", row["faces"],
                row["attempts"] or 0, row["error"] or "",
                tuple(json.loads(row["warnings"] or "[]")), row["stand_in"] or "",
            )  # fmt: skip

    def last_run(self) -> dict[str, Any] | None:
        """The newest run as a plain mapping (started, ended, outcome, version, models)."""
        row = self._db.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        return {**dict(row), "job": json.loads(row["job"]), "models": json.loads(row["models"])}

    # -- inner --------------------------------------------------------------------------------
    def _intact(self, row: sqlite3.Row, verify: bool) -> bool:
        final = self.output_dir / row["item"]
        try:
            stat = final.stat()
        except OSError:
            return False
        if stat.st_size != row["size_bytes"]:
            return False
        if stat.st_mtime_ns == row["mtime_ns"] and not verify:
            return True
        return sha256_of(final) == row["sha256"]

    def _set_done(self, unit_id: str, final: Path) -> None:
        self._db.execute(
            "UPDATE units SET state = 'done', staged_path = NULL, mtime_ns = ?, error = NULL,"
            " error_kind = NULL WHERE id = ?",
            (final.stat().st_mtime_ns, unit_id),
        )

    def _remove_stand_in(self, output: str) -> None:
        """The result is there now: the copy of the original that stood in for it goes."""
        row = self._db.execute("SELECT stand_in FROM items WHERE output = ?", (output,)).fetchone()
        if row is None or row["stand_in"] is None:
            return
        if row["stand_in"] != output:
            (self.output_dir / row["stand_in"]).unlink(missing_ok=True)
        self._db.execute("UPDATE items SET stand_in = NULL WHERE output = ?", (output,))

    def _note_attempt(self, unit: Unit, outcome: str, message: str) -> None:
        self._db.execute(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?)",
            (unit.id, unit.attempt, self._run, time.time(), outcome, _text(message)),
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _text(value: str) -> str:
    """SQLite keeps Unicode only; names that are not UTF-8 arrive with surrogate escapes."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: every statement outside an explicit BEGIN is durable when it returns.
    database = sqlite3.connect(path, isolation_level=None, timeout=30)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database

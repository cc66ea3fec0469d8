"""A manifest rebuilt: from its journal, from what is readable of it, and from the results.

The journal says what was committed; rows that can still be read in the damaged file fill its
gaps. Neither is believed before the result itself has the checksum that they name. What was there
is kept aside, and the rebuilt manifest takes its place in one step.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_batch.errors import UsageError
from restore_batch.files import publish, sha256_of, sync_folder
from restore_batch.jobs.database import Database, Row, connect_rebuilding, create, transaction
from restore_batch.jobs.outputs import (
    CRATE,
    FOLDER,
    PREMIS_EVENTS,
    PREMIS_OBJECTS,
    REPORT_MARK,
    sidecar_of,
)
from restore_batch.jobs.proof import journal
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.proof.faults import DamagedManifestError, fault_of_file
from restore_batch.jobs.proof.hold import Hold
from restore_batch.jobs.proof.kept import NAME, KeptLedger, apply, changes_to, move_to
from restore_batch.jobs.proof.salvage import salvage
from restore_batch.jobs.proof.sidecars import sidecars_in
from restore_batch.jobs.results.place import noted_store
from restore_batch.jobs.written import is_kept_job

_FILES = (NAME, f"{NAME}-wal", f"{NAME}-shm", journal.NAME)


@dataclass(frozen=True)
class Repair:
    """What a repair came to. ``taken``: results proven and on record again; ``again``: outputs
    whose result is gone or not as it was written, to be made again; ``unproven``: other files in
    the output folder, which are left alone; ``aside``: where the damaged manifest is kept, None
    where there was nothing to repair."""

    taken: int = 0
    again: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    aside: Path | None = None


def repair(output_dir: Path, progress: Callable[[str], None] = lambda _: None) -> Repair:
    """Rebuild the manifest of ``output_dir`` unless it is sound. ``progress`` is told each result
    that is read.

    Raises UsageError where there is nothing to rebuild it from or the results are in a bucket,
    OutputLockedError while a run holds the folder, ManifestError where the disk does not let it
    be read or written.
    """
    folder = output_dir / FOLDER
    if not any(os.path.lexists(folder / name) for name in _FILES):
        raise UsageError(f"{output_dir}: neither a manifest nor its journal is there to repair")
    try:
        KeptLedger.open(output_dir).close()
    except DamagedManifestError:
        pass
    else:
        return Repair()
    if (store := noted_store(output_dir)) is not None:
        raise UsageError(
            f"{output_dir}: its results are in {store['url']}, with a copy of the manifest; remove"
            f" {folder} and run again, to go on from that"
        )
    hold = Hold(folder)
    try:
        return _rebuild(output_dir, folder, progress)
    except OSError as error:
        raise fault_of_file(error, Path(error.filename or folder)) from None
    finally:
        hold.release()


def _rebuild(output_dir: Path, folder: Path, progress: Callable[[str], None]) -> Repair:
    aside = _free_name(folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    aside.mkdir()
    for name in _FILES:
        if (folder / name).is_file():
            shutil.copy2(folder / name, aside / name)
    sync_folder(aside)
    manifest, rebuilt = folder / NAME, folder / f"{NAME}.rebuilt"
    with contextlib.suppress(FileNotFoundError):
        rebuilt.unlink()
    create(rebuilt, manifest)
    with contextlib.closing(connect_rebuilding(rebuilt, manifest)) as database:
        with transaction(database):
            for line in journal.read_lines(aside / journal.NAME):
                apply(database, line.tables)
            _fill_gaps(database, aside)
            found = _Results(output_dir, database, progress)
            found.prove()
        for name in _FILES:
            if (folder / name).is_dir():
                (folder / name).rename(aside / name)
        position = journal.write_journal(folder / journal.NAME, changes_to(database))
        with transaction(database):
            move_to(database, position)
    # A log of the damaged file would be taken for one of the rebuilt.
    for name in (f"{NAME}-wal", f"{NAME}-shm"):
        (folder / name).unlink(missing_ok=True)
    publish(rebuilt, manifest)
    unproven = tuple(_others(output_dir, found.proven))
    return Repair(found.taken, tuple(sorted(found.again)), unproven, aside)


def _free_name(path: Path) -> Path:
    names = (path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not os.path.lexists(name))


def _fill_gaps(database: Database, aside: Path) -> None:
    """Take over what the damaged file says and the journal does not."""
    known = {row["id"] for row in database.execute("SELECT id FROM units")}
    with tempfile.TemporaryDirectory(prefix="salvage-", dir=aside.parent) as name:
        for part in (NAME, f"{NAME}-wal"):
            if (aside / part).is_file():
                shutil.copy2(aside / part, Path(name) / part)
        copy = Path(name) / NAME

        def readable(table: str, *needed: str) -> Iterator[dict[str, Any]]:
            rows = salvage(copy, table)
            return (row for row in rows if all(row.get(column) is not None for column in needed))

        for row in readable("runs", "id", "started", "version", "job", "models"):
            database.put("runs", row, unless_known=True)
        for row in readable("units", *_OF_UNITS):
            if row["state"] in ("done", "staged", "failed"):
                database.put("units", row, unless_known=True)
        for row in readable("items", "output", "source"):
            if _leads_to_unit(database, row):
                database.put("items", row, unless_known=True)
        for row in readable("faces", *_OF_FACES):
            if row["unit"] not in known:
                database.put("faces", row, unless_known=True)


_OF_UNITS = (
    "id", "item", "kind", "state", "base_key", "face_key", "source_sha256", "attempts",
    "face_count",
)  # fmt: skip
_OF_FACES = (
    "unit", "frame", "face", "box", "landmarks", "score", "restored", "blend", "note",
)  # fmt: skip


def _leads_to_unit(database: Database, item: dict[str, Any]) -> bool:
    query = "SELECT 1 FROM units WHERE id = ? AND item = ?"
    values = (item.get("unit"), packed(item["output"]))
    return database.execute(query, values).fetchone() is not None


class _Results:
    """Compares what is on record with the files, and sets the record right."""

    def __init__(
        self, output_dir: Path, database: Database, progress: Callable[[str], None]
    ) -> None:
        self._output_dir, self._db, self._progress = output_dir, database, progress
        self.taken = 0
        self.again: list[str] = []
        self.proven: set[str] = set()
        """Files of this job: results with their checksum, and copies that stand in."""

    def prove(self) -> None:
        """Go through all outputs on record."""
        for row in self._db.execute("SELECT DISTINCT item FROM units").fetchall():
            self._prove_output(row["item"])
        stand_ins = "SELECT stand_in, stand_in_sha256 FROM items WHERE stand_in IS NOT NULL"
        for row in self._db.execute(stand_ins).fetchall():
            if self._content(row["stand_in"]) == row["stand_in_sha256"]:
                self.proven.add(row["stand_in"])

    def _prove_output(self, output: str) -> None:
        units = self._db.execute(
            "SELECT units.*, items.unit IS NOT NULL AS newest FROM units"
            " LEFT JOIN items ON items.output = units.item AND items.unit = units.id"
            " WHERE item = ?"
            " ORDER BY newest DESC, units.rowid DESC",
            (packed(output),),
        ).fetchall()
        content = self._content(output) if any(row["sha256"] for row in units) else None
        match = next((row for row in units if content and row["sha256"] == content), None)
        # A file in a result's place is this job's, whatever it holds now, where the record of the
        # item is whole; what somebody put there instead cannot be told apart without it.
        is_ours = content is not None and bool(units[0]["newest"])
        for row in units:
            if row is not match:
                self._unsettle(row, is_ours=is_ours)
        if match is not None:
            self._settle(match, units[0])
        elif units[0]["newest"] and units[0]["state"] != "failed":
            self.again.append(output)

    def _settle(self, match: Row, newest: Row) -> None:
        output = match["item"]
        self._db.execute(
            "UPDATE units SET state = 'done', mtime_ns = ?, staged_path = NULL, error = NULL,"
            " error_kind = NULL WHERE id = ?",
            ((self._output_dir / output).stat().st_mtime_ns, match["id"]),
        )
        # A failure with other options stays what is to be said of the item.
        if newest["newest"] and newest["state"] != "failed":
            self._db.execute(
                "UPDATE items SET unit = ? WHERE output = ?", (match["id"], packed(output))
            )
        self.proven.add(output)
        self.proven |= {sidecar_of(output, one.suffix) for one in sidecars_in(match)}
        if newest["newest"]:
            self.taken += 1

    def _unsettle(self, row: Row, *, is_ours: bool) -> None:
        """A unit whose result does not lie there: to be done again, if it is still wanted."""
        if row["state"] == "failed" or (row["state"] == "staged" and self._is_staged(row)):
            return
        # The time is noted when a result is in place: a checksum alone was only on its way.
        published = row["mtime_ns"] if is_ours else None
        self._db.execute(
            "UPDATE units SET state = 'pending', staged_path = NULL, mtime_ns = ? WHERE id = ?",
            (published, row["id"]),
        )

    def _is_staged(self, row: Row) -> bool:
        path = row["staged_path"]
        return bool(path) and (self._output_dir / FOLDER / "tmp" / path).is_file()

    def _content(self, output: str) -> str | None:
        path = self._output_dir / output
        if not path.is_file():
            return None
        self._progress(output)
        return sha256_of(path)


def _others(output_dir: Path, proven: Sequence[str] | set[str]) -> Iterator[str]:
    """Files that are no results of this job, of no other whose folder lies in this one, of no
    report or record, and not the job itself."""
    records = (CRATE, PREMIS_OBJECTS, PREMIS_EVENTS)
    for root, folders, files in os.walk(output_dir):
        folders[:] = sorted(
            name for name in folders
            if name != FOLDER and not (Path(root) / name / FOLDER).is_dir()
            and not (Path(root) / name / REPORT_MARK).is_file()
        )  # fmt: skip
        for name in sorted(files):
            relative = (Path(root) / name).relative_to(output_dir).as_posix()
            if relative not in (*proven, *records) and not is_kept_job(Path(root) / name):
                yield relative

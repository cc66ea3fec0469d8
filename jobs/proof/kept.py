"""A ledger that is written: by one process, each change with its line in the journal.

A change is one transaction. Its line goes into the journal before it is committed, so a process
that is killed leaves the journal one line ahead, which the next one takes over. What must survive
a power cut is forced to the disk in both; everything else follows from that.

A journal that has grown to several times what its ledger takes is written anew when it is opened,
with what stands in the ledger and nothing that it has overcome.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeAlias

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.database import (
    Database,
    Row,
    close_tidily,
    connect,
    connect_reading,
    transaction,
)
from restore_batch.jobs.ledger import Ledger
from restore_batch.jobs.outputs import FOLDER
from restore_batch.jobs.proof import journal as journal_file
from restore_batch.jobs.proof.columns import encoded
from restore_batch.jobs.proof.faults import ManifestError, damaged
from restore_batch.jobs.proof.hold import Hold
from restore_batch.jobs.proof.journal import Journal, Position, Tables
from restore_batch.jobs.proof.schema import DERIVED, KEYS, columns_of
from restore_batch.jobs.results.base import ResultPlace
from restore_batch.jobs.results.local import LocalResults

NAME = "manifest.sqlite"

_MOST_TIMES, _LEAST_BYTES = 4, 16 << 20
"""A journal is written anew when it is so many times as long as its ledger, and no shorter than
that. A run without repetitions leaves one twice as long."""
_ROWS_A_LINE = 500
"""More in a line would be lost with it; but what must be durable together is one line."""

Touched: TypeAlias = "defaultdict[str, list[Any]]"
"""Keys of the rows that a change touches, by table."""


class KeptLedger(Ledger):
    """The ledger of an output folder; the only one that is written while its hold lasts."""

    def __init__(
        self, output_dir: Path, database: Database, hold: Hold | None, journal: Journal | None,
        results: ResultPlace | None = None,
    ) -> None:  # fmt: skip
        super().__init__(database)
        self.output_dir = output_dir
        self.results = results or LocalResults(output_dir)
        self._hold, self._journal = hold, journal
        self._fault: ManifestError | None = None

    @classmethod
    def open(cls, output_dir: Path, results: ResultPlace | None = None) -> Self:
        """Open for writing, creating what is missing. ``results``: where they lie, by default in
        the folder of the ledger.

        Raises OutputLockedError while another run holds the folder, DamagedManifestError for a
        manifest that must be repaired, RestoreBatchError when the folder cannot be written to or
        its manifest is newer than this program.
        """
        folder = output_dir / FOLDER
        try:
            (folder / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RestoreBatchError(
                f"{output_dir}: cannot write there ({error.strerror})"
            ) from None
        with contextlib.ExitStack() as opened:
            hold = Hold(folder)
            opened.callback(hold.release)
            _refuse_lost(folder)
            if results is not None:
                opened.callback(results.end, None)
                results.begin(folder / NAME)
            database = connect(folder / NAME)
            opened.callback(database.close)
            journal = Journal(folder / journal_file.NAME)
            opened.callback(journal.close)
            ledger = cls(output_dir, database, hold, journal, results)
            ledger._catch_up(journal)
            ledger._shorten(journal)
            for name in (NAME, f"{NAME}-wal"):
                hold.watch(folder / name)
            opened.pop_all()
            return ledger

    @classmethod
    def read(cls, output_dir: Path) -> Self | None:
        """Open for reading beside a running job; None when there is no manifest yet."""
        database = connect_reading(output_dir / FOLDER / NAME)
        if database is None:
            _refuse_lost(output_dir / FOLDER)
            return None
        return cls(output_dir, database, None, None)

    def close(self) -> None:
        """Release the database and the folder."""
        if self._hold is not None:
            self.results.end(self._db.manifest if self._fault is None else None)
        if self._hold is not None and self._fault is None:
            close_tidily(self._db)
        else:
            self._db.close()
        if self._journal is not None:
            self._journal.close()
        if self._hold is not None:
            self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_place(self) -> None:
        """Raise ManifestError where the manifest is no longer the file that was opened, or a
        change to it has failed."""
        if self._fault is not None:
            raise self._fault
        if self._hold is not None:
            self._hold.check()

    @contextlib.contextmanager
    def _change(self, *, durable: bool = False) -> Iterator[Touched]:
        """One change: the rows whose keys the block notes go to the journal as it leaves them."""
        self.check_place()
        touched: Touched = defaultdict(list)
        try:
            with transaction(self._db, durable=durable):
                yield touched
                if touched and self._journal is not None:
                    position = self._position()
                    for part in [touched] if durable else _parts(touched):
                        tables = tables_of(self._db, part)
                        number = position.number + 1
                        position = self._journal.append(number, tables, kept=durable)
                    self._move_to(position)
        except ManifestError as error:
            self._fault = error
            raise

    def _catch_up(self, journal: Journal) -> None:
        """Bring ledger and journal together, whichever is behind."""
        position = self._position()
        if journal.holds(position):
            ahead = list(journal.lines(position.end))
            # A line is kept before its change is: of these, a kill or a power cut leaves one.
            if sum(line.kept for line in ahead) > 1:
                raise self._older(sum(line.kept for line in ahead))
            for line in ahead:
                with transaction(self._db):
                    apply(self._db, line.tables)
                    self._move_to(line.position)
            return
        if unknown := self._unknown(journal):
            raise self._older(unknown)
        with transaction(self._db):
            self._move_to(journal.replace(changes_to(self._db)))

    def _older(self, missing: int) -> ManifestError:
        return damaged(self._db.manifest, f"{missing} changes that its journal has are lost")

    def _unknown(self, journal: Journal) -> int:
        """Units with a result that the journal knows and the ledger does not."""
        known: dict[str, str] = {}
        for line in journal.lines():
            for rows in line.tables.get("units", {}).values():
                known.update((row["id"], row["sha256"]) for row in rows if "sha256" in row)
        recorded = self._db.among("SELECT id, sha256 FROM units WHERE id IN (?)", list(known))
        return len(known) - sum(known[row["id"]] == row["sha256"] for row in recorded)

    def _shorten(self, journal: Journal) -> None:
        if journal.size_bytes < _LEAST_BYTES:
            return
        pages, unused, page_bytes = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        if journal.size_bytes > _MOST_TIMES * (pages - unused) * page_bytes:
            # A kill in between leaves a journal that is not the ledger's, which is written anew.
            position = journal.replace(changes_to(self._db))
            with transaction(self._db):
                self._move_to(position)

    def _position(self) -> Position:
        row = self._db.execute("SELECT number, first_byte, end_byte FROM position").fetchone()
        if row is None:
            raise damaged(self._db.manifest, "it does not say how far its journal is")
        return Position(*map(int, row))

    def _move_to(self, position: Position) -> None:
        move_to(self._db, position)


def move_to(database: Database, position: Position) -> None:
    """Note how far the journal is that goes with this ledger."""
    database.execute(
        "UPDATE position SET number = ?, first_byte = ?, end_byte = ?",
        (position.number, position.start, position.end),
    )


def tables_of(database: Database, touched: Touched) -> Tables:
    """The rows with these keys, as a line of the journal holds them."""
    return {table: _rows_of(database, table, keys) for table, keys in touched.items()}


def _rows_of(
    database: Database, table: str, keys: Iterable[Any]
) -> dict[str, list[dict[str, Any]]]:
    key = KEYS[table]
    columns = [name for name in columns_of(table) if (table, name) not in DERIVED]
    wanted = dict.fromkeys(keys)
    rows: dict[str, list[dict[str, Any]]] = {str(each): [] for each in wanted}
    place = columns.index(key)
    for row in database.plain_among(
        f"SELECT {', '.join(columns)} FROM {table} WHERE {key} IN (?)",
        [encoded(key, each) for each in wanted],
    ):
        kept = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        rows[str(row[place])].append(kept)
    return rows


def _parts(touched: Touched) -> Iterator[Touched]:
    """The same in lines of a bounded length."""
    if sum(map(len, touched.values())) <= _ROWS_A_LINE:
        yield touched
        return
    for table, keys in touched.items():
        for first in range(0, len(keys), _ROWS_A_LINE):
            yield defaultdict(list, {table: keys[first : first + _ROWS_A_LINE]})


def apply(database: Database, tables: Tables) -> None:
    """Make the change of a line of the journal."""
    for table, rows_by_key in tables.items():
        for key, rows in rows_by_key.items():
            database.execute(
                f"DELETE FROM {table} WHERE {KEYS[table]} = ?", (encoded(KEYS[table], key),)
            )
            for row in rows:
                database.put(table, row)


def changes_to(database: Database) -> Iterator[Tables]:
    """The changes that lead from nothing to this ledger."""
    for table in ("runs", "sources"):
        for rows in _by_rowid(database, table, KEYS[table]):
            keys = [row[KEYS[table]] for row in rows]
            for key, found in _rows_of(database, table, keys).items():
                yield {table: {key: found}}
    for rows in _by_rowid(database, "units", "id, item"):
        ids = [row["id"] for row in rows]
        units, faces = _rows_of(database, "units", ids), _rows_of(database, "faces", ids)
        items = _rows_of(database, "items", [row["item"] for row in rows])
        for unit, item, _ in rows:
            one, its = {unit: units[unit]}, {unit: faces[unit]}
            yield {"units": one, "items": {item: items[item]}, "faces": its}


def _by_rowid(database: Database, table: str, columns: str) -> Iterator[list[Row]]:
    """Some columns of all rows, some hundred rows at a time, in the order they were made in."""
    last = -1
    while rows := database.execute(
        f"SELECT {columns}, rowid AS place FROM {table} WHERE rowid > ? ORDER BY rowid"
        f" LIMIT {_ROWS_A_LINE}",
        (last,),
    ).fetchall():
        last = rows[-1]["place"]
        yield rows


def _refuse_lost(folder: Path) -> None:
    manifest, journal = folder / NAME, folder / journal_file.NAME
    if not manifest.exists() and journal.exists() and journal.stat().st_size:
        raise damaged(manifest, "it is gone, its journal is there")

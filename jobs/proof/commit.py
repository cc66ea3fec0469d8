"""Results put in their places, so that whatever dies on the way can be finished or forgotten.

Three steps, each durable before the next: row ``staged`` with the checksum, rename and fsync of
the folder, row ``done``. Results that wait together take each step together: one transaction, one
line of the journal and one fsync of each for all of them, and one of every folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from restore_batch.errors import RestoreBatchError
from restore_batch.files import empty, holds, settle
from restore_batch.jobs.database import Database, Row
from restore_batch.jobs.outputs import FOLDER, PARTS, sidecar_of
from restore_batch.jobs.proof.altered import Altered
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.proof.faults import ManifestError, fault_of_file
from restore_batch.jobs.proof.hold import Hold
from restore_batch.jobs.proof.journal import Journal
from restore_batch.jobs.proof.kept import KeptLedger
from restore_batch.jobs.proof.noted import note
from restore_batch.jobs.proof.sidecars import KnownSidecar, Sidecars, recorded, sidecars_in
from restore_batch.jobs.records import SidecarFile, SourceNote, StagedResult
from restore_batch.jobs.results.base import Look, Move, ResultPlace, Uncommitted, in_the_way
from restore_batch.jobs.units import Unit
from restore_batch.text import legible

MOST_AT_ONCE = 128
"""Results in a group: what waits for a step waits for all of them."""


@dataclass
class _Way:
    """A result on its way to its place. ``staged``: relative to the staging folder where it lies
    there. ``replaces``: whether it replaces what is this job's. ``former``: sidecars on record for
    its output. ``error``: why it does not arrive.
    """

    unit: Unit
    result: StagedResult
    staged: str = ""
    replaces: bool = False
    former: tuple[SidecarFile, ...] = ()
    stamp: int = 0
    error: Uncommitted | None = None

    @property
    def output(self) -> str:
        return self.unit.output


class Commits(KeptLedger):
    """A ledger that puts results in their places, and copies of originals for those that failed."""

    def __init__(
        self, output_dir: Path, database: Database, hold: Hold | None, journal: Journal | None,
        results: ResultPlace | None = None,
    ) -> None:  # fmt: skip
        super().__init__(output_dir, database, hold, journal, results)
        self.staging_dir = output_dir / FOLDER / "tmp"
        self._run = 0
        self._sidecars = Sidecars(self.results, database)
        self.altered = Altered(self.results, database)

    def commit(self, unit: Unit, result: StagedResult) -> None:
        """Publish a staged file. Raises OSError or RestoreBatchError where it stays staged."""
        (error,) = self.commit_all([(unit, result)])
        if error is not None:
            raise error

    def commit_all(
        self, results: Sequence[tuple[Unit, StagedResult]], notes: Sequence[SourceNote] = ()
    ) -> tuple[Uncommitted | None, ...]:
        """Publish staged files together; for each why it could not be, or None. ``notes``: what
        their workers have found out about sources, which is put on record on the way.

        Raises ManifestError where nothing more can be recorded.
        """
        ways = [_Way(unit, result) for unit, result in results]
        noted = (notes[i : i + MOST_AT_ONCE] for i in range(0, len(notes), MOST_AT_ONCE))
        for group, some in zip_longest(_groups(ways), noted, fillvalue=()):
            self._commit_group(group, some)
        self.results.check()
        return tuple(way.error for way in ways)

    def is_ours(self, output: str) -> bool:
        """Whether the file at ``output`` was put there by this job (else it must be kept).

        A copy of an original that stands in for a result counts while it is unchanged: nobody
        could make this picture but a person who worked on that copy.
        """
        path = packed(output)
        copy = self._db.execute(
            "SELECT stand_in_sha256 FROM items WHERE stand_in = ?", (path,)
        ).fetchone()
        if copy is not None:
            return self.results.holds(output, copy["stand_in_sha256"])
        # The time is noted when a result is in place; a checksum alone was only on its way.
        published = self._db.execute(
            "SELECT 1 FROM units WHERE item = ? AND mtime_ns IS NOT NULL", (path,)
        ).fetchone()
        return published is not None or self.results.says_ours(output)

    def fail(
        self, unit: Unit, stage: str, kind: str, message: str, stand_in: str = "",
        source_sha256: str = "",
    ) -> None:  # fmt: skip
        """Record why a unit could not be done, and what stands in its place.

        ``stand_in``: path of a copy of the original relative to the output folder; '' leaves
        one that was made earlier on record. ``source_sha256``: of the original, where it was not
        known when the unit was started.
        """
        if stand_in:
            self._drop_stand_in(unit.output, keep=stand_in)
        # A failure is found again; but of a copy nobody could say later whose it is.
        with self._change(durable=bool(stand_in)) as touched:
            self._db.execute(
                "UPDATE units SET state = 'failed', stage = ?, error_kind = ?, error = ?,"
                " base_key = ?, source_sha256 = COALESCE(NULLIF(?, ''), source_sha256)"
                " WHERE id = ?",
                (stage, kind, legible(message), unit.base_key, source_sha256, unit.id),
            )
            if stand_in:
                self._db.execute(
                    "UPDATE items SET stand_in = ?, stand_in_sha256 = ? WHERE output = ?",
                    (packed(stand_in), self.results.content(stand_in), packed(unit.output)),
                )
            self._note_attempts([(unit.id, unit.attempt)], kind, message)
            touched["units"].append(unit.id)
            touched["items"].append(unit.output)

    def put_copy(self, original: BinaryIO, staged: Path, relative: str) -> None:
        """Put a copy of an original at ``relative``, by way of ``staged``, unless another file lies
        there. Raises OSError, RestoreBatchError."""
        try:
            with staged.open("wb") as target:
                shutil.copyfileobj(original, target, 1 << 20)
            _, sha256 = settle(staged)
            is_taken = self.results.is_taken(relative)
            if is_taken and not self.results.holds(relative, sha256):
                raise in_the_way(self.results.where(relative))
            (look,) = self.results.put([Move(staged, relative, sha256, replaces=is_taken)])
            if not isinstance(look, Look):
                raise look
        finally:
            staged.unlink(missing_ok=True)

    def recover(self) -> int:
        """Finish or forget what an earlier run left half-way; returns how many were finished."""
        finished = 0
        for row in self._db.execute("SELECT * FROM units WHERE state = 'staged'").fetchall():
            if self._finish(row):
                finished += 1
            else:
                self._set_pending([row["id"]])
        replaced = self._db.execute(
            "SELECT output FROM items WHERE stand_in IS NOT NULL AND unit_state = 'done'"
        ).fetchall()
        for row in replaced:
            self._drop_stand_in(row["output"])
        self.clear_staging()
        return finished

    def clear_staging(self) -> None:
        """Remove what workers that are gone have left, unless something there is on its way."""
        if self._db.execute("SELECT 1 FROM units WHERE state = 'staged'").fetchone():
            return
        try:
            empty(self.staging_dir)
        except OSError as error:
            raise fault_of_file(error, self.staging_dir) from None

    # -- the steps ----------------------------------------------------------------------------
    def _commit_group(self, group: Sequence[_Way], notes: Sequence[SourceNote]) -> None:
        sidecars = self._sidecars.on_record([way.output for way in group])
        for way in group:
            with _noting(way):
                self._check(way, sidecars.get(way.output, ()))
        self._record_staged(_going(group), notes)
        self.check_place()
        # A result that lies there has its sidecars.
        self._put(
            (way, move)
            for way in _going(group)
            if way.result.sidecars
            for move in self._sidecars.moves(way.output, self._staged(way), way.result.sidecars)
        )
        self._put(
            (way, Move(self._staged(way), way.output, way.result.sha256, way.replaces))
            for way in _going(group)
        )
        there = _going(group)
        self._record_done([(way.unit.id, way.unit.attempt, way.output, way.stamp) for way in there])
        for way in there:
            self._sidecars.drop(way.output, way.former, way.result.sidecars)

    def _put(self, ways: Iterable[tuple[_Way, Move]]) -> None:
        ways = list(ways)
        looks = self.results.put([move for _, move in ways])
        for (way, _), look in zip(ways, looks, strict=True):
            if isinstance(look, Look):
                way.stamp = look.stamp
            else:
                way.error = look

    def _check(self, way: _Way, known: Sequence[KnownSidecar]) -> None:
        output, result = way.output, way.result
        way.replaces = self._replaces(output)
        self._sidecars.check(output, result.sidecars, known)
        way.former = tuple(sidecar for sidecar, _ in known)
        staged = result.staged_path
        if (found := os.stat(staged).st_size) != result.size_bytes:  # noqa: PTH116 - a million
            raise RestoreBatchError(
                f"{staged}: {found} bytes where its worker wrote {result.size_bytes}; check the"
                " disk and run again"
            )
        if way.replaces:
            self.altered.keep(output, way.former, result.sidecars)
        # The folder may move before recover().
        way.staged = staged.removeprefix(f"{self.staging_dir}/")

    def _staged(self, way: _Way) -> Path:
        return self.staging_dir / way.staged

    def _record_staged(self, ways: Sequence[_Way], notes: Sequence[SourceNote]) -> None:
        if not (ways or notes):
            return
        ids = [way.unit.id for way in ways]
        # A note alone is read again where it is lost.
        with self._change(durable=bool(ways)) as touched:
            note(self._db, touched, notes)
            if not ways:
                return
            self._db.executemany(
                "UPDATE units SET state = 'staged', staged_path = ?, size_bytes = ?, sha256 = ?,"
                " width = ?, height = ?, face_count = ?, seconds = ?, warnings = ?,"
                " sidecars = ?, repaired = ?, quality = ?, base_key = ?,"
                " source_sha256 = COALESCE(NULLIF(?, ''), source_sha256) WHERE id = ?",
                [_staged_values(way) for way in ways],
            )
            self._db.executemany("DELETE FROM faces WHERE unit = ?", [(unit,) for unit in ids])
            self._db.executemany(
                "INSERT INTO faces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (way.unit.id, face.frame, number, json.dumps(face.box_xyxy),
                     json.dumps(face.landmarks_xy), face.score, face.restored, face.identity,
                     face.blend, legible(face.note))
                    for way in ways
                    for number, face in enumerate(way.result.faces)
                ],
            )  # fmt: skip
            touched["units"] += ids
            touched["items"] += [way.output for way in ways]
            touched["faces"] += ids

    def _record_done(self, units: Sequence[tuple[str, int, str, int]]) -> None:
        """``units``: id, attempt, output and stamp of its file of each."""
        if not units:
            return
        outputs = [packed(output) for _, _, output, _ in units]
        with self._change() as touched:
            self._db.executemany(
                "UPDATE units SET state = 'done', staged_path = NULL, mtime_ns = ?, error = NULL,"
                " error_kind = NULL WHERE id = ?",
                [(stamp, unit) for unit, _, _, stamp in units],
            )
            others = self._db.among("SELECT output FROM items WHERE stand_in IN (?)", outputs)
            if replaced := [row["output"] for row in others]:
                touched["items"] += replaced
                self._db.executemany(
                    "UPDATE items SET stand_in = NULL, stand_in_sha256 = NULL WHERE stand_in = ?",
                    [(output,) for output in outputs],
                )
            self._note_attempts([(unit, attempt) for unit, attempt, _, _ in units], "done", "")
            touched["units"] += [unit for unit, _, _, _ in units]
        left = self._db.among(
            "SELECT output FROM items WHERE stand_in IS NOT NULL AND output IN (?)", outputs
        )
        for row in list(left):
            self._drop_stand_in(row["output"])

    # -- inner --------------------------------------------------------------------------------
    def _finish(self, row: Row) -> bool:
        """Take a commit that was cut short to its end; False when its file is not there."""
        output, staged = row["item"], self.staging_dir / row["staged_path"]
        # Already renamed, or never to be: what lies at the end of the way decides.
        with contextlib.suppress(OSError, RestoreBatchError):
            if holds(staged, row["sha256"]):
                replaces, sidecars = self._replaces(output), tuple(sidecars_in(row))
                known = self._sidecars.on_record([output]).get(output, [])
                self._sidecars.check(output, sidecars, known)
                if replaces:
                    self.altered.keep(output, [each for each, _ in known], sidecars)
                moves = list(self._sidecars.moves(output, staged, sidecars))
                if all(isinstance(look, Look) for look in self.results.put(moves)):
                    self.results.put([Move(staged, output, row["sha256"], replaces)])
        (look,) = self.results.looks([output])
        if look is None or not self.results.holds(output, row["sha256"]):
            return False
        self._record_done([(row["id"], row["attempts"], output, look.stamp)])
        return True

    def _replaces(self, output: str) -> bool:
        """Whether a result replaces what is this job's. Raises RestoreBatchError where something
        of somebody else lies in its place."""
        if output.startswith(f"{PARTS}/"):
            return True  # nobody else keeps anything there
        if not self.results.is_taken(output):
            return False
        if not self.is_ours(output):
            raise in_the_way(self.results.where(output))
        return True

    def _set_pending(self, units: Sequence[str]) -> None:
        if not units:
            return
        with self._change() as touched:
            self._db.executemany(
                "UPDATE units SET state = 'pending', error = NULL, error_kind = NULL WHERE id = ?",
                [(unit,) for unit in units],
            )
            touched["units"] += units

    def _drop_stand_in(self, output: str, keep: str = "") -> None:
        """Remove the copy of the original that stood in for ``output``, unless it was changed."""
        row = self._db.execute(
            "SELECT stand_in, stand_in_sha256 FROM items WHERE output = ?", (packed(output),)
        ).fetchone()
        if row is None or row["stand_in"] in (None, keep):
            return
        if self.results.holds(row["stand_in"], row["stand_in_sha256"]):
            self.results.remove(row["stand_in"])
        with self._change() as touched:
            self._db.execute(
                "UPDATE items SET stand_in = NULL, stand_in_sha256 = NULL WHERE output = ?",
                (packed(output),),
            )
            touched["items"].append(output)

    def _note_attempts(self, attempts: Iterable[tuple[str, int]], outcome: str, why: str) -> None:
        """``attempts``: id of the unit and number of each."""
        ended, text = time.time(), legible(why)
        self._db.executemany(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?)",
            [(unit, number, self._run, ended, outcome, text) for unit, number in attempts],
        )


def _groups(ways: Sequence[_Way]) -> Iterator[list[_Way]]:
    """Results that may go together: no more than are good for one step, and no two of them to one
    place, which the second must find taken."""
    group: list[_Way] = []
    taken: set[str] = set()
    for way in ways:
        output = way.unit.output
        places = {output, *(sidecar_of(output, one.suffix) for one in way.result.sidecars)}
        if len(group) == MOST_AT_ONCE or not taken.isdisjoint(places):
            yield group
            group, taken = [], set()
        group.append(way)
        taken |= places
    if group:
        yield group


def _going(group: Iterable[_Way]) -> list[_Way]:
    return [way for way in group if way.error is None]


@contextlib.contextmanager
def _noting(way: _Way) -> Iterator[None]:
    """What stops one result stops none of the others."""
    try:
        yield
    except ManifestError:
        raise
    except (OSError, RestoreBatchError) as error:
        way.error = error


def _staged_values(way: _Way) -> tuple[object, ...]:
    result = way.result
    return (
        packed(way.staged), result.size_bytes, result.sha256, result.width, result.height,
        len(result.faces) + result.faces_of_parts, json.dumps(dict(result.seconds)),
        json.dumps(result.warnings), recorded(result.sidecars), result.repaired,
        json.dumps(dict(result.quality)) if result.quality else None,
        way.unit.base_key, result.source_sha256, way.unit.id,
    )  # fmt: skip

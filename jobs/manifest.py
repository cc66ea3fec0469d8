"""The ledger of a job: what was asked, what is done, and proof of it.

One SQLite file in ``<output>/.restore-batch/``. How a result gets to its place and how a run that
died is taken up is in ``jobs/proof/commit.py``; how results stand, in ``jobs/proof/survey.py``. A
journal beside it, written in step, is what a damaged or lost ledger is rebuilt from.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from restore_batch.jobs.outputs import FOLDER, PARTS
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.proof.commit import Commits
from restore_batch.jobs.proof.noted import note
from restore_batch.jobs.proof.survey import State, Survey
from restore_batch.jobs.records import SourceNote
from restore_batch.jobs.units import Unit
from restore_batch.text import legible

__all__ = ["FOLDER", "Manifest", "State", "Survey"]

AnyUnit = TypeVar("AnyUnit", bound=Unit)


class Manifest(Commits):
    """The open manifest of one output folder; the only writer while its hold lasts.

    Whatever SQLite or the disk under it meets is raised as ManifestError, also by questions; so
    is a manifest that was removed or replaced since it was opened.
    """

    # -- runs ---------------------------------------------------------------------------------
    def begin_run(
        self,
        version: str,
        job_file: str,
        job: Mapping[str, Any],
        models: Sequence[Mapping[str, Any]],
        total: int | None = None,
    ) -> int:
        """Record a run with all its options and the checksums of its weights; ``total``: items
        of its job."""
        with self._change() as touched:
            cursor = self._db.execute(
                "INSERT INTO runs (started, version, job_file, job, models, total)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (time.time(), version, legible(job_file), json.dumps(job, default=str),
                 json.dumps(list(models)), total),
            )  # fmt: skip
            self._run = int(cursor.lastrowid or 0)
            touched["runs"].append(self._run)
        return self._run

    def end_run(self, outcome: str) -> None:
        """Record how the run ended."""
        with self._change() as touched:
            self._db.execute(
                "UPDATE runs SET ended = ?, outcome = ? WHERE id = ?",
                (time.time(), outcome, self._run),
            )
            touched["runs"].append(self._run)

    # -- sources ------------------------------------------------------------------------------
    def note_source(
        self,
        source: str,
        stamp: str,
        sha256: str | None,
        header: Mapping[str, Any] | None,
        probe: str,
    ) -> None:
        """:meth:`note_sources` of one."""
        self.note_sources([SourceNote(source, stamp, sha256, header, probe)])

    def note_sources(self, notes: Sequence[SourceNote]) -> None:
        """Remember checksums and headers, so that a second run need not read the files; how long
        they hold: see :meth:`noted_headers`."""
        if not notes:
            return
        with self._change() as touched:
            note(self._db, touched, notes)

    # -- units --------------------------------------------------------------------------------
    def survey(self, outputs: Sequence[str]) -> Survey:
        """How the items at these paths stand, to be asked unit by unit."""
        return Survey.of_items(self.results, self._db, self._sidecars, outputs)

    def state_of(self, unit: Unit, *, verify: bool = False) -> State:
        """What :meth:`Survey.state_of` says of one unit."""
        if unit.is_item:
            return self.survey([unit.output]).state_of(unit, verify=verify)
        parts = Survey.of_units(self.results, self._db, self._sidecars, [unit.id])
        return parts.state_of(unit, verify=verify)

    def adopt(self, units: Sequence[Unit]) -> None:
        """Record the results that are there under the keys of ``units``: a survey found them done
        under those that an earlier version gave them."""
        if not units:
            return
        rows = self._db.among(
            "SELECT output, unit FROM items WHERE output IN (?)",
            [packed(unit.output) for unit in units],
        )
        taken = {row["output"]: row["unit"] for row in rows}
        with self._change() as touched:
            self._db.executemany(
                "UPDATE units SET base_key = ?, face_key = ? WHERE id = ?",
                [(unit.base_key, unit.face_key, taken[unit.output]) for unit in units],
            )
            touched["units"] += taken.values()

    def expect(self, unit: Unit, source_sha256: str, *, instead_of: str = "") -> None:
        """Register what will be started once other units are done: the join of a film.

        ``instead_of``: the id that it was expected under before its source was read.
        """
        with self._change():
            if instead_of:
                self._db.execute(
                    "DELETE FROM units WHERE id = ? AND state = 'pending' AND attempts = 0",
                    (instead_of,),
                )
            self._register([(unit, source_sha256)], attempts=0)

    def start(self, unit: AnyUnit, source_sha256: str) -> AnyUnit:
        """:meth:`start_all` of one."""
        (begun,) = self.start_all([(unit, source_sha256)])
        return begun

    def start_all(self, units: Sequence[tuple[AnyUnit, str]]) -> list[AnyUnit]:
        """Register an attempt at each, with the checksum of its source, in one change; the units
        with their attempt numbers."""
        if not units:
            return []
        with self._change():
            self._register(units, attempts=1)
            rows = self._db.among(
                "SELECT id, attempts FROM units WHERE id IN (?)", [unit.id for unit, _ in units]
            )
            attempts = {row["id"]: row["attempts"] for row in rows}
        return [_as_attempt(unit, attempts[unit.id]) for unit, _ in units]

    def forget_failures(self) -> int:
        """Make failed units pending again (``retry``); returns how many."""
        rows = self._db.execute("SELECT unit FROM items WHERE unit_state = 'failed'")
        failed = [row["unit"] for row in rows]
        if failed:
            with self._change() as touched:
                self._db.execute(
                    "UPDATE units SET state = 'pending', error = NULL, error_kind = NULL"
                    " WHERE id IN (SELECT unit FROM items WHERE unit_state = 'failed')"
                )
                touched["units"] = failed
        return len(failed)

    def drop_parts(self, film: str) -> None:
        """Remove the parts of a film that is joined, by the id of its join."""
        shutil.rmtree(self.output_dir / PARTS / film, ignore_errors=True)

    def keep_parts_of(self, films: Collection[str]) -> None:
        """Remove the parts of all films but these, by the ids of their joins."""
        for folder in (self.output_dir / PARTS).glob("*"):
            if folder.name not in films:
                shutil.rmtree(folder, ignore_errors=True)

    # -- inner --------------------------------------------------------------------------------
    def _register(self, units: Sequence[tuple[Unit, str]], attempts: int) -> None:
        """``attempts``: by how many there are more of each."""
        self._db.executemany(
            "INSERT INTO units"
            " (id, item, kind, state, base_key, face_key, source_sha256, run, attempts)"
            " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " state = 'pending', error = NULL, error_kind = NULL, run = excluded.run,"
            " attempts = attempts + excluded.attempts",
            [
                (unit.id, packed(unit.output), unit.kind, unit.base_key, unit.face_key,
                 source_sha256, self._run, attempts)
                for unit, source_sha256 in units
            ],
        )  # fmt: skip
        self._db.executemany(
            "INSERT INTO items (output, source, unit, run) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (output) DO UPDATE SET source = excluded.source,"
            " unit = excluded.unit, run = excluded.run",
            [
                (packed(unit.output), packed(unit.source), unit.id, self._run)
                for unit, _ in units
                if unit.is_item
            ],
        )


def _as_attempt(unit: AnyUnit, number: int) -> AnyUnit:
    return unit if unit.attempt == number else replace(unit, attempt=number)

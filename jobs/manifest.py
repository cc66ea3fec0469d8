"""The ledger of a job: what was asked, what is done, and proof of it.

One SQLite file in ``<output>/.restore-batch/``. A result is committed in three steps, each
durable before the next: row ``staged`` with the checksum, atomic rename into place, row
``done``. Whatever dies in between, :meth:`Manifest.recover` finishes or forgets it. A journal
beside it, written in step, is what a damaged or lost ledger is rebuilt from.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from restore_batch.errors import RestoreBatchError
from restore_batch.files import publish, sha256_of
from restore_batch.jobs.database import Database, Row, packed
from restore_batch.jobs.outputs import FOLDER, PARTS
from restore_batch.jobs.proof.faults import fault_of_file
from restore_batch.jobs.proof.hold import Hold
from restore_batch.jobs.proof.journal import Journal
from restore_batch.jobs.proof.kept import KeptLedger
from restore_batch.jobs.proof.sidecars import Sidecars, recorded, sidecars_in
from restore_batch.jobs.records import StagedResult
from restore_batch.jobs.units import Unit
from restore_batch.text import legible

AnyUnit = TypeVar("AnyUnit", bound=Unit)
State = Literal["pending", "staged", "done", "failed"]


class Manifest(KeptLedger):
    """The open manifest of one output folder; the only writer while its hold lasts.

    Whatever SQLite or the disk under it meets is raised as ManifestError, also by questions; so
    is a manifest that was removed or replaced since it was opened.
    """

    def __init__(
        self, output_dir: Path, database: Database, hold: Hold | None, journal: Journal | None
    ) -> None:
        super().__init__(output_dir, database, hold, journal)
        self.staging_dir = output_dir / FOLDER / "tmp"
        self._run = 0
        self._sidecars = Sidecars(output_dir, database)

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

    def recover(self) -> int:
        """Finish or forget what an earlier run left half-way; returns how many were finished."""
        finished = 0
        for row in self._db.execute("SELECT * FROM units WHERE state = 'staged'").fetchall():
            if self._finish(row):
                finished += 1
            else:
                self._set_pending([row["id"]])
        replaced = self._db.execute(
            "SELECT output FROM items JOIN units ON units.id = items.unit"
            " WHERE stand_in IS NOT NULL AND state = 'done'"
        ).fetchall()
        for row in replaced:
            self._drop_stand_in(row["output"])
        try:
            for leftover in self.staging_dir.iterdir():
                if leftover.is_dir() and not leftover.is_symlink():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)
        except OSError as error:
            raise fault_of_file(error, self.staging_dir) from None
        return finished

    # -- sources ------------------------------------------------------------------------------
    def note_source(
        self,
        source: str,
        stamp: str,
        sha256: str | None,
        header: Mapping[str, Any] | None,
        probe: str,
    ) -> None:
        """Remember checksum and header, so that a second run need not read the file.

        ``stamp`` (size, time) and ``probe`` (what read the header, and with which options) say
        how long they hold: see :meth:`source_facts`.
        """
        noted = json.dumps({"probe": probe, "header": header}, default=str) if header else None
        with self._change() as touched:
            self._db.execute(
                "INSERT INTO sources VALUES (?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET"
                " stamp = excluded.stamp, sha256 = excluded.sha256, probe = excluded.probe",
                (packed(source), stamp, sha256, noted),
            )
            touched["sources"].append(source)

    # -- units --------------------------------------------------------------------------------
    def state_of(self, unit: Unit, *, verify: bool = False) -> State:
        """Whether the result asked for is there: ``done`` only when the file is too.

        A result also counts when only options of face restoration changed and it has no
        face. ``verify`` reads the file even when size and time look untouched.
        """
        row = self._db.execute(
            "SELECT units.* FROM units JOIN items ON items.unit = units.id WHERE items.output = ?"
            if unit.is_item
            else "SELECT * FROM units WHERE id = ?",
            (packed(unit.output) if unit.is_item else unit.id,),
        ).fetchone()
        if row is None or row["kind"] != unit.kind or row["base_key"] != unit.base_key:
            return "pending"
        same_faces = row["face_key"] == unit.face_key
        if row["state"] == "failed":
            return "failed" if same_faces else "pending"
        if row["state"] != "done" or not (same_faces or row["face_count"] == 0):
            return "pending"
        return "done" if self._intact(row, verify) else "pending"

    def adopt(self, former: Unit, unit: Unit, *, verify: bool = False) -> bool:
        """Whether the result asked for is there under the keys of ``former``; then it is recorded
        under those of ``unit``."""
        if self.state_of(former, verify=verify) != "done":
            return False
        with self._change() as touched:
            (taken,) = self._db.execute(
                "SELECT unit FROM items WHERE output = ?", (packed(unit.output),)
            ).fetchone()
            self._db.execute(
                "UPDATE units SET base_key = ?, face_key = ? WHERE id = ?",
                (unit.base_key, unit.face_key, taken),
            )
            touched["units"].append(taken)
        return True

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
            return self._holds(output, copy["stand_in_sha256"])
        # The time is noted when a result is in place; a checksum alone was only on its way.
        published = self._db.execute(
            "SELECT 1 FROM units WHERE item = ? AND mtime_ns IS NOT NULL", (path,)
        ).fetchone()
        return published is not None

    def expect(self, unit: Unit, source_sha256: str) -> None:
        """Register what will be started once other units are done: the join of a film."""
        with self._change():
            self._register(unit, source_sha256)

    def start(self, unit: AnyUnit, source_sha256: str) -> AnyUnit:
        """Register an attempt; returns the unit with its attempt number."""
        with self._change():
            self._register(unit, source_sha256)
            self._db.execute("UPDATE units SET attempts = attempts + 1 WHERE id = ?", (unit.id,))
            row = self._db.execute("SELECT attempts FROM units WHERE id = ?", (unit.id,)).fetchone()
        return replace(unit, attempt=int(row["attempts"]))

    def commit(self, unit: Unit, result: StagedResult) -> None:
        """Publish a staged file: durable checksum, atomic rename, then ``done``."""
        final = self.output_dir / unit.output
        if not self._may_take(unit.output):
            raise RestoreBatchError(
                f"{final}: a file that this job did not write is in the way; move it or choose"
                " another output"
            )
        former = self._sidecars.check(unit.output, result.sidecars)
        staged = Path(result.staged_path)
        if (found := staged.stat().st_size) != result.size_bytes:
            raise RestoreBatchError(
                f"{staged}: {found} bytes where its worker wrote {result.size_bytes}; check the"
                " disk and run again"
            )
        if staged.is_relative_to(self.staging_dir):
            staged = staged.relative_to(self.staging_dir)  # the folder may move before recover()
        with self._change(durable=True) as touched:
            self._db.execute(
                "UPDATE units SET state = 'staged', staged_path = ?, size_bytes = ?, sha256 = ?,"
                " width = ?, height = ?, face_count = ?, seconds = ?, warnings = ?,"
                " sidecars = ? WHERE id = ?",
                (packed(str(staged)), result.size_bytes, result.sha256, result.width,
                 result.height, len(result.faces) + result.faces_of_parts,
                 json.dumps(dict(result.seconds)), json.dumps(result.warnings),
                 recorded(result.sidecars), unit.id),
            )  # fmt: skip
            self._db.execute("DELETE FROM faces WHERE unit = ?", (unit.id,))
            self._db.executemany(
                "INSERT INTO faces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (unit.id, face.frame, number, json.dumps(face.box_xyxy),
                     json.dumps(face.landmarks_xy), face.score, face.restored, face.identity,
                     face.blend, legible(face.note))
                    for number, face in enumerate(result.faces)
                ],
            )  # fmt: skip
            touched["units"].append(unit.id)
            touched["items"].append(unit.output)
            touched["faces"].append(unit.id)
        self.check_place()
        self._sidecars.publish(unit.output, self.staging_dir / staged, result.sidecars)
        publish(self.staging_dir / staged, final)
        self._set_done(unit.id, unit.attempt, unit.output)
        self._sidecars.drop(unit.output, former, result.sidecars)

    def fail(self, unit: Unit, stage: str, kind: str, message: str, stand_in: str = "") -> None:
        """Record why a unit could not be done, and what stands in its place.

        ``stand_in``: path of a copy of the original relative to the output folder; '' leaves
        one that was made earlier on record.
        """
        if stand_in:
            self._drop_stand_in(unit.output, keep=stand_in)
        with self._change(durable=True) as touched:
            self._db.execute(
                "UPDATE units SET state = 'failed', stage = ?, error_kind = ?, error = ?"
                " WHERE id = ?",
                (stage, kind, legible(message), unit.id),
            )
            if stand_in:
                self._db.execute(
                    "UPDATE items SET stand_in = ?, stand_in_sha256 = ? WHERE output = ?",
                    (packed(stand_in), self._content(stand_in), packed(unit.output)),
                )
            self._note_attempt(unit.id, unit.attempt, kind, message)
            touched["units"].append(unit.id)
            touched["items"].append(unit.output)

    def forget_failures(self) -> int:
        """Make failed units pending again (``retry``); returns how many."""
        failed = self._db.execute(
            "SELECT id FROM units WHERE state = 'failed' AND id IN (SELECT unit FROM items)"
        ).fetchall()
        self._set_pending([row["id"] for row in failed])
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
    def _register(self, unit: Unit, source_sha256: str) -> None:
        output = packed(unit.output)
        self._db.execute(
            "INSERT INTO units (id, item, kind, state, base_key, face_key, source_sha256, run)"
            " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " state = 'pending', error = NULL, error_kind = NULL, run = excluded.run",
            (unit.id, output, unit.kind, unit.base_key, unit.face_key, source_sha256, self._run),
        )
        if unit.is_item:
            self._db.execute(
                "INSERT INTO items (output, source, unit, run) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (output) DO UPDATE SET source = excluded.source,"
                " unit = excluded.unit, run = excluded.run",
                (output, packed(unit.source), unit.id, self._run),
            )

    def _intact(self, row: Row, verify: bool) -> bool:
        output = row["item"]
        try:
            stat = (self.output_dir / output).stat()
        except OSError:
            return False
        if stat.st_size != row["size_bytes"]:
            return False
        if not self._sidecars.intact(row, verify=verify):
            return False
        if stat.st_mtime_ns == row["mtime_ns"] and not verify:
            return True
        return self._holds(output, row["sha256"])

    def _finish(self, row: Row) -> bool:
        """Take a commit that was cut short to its end; False when its file is not there."""
        output = row["item"]
        staged = self.staging_dir / row["staged_path"]
        try:
            if sha256_of(staged) == row["sha256"] and self._may_take(output):
                self._sidecars.check(output, sidecars_in(row))
                self._sidecars.publish(output, staged, sidecars_in(row))
                publish(staged, self.output_dir / output)
        except (OSError, RestoreBatchError):
            pass  # already renamed, or never to be: what lies at the end of the way decides
        if not self._holds(output, row["sha256"]):
            return False
        self._set_done(row["id"], row["attempts"], output)
        return True

    def _may_take(self, output: str) -> bool:
        if output.startswith(f"{PARTS}/"):
            return True  # nobody else keeps anything there
        return not os.path.lexists(self.output_dir / output) or self.is_ours(output)

    def _content(self, output: str) -> str | None:
        """Checksum of a file in the output folder; None where there is none to read."""
        try:
            return sha256_of(self.output_dir / output)
        except OSError:
            return None

    def _holds(self, output: str, sha256: str | None) -> bool:
        return sha256 is not None and self._content(output) == sha256

    def _set_pending(self, units: Sequence[str]) -> None:
        if not units:
            return
        with self._change() as touched:
            self._db.executemany(
                "UPDATE units SET state = 'pending', error = NULL, error_kind = NULL WHERE id = ?",
                [(unit,) for unit in units],
            )
            touched["units"] += units

    def _set_done(self, unit_id: str, attempt: int, output: str) -> None:
        with self._change() as touched:
            self._db.execute(
                "UPDATE units SET state = 'done', staged_path = NULL, mtime_ns = ?, error = NULL,"
                " error_kind = NULL WHERE id = ?",
                ((self.output_dir / output).stat().st_mtime_ns, unit_id),
            )
            others = self._db.execute(
                "SELECT output FROM items WHERE stand_in = ?", (packed(output),)
            ).fetchall()
            self._db.execute(
                "UPDATE items SET stand_in = NULL, stand_in_sha256 = NULL WHERE stand_in = ?",
                (packed(output),),
            )
            self._note_attempt(unit_id, attempt, "done", "")
            touched["units"].append(unit_id)
            touched["items"] += [row["output"] for row in others]
        self._drop_stand_in(output)

    def _drop_stand_in(self, output: str, keep: str = "") -> None:
        """Remove the copy of the original that stood in for ``output``, unless it was changed."""
        row = self._db.execute(
            "SELECT stand_in, stand_in_sha256 FROM items WHERE output = ?", (packed(output),)
        ).fetchone()
        if row is None or row["stand_in"] in (None, keep):
            return
        copy = row["stand_in"]
        if self._holds(copy, row["stand_in_sha256"]):
            with contextlib.suppress(OSError):  # a copy too many is no reason to fail
                (self.output_dir / copy).unlink()
        with self._change() as touched:
            self._db.execute(
                "UPDATE items SET stand_in = NULL, stand_in_sha256 = NULL WHERE output = ?",
                (packed(output),),
            )
            touched["items"].append(output)

    def _note_attempt(self, unit_id: str, attempt: int, outcome: str, message: str) -> None:
        self._db.execute(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?)",
            (unit_id, attempt, self._run, time.time(), outcome, legible(message)),
        )

"""Where the results of a job are, and what their manifest says of them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from restore_batch.jobs.database import connect_reading, packed
from restore_batch.jobs.manifest import FOLDER
from restore_batch.jobs.records import FaceRow
from restore_batch.jobs.spec import Job

SHEETS = "compare"
"""Folder of a comparison's contact sheets."""


def folders(job: Job) -> dict[str, Path]:
    """The folders with a manifest: of each restorer compared, then of the contact sheets; that
    of a plain job under ""."""
    output = Path(job.output)
    if not job.restore.compare:
        return {"": output}
    names = [system.folder for system in job.restore.compare]
    return {name: output / name for name in [*names, SHEETS]}


@dataclass(frozen=True)
class Finished:
    """One committed result. ``sha256``: of its file; ``source_sha256``: of the original."""

    sha256: str
    source_sha256: str
    faces: tuple[FaceRow, ...]


class Results:
    """The finished results of one output folder, read beside whoever writes there."""

    def __init__(self, output_dir: Path) -> None:
        self.output_dir = output_dir
        self._db = connect_reading(output_dir / FOLDER / "manifest.sqlite")

    def close(self) -> None:
        """Release the database."""
        if self._db is not None:
            self._db.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, output: str) -> Finished | None:
        """The result at ``output`` (relative, with ``/``); None unless it is done."""
        if self._db is None:
            return None
        unit = self._db.execute(
            "SELECT units.id, sha256, source_sha256 FROM units JOIN items ON items.unit = units.id"
            " WHERE items.output = ? AND units.state = 'done'",
            (packed(output),),
        ).fetchone()
        if unit is None:
            return None
        rows = self._db.execute("SELECT * FROM faces WHERE unit = ? ORDER BY face", (unit["id"],))
        faces = tuple(_face(row) for row in rows)
        return Finished(unit["sha256"], unit["source_sha256"], faces)


def _face(row: sqlite3.Row) -> FaceRow:
    left, top, right, bottom = json.loads(row["box"])
    return FaceRow(
        frame=row["frame"],
        box_xyxy=(left, top, right, bottom),
        landmarks_xy=tuple((x, y) for x, y in json.loads(row["landmarks"])),
        score=row["score"],
        restored=bool(row["restored"]),
        identity=row["identity"],
        blend=row["blend"],
        note=row["note"],
    )

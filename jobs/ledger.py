"""Questions to the manifest's tables; asking changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from restore_batch.jobs.database import packed, unpacked
from restore_batch.jobs.records import ItemStatus, Recorded
from restore_batch.jobs.units import Unit


class Ledger:
    """What is on record of sources, units and items."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def source_facts(self, source: str, stamp: str) -> tuple[str | None, dict[str, Any] | None]:
        """Checksum and probe noted for ``source`` while its stamp (size, time) is the same."""
        row = self._db.execute(
            "SELECT sha256, probe FROM sources WHERE source = ? AND stamp = ?",
            (packed(source), stamp),
        ).fetchone()
        if row is None:
            return None, None
        return row["sha256"], json.loads(row["probe"]) if row["probe"] else None

    def error_of(self, output: str) -> str:
        """The recorded reason why the item at ``output`` failed, or ''."""
        row = self._db.execute(
            "SELECT error FROM units JOIN items ON items.unit = units.id WHERE items.output = ?",
            (packed(output),),
        ).fetchone()
        return (row["error"] or "") if row else ""

    def face_count(self, output: str) -> int:
        """Faces recorded for the item at ``output``."""
        row = self._db.execute(
            "SELECT face_count FROM units JOIN items ON items.unit = units.id"
            " WHERE items.output = ?",
            (packed(output),),
        ).fetchone()
        return int(row["face_count"]) if row else 0

    def recorded(self, unit: Unit) -> Recorded:
        """Faces and warnings kept of a unit that is done; none where it is not known."""
        row = self._db.execute(
            "SELECT face_count, warnings FROM units WHERE id = ?", (unit.id,)
        ).fetchone()
        if row is None:
            return Recorded(0, ())
        return Recorded(int(row["face_count"]), tuple(json.loads(row["warnings"] or "[]")))

    def items(self) -> Iterator[ItemStatus]:
        """Every item of the last state known, in order of output path."""
        rows = self._db.execute(
            "SELECT items.*, units.state, units.attempts, units.error, units.warnings,"
            " units.face_count AS faces"
            " FROM items LEFT JOIN units ON units.id = items.unit ORDER BY items.output"
        )
        for row in rows:
            yield ItemStatus(
                unpacked(row["output"]), unpacked(row["source"]), row["state"] or "pending",
                row["faces"] or 0, row["attempts"] or 0, row["error"] or "",
                tuple(json.loads(row["warnings"] or "[]")), unpacked(row["stand_in"] or ""),
            )  # fmt: skip

    def last_run(self) -> dict[str, Any] | None:
        """The newest run as a plain mapping (started, ended, outcome, version, models)."""
        row = self._db.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        return {**dict(row), "job": json.loads(row["job"]), "models": json.loads(row["models"])}

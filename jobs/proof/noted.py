"""What is noted of sources: one row each, in whatever change it is part of."""

from __future__ import annotations

import json
from collections.abc import Sequence

from restore_batch.jobs.database import Database
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.proof.kept import Touched
from restore_batch.jobs.records import SourceNote


def note(database: Database, touched: Touched, notes: Sequence[SourceNote]) -> None:
    """Put ``notes`` in the place of what was noted of the same sources, within a change."""
    database.executemany(
        "INSERT INTO sources VALUES (?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET"
        " stamp = excluded.stamp, sha256 = excluded.sha256, probe = excluded.probe",
        [(packed(each.source), each.stamp, each.sha256, _header(each)) for each in notes],
    )
    touched["sources"] += [each.source for each in notes]


def _header(each: SourceNote) -> str | None:
    if not each.header:
        return None
    return json.dumps({"probe": each.probe, "header": each.header}, default=str)

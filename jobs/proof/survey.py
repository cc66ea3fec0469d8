"""How results stand: what is on record of them compared with the files that lie there.

Of many items at once it takes one question to the ledger for some hundred of them, and their files
are looked at side by side: where a look takes its time, as on a network, that is what counts. What
must be read to be sure is read when its state is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self, TypeVar

from restore_batch.jobs.database import Database, Row
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.proof.sidecars import Sidecars
from restore_batch.jobs.records import MadeWith
from restore_batch.jobs.results.base import ResultPlace
from restore_batch.jobs.units import Photo, Unit

State = Literal["pending", "staged", "done", "failed"]
AnyUnit = TypeVar("AnyUnit", bound=Unit)

_COLUMNS = (
    "units.id, units.item, units.kind, units.base_key, units.face_key, units.state,"
    " units.face_count, units.size_bytes, units.mtime_ns, units.sha256, units.sidecars,"
    " units.error, units.source_sha256"
)


class Survey:
    """The records of some units and a look at their results; neither is taken twice."""

    def __init__(self, results: ResultPlace, sidecars: Sidecars, rows: dict[str, Row]) -> None:
        self._results, self._sidecars, self._rows = results, sidecars, rows
        done = [row["item"] for row in rows.values() if row["state"] == "done"]
        self._looks = dict(zip(done, results.looks(done), strict=True))

    @classmethod
    def of_items(
        cls, results: ResultPlace, database: Database, sidecars: Sidecars, outputs: Sequence[str]
    ) -> Self:
        """Of the items at these paths, relative to the output."""
        rows = database.among(
            f"SELECT {_COLUMNS} FROM items JOIN units ON units.id = items.unit"
            " WHERE items.output IN (?)",
            [packed(output) for output in outputs],
        )
        return cls(results, sidecars, {row["item"]: row for row in rows})

    @classmethod
    def of_units(
        cls, results: ResultPlace, database: Database, sidecars: Sidecars, ids: Sequence[str]
    ) -> Self:
        """Of units that are no items, by their ids."""
        rows = database.among(f"SELECT {_COLUMNS} FROM units WHERE id IN (?)", ids)
        return cls(results, sidecars, {row["id"]: row for row in rows})

    def state_of(self, unit: Unit, *, verify: bool = False) -> State:
        """Whether the result asked for is there: ``done`` only when the file is too.

        A result also counts when only options of face restoration changed and it has no
        face. ``verify`` reads the file even when size and time look untouched.
        """
        row = self._rows.get(unit.output if unit.is_item else unit.id)
        if row is None or row["kind"] != unit.kind or row["base_key"] != unit.base_key:
            return "pending"
        same_faces = row["face_key"] == unit.face_key
        if row["state"] == "failed":
            return "failed" if same_faces else "pending"
        if row["state"] != "done" or not _fits(row, unit.face_key):
            return "pending"
        return "done" if self._is_intact(row, verify=verify) else "pending"

    def is_done(self, output: str, source_sha256: str, base_key: str, face_key: str) -> bool:
        """Whether the photo at ``output`` was made of this content with these keys, as
        :meth:`state_of` has it, and lies there untouched."""
        row = self._rows.get(output)
        if row is None or row["state"] != "done" or row["kind"] != Photo.kind:
            return False
        if row["base_key"] != base_key or row["source_sha256"] != source_sha256:
            return False
        return _fits(row, face_key) and self._is_intact(row, verify=False)

    def made_with(self, output: str) -> MadeWith | None:
        """How the result at ``output`` was made; None where none is done."""
        row = self._rows.get(output)
        if row is None or row["state"] != "done":
            return None
        return MadeWith(row["base_key"], row["face_key"], row["face_count"], row["source_sha256"])

    def source_of(self, output: str) -> str:
        """Checksum of the original that the result at ``output`` was made from, or of the one that
        failed; "" where it is not known."""
        row = self._rows.get(output)
        return "" if row is None else row["source_sha256"]

    def on_record(self, unit: AnyUnit) -> AnyUnit:
        """``unit`` under the id of its record, where there is one of the same result: before its
        source is read a unit is named by the state of the file."""
        row = self._rows.get(unit.output if unit.is_item else unit.id)
        keys = (unit.kind, unit.base_key, unit.face_key)
        if row is None or row["id"] == unit.id:
            return unit
        if (row["kind"], row["base_key"], row["face_key"]) != keys:
            return unit
        return replace(unit, id=row["id"])

    def reason_of(self, unit: Unit) -> str:
        """The recorded reason why ``unit`` failed, or ''."""
        row = self._rows.get(unit.output if unit.is_item else unit.id)
        return (row["error"] or "") if row is not None else ""

    def _is_intact(self, row: Row, *, verify: bool) -> bool:
        look = self._looks[row["item"]]
        if look is None or look.size_bytes != row["size_bytes"]:
            return False
        if row["sidecars"] and not self._sidecars.intact(row, verify=verify):
            return False
        if verify:
            return self._results.content(row["item"]) == row["sha256"]
        return look.stamp == row["mtime_ns"] or self._results.holds(row["item"], row["sha256"])


def _fits(row: Row, face_key: str) -> bool:
    """Whether options of face restoration that have ``face_key`` would change nothing."""
    return bool(row["face_key"] == face_key or row["face_count"] == 0)

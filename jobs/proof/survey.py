"""How results stand: what is on record of them compared with the files that lie there.

Of many items at once it takes one question to the ledger for some hundred of them, and their files
are looked at side by side: where a look takes its time, as on a network, that is what counts. What
must be read to be sure is read when its state is asked for, not before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeVar

from restore_batch.files import holds
from restore_batch.jobs.database import Database, Row, packed
from restore_batch.jobs.proof.sidecars import Sidecars
from restore_batch.jobs.units import Unit

State = Literal["pending", "staged", "done", "failed"]
AnyUnit = TypeVar("AnyUnit", bound=Unit)

_COLUMNS = (
    "units.id, units.item, units.kind, units.base_key, units.face_key, units.state,"
    " units.face_count, units.size_bytes, units.mtime_ns, units.sha256, units.sidecars,"
    " units.error, units.source_sha256"
)
_LOOKS_AT_ONCE = 16
_LOOKS_A_THREAD = 32
"""Fewer are sooner done than handed over."""


class Look(NamedTuple):
    """What the file system says of a file."""

    size_bytes: int
    mtime_ns: int


class Survey:
    """The records of some units and a look at their results; neither is taken twice."""

    def __init__(self, output_dir: Path, sidecars: Sidecars, rows: dict[str, Row]) -> None:
        self._output_dir, self._sidecars, self._rows = output_dir, sidecars, rows
        done = [row["item"] for row in rows.values() if row["state"] == "done"]
        self._looks = dict(zip(done, _looks(output_dir, done), strict=True))

    @classmethod
    def of_items(
        cls, output_dir: Path, database: Database, sidecars: Sidecars, outputs: Sequence[str]
    ) -> Self:
        """Of the items at these paths, relative to the output folder."""
        rows = database.among(
            f"SELECT {_COLUMNS} FROM items JOIN units ON units.id = items.unit"
            " WHERE items.output IN (?)",
            [packed(output) for output in outputs],
        )
        return cls(output_dir, sidecars, {row["item"]: row for row in rows})

    @classmethod
    def of_units(
        cls, output_dir: Path, database: Database, sidecars: Sidecars, ids: Sequence[str]
    ) -> Self:
        """Of units that are no items, by their ids."""
        rows = database.among(f"SELECT {_COLUMNS} FROM units WHERE id IN (?)", ids)
        return cls(output_dir, sidecars, {row["id"]: row for row in rows})

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
        if row["state"] != "done" or not (same_faces or row["face_count"] == 0):
            return "pending"
        return "done" if self._is_intact(row, verify=verify) else "pending"

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
        if row is None or (row["kind"], row["base_key"], row["face_key"]) != keys:
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
        if look.mtime_ns == row["mtime_ns"] and not verify:
            return True
        return holds(self._output_dir / row["item"], row["sha256"])


def _looks(folder: Path, names: Sequence[str]) -> Iterator[Look | None]:
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 - a million of them
    if len(paths) <= _LOOKS_A_THREAD:
        yield from map(_look, paths)
        return
    parts = [
        paths[first : first + _LOOKS_A_THREAD] for first in range(0, len(paths), _LOOKS_A_THREAD)
    ]
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        for looks in pool.map(lambda part: [_look(path) for path in part], parts):
            yield from looks


def _look(path: str) -> Look | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return Look(status.st_size, status.st_mtime_ns)

"""Curves as CSV: one row a step, that any spreadsheet and any plotting program reads."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from restore_batch.files import whole


class Curve:
    """Rows of one file. Rows beyond step ``after`` are cut off: they are of a run that went on
    past its last checkpoint, and their steps come again."""

    def __init__(self, path: Path, after: int) -> None:
        self._path = path
        self._columns: list[str] = []
        if after and path.is_file():
            rows = read_curve(path)
            kept = [row for row in rows if row["step"] <= after]
            self._write(kept)
        else:
            path.unlink(missing_ok=True)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row. A column that is new (a term that begins later) is added to all."""
        row = {"step": float(step), **values}
        if set(row) <= set(self._columns):
            with self._path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns, lineterminator="\n").writerow(_texts(row))
        else:
            self._write([*(read_curve(self._path) if self._columns else []), row])

    def _write(self, rows: list[dict[str, float]]) -> None:
        self._columns = list(dict.fromkeys(key for row in rows for key in row))
        with whole(self._path) as written, written.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(_texts, rows))


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a curve; cells that are empty are left out."""
    with path.open(newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _texts(row: Mapping[str, float]) -> dict[str, str]:
    return {key: str(int(value)) if key == "step" else f"{value:.6g}" for key, value in row.items()}

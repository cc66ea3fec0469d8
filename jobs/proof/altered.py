"""Results that somebody has altered since they were written: kept beside what replaces them.

A result may be retouched, or decay. Whatever it is by now may be nowhere else, so it is never
replaced before it has another name, ``photo.altered.png``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from restore_batch.jobs.database import Database
from restore_batch.jobs.outputs import PARTS, sidecar_of
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.records import SidecarFile
from restore_batch.jobs.results.base import Look, ResultPlace


class Altered:
    """What was altered among ``results``, by what ``database`` has on record of them."""

    def __init__(self, results: ResultPlace, database: Database) -> None:
        self._results, self._db = results, database
        self._found: set[str] = set()
        self._kept: dict[str, str] = {}

    def found(self, output: str) -> None:
        """Somebody has read the result at ``output``: it is not what was written, whatever its size
        and time say."""
        self._found.add(output)

    def kept(self) -> Iterator[tuple[str, str]]:
        """What was kept since this was asked last: the result, and the name it was kept under."""
        while self._kept:
            yield self._kept.popitem()

    def keep(self, output: str, former: Iterable[SidecarFile], new: Iterable[SidecarFile]) -> None:
        """Give the result at ``output``, and what lies where its ``new`` sidecars are to lie, other
        names unless they are as they were written. Raises OSError, RestoreBatchError."""
        if not output.startswith(f"{PARTS}/"):  # nobody works on those
            self._keep_result(output)
        known = list(former)
        for sidecar in new:
            written = [each.sha256 for each in (sidecar, *known) if each.suffix == sidecar.suffix]
            name = sidecar_of(output, sidecar.suffix)
            (look,) = self._results.looks([name])
            if look is not None and not any(self._results.holds(name, each) for each in written):
                self._rename(name)

    def _keep_result(self, output: str) -> None:
        (look,) = self._results.looks([output])
        if look is None or (self._is_as_written(output, look) and output not in self._found):
            return
        self._rename(output)
        self._found.discard(output)

    def _is_as_written(self, output: str, look: Look) -> bool:
        path = packed(output)
        # A copy of an original was compared when it was found to be this job's.
        if self._db.execute("SELECT 1 FROM items WHERE stand_in = ?", (path,)).fetchone():
            return True
        rows = self._db.execute(
            "SELECT size_bytes, mtime_ns, sha256 FROM units"
            " WHERE item = ? AND mtime_ns IS NOT NULL",
            (path,),
        ).fetchall()
        if any(look == (row["size_bytes"], row["mtime_ns"]) for row in rows):
            return True
        if any(self._results.holds(output, row["sha256"]) for row in rows):
            return True
        return self._results.says_ours(output)

    def _rename(self, name: str) -> None:
        for beside in _names_beside(name):
            if not self._results.is_taken(beside):
                self._results.keep_as(name, beside)
                self._kept[name] = beside
                return
            if self._results.content(beside) == self._results.content(name):
                self._kept[name] = beside  # by a run that was ended right then
                return


def _names_beside(name: str) -> Iterator[str]:
    path = PurePosixPath(name)
    for number in itertools.count(1):
        mark = ".altered" if number == 1 else f".altered-{number}"
        yield str(path.with_name(f"{path.stem}{mark}{path.suffix}"))

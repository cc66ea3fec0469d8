"""Sidecars: the files that are written beside a result and committed with it.

They lie beside the result under its name and a suffix of their own (``photo.jpg.mask.png``) and are
in place before it is: a result that lies there has its sidecars. A file that this job did not write
is never replaced by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TypeAlias

from restore_batch.jobs.database import Database, Row
from restore_batch.jobs.outputs import sidecar_of
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.records import SidecarFile
from restore_batch.jobs.results.base import Move, ResultPlace, in_the_way

KnownSidecar: TypeAlias = tuple[SidecarFile, bool]
"""One on record, and whether its result was in place once."""


class Sidecars:
    """The sidecars beside ``results``, as ``database`` has them on record."""

    def __init__(self, results: ResultPlace, database: Database) -> None:
        self._results, self._db = results, database

    def check(
        self, output: str, sidecars: Iterable[SidecarFile], known: Sequence[KnownSidecar]
    ) -> None:
        """Raise RestoreBatchError where a file of somebody else lies in the place of one.
        ``known``: those on record for ``output`` by now."""
        for sidecar in sidecars:
            name = sidecar_of(output, sidecar.suffix)
            if self._results.is_taken(name) and not self._is_ours(name, sidecar, known):
                raise in_the_way(self._results.where(name))

    def on_record(self, outputs: Sequence[str]) -> dict[str, list[KnownSidecar]]:
        """Those of the results at these paths; of one that never had any, nothing."""
        rows = self._db.among(
            "SELECT item, sidecars, mtime_ns FROM units WHERE item IN (?)"
            " AND sidecars IS NOT NULL ORDER BY rowid",
            [packed(output) for output in outputs],
        )
        found: dict[str, list[KnownSidecar]] = {}
        for row in rows:
            published = row["mtime_ns"] is not None
            found.setdefault(row["item"], []).extend((one, published) for one in sidecars_in(row))
        return found

    def moves(self, output: str, staged: Path, sidecars: Iterable[SidecarFile]) -> Iterator[Move]:
        """The way of those that were written beside ``staged`` to their places, once they have
        been checked; ones already there stay."""
        for sidecar in sidecars:
            name = sidecar_of(output, sidecar.suffix)
            waiting = staged.with_name(staged.name + sidecar.suffix)
            if waiting.exists() or not self._results.holds(name, sidecar.sha256):
                # What lies there by now was found to be this job's.
                yield Move(waiting, name, sidecar.sha256, self._results.is_taken(name))

    def intact(self, row: Row, *, verify: bool) -> bool:
        """Whether those on record in a row of units lie in their places, by their sizes or, with
        ``verify``, by what is in them."""
        for sidecar in sidecars_in(row):
            name = sidecar_of(row["item"], sidecar.suffix)
            (look,) = self._results.looks([name])
            if look is None or look.size_bytes != sidecar.size_bytes:
                return False
            if verify and self._results.content(name) != sidecar.sha256:
                return False
        return True

    def drop(self, output: str, former: Iterable[SidecarFile], kept: Iterable[SidecarFile]) -> None:
        """Remove those of ``former`` that a newer result has no more, unless they were changed."""
        suffixes = {sidecar.suffix for sidecar in kept}
        for sidecar in former:
            name = sidecar_of(output, sidecar.suffix)
            if sidecar.suffix not in suffixes and self._results.holds(name, sidecar.sha256):
                self._results.remove(name)

    def _is_ours(self, name: str, wanted: SidecarFile, known: Sequence[KnownSidecar]) -> bool:
        """A file where a published result had its sidecar, or one that was on its way there."""
        alike = [(one, published) for one, published in known if one.suffix == wanted.suffix]
        return (
            any(published for _, published in alike)
            or any(
                self._results.holds(name, one.sha256)
                for one in (wanted, *(one for one, _ in alike))
            )
            or self._results.says_ours(name)
        )


def recorded(sidecars: Iterable[SidecarFile]) -> str | None:
    """What a row of units says of ``sidecars``."""
    return json.dumps([astuple(sidecar) for sidecar in sidecars]) if sidecars else None


def sidecars_in(row: Row) -> Iterator[SidecarFile]:
    """Those on record in a row of units."""
    for suffix, size_bytes, sha256 in row["sidecars"] or ():
        yield SidecarFile(suffix, size_bytes, sha256)

"""Sidecars: the files that are written beside a result and committed with it.

They lie beside the result under its name and a suffix of their own (``photo.jpg.mask.png``) and are
in place before it is: a result that lies there has its sidecars. A file that this job did not write
is never replaced by one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path

from restore_batch.errors import RestoreBatchError
from restore_batch.files import holds, put
from restore_batch.jobs.database import Database, Row, packed
from restore_batch.jobs.outputs import sidecar_of
from restore_batch.jobs.records import SidecarFile


class Sidecars:
    """The sidecars of the results in ``output_dir``, as ``database`` has them on record."""

    def __init__(self, output_dir: Path, database: Database) -> None:
        self._output_dir, self._db = output_dir, database

    def check(self, output: str, sidecars: Iterable[SidecarFile]) -> tuple[SidecarFile, ...]:
        """Raise RestoreBatchError where a file of somebody else lies in the place of one; those
        on record for ``output`` by now."""
        known = self._on_record(output)
        for sidecar in sidecars:
            final = self._output_dir / sidecar_of(output, sidecar.suffix)
            if os.path.lexists(final) and not _is_ours(final, sidecar, known):
                raise in_the_way(final)
        return tuple(sidecar for sidecar, _ in known)

    def put(self, output: str, staged: Path, sidecars: Iterable[SidecarFile]) -> None:
        """Move those that were written beside ``staged`` to their places, which are durable once
        the folder is synced; ones already there stay.

        Raises OSError for one that is neither staged nor in its place.
        """
        for sidecar in sidecars:
            final = self._output_dir / sidecar_of(output, sidecar.suffix)
            waiting = staged.with_name(staged.name + sidecar.suffix)
            if not waiting.exists() and holds(final, sidecar.sha256):
                continue
            put(waiting, final)

    def intact(self, row: Row, *, verify: bool) -> bool:
        """Whether those on record in a row of units lie in their places, by their sizes or, with
        ``verify``, by what is in them."""
        for sidecar in sidecars_in(row):
            final = self._output_dir / sidecar_of(row["item"], sidecar.suffix)
            try:
                if final.stat().st_size != sidecar.size_bytes:
                    return False
            except OSError:
                return False
            if verify and not holds(final, sidecar.sha256):
                return False
        return True

    def drop(self, output: str, former: Iterable[SidecarFile], kept: Iterable[SidecarFile]) -> None:
        """Remove those of ``former`` that a newer result has no more, unless they were changed."""
        suffixes = {sidecar.suffix for sidecar in kept}
        for sidecar in former:
            final = self._output_dir / sidecar_of(output, sidecar.suffix)
            if sidecar.suffix not in suffixes and holds(final, sidecar.sha256):
                with contextlib.suppress(OSError):  # a file too many is no reason to fail
                    final.unlink()

    def _on_record(self, output: str) -> list[tuple[SidecarFile, bool]]:
        """Each with whether its result was in place once."""
        rows = self._db.execute(
            "SELECT sidecars, mtime_ns FROM units WHERE item = ? AND sidecars IS NOT NULL"
            " ORDER BY rowid",
            (packed(output),),
        ).fetchall()
        return [
            (sidecar, row["mtime_ns"] is not None) for row in rows for sidecar in sidecars_in(row)
        ]


def in_the_way(final: Path) -> RestoreBatchError:
    """What is said of a place that a file of somebody else has."""
    return RestoreBatchError(
        f"{final}: a file that this job did not write is in the way; move it or choose another"
        " output"
    )


def recorded(sidecars: Iterable[SidecarFile]) -> str | None:
    """What a row of units says of ``sidecars``."""
    return json.dumps([astuple(sidecar) for sidecar in sidecars]) if sidecars else None


def sidecars_in(row: Row) -> Iterator[SidecarFile]:
    """Those on record in a row of units."""
    for suffix, size_bytes, sha256 in row["sidecars"] or ():
        yield SidecarFile(suffix, size_bytes, sha256)


def _is_ours(final: Path, wanted: SidecarFile, known: list[tuple[SidecarFile, bool]]) -> bool:
    """A file where a published result had its sidecar, or one that was on its way there."""
    alike = [(one, published) for one, published in known if one.suffix == wanted.suffix]
    return any(published for _, published in alike) or any(
        holds(final, one.sha256) for one in (wanted, *(one for one, _ in alike))
    )

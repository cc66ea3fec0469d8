"""Writing the records of an output folder into it, each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.files import whole
from restore_batch.jobs.outputs import CRATE, PREMIS_EVENTS, PREMIS_OBJECTS
from restore_batch.pipeline.provenance import premis
from restore_batch.pipeline.provenance.crate import write_crate
from restore_batch.pipeline.provenance.recorded import Records, records_of

_MARKS = {
    CRATE: b'"#restore-batch"',
    PREMIS_OBJECTS: premis.MARK.encode(),
    PREMIS_EVENTS: ",".join(premis.COLUMNS).encode(),
}
"""What begins a file of ours: any other in its place stays."""
_HEAD_BYTES = 1024


def write_records(output_dir: Path, *, crate: bool = True, with_premis: bool = False) -> list[Path]:
    """Write ``ro-crate-metadata.json``, and ``with_premis`` both files of PREMIS, into the folder;
    those written. A run may be going on. Raises UsageError where nothing was run or where somebody
    else's file is in a place, RestoreBatchError where the folder cannot be written to."""
    with records_of(output_dir) as records:
        wanted = [PREMIS_OBJECTS, PREMIS_EVENTS] if with_premis else []
        written = [_write(records, name) for name in wanted]
        # Last: it lists the others.
        return [*written, _write(records, CRATE)] if crate else written


def records_in(output_dir: Path) -> tuple[str, ...]:
    """The records of ours that lie in the folder, by name."""
    return tuple(name for name in _MARKS if _is_ours(output_dir / name, name))


def _write(records: Records, name: str) -> Path:
    path = records.output_dir / name
    if os.path.lexists(path) and not _is_ours(path, name):
        raise UsageError(f"{path}: a file that this job did not write is there; move it")
    try:
        with whole(path) as staged, staged.open("w", encoding="utf-8", newline="") as file:
            _writer(records.output_dir, name)(records, file)
    except OSError as error:
        raise RestoreBatchError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def _writer(output_dir: Path, name: str) -> Callable[[Records, IO[str]], None]:
    if name == PREMIS_OBJECTS:
        return premis.write_premis
    if name == PREMIS_EVENTS:
        return premis.write_events
    others = [each for each in records_in(output_dir) if each != CRATE]
    return lambda records, file: write_crate(records, file, others)


def _is_ours(path: Path, name: str) -> bool:
    try:
        with path.open("rb") as file:
            return not path.is_symlink() and _MARKS[name] in file.read(_HEAD_BYTES)
    except OSError:
        return False

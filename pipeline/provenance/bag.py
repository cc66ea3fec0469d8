"""A finished output as a bag, to be handed over: copied, checksummed, validated, never overwritten.

The payload is what the job made (results, what lies beside them, its records and the job itself).
Every file is copied in pieces, and what the bag says of a result has to be what the manifest says
of it.

Source: RFC 8493, The BagIt File Packaging Format (V1.0).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.files import sync_file, sync_folder
from restore_batch.jobs.written import KEPT_NAME, is_kept_job
from restore_batch.pipeline.provenance.recorded import Records, records_of
from restore_batch.pipeline.provenance.writing import records_in
from restore_batch.text import plural

_NO_BAGIT = 'a bag needs an extra: pip install "restore-batch[bagit]"'


@dataclass(frozen=True)
class Bagged:
    """A bag that was made. ``failed``: items of the job that have no result, and so are not in it
    but as a copy of their original where there is one."""

    path: Path
    files: int
    size_bytes: int
    failed: int


def make_bag(output_dir: Path, bag: Path, about: Mapping[str, str] | None = None) -> Bagged:
    """Copy a finished output into a new bag at ``bag`` and validate it. ``about``: further lines of
    ``bag-info.txt``, such as Source-Organization.

    Raises UsageError where the output is not finished, something lies at ``bag`` or it would lie in
    the output; RestoreBatchError for a result that is not what the manifest says, and where the bag
    cannot be written. Nothing is then left at ``bag``.
    """
    try:
        import bagit
    except ImportError:
        raise UsageError(_NO_BAGIT) from None
    output_dir, bag = output_dir.absolute(), bag.absolute()
    if os.path.lexists(bag):
        raise UsageError(f"{bag}: something is there already; name a folder that is not")
    if bag.resolve().is_relative_to(output_dir.resolve()):
        raise UsageError(f"{bag}: a bag cannot lie in the output that it is made of")
    with records_of(output_dir) as records:
        _expect_finished(records)
        known = dict(_payload(records))
        failed = sum(bool(item.error) for item in records.items())
    staged: Path | None = None
    try:
        bag.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{bag.name}.", dir=bag.parent))
        for path in known:
            _copy(output_dir / path, staged / path)
        made = bagit.make_bag(str(staged), dict(about or {}), checksums=["sha256"])
        _compare(made.payload_entries(), known, output_dir)
        bagit.Bag(str(staged)).validate()
        _settle(staged)
        staged.chmod(0o755)
        staged.rename(bag)
        sync_folder(bag.parent)
    except (OSError, UnicodeError, bagit.BagError) as error:
        reason = " ".join(str(error).split())
        raise RestoreBatchError(f"{bag}: the bag cannot be made: {reason}") from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    size_bytes = sum(path.stat().st_size for path in (bag / "data").rglob("*") if path.is_file())
    return Bagged(bag, len(known), size_bytes, failed)


def _expect_finished(records: Records) -> None:
    last = records.runs[-1] if records.runs else {}
    if not last or last["ended"] is None:
        raise UsageError(f"{records.output_dir}: a run is going on or was cut off; end it first")
    if left := records.unfinished:
        raise UsageError(
            f"{records.output_dir}: not finished, {plural(left, 'item')} left; run the job again"
        )


def _payload(records: Records) -> Iterator[tuple[str, str]]:
    """Paths relative to the output folder, with the checksum on record or ""."""
    output_dir = records.output_dir
    for item in records.items():
        if item.error:
            if item.entry.stand_in:
                yield item.entry.stand_in, ""
            continue
        yield item.entry.output, item.entry.sha256
        for path in item.beside(output_dir):
            yield path, ""
    for name in records_in(output_dir):
        yield name, ""
    if is_kept_job(output_dir / KEPT_NAME):
        yield KEPT_NAME, ""


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
    shutil.copystat(source, target)


def _compare(entries: Mapping[str, Any], known: Mapping[str, str], output_dir: Path) -> None:
    for path, sha256 in known.items():
        if sha256 and entries[f"data/{path}"]["sha256"] != sha256:
            raise RestoreBatchError(
                f"{output_dir / path}: it is not what the manifest says; `restore-batch run JOB"
                " --verify` makes it again"
            )


def _settle(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(root) / name)
        sync_folder(Path(root))

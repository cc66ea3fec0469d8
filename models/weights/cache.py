"""The folder of downloaded weights: ``<folder>/<card>/<stem>.safetensors`` with a record beside.

What arrives is checked, read safely, and kept as safetensors, which maps into memory without
being parsed. ``<stem>.safetensors.json`` records where it came from and both checksums: the
published file's and the kept file's. Files appear by rename and under a lock, so that many
workers of one node may start at once; a reader needs no lock and no right to write.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from restore_batch.errors import WeightsError
from restore_batch.files import settle, sha256_of, whole
from restore_batch.models.base import Card, WeightFile
from restore_batch.models.weights.fingerprint import fingerprint
from restore_batch.models.weights.safe_load import read_state

_LOCK_TIMEOUT_S = 3600.0
_MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True)
class Record:
    """What is known of one kept file.

    ``origin*``: the file that was downloaded or added, as it was. ``published``: its checksum is
    the published one; None where none was published. ``sha256``, ``size_bytes``, ``mtime_ns``:
    of the safetensors file made of it.
    """

    card: str
    licence: str
    origin: str
    origin_url: str
    origin_size_bytes: int
    origin_sha256: str
    published: bool | None
    date: str
    sha256: str
    size_bytes: int
    mtime_ns: int


def default_folder() -> Path:
    """$RESTORE_BATCH_WEIGHTS_DIR, else restore-batch in $XDG_CACHE_HOME or ~/.cache.

    Raises WeightsError where there is no home.
    """
    chosen = os.environ.get("RESTORE_BATCH_WEIGHTS_DIR")
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return (Path(cache) if cache else Path.home() / ".cache") / "restore-batch"
    except RuntimeError:  # a user without an entry in the system's list, as in containers
        raise WeightsError(
            "this user has no home folder for weights; set RESTORE_BATCH_WEIGHTS_DIR to a folder"
        ) from None


def entry_path(folder: Path, card: Card, file: WeightFile) -> Path:
    """Where the safetensors form of ``file`` is kept."""
    return folder / card.name / f"{Path(file.filename).stem}.safetensors"


def published_sha256(file: WeightFile) -> str | None:
    """The published checksum, or as much of it as the name holds: by the convention of torch's
    model zoo, ``name-<8 hex digits>.pth`` ends in the first digits of the file's sha256."""
    in_name = re.search(r"-([0-9a-f]{8})\.(pth|pt)$", file.filename)
    return file.sha256 or (in_name.group(1) if in_name else None)


def is_published(file: WeightFile, sha256: str) -> bool | None:
    """Whether ``sha256`` is the published one; None where none was published."""
    expected = published_sha256(file)
    return None if expected is None else sha256.startswith(expected)


def record_path(entry: Path) -> Path:
    return entry.with_name(entry.name + ".json")


def read_record(entry: Path) -> Record | None:
    """The record beside ``entry``; None where there is none."""
    where = record_path(entry)
    try:
        if where.stat().st_size > _MAX_RECORD_BYTES:
            raise ValueError("larger than any record")
        return Record(**json.loads(where.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError):
        raise WeightsError(
            f"{where} is damaged; delete it with {entry.name} and fetch the weights again"
        ) from None


def keep(
    entry: Path, origin: Path, card: Card, file: WeightFile, *, url: str, origin_name: str = ""
) -> Record:
    """Convert ``origin`` and put it at ``entry`` with its record; call it under :func:`locked`.

    Raises WeightsError when ``origin`` is no safe weight file.
    """
    from safetensors.torch import save_file

    state = read_state(origin)
    make_folder(entry.parent)
    origin_sha256 = fingerprint(origin)
    for leftover in entry.parent.glob(".*.tmp"):  # of a process that died under the lock
        leftover.unlink(missing_ok=True)
    with whole(entry, _temporary(entry)) as temporary:
        # Tied tensors share memory, which safetensors refuses; the copy unties them.
        save_file(
            {key: tensor.clone().contiguous() for key, tensor in state.items()},
            temporary,
            metadata={"format": "pt", "origin": file.filename, "origin_sha256": origin_sha256},
        )
        size_bytes, kept_sha256 = settle(temporary)
        # A reader believes an entry only with its record, so the old one goes first.
        record_path(entry).unlink(missing_ok=True)
    record = Record(
        card=card.name,
        licence=card.licence.key,
        origin=origin_name or file.filename,
        origin_url=url,
        origin_size_bytes=origin.stat().st_size,
        origin_sha256=origin_sha256,
        published=is_published(file, origin_sha256),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        sha256=kept_sha256,
        size_bytes=size_bytes,
        mtime_ns=entry.stat().st_mtime_ns,
    )
    _write_record(entry, record)
    return record


def check(entry: Path, *, fully: bool = False) -> Record:
    """The record of ``entry`` once the file agrees with it.

    Size and modification time are compared; the checksum when they say the file was touched
    (a copied cache has new times), or when ``fully``. Raises WeightsError when it is damaged.
    """
    record = read_record(entry)
    if record is None:
        raise WeightsError(f"{entry} has no record of its origin; delete it and fetch it again")
    repair = f"run `restore-batch models pull {record.card}` to fetch it again"
    try:
        seen = entry.stat()
    except OSError:
        raise WeightsError(f"{entry} is missing; {repair}") from None
    if seen.st_size != record.size_bytes:
        raise WeightsError(
            f"{entry} is damaged: {seen.st_size} bytes, {record.size_bytes} recorded; {repair}"
        )
    if fully or seen.st_mtime_ns != record.mtime_ns:
        if (sha256_of if fully else fingerprint)(entry) != record.sha256:
            raise WeightsError(f"{entry} is damaged: not the recorded checksum; {repair}")
        if seen.st_mtime_ns != record.mtime_ns:
            record = replace(record, mtime_ns=seen.st_mtime_ns)
            with contextlib.suppress(OSError):  # a read-only cache pays the checksum each time
                _write_record(entry, record)
    return record


def origin_sha256(path: Path) -> str:
    """Checksum of the published form of ``path``: the record's for a file of the cache, once the
    file agrees with it. Raises WeightsError."""
    return check(path).origin_sha256 if _has_record(path) else fingerprint(path)


def is_proven(path: Path, card: Card, file: WeightFile) -> bool | None:
    """Whether ``path`` was made of what is published as ``file`` of ``card``, or as another of its
    files that would be kept there; None where nothing was published. A file is read once a process,
    one with a record only where it was touched. Raises WeightsError for one that is damaged."""
    found, stem = origin_sha256(path), Path(file.filename).stem
    alike = [f for source in card.sources for f in source if Path(f.filename).stem == stem]
    return any(is_published(each, found) for each in alike) or is_published(file, found)


def check_published(path: Path, card: Card, file: WeightFile) -> None:
    """Raise WeightsError where ``path`` is another file than was published, as far as
    :func:`is_proven`. What somebody has added knowing that it differs stands."""
    if is_proven(path, card, file) is False and not is_added_instead(path):
        raise WeightsError(
            f"{path} is not the published {file.filename}: its sha256 is {origin_sha256(path)},"
            f" expected {published_sha256(file)}; remove it, or name it by its path to use it"
            " nevertheless"
        )


def is_added_instead(path: Path) -> bool:
    """Whether somebody has added ``path`` under a published name though it is not what was
    published, which was said then."""
    record = read_record(path) if _has_record(path) else None
    return record is not None and record.published is False


def _has_record(path: Path) -> bool:
    return path.suffix == ".safetensors" and record_path(path).is_file()


def make_folder(folder: Path) -> None:
    """Make sure that ``folder`` is there to write to. Raises WeightsError where it cannot be, and
    for a link that another user has put there: it may lead anywhere."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written ({error.strerror}); "
            "set RESTORE_BATCH_WEIGHTS_DIR to a folder that can"
        ) from None
    for place in (folder, *folder.parents):
        if place.is_symlink() and place.lstat().st_uid not in (0, os.geteuid()):
            raise WeightsError(
                f"{place} is a link of another user (uid {place.lstat().st_uid}) and was not "
                "followed; remove it, or set RESTORE_BATCH_WEIGHTS_DIR to a folder of your own"
            )


def open_to_others(folder: Path) -> str:
    """Why what lies in ``folder`` may be exchanged by other users of this machine, or ""."""
    try:
        seen = folder.stat()
    except OSError:
        return ""
    if seen.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (uid {seen.st_uid})"
    if seen.st_mode & stat.S_IWOTH:
        return "can be written by every user"
    return ""


@contextlib.contextmanager
def locked(folder: Path, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the folder against other processes; the system frees it when the holder dies."""
    import fcntl

    make_folder(folder)
    try:
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be written ({error.strerror}); "
            "set RESTORE_BATCH_WEIGHTS_DIR to a folder that can"
        ) from None
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WeightsError(
                        f"another process has held {folder} for {timeout_s:.0f} s; is it stuck?"
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def _write_record(entry: Path, record: Record) -> None:
    where = record_path(entry)
    with whole(where, _temporary(where)) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def _temporary(target: Path) -> Path:
    """A name of this writer alone: a record is renewed without the lock."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")

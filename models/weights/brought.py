"""Weights that came from another machine, as they lie there: below the cache, by their checksum."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from restore_batch.errors import WeightsError
from restore_batch.files import whole
from restore_batch.models.base import ModelRef
from restore_batch.models.weights.cache import default_folder, make_folder, origin_sha256
from restore_batch.models.weights.fingerprint import combined


def folder_of(ref: ModelRef) -> Path:
    """Where the files of a model are kept that were brought to this machine."""
    return default_folder() / "brought" / ref.sha256


def paths_of(ref: ModelRef) -> tuple[Path, ...] | None:
    """Its files, in their order; None where they were not all brought, or are damaged since."""
    paths = tuple(_place(ref, number, Path(path).name) for number, path in enumerate(ref.paths))
    if not all(path.is_file() for path in paths):
        return None
    with suppress(WeightsError):
        if combined([origin_sha256(path) for path in paths]) == ref.sha256:
            return paths
    return None


def keep(ref: ModelRef, number: int, name: str, content: Iterable[bytes]) -> None:
    """Keep a file that belongs to the file of that ``number`` of a model, under its ``name``; call
    it under the lock of :func:`folder_of`. Raises WeightsError where the cache cannot be written.
    """
    path = _place(ref, number, name)
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with whole(path, partial) as staged, staged.open("wb") as file:
        file.writelines(content)


def _place(ref: ModelRef, number: int, name: str) -> Path:
    return folder_of(ref) / str(number) / name

"""Checksum: what a source holds, found out by the worker that is about to read it.

The driver knows names alone. Whoever decodes a file has it on the way from the disk anyway, and
what was hashed is compared with what is there once it was decoded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.files import sha256_of, version_of
from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.units import FilmContent, FilmIndex, Photo, PhotoContent, Unit, digest
from restore_batch.stages.base import Pool, Stage
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.source import open_source


class Checksum(Stage):
    """Note what the source of a unit holds, and in which state its file was then.

    In:  chunks that hold nothing but their unit.
    Out: ``source_sha256`` and ``source_state``, which every later failure of the unit has too.
    A source that is known by a tag is not read for this. For some units that is all: what is
    compared with what a result was made of.
    """

    name: ClassVar[str] = "checksum"
    writes: ClassVar[frozenset[str]] = frozenset({"source_sha256", "source_state"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset(
        {Photo, PhotoContent, FilmIndex, FilmContent}
    )
    of_frames: ClassVar[bool] = False
    reads_source = "whole"
    of_results: ClassVar[bool] = False
    pool: ClassVar[Pool] = "io"

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, _noted)


def _noted(chunk: Chunk) -> Chunk:
    unit = chunk.unit
    if unit.source_tag:
        return replace(chunk, source_sha256=unit.source_tag)
    state = _state(unit.source)
    return replace(chunk, source_sha256=content_of_source(unit.source), source_state=state)


def content_of_source(source: str) -> str:
    """Checksum of a local file or of what a URL leads to; of numbered pictures, that of their names
    and contents. Raises MediaError."""
    try:
        if is_numbered(source):
            pictures = sorted(path for path in Path(source).parent.iterdir() if path.is_file())
            return digest({path.name: sha256_of(path) for path in pictures})
        with open_source(source) as file:
            return sha256_of(file)
    except OSError as error:
        raise MediaError(f"{source}: cannot be read: {error.strerror or error}") from error


def expect_unchanged(chunk: Chunk) -> None:
    """Raise MediaError where the source of ``chunk``, which was decoded meanwhile, no longer holds
    what was noted."""
    source = chunk.unit.source
    if not chunk.source_state or _state(source) == chunk.source_state:
        return
    # Some network mounts give a file other times and numbers each time that they are asked.
    if content_of_source(source) != chunk.source_sha256:
        raise MediaError(
            f"{source}: it was changed while it was read; run again when nothing writes to it any"
            " more"
        )


def _state(source: str) -> str:
    """What tells one state of a local file from another; "" of all else."""
    if "://" in source or is_numbered(source):
        return ""
    try:
        return version_of(Path(source).stat())
    except OSError:
        return "missing"

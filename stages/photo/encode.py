"""Encode: from the finished picture to a file in the staging folder, ready for its commit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.files import settle
from restore_batch.models.base import ModelRef
from restore_batch.stages.base import Cost, Pool, Raised, Role, Stage
from restore_batch.stages.credentials.claim import Claim
from restore_batch.stages.credentials.sign import Original, sign, why_unsigned
from restore_batch.stages.credentials.signer import Signer, SignsWith, load_signer
from restore_batch.stages.media import (
    Artifact,
    Chunk,
    Failure,
    PhotoMeta,
    Sidecar,
    StagedSidecar,
)
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.metadata.extras import without_credentials
from restore_batch.stages.photo.provenance import (
    Provenance,
    has_faces_of,
    provenance_of,
    stamped,
    what_was_done,
)
from restore_batch.stages.photo.source import open_source
from restore_batch.stages.photo.verdict import BitDepth
from restore_batch.stages.photo.write import write


class Encode(Stage):
    """Write photos to the staging path of their unit, in the format of its suffix.

    In:  chunks with one pasted frame and the metadata that decode found.
    Out: the artifact: a file on the disk (fsynced) with its size and SHA-256; what the format
    could not hold joins the warnings. A file that could not be finished is removed.

    ``faces_by``, ``background_by``: the networks of the job, to be named in the metadata of the
    pictures they changed (:mod:`restore_batch.stages.photo.provenance`), unless ``metadata`` is
    off. ``sign_with``: the certificate and key of content credentials, None for none.
    ``provenance``: what is to be said instead.
    """

    name: ClassVar[str] = "encode"
    after: ClassVar[str] = "reassess"
    reads: ClassVar[frozenset[str]] = frozenset({"pasted", "meta", "records", "sidecars"})
    may_read: ClassVar[frozenset[str]] = frozenset({"repairs"})
    writes: ClassVar[frozenset[str]] = frozenset({"artifact"})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "pictures"
    cost: ClassVar[Cost] = Cost(picture_s=0.06, megapixel_s=0.15)
    takes: ClassVar[Mapping[str, str]] = {
        "quality": "photos.quality",
        "bit_depth": "photos.bit_depth",
        "metadata": "provenance.metadata",
        "sign_with": "provenance.sign",
    }
    added: ClassVar[Mapping[str, object]] = {"metadata": True, "sign_with": None}
    networks: ClassVar[Mapping[str, Role]] = {"faces_by": "restore", "background_by": "background"}
    version: ClassVar[int] = 2
    raised: ClassVar[Mapping[int, Raised]] = {2: Raised(1, "results say how they were made")}

    def __init__(
        self,
        quality: int | None = None,
        bit_depth: BitDepth = "keep",
        faces_by: ModelRef | None = None,
        background_by: ModelRef | None = None,
        provenance: Provenance | None = None,
        metadata: bool = True,
        sign_with: SignsWith | None = None,
    ) -> None:
        self.quality = quality
        self.bit_depth = bit_depth
        self.metadata = metadata
        self.sign_with = sign_with
        # Content credentials name the original by its content.
        self.reads_source = "" if sign_with is None else "whole"
        self._signer: Signer | None = None
        self.provenance = provenance or provenance_of(faces_by, background_by)

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._encode)

    def _encode(self, chunk: Chunk) -> Chunk:
        if chunk.meta is None or len(chunk.pasted) != 1:
            raise MediaError(
                f"{chunk.unit.output}: expected one finished picture and its metadata, "
                f"got {len(chunk.pasted)}"
            )
        frame = chunk.pasted[0]
        path = chunk.unit.staged_path
        path.parent.mkdir(parents=True, exist_ok=True)
        meta, noted = self._stamped(chunk, chunk.meta, path.suffix)
        try:
            warnings = write(
                frame,
                meta,
                path,
                quality=self.quality,
                bit_depth=self.bit_depth,
                name=chunk.unit.output,
            )
            told = chunk.warnings
            if self.sign_with is not None:
                told = self._sign(chunk, self.sign_with, path)
            sidecars = tuple(_staged(path, sidecar) for sidecar in chunk.sidecars)
            size_bytes, sha256 = settle(path)
        except BaseException:
            for suffix in ("", *(sidecar.suffix for sidecar in chunk.sidecars)):
                _beside(path, suffix).unlink(missing_ok=True)
            raise
        size = frame.width, frame.height
        artifact = Artifact(str(path), size_bytes, sha256, *size, sidecars)
        warnings = (*told, *noted, *warnings)
        return dataclasses.replace(chunk, artifact=artifact, warnings=warnings)

    def _stamped(
        self, chunk: Chunk, meta: PhotoMeta, suffix: str
    ) -> tuple[PhotoMeta, tuple[str, ...]]:
        made_by = self.provenance if self.metadata else None
        format = catalogue.of_suffix(suffix)
        if made_by is None or format is None:
            return meta, ()
        if not format.holds_notices and not made_by.imagined_by:
            # Only imagined faces are worth a warning that their mark is lost.
            return meta, ()
        records = chunk.records[0] if chunk.records else ()
        return stamped(meta, made_by, records, chunk.repairs, text_entries=format.text_keys is None)

    def _sign(self, chunk: Chunk, files: SignsWith, path: Path) -> tuple[str, ...]:
        """Sign the file at ``path`` where its format has a place for that; the warnings that are
        then true of it."""
        output = chunk.unit.output
        if reason := why_unsigned(output):
            return (*chunk.warnings, reason)
        self._signer = self._signer or load_signer(files)
        records = chunk.records[0] if chunk.records else ()
        generated = self.provenance.is_generative and has_faces_of(self.provenance, records)
        done = what_was_done(self.provenance, records, chunk.repairs)
        claim = Claim(PurePosixPath(output).name, done, generated)
        with open_source(chunk.unit.source) as content:
            original = Original(PurePath(chunk.unit.source).name, content)
            carried = sign(path, self._signer, claim, original)
        return without_credentials(chunk.warnings) if carried else chunk.warnings


def _beside(result: Path, suffix: str) -> Path:
    return result.with_name(result.name + suffix)


def _staged(result: Path, sidecar: Sidecar) -> StagedSidecar:
    path = _beside(result, sidecar.suffix)
    path.write_bytes(sidecar.content)
    return StagedSidecar(sidecar.suffix, *settle(path))

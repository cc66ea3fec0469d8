"""Decode: from the file of a unit to its upright picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from restore_batch.stages.base import Cost, Pool, Stage
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.checksum import expect_unchanged
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.metadata.extras import sidecars_of
from restore_batch.stages.photo.read import Damaged, read

Extras = Literal["keep", "drop"]


class Decode(Stage):
    """Read photos by the ``source`` of their unit.

    In:  chunks that hold nothing but their unit.
    Out: one frame (upright, sRGB, uint8 or uint16), also as ``originals``, what to write back
    beside it (the stored samples too, where they had to be converted), and warnings.
    A photo of more than ``max_megapixels``, or one whose result, ``scale`` times as large, its
    format could not hold, is refused from its header. ``damaged``: what happens with a picture of
    which some is missing; ``extras``: with the films inside photos.
    """

    name: ClassVar[str] = "decode"
    writes: ClassVar[frozenset[str]] = frozenset({"frames", "originals", "meta", "sidecars"})
    of_frames: ClassVar[bool] = False
    reads_source = "whole"
    pool: ClassVar[Pool] = "io"
    cost: ClassVar[Cost] = Cost(picture_s=0.03, megapixel_s=0.1)
    takes: ClassVar[Mapping[str, str]] = {
        "max_megapixels": "limits.max_megapixels",
        "damaged": "limits.damaged",
        "scale": "background.scale",
        "extras": "photos.extras",
    }
    added: ClassVar[Mapping[str, object]] = {"extras": "drop"}
    refuses: ClassVar[frozenset[str]] = frozenset({"max_megapixels"})

    def __init__(
        self,
        max_megapixels: float,
        damaged: Damaged = "warn",
        scale: float = 1.0,
        extras: Extras = "drop",
    ) -> None:
        self.max_megapixels = max_megapixels
        self.damaged = damaged
        self.scale = scale
        self.extras = extras

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._decode)

    def _decode(self, chunk: Chunk) -> Chunk:
        frame, meta, warnings = read(
            chunk.unit.source,
            self.max_megapixels,
            damaged=self.damaged,
            target=catalogue.of_suffix(Path(chunk.unit.output).suffix),
            scale=self.scale,
            keep_films=self.extras == "keep",
        )
        expect_unchanged(chunk)
        return dataclasses.replace(
            chunk,
            frames=(frame,),
            originals=(frame,),
            meta=meta,
            sidecars=sidecars_of(meta),
            warnings=chunk.warnings + warnings,
        )

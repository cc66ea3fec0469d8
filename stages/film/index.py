"""Index a film in a worker: a damaged file may end a process, and must not end the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from restore_batch.jobs.units import FilmIndex, Unit
from restore_batch.stages.base import Pool, Stage
from restore_batch.stages.film.repaired import context_frames
from restore_batch.stages.film.source import index_film
from restore_batch.stages.film.work import IndexedFilm, ToneMap
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.checksum import expect_unchanged
from restore_batch.stages.repair.repair import Scratches
from restore_batch.stages.video.colour.convert import colour_warnings, refuse_hdr
from restore_batch.stages.video.format import (
    BitDepth,
    Codec,
    Container,
    EncoderKind,
    VideoWish,
    resolve_format,
)
from restore_batch.stages.video.segments import cut_segments

MOST_BYTES = 512 << 20
"""Decoded size of the longest segment."""

Output = Literal["file", "frames"]


class IndexFilm(Stage):
    """Find the frames of a film, decide how it is encoded, and cut it into segments.

    Out: ``index``, an :class:`IndexedFilm`. Fails for what is no film, for frames of more than
    ``max_megapixels``, for high dynamic range unless it is to be tone-mapped, and for a film that
    cannot be encoded as the job wants it.

    ``segment_s``: about how long a segment is. ``frame_rate``: of numbered pictures. ``steady``:
    segments need the frames around them too; ``repair``: one more. ``preview_s``: segments are cut
    later, from a stretch of so many seconds. The others: see :class:`VideoWish`.
    """

    name: ClassVar[str] = "index"
    writes: ClassVar[frozenset[str]] = frozenset({"index"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({FilmIndex})
    of_frames: ClassVar[bool] = False
    reads_source = "whole"
    pool: ClassVar[Pool] = "io"
    takes: ClassVar[Mapping[str, str]] = {
        "max_megapixels": "limits.max_megapixels",
        "scale": "background.scale",
        "repair": "repair.scratches",
        **{
            name: f"video.{name}"
            for name in (
                "segment_s", "frame_rate", "steady", "preview_s", "tonemap", "output", "codec",
                "container", "crf", "preset", "pixel_format", "encoder", "bit_depth",
            )
        },
    }  # fmt: skip
    added: ClassVar[Mapping[str, object]] = {"repair": "off"}
    refuses: ClassVar[frozenset[str]] = frozenset({"max_megapixels"})

    def __init__(
        self,
        max_megapixels: float,
        scale: float = 1.0,
        *,
        segment_s: float = 4.0,
        frame_rate: float = 24.0,
        steady: bool = True,
        repair: Scratches = "off",
        preview_s: float | None = None,
        tonemap: ToneMap | None = None,
        output: Output = "file",
        codec: Codec = "auto",
        container: Container = "keep",
        crf: int | None = None,
        preset: str | None = None,
        pixel_format: str | None = None,
        encoder: EncoderKind = "software",
        bit_depth: BitDepth = "keep",
    ) -> None:
        self.max_megapixels = max_megapixels
        self.scale = scale
        self.segment_s = segment_s
        self.frame_rate = frame_rate
        self.context_frames = context_frames(steady=steady, repairs=repair == "auto")
        self.preview_s = preview_s
        self.tonemap = tonemap
        self.wish = VideoWish(codec, container, crf, preset, pixel_format, encoder, bit_depth)
        if output == "frames":  # decoded again when they are written, so nothing may be lost
            self.wish = VideoWish(codec="ffv1", container="mkv", bit_depth=bit_depth)

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._index)

    def _index(self, chunk: Chunk) -> Chunk:
        source = chunk.unit.source
        index = index_film(source, self.frame_rate, self.max_megapixels)
        expect_unchanged(chunk)
        facts = index.facts
        refuse_hdr(facts, self.tonemap, source)
        format_, notes = resolve_format(self.wish, facts, self.scale, source)
        if self.preview_s is None:
            segments = cut_segments(index, self.segment_s, MOST_BYTES, self.context_frames)
            found = IndexedFilm(facts, format_, segments)
        else:
            found = IndexedFilm(facts, format_, (), whole=index)
        told = (*facts.warnings, *colour_warnings(facts), *notes)
        return replace(chunk, index=found, warnings=(*chunk.warnings, *told))

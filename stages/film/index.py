"""Index a film in a worker: a damaged file may end a process, and must not end the job."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Kind
from restore_batch.stages.base import Resources, Stage
from restore_batch.stages.film.source import index_film
from restore_batch.stages.film.work import IndexedFilm, IndexWork, Reading
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.video.colour.convert import colour_warnings, refuse_hdr
from restore_batch.stages.video.segments import cut_segments

MOST_BYTES = 512 << 20
"""Decoded size of the longest segment."""


class IndexFilm(Stage):
    """Find the frames of a film and cut it into segments.

    In: chunks whose unit carries an :class:`IndexWork`. Out: ``index``, a :class:`IndexedFilm`.
    Fails for what is no film, for frames of more than ``max_megapixels``, and for high dynamic
    range unless it is to be tone-mapped.
    """

    name: ClassVar[str] = "index"
    needs: ClassVar[Resources] = Resources(cpus=1.0, memory_mb=300)
    writes: ClassVar[frozenset[str]] = frozenset({"index"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"index"})

    def __init__(self, max_megapixels: float, reading: Reading = Reading()) -> None:  # noqa: B008
        self.max_megapixels = max_megapixels
        self.reading = reading

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._index)

    def _index(self, chunk: Chunk) -> Chunk:
        work: IndexWork = chunk.unit.payload
        index = index_film(chunk.unit.source, work.frame_rate)
        facts = index.facts
        megapixels = facts.width * facts.height / 1e6
        if megapixels > self.max_megapixels:
            raise MediaError(
                f"{chunk.unit.source}: {megapixels:.0f} megapixels a frame, expected at most"
                f" {self.max_megapixels:g} (limits.max_megapixels)"
            )
        refuse_hdr(facts, self.reading.tonemap, chunk.unit.source)
        if work.preview_s is None:
            segments = cut_segments(index, work.segment_s, MOST_BYTES, work.context_frames)
            found = IndexedFilm(facts, segments)
        else:
            found = IndexedFilm(facts, (), whole=index)
        return replace(
            chunk,
            index=found,
            warnings=(*chunk.warnings, *facts.warnings, *colour_warnings(facts)),
        )

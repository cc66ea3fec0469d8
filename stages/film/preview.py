"""A preview of a film: the few seconds of it where the most faces are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Kind
from restore_batch.stages.base import Resources, Stage
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.film.index import MOST_BYTES
from restore_batch.stages.film.source import read_frame
from restore_batch.stages.film.work import IndexedFilm, IndexWork, Reading
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.segments import cut_segments

_LOOKS = 24
"""Frames in which faces are looked for, spread over the film."""


class Preview(Stage):
    """Keep of an indexed film only the stretch around its densest faces.

    ``detect``: opened by the same worker; without one the middle of the film is taken. In: chunks
    with the index of a whole film. Out: the same with the segments of the stretch.
    """

    name: ClassVar[str] = "preview"
    needs: ClassVar[Resources] = Resources(cpus=1.0, memory_mb=300)
    reads: ClassVar[frozenset[str]] = frozenset({"index"})
    writes: ClassVar[frozenset[str]] = frozenset({"index"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"index"})

    def __init__(self, detect: Detect | None, reading: Reading = Reading()) -> None:  # noqa: B008
        self.detect = detect
        self.reading = reading

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._preview)

    def _preview(self, chunk: Chunk) -> Chunk:
        work: IndexWork = chunk.unit.payload
        film: IndexedFilm = chunk.index
        whole = film.whole
        if whole is None or work.preview_s is None:
            raise TypeError("a preview needs the index of the whole film")
        span = self.stretch(chunk.unit.source, whole, work.preview_s)
        segments = cut_segments(whole, work.segment_s, MOST_BYTES, work.context_frames, span=span)
        return replace(chunk, index=IndexedFilm(film.facts, segments))

    def stretch(self, source: str, whole: VideoIndex, preview_s: float) -> range:
        """The frames of the preview of so many seconds."""
        places = np.unique(np.linspace(0, whole.count - 1, _LOOKS + 2).astype(int)[1:-1])
        counts = [self._faces(source, whole, int(place)) for place in places]
        length = preview_s / float(whole.facts.time_base_s)
        return densest(whole, [int(place) for place in places], counts, length)

    def _faces(self, source: str, whole: VideoIndex, place: int) -> float:
        """Faces of one frame, large ones counting a little more; 0 where it cannot be read."""
        if self.detect is None:
            return 0.0
        try:
            frame = read_frame(source, whole, place, self.reading)
        except MediaError:
            return 0.0
        (faces,) = self.detect.find([frame])
        side = float(min(whole.facts.width, whole.facts.height))
        return sum(1.0 + min(1.0, face.side_px / side) for face in faces)


def densest(
    whole: VideoIndex, places: Sequence[int], counts: Sequence[float], length: float
) -> range:
    """The frames of ``length`` (in the time base) around the place with the highest count.

    ``places``: numbers of frames that were looked at. Of equal ones the middle one is taken.
    """
    best = [place for place, count in zip(places, counts, strict=True) if count == max(counts)]
    middle = whole.pts[best[len(best) // 2]]
    start = max(int(whole.pts[0]), int(middle - length / 2))
    first = int(np.searchsorted(whole.pts, start))
    stop = int(np.searchsorted(whole.pts, start + length))
    return range(first, max(first + 1, stop))

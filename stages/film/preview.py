"""A preview of a film: the few seconds of it where the most faces are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.jobs.units import FilmIndex, Unit
from restore_batch.models.base import ModelRef
from restore_batch.stages.base import Pool, Role, Stage, WorkerContext
from restore_batch.stages.film.chain import FaceSearchError, FrameChain
from restore_batch.stages.film.index import MOST_BYTES
from restore_batch.stages.film.repaired import context_frames
from restore_batch.stages.film.source import read_frame
from restore_batch.stages.film.work import Deinterlace, IndexedFilm, Reading, ToneMap
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.repair.repair import Scratches
from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.segments import cut_segments

_LOOKS = 24
"""Frames in which faces are looked for, spread over the film."""


class Preview(Stage):
    """Keep of an indexed film only the stretch around its densest faces.

    In: chunks with the index of a whole film. Out: the same with the segments of the stretch, of
    ``preview_s`` seconds; the middle of the film without a ``detector``. The other options: those
    of :class:`IndexFilm` and :class:`Reading`.
    """

    name: ClassVar[str] = "preview"
    after: ClassVar[str] = "index"
    reads: ClassVar[frozenset[str]] = frozenset({"index"})
    writes: ClassVar[frozenset[str]] = frozenset({"index"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({FilmIndex})
    of_frames: ClassVar[bool] = False
    reads_source = "parts"
    pool: ClassVar[Pool] = "films"
    takes: ClassVar[Mapping[str, str]] = {
        "preview_s": "video.preview_s",
        "segment_s": "video.segment_s",
        "steady": "video.steady",
        "deinterlace": "video.deinterlace",
        "tonemap": "video.tonemap",
        "repair": "repair.scratches",
    }
    added: ClassVar[Mapping[str, object]] = {"repair": "off"}
    networks: ClassVar[Mapping[str, Role]] = {"detector": "detect"}

    def __init__(
        self,
        preview_s: float | None,
        *,
        segment_s: float = 4.0,
        steady: bool = True,
        deinterlace: Deinterlace = "auto",
        tonemap: ToneMap | None = None,
        repair: Scratches = "off",
        detector: ModelRef | None = None,
    ) -> None:
        self.preview_s = preview_s
        self.segment_s = segment_s
        self.context_frames = context_frames(steady=steady, repairs=repair == "auto")
        self.reading = Reading(deinterlace, tonemap)
        self.finds_faces = detector is not None
        self._stages: FrameChain | None = None

    @property
    def is_idle(self) -> bool:
        """Whether whole films are wanted."""
        return self.preview_s is None

    def open(self, worker: WorkerContext) -> None:
        """Take the stages that find faces."""
        if self.finds_faces:
            self._stages = FrameChain.of(worker.frame_stages)

    def close(self) -> None:
        """Let them go."""
        self._stages = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._preview)

    def _preview(self, chunk: Chunk) -> Chunk:
        film: IndexedFilm = chunk.index
        whole = film.whole
        if whole is None:
            raise TypeError("a preview needs the index of the whole film")
        span = self.stretch(chunk.unit, whole)
        segments = cut_segments(whole, self.segment_s, MOST_BYTES, self.context_frames, span=span)
        return replace(chunk, index=IndexedFilm(film.facts, film.format, segments))

    def stretch(self, unit: Unit, whole: VideoIndex) -> range:
        """The frames of the preview of the film that ``unit`` is about."""
        if self.preview_s is None:
            return range(whole.count)
        places = np.unique(np.linspace(0, whole.count - 1, _LOOKS + 2).astype(int)[1:-1])
        counts = [self._faces(unit, whole, int(place)) for place in places]
        length = self.preview_s / float(whole.facts.time_base_s)
        return densest(whole, [int(place) for place in places], counts, length)

    def _faces(self, unit: Unit, whole: VideoIndex, place: int) -> float:
        """Faces of one frame, large ones counting a little more; 0 where it cannot be read."""
        if self._stages is None:
            return 0.0
        try:
            frame = read_frame(unit.source, whole, place, self.reading)
            _, faces = self._stages.faces_of(Chunk(unit, (frame,)))
        except (MediaError, FaceSearchError):
            return 0.0
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

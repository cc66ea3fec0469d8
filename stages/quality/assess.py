"""Look at a photo before and after: two stages, since what lies between may change its frame."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from restore_batch.stages.base import Cost, Pool, Stage
from restore_batch.stages.media import Chunk, Failure, QualityRecord
from restore_batch.stages.quality.figures import figures_of

_COST = Cost(picture_s=0.05)


class Assess(Stage):
    """Figures of the original.

    In:  chunks with the frame that was decoded. Out: ``quality``, a record without what is after.
    """

    name: ClassVar[str] = "assess"
    after: ClassVar[str] = "decode"
    reads: ClassVar[frozenset[str]] = frozenset({"frames"})
    writes: ClassVar[frozenset[str]] = frozenset({"quality"})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "io"
    cost: ClassVar[Cost] = _COST
    of_results: ClassVar[bool] = False

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._assess)

    def _assess(self, chunk: Chunk) -> Chunk:
        found = []
        for frame in chunk.frames:
            size = frame.width, frame.height
            found.append(QualityRecord(size, figures_of(frame, size)))
        return replace(chunk, quality=tuple(found))


class Reassess(Stage):
    """Figures of the result, at the size of the original.

    In:  chunks with the finished picture and the record of the original. Out: that record, whole.
    """

    name: ClassVar[str] = "reassess"
    after: ClassVar[str] = "paste"
    reads: ClassVar[frozenset[str]] = frozenset({"pasted", "quality"})
    writes: ClassVar[frozenset[str]] = frozenset({"quality"})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "pictures"
    cost: ClassVar[Cost] = _COST
    of_results: ClassVar[bool] = False

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._reassess)

    def _reassess(self, chunk: Chunk) -> Chunk:
        if not chunk.quality:
            return chunk
        whole = tuple(
            replace(record, after=figures_of(frame, record.size))
            for record, frame in zip(chunk.quality, chunk.pasted, strict=True)
        )
        return replace(chunk, quality=whole)

"""How fast a film is restored, measured: a few of its frames really are.

Better than the sum of its networks where it can be had, because it holds what that sum can only
guess at: how many faces a frame has, how many candidates the detector finds, what decoding,
following, pasting and encoding take. It is one more :class:`~restore_batch.models.speed.Speed`,
taken with the same watch, of the whole chain instead of one network; it is not recorded, as
it holds for this film and these options only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

from restore_batch.errors import MediaError, RestoreBatchError
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.units import Segment
from restore_batch.models.speed import Speed, timed
from restore_batch.pipeline.plan.films import index_stage
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.base import Stage, WorkerContext
from restore_batch.stages.chain import OpenedStages
from restore_batch.stages.film.index import MOST_BYTES, IndexFilm
from restore_batch.stages.film.source import index_film
from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.video.format import resolve_format
from restore_batch.stages.video.segments import cut_segments

_FRAMES = 4
_BOUNDS = Bounds(time_s=3600.0)
"""A long film is read from end to end first."""


def film_speed(plan: Plan, items: Sequence[Item]) -> Speed:
    """Seconds a megapixel that films take one worker, from frames of the longest of ``items``.

    Loads the models and restores some frames a few times, in a process of its own. Raises
    MediaError where they cannot be.
    """
    longest = max(items, key=lambda item: item.frames)
    source = longest.source.source
    group = next(group for group in plan.groups if Segment in group.kinds)
    measure = _Measure(index_stage(plan.job), group.stages, plan.context)
    with Isolated(measure, _BOUNDS) as measuring:
        (answer,) = measuring.answers([(source, longest.megapixels)])
    if isinstance(answer, Lost):
        raise MediaError(f"{source}: measuring it {answer.reason}")
    if isinstance(answer, str):
        raise MediaError(answer)
    return Speed(**answer)


@dataclass(frozen=True)
class _Measure:
    """The speed of ``stages`` on a film; ``index`` cuts it."""

    index: IndexFilm
    stages: tuple[Stage, ...]
    context: WorkerContext

    def open(self) -> None:
        """Nothing: there is one call."""

    def __call__(self, film: tuple[str, float]) -> dict[str, Any] | str:
        """The fields of the Speed on a film, a path and the megapixels of a frame, or why there is
        none."""
        source, frame_megapixels = film
        with tempfile.TemporaryDirectory() as folder:
            try:
                unit = self._sample(source, folder)
                opened = OpenedStages(self.stages, self.context)
                attempts = count(1)

                def restore() -> None:
                    (reply,) = opened.process([Chunk(replace(unit, attempt=next(attempts)))])
                    if isinstance(reply, Failure):
                        raise MediaError(reply.message)

                megapixels = unit.work.frames.own_count * frame_megapixels
                return asdict(timed(restore, megapixels, "megapixel", self.context.runtime))
            except RestoreBatchError as error:
                return str(error)

    def _sample(self, source: str, folder: str) -> Segment[SegmentWork]:
        """A segment of a few frames from the middle of a film."""
        index = index_film(source, self.index.frame_rate)
        middle = max(0, index.count // 2 - _FRAMES // 2)
        span = range(middle, min(index.count, middle + _FRAMES))
        (frames, *_) = cut_segments(index, 600.0, MOST_BYTES, 0, span=span)
        format_, _ = resolve_format(self.index.wish, index.facts, self.index.scale, source)
        return Segment(
            id="calibration",
            source=source,
            output="calibration.part",
            staging_dir=folder,
            work=SegmentWork(index.facts, frames, format_),
        )

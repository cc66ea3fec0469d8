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
from dataclasses import replace
from itertools import count

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Segment
from restore_batch.models.speed import Speed, timed
from restore_batch.pipeline.plan.films import index_stage
from restore_batch.pipeline.plan.plan import Item, Plan
from restore_batch.stages.chain import OpenedStages
from restore_batch.stages.film.index import MOST_BYTES
from restore_batch.stages.film.source import index_film
from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.video.format import resolve_format
from restore_batch.stages.video.segments import cut_segments

_FRAMES = 4


def film_speed(plan: Plan, items: Sequence[Item]) -> Speed:
    """Seconds a megapixel that films take one worker, from frames of the longest of ``items``.

    Loads the models and restores some frames a few times. Raises MediaError where they cannot be.
    """
    longest = max(items, key=lambda item: item.frames)
    with tempfile.TemporaryDirectory() as folder:
        unit = _sample(plan, longest, folder)
        group = next(group for group in plan.groups if Segment in group.kinds)
        opened = OpenedStages(group.stages, plan.context)
        attempts = count(1)

        def restore() -> None:
            (reply,) = opened.process([Chunk(replace(unit, attempt=next(attempts)))])
            if isinstance(reply, Failure):
                raise MediaError(reply.message)

        megapixels = unit.work.frames.own_count * longest.megapixels
        try:
            return timed(restore, megapixels, "megapixel", plan.share.runtime)
        finally:
            opened.close()


def _sample(plan: Plan, item: Item, folder: str) -> Segment[SegmentWork]:
    """A segment of a few frames from the middle of a film."""
    source, stage = item.source.source, index_stage(plan.job)
    index = index_film(source, stage.frame_rate)
    middle = max(0, index.count // 2 - _FRAMES // 2)
    span = range(middle, min(index.count, middle + _FRAMES))
    (frames, *_) = cut_segments(index, 600.0, MOST_BYTES, 0, span=span)
    format_, _ = resolve_format(stage.wish, index.facts, stage.scale, source)
    return Segment(
        id="calibration",
        source=source,
        output="calibration.part",
        staging_dir=folder,
        work=SegmentWork(index.facts, frames, format_),
    )

"""How long a film will take, measured: a few of its frames are really restored."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Segment
from restore_batch.pipeline.engine.worker import GroupWorker
from restore_batch.pipeline.plan.films import index_stage
from restore_batch.pipeline.plan.plan import Item, Plan
from restore_batch.stages.film.index import MOST_BYTES
from restore_batch.stages.film.source import index_film
from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.video.format import resolve_format
from restore_batch.stages.video.segments import cut_segments

_FRAMES = 4
"""Restored once to warm up, and once for the watch."""


def film_seconds(plan: Plan, items: Sequence[Item]) -> float:
    """Seconds that all films of a plan will take on its workers, from frames of the longest one.

    Loads the models and restores some frames twice. Raises MediaError where they cannot be.
    """
    longest = max(items, key=lambda item: item.frames)
    with tempfile.TemporaryDirectory() as folder:
        unit = _sample(plan, longest, folder)
        group = next(group for group in plan.groups if Segment in group.kinds)
        worker = GroupWorker(group, plan.context)
        try:
            for attempt in (1, 2):
                began = time.perf_counter()
                (reply,) = worker.process([Chunk(replace(unit, attempt=attempt))])
                spent = time.perf_counter() - began
                if isinstance(reply, Failure):
                    raise MediaError(reply.message)
        finally:
            worker.close()
    frames = unit.work.frames.own_count
    megapixels = sum(item.frames * item.megapixels for item in items)
    return spent / (frames * longest.megapixels) * megapixels / group.workers


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

"""How long an attempt at a unit may take.

What a job says holds for what it restores, a photo or a segment. An original as a whole, whose
content is compared or which is a film to be indexed or joined, may be a thousand times as large:
its time goes by its size, as that of all does where the job does not say.

So long that only what hangs is ended: the work as the estimate counts it, but of a picture full of
faces on a slow machine, several times over. Measuring this machine would not make it much truer.
"""

from __future__ import annotations

from collections.abc import Callable

from restore_batch.jobs.units import (
    FilmContent,
    FilmIndex,
    Join,
    Photo,
    PhotoContent,
    Segment,
    Unit,
)
from restore_batch.models.base import Card
from restore_batch.pipeline.plan.estimate import Amount, one_worker_s
from restore_batch.pipeline.plan.groups import FILMS, PHOTOS
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.base import Stage

LEAST_S = 600.0
_TIMES = 5.0
_SLOW_CORE_FLOPS = 2e10
_SLOW_GPU_FLOPS = 2e12
_UNKNOWN_TFLOP = 100.0
"""Of a network that nobody has counted, a face or a megapixel: the dearest known has 36."""
_SLOW_BYTES_A_SECOND = 1e6
_FACES_A_PICTURE, _FACES_A_MEGAPIXEL = 10.0, 10.0
_FACES_A_FRAME = 2.0
"""Of a film, all in all, beside one a megapixel."""
_FRAME_MEGAPIXEL_S = 2.0
"""To read or write a frame of a film once more."""


def time_limits(plan: Plan) -> Callable[[Unit], float | None]:
    """Seconds that one attempt at a unit may take in one group; None: as long as it likes."""
    asked_s = plan.job.limits.timeout_s
    if asked_s in (0, "none"):
        return lambda unit: None
    frames = {item.output: item.frames for item in plan.items if item.is_film}
    by_kind: dict[type[Unit], Callable[[Unit], float]] = {
        Photo: lambda unit: _photo_s(plan, unit),
        Segment: lambda unit: _segment_s(plan, unit),
        FilmIndex: lambda unit: _film_s(unit, frames.get(unit.output, 1)),
        Join: lambda unit: _film_s(unit, frames.get(unit.output, 1)),
        PhotoContent: lambda unit: 0.0,
        FilmContent: lambda unit: 0.0,
    }

    def limit_s(unit: Unit) -> float | None:
        if asked_s != "auto" and isinstance(unit, Photo | Segment):
            return float(asked_s)
        reading_s = unit.size_bytes / _SLOW_BYTES_A_SECOND
        return LEAST_S + reading_s + _TIMES * by_kind[type(unit)](unit)

    return limit_s


def _photo_s(plan: Plan, photo: Unit) -> float:
    faces = _FACES_A_PICTURE + _FACES_A_MEGAPIXEL * photo.megapixels
    if plan.job.detect.max_faces is not None:
        faces = min(faces, plan.job.detect.max_faces)
    amount = Amount(1, photo.megapixels, faces)
    return _restoring_s(plan, lambda stage: amount if stage.works_on(PHOTOS) else _NOTHING)


def _segment_s(plan: Plan, segment: Unit) -> float:
    assert isinstance(segment, Segment)
    pictures = segment.work.frames.own_count
    faces = pictures * (_FACES_A_FRAME + segment.megapixels)
    amount = Amount(pictures, pictures * segment.megapixels, faces)
    return _restoring_s(plan, lambda stage: amount if stage.works_on(FILMS) else _NOTHING)


def _film_s(film: Unit, frames: int) -> float:
    """To find the frames of a film, or join its parts, in whatever form."""
    return _FRAME_MEGAPIXEL_S * frames * film.megapixels


_NOTHING = Amount(0, 0.0, 0.0)


def _restoring_s(plan: Plan, amount: Callable[[Stage], Amount]) -> float:
    runtime, threads = plan.share.runtime, plan.share.threads
    on_cpu = runtime.device == "cpu"
    flops = _SLOW_CORE_FLOPS * threads if on_cpu else _SLOW_GPU_FLOPS

    def pace_s(card: Card) -> float:
        return (card.tflop or _UNKNOWN_TFLOP) * 1e12 / flops

    return one_worker_s(plan, amount, pace_s) or 0.0

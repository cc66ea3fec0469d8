"""What a run will take, roughly: disk from the sizes of pictures and of the previews that a report
shows of them, time from the networks' speeds.

How fast a network is on this machine :mod:`restore_batch.models.speed` says, and how much it has to
do the stage that runs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from restore_batch.jobs.units import Segment
from restore_batch.models import speed
from restore_batch.models.base import Card
from restore_batch.models.speed import Source
from restore_batch.models.weights.cache import default_folder
from restore_batch.pipeline.plan.groups import FILMS, PHOTOS
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.base import Stage
from restore_batch.stages.film import clips
from restore_batch.stages.photo.formats.catalogue import of_suffix
from restore_batch.stages.previews import pictures

_FACE_MEGAPIXELS = 0.0092
"""Of a face, when an upscaler restores it."""
_FACES_A_PHOTO = 2.0
"""A frame of a film has one, all in all."""
_START_S = {"ray": 12.0, "local": 4.0}
_BYTES_A_FILM_PIXEL = {"ffv1": 1.2, "prores": 0.5}
"""Codecs that predict from frame to frame stay near 0.1 at the default quality."""


@dataclass(frozen=True)
class Estimate:
    """``seconds`` is None where a network's cost is not known. ``timing``: for each network, and
    for "films" where some of their frames were restored, how its share of the time is known.
    ``slower_s``: the same with the upscaler that was passed over for its cost, if there is one."""

    megapixels: float
    disk_bytes: int
    free_bytes: int
    seconds: float | None
    timing: Mapping[str, Source]
    slower_s: float | None = None


def estimate(plan: Plan, *, measure: bool = False) -> Estimate:
    """Rough figures for all items of a plan; faces are unknown before the run. Photos whose headers
    are not read are taken to be like the others.

    ``measure``: restore some frames of a film instead of guessing at all films' time. That
    needs the models; raises MediaError, WeightsError or LicenceError.
    """
    restored = [item for item in plan.items if not (item.error or item.unread)]
    films = [item for item in restored if item.is_film and item.facts]
    guessed = [item for item in restored if not (measure and item in films)]
    timing: dict[str, Source] = {}
    seconds = _seconds(plan, guessed, timing) if guessed else 0.0
    if measure and films:
        from restore_batch.pipeline.plan.calibrate import film_speed

        timing["films"] = "measured"
        megapixels = _amount(plan, films).megapixels
        measured = film_speed(plan, films).seconds * megapixels / _film_workers(plan)
        seconds = None if seconds is None else seconds + measured
    if seconds is not None and restored:
        seconds += _START_S[plan.job.engine.kind]
    background = plan.choices["background"]
    slower_s = None
    if background.too_slow is not None and restored:
        slower = replace(background, card=background.too_slow)
        with_slower = replace(plan, choices={**plan.choices, "background": slower})
        slower_s = _seconds(with_slower, restored, {})
    return Estimate(
        _amount(plan, restored).megapixels,
        round(_whole(plan, restored, lambda item: _disk_bytes(item, plan))),
        _free_bytes(plan.output_dir),
        seconds,
        timing,
        slower_s,
    )


def _disk_bytes(item: Item, plan: Plan) -> float:
    previews = _previews_bytes(item, plan) if plan.job.report and item.facts else 0.0
    return _output_bytes(item, plan) + previews


def _previews_bytes(item: Item, plan: Plan) -> float:
    before = int(item.facts["width"]), int(item.facts["height"])
    width, height = (round(side * plan.job.background.scale) for side in before)
    if item.is_film:
        return clips.rough_bytes(width, height, item.frames, item.facts["mean_fps"])
    faces = _FACES_A_PHOTO if plan.choices["detect"].card is not None else 0.0
    return pictures.rough_bytes(before, (width, height), faces)


def _output_bytes(item: Item, plan: Plan) -> int:
    wide = 2 if int(item.facts.get("bits", 8)) > 8 and plan.job.photos.bit_depth != 8 else 1
    pixels = item.megapixels * 1e6 * item.frames * plan.job.background.scale**2
    if item.is_film:
        codec = plan.job.video.codec
        wide = 2 if int(item.facts.get("bits", 8)) > 8 else 1
        copied = item.source.size_bytes if plan.job.video.audio == "copy" else 0
        return int(pixels * _BYTES_A_FILM_PIXEL.get(codec, 0.1) * wide) + copied // 4
    format = of_suffix(Path(item.output).suffix)  # None where the header could not be read
    return int(pixels * format.bytes_a_pixel * wide) if format else 0


def _film_workers(plan: Plan) -> int:
    return next(group.workers for group in plan.groups if Segment in group.kinds)


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _whole(plan: Plan, items: Sequence[Item], figure: Callable[[Item], float]) -> float:
    """The sum of a figure of ``items``, each photo counted for those that are like it."""
    of_films = sum(figure(item) for item in items if item.is_film)
    return of_films + plan.stands_for * sum(figure(i) for i in items if not i.is_film)


@dataclass(frozen=True)
class Amount:
    """How much there is to restore."""

    pictures: int
    megapixels: float
    faces: float


def _amount(plan: Plan, items: Sequence[Item]) -> Amount:
    whole = partial(_whole, plan, items)
    return Amount(
        round(whole(lambda item: item.frames)),
        whole(lambda item: item.megapixels * item.frames),
        whole(lambda item: item.frames if item.is_film else _FACES_A_PHOTO),
    )


def _seconds(plan: Plan, items: Sequence[Item], timing: dict[str, Source]) -> float | None:
    """What ``items`` take all workers together; notes in ``timing`` how that is known."""
    share = plan.share
    speeds = speed.read(Path(plan.job.weights.dir or default_folder()))

    def amount(stage: Stage) -> Amount:
        of_stage = [i for i in items if stage.works_on(FILMS if i.is_film else PHOTOS)]
        return _amount(plan, of_stage)

    def pace_s(card: Card) -> float | None:
        pace = speed.pace(card, share.runtime, share.threads, speeds)
        if pace is None:
            return None
        timing[card.name] = pace.source
        return pace.seconds

    spent_s = one_worker_s(plan, amount, pace_s)
    return None if spent_s is None else spent_s / share.workers


def one_worker_s(
    plan: Plan, amount: Callable[[Stage], Amount], pace_s: Callable[[Card], float | None]
) -> float | None:
    """Seconds that all stages of a plan take one worker.

    ``amount``: what a stage has to work on. ``pace_s``: seconds of a network a face or a megapixel;
    where it is None, so is the answer.
    """
    threads = plan.share.threads
    spent_s = 0.0
    for stage in {stage.name: stage for group in plan.groups for stage in group.stages}.values():
        of_stage, cost = amount(stage), stage.cost
        core_s = cost.picture_s * of_stage.pictures + cost.megapixel_s * of_stage.megapixels
        in_networks_s = 0.0
        for card, faces, megapixels in _network_work(stage, plan, of_stage):
            pace = pace_s(card)
            if pace is None:
                return None
            if card.per == "face":
                in_networks_s += pace * faces
            else:
                in_networks_s += pace * (megapixels + faces * _FACE_MEGAPIXELS)
        least_s = cost.least_megapixel_s * of_stage.megapixels / threads
        spent_s += max(in_networks_s, least_s) + core_s / threads
    return spent_s


def _network_work(stage: Stage, plan: Plan, amount: Amount) -> Iterator[tuple[Card, float, float]]:
    """(card, faces, megapixels) that each network of a stage works on."""
    finds_faces = plan.choices["detect"].card is not None
    for parameter, role in stage.networks.items():
        card = plan.choices[role].card
        faces = stage.cost.faces.get(parameter, 0.0) * amount.faces * finds_faces
        megapixels = stage.cost.megapixels.get(parameter, 0.0) * amount.megapixels
        if card is not None and (faces or megapixels):
            yield card, faces, megapixels

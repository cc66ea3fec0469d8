"""What a run will take, roughly: time from a measured speed, disk from the pictures' sizes."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restore_batch.models.base import Card
from restore_batch.pipeline.plan.plan import Item, Plan
from restore_batch.stages.photo.formats.catalogue import of_suffix

# TFLOP, counted on the networks: per megapixel of input for upscalers, per face for restorers.
_TFLOP_PER_MEGAPIXEL: Mapping[str, float] = {
    "realesrgan-x4plus": 35.9,
    "realesrgan-x4plus-anime": 9.6,
    "realesrgan-x2plus": 9.0,
    "realesr-general-x4v3": 2.42,
    "realesr-animevideov3": 1.24,
    "srgan-mmagic-x4": 5.1,
    "msrresnet-x4": 5.1,
    "srgan-generator-x2": 1.26,
    "srgan-generator-x4": 2.81,
    "srgan-generator-x8": 9.03,
}
_TFLOP_PER_FACE: Mapping[str, float] = {
    "compact": 0.007,
    "gfpgan": 0.27,
    "restoreformer": 0.68,
    "codeformer": 0.81,
    "glean": 1.1,
    "hifacegan": 1.4,
    "pulse": 60.0,
}
"""By family; a search of PULSE has 100 steps."""
_FACE_MEGAPIXELS = 0.0092
"""Of a face, when an upscaler restores it."""
_FACES_A_PHOTO = 2.0
"""A frame of a film has one, all in all."""
_GPU_FLOPS = 40e12
_SHARE_OF_PEAK = 0.8
"""What convolutions reach of the speed of a plain matrix product."""
_CPU_S_A_PICTURE, _CPU_S_A_MEGAPIXEL = 0.15, 0.6
"""Finding faces, pasting, decoding and encoding, on one core."""
_START_S = {"ray": 12.0, "local": 4.0}
_PRODUCTS = 5
_BYTES_A_FILM_PIXEL = {"ffv1": 1.2, "prores": 0.5}
"""Codecs that predict from frame to frame stay near 0.1 at the default quality."""


@dataclass(frozen=True)
class Estimate:
    """``seconds`` is None where a network's cost is not known."""

    megapixels: float
    disk_bytes: int
    free_bytes: int
    seconds: float | None


def estimate(plan: Plan, *, measure: bool = False) -> Estimate:
    """Rough figures for all items of a plan; faces are unknown before the run.

    ``measure``: restore some frames of a film instead of guessing at all films' time. That
    needs the models; raises MediaError, WeightsError or LicenceError.
    """
    films = [item for item in plan.items if item.is_film and item.facts]
    guessed = [item for item in plan.items if not (measure and item in films)]
    seconds = _seconds(plan, guessed) if guessed else 0.0
    if measure and films:
        from restore_batch.pipeline.plan.calibrate import film_seconds

        measured = film_seconds(plan, films)
        seconds = None if seconds is None else seconds + measured
    if seconds is not None and plan.items:
        seconds += _START_S[plan.job.engine.kind]
    return Estimate(
        sum(item.megapixels * item.frames for item in plan.items),
        sum(_output_bytes(item, plan) for item in plan.items),
        _free_bytes(plan.output_dir),
        seconds,
    )


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


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _seconds(plan: Plan, items: Sequence[Item]) -> float | None:
    pictures = sum(item.frames for item in items)
    megapixels = sum(item.megapixels * item.frames for item in items)
    faces = sum(item.frames if item.is_film else _FACES_A_PHOTO for item in items)
    tflop = 0.0
    background, restorer = plan.choices["background"].card, plan.choices["restore"].card
    if background is not None:
        cost = _TFLOP_PER_MEGAPIXEL.get(background.name)
        if cost is None:
            return None
        tflop += cost * megapixels
    if restorer is not None and plan.choices["detect"].card is not None:
        cost = _face_tflop(restorer)
        if cost is None:
            return None
        tflop += cost * faces
    share = plan.share
    on_gpu = share.runtime.device != "cpu"
    flops = _GPU_FLOPS * share.workers if on_gpu else _measured_flops() * _SHARE_OF_PEAK
    cpu_s = _CPU_S_A_PICTURE * pictures + _CPU_S_A_MEGAPIXEL * megapixels
    return tflop * 1e12 / flops + cpu_s / (share.workers * share.threads)


def _face_tflop(restorer: Card) -> float | None:
    if restorer.task == "restore":
        return _TFLOP_PER_FACE.get(restorer.family)
    cost = _TFLOP_PER_MEGAPIXEL.get(restorer.name)
    return None if cost is None else cost * _FACE_MEGAPIXELS


def _measured_flops() -> float:
    """Speed of a float32 matrix product on all cores: a fifth of a second well spent."""
    side = 1536
    a = np.ones((side, side), np.float32)
    fastest = math.inf
    for _ in range(_PRODUCTS):  # the best of some: other programs are at work too
        began = time.perf_counter()
        a @ a
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * side**3 / fastest

"""What a run will take, roughly: time from a measured speed, disk from the pictures' sizes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restore_batch.pipeline.plan import Item, Plan

# TFLOP, measured on the networks: per megapixel of input for upscalers, per face for restorers.
_TFLOP_PER_MEGAPIXEL: Mapping[str, float] = {
    "realesrgan-x4plus": 35.9,
    "realesrgan-x4plus-anime": 9.6,
    "realesrgan-x2plus": 9.0,
    "realesr-general-x4v3": 2.42,
    "realesr-animevideov3": 1.24,
}
_TFLOP_PER_FACE = {"restore": 0.40, "upscale": 35.9 * 0.0092}
_FACES_A_PHOTO = 2.0
"""A frame of a film has one, all in all."""
_GPU_FLOPS = 40e12
_SHARE_OF_PEAK = 0.5
"""Convolutions reach about half of what a plain matrix product does."""
_BYTES_A_PIXEL = {
    "jpeg": 0.6, "webp": 0.4, "avif": 0.3, "jpeg2000": 1.5, "heif": 0.3,
    "png": 2.2, "tiff": 2.6, "bmp": 3.0,
}  # fmt: skip

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
    seconds = _seconds(plan, guessed)
    if measure and films:
        from restore_batch.pipeline.calibrate import film_seconds

        seconds = (seconds or 0.0) + film_seconds(plan, films)
    return Estimate(
        sum(item.megapixels * item.frames for item in plan.items),
        sum(_output_bytes(item, plan) for item in plan.items),
        _free_bytes(plan.output_dir),
        seconds,
    )


def _output_bytes(item: Item, plan: Plan) -> int:
    suffix = Path(item.output).suffix.lower().lstrip(".")
    container = {"jpg": "jpeg", "tif": "tiff", "jp2": "jpeg2000", "heic": "heif"}.get(
        suffix, suffix
    )
    wide = 2 if int(item.facts.get("bits", 8)) > 8 and plan.job.photos.bit_depth != 8 else 1
    pixels = item.megapixels * 1e6 * item.frames * plan.job.background.scale**2
    if item.is_film:
        codec = plan.job.video.codec
        wide = 2 if int(item.facts.get("bits", 8)) > 8 else 1
        copied = item.source.size_bytes if plan.job.video.audio == "copy" else 0
        return int(pixels * _BYTES_A_FILM_PIXEL.get(codec, 0.1) * wide) + copied // 4
    return int(pixels * _BYTES_A_PIXEL.get(container, 2.2) * wide)


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _seconds(plan: Plan, items: Sequence[Item]) -> float | None:
    megapixels = sum(item.megapixels * item.frames for item in items)
    tflop = 0.0
    background, restorer = plan.choices["background"].card, plan.choices["restore"].card
    if background is not None:
        if background.name not in _TFLOP_PER_MEGAPIXEL:
            return None
        tflop += _TFLOP_PER_MEGAPIXEL[background.name] * megapixels
    if restorer is not None and plan.choices["detect"].card is not None:
        faces = sum(item.frames if item.is_film else _FACES_A_PHOTO for item in items)
        tflop += _TFLOP_PER_FACE[restorer.task] * faces
    on_gpu = plan.share.runtime.device != "cpu"
    flops = _GPU_FLOPS * plan.share.workers if on_gpu else _measured_flops() * _SHARE_OF_PEAK
    return tflop * 1e12 / flops + 0.2 * len(items)


def _measured_flops() -> float:
    """Speed of a float32 matrix product on all cores: a tenth of a second well spent."""
    side = 1536
    a = np.ones((side, side), np.float32)
    a @ a
    began = time.perf_counter()
    a @ a
    return 2 * side**3 / (time.perf_counter() - began)

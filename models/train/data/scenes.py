"""Pairs cut from whole pictures: a degraded crop at half the size, and what it was made from.

Crop i of a data set is a function of its seed and of i alone, as a pair of faces is
(:mod:`restore_batch.models.train.data.pairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from restore_batch.errors import UsageError
from restore_batch.models.train.data.degrade import Mixed, Span, blur_px, is_grey, jpeg
from restore_batch.models.train.data.pairs import Mixture, as_chw, in_turn

SceneDegradation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""A picture of any size, rgb_hwc uint8, and a source of chance to the same, degraded."""

Tone = Callable[[np.ndarray, np.random.Generator], np.ndarray]

_MARGIN_PX = 16
"""Of a degraded crop, cut off again by an amount that varies: JPEG's blocks begin anywhere, and
what degradations do at a border does not teach."""
_GRID_PX = 24
_FLAT_SHARE = 0.15
_SHRUNK_PROB = 0.35
_SMALLEST = 0.6


class ScenePairs(Dataset[tuple[torch.Tensor, ...]]):
    """Crops of ``crop_px`` from pictures that are read once and kept (3 bytes a pixel).

    With ``shrinks`` 2 a pair is (degraded, true, same): uint8 RGB, ``same`` at half the crop's
    size and ``degraded`` made of it; with 1 it is (degraded, true), both ``crop_px`` wide. Sharp
    places are taken more often than flat ones, turned and mirrored anyhow. ``degradations`` are
    taken with the probabilities beside them; ``tone`` changes all pictures of a pair. Every
    picture is used once before any is used again.

    Raises UsageError for pictures that cannot be read or are smaller than a crop.
    """

    def __init__(
        self,
        files: Sequence[Path],
        crop_px: int,
        degradations: Sequence[tuple[float, SceneDegradation]],
        seed: int,
        length: int,
        tone: Tone | None = None,
        shrinks: int = 1,
        augment: bool = True,
    ) -> None:
        if shrinks not in (1, 2) or crop_px % (8 * shrinks):
            raise UsageError(f"crop_px {crop_px}: expected a multiple of {8 * shrinks}")
        self.side_px = crop_px
        self.shrinks = shrinks
        self._cut_px = crop_px + _MARGIN_PX * shrinks
        self._scenes = [_Scene(read_scene(path), self._cut_px, path) for path in files]
        self._degradations = Mixture(degradations)
        self._seed = seed
        self._length = length
        self._tone = tone
        self._augment = augment

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        """Pair ``index``: (3, S, S) uint8 tensors, see the class."""
        return tuple(as_chw(picture) for picture in self.pair(index))

    def pair(self, index: int) -> tuple[np.ndarray, ...]:
        """Pair ``index`` as pictures, rgb_hwc uint8."""
        rng = np.random.default_rng([self._seed, index])
        true = in_turn(self._scenes, self._seed, index).crop(rng, self._augment)
        if self._tone is not None:
            true = self._tone(true, rng)
        same = halved(true, rng) if self.shrinks == 2 else true
        degraded = self._degradations.one(rng)(same, rng)
        y, x = (int(offset) for offset in rng.integers(0, _MARGIN_PX + 1, 2))
        side = self.side_px // self.shrinks
        degraded, same = (p[y : y + side, x : x + side] for p in (degraded, same))
        if self.shrinks == 1:
            return degraded, same
        wide = true[2 * y : 2 * y + self.side_px, 2 * x : 2 * x + self.side_px]
        return degraded, wide, same


class _Scene:
    """A picture, and where in it a crop may be cut."""

    def __init__(self, rgb_hwc: np.ndarray, cut_px: int, path: Path) -> None:
        height, width = rgb_hwc.shape[:2]
        if min(height, width) < cut_px:
            raise UsageError(f"{path}: {width}x{height} px; expected at least {cut_px} px a side")
        self._rgb_hwc = rgb_hwc
        self._cut_px = cut_px
        self._corners, self._until = _corners(rgb_hwc, cut_px)

    def crop(self, rng: np.random.Generator, augment: bool) -> np.ndarray:
        """A square of the side that was asked for, rgb_hwc uint8."""
        chosen = int(np.searchsorted(self._until, rng.random(), side="right"))
        y, x = self._corners[min(chosen, len(self._corners) - 1)] + rng.integers(0, _GRID_PX, 2)
        side = self._cut_px
        if augment and rng.random() < _SHRUNK_PROB:
            # Shrunk, it is as sharp as a picture can be.
            side = round(side / rng.uniform(_SMALLEST, 1.0))
        height, width = self._rgb_hwc.shape[:2]
        side = min(side, height, width)
        y, x = min(int(y), height - side), min(int(x), width - side)
        crop = self._rgb_hwc[y : y + side, x : x + side]
        if side != self._cut_px:
            crop = cv2.resize(crop, (self._cut_px, self._cut_px), interpolation=cv2.INTER_AREA)
        if augment:
            crop = np.rot90(crop, int(rng.integers(4)))
            crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        return np.ascontiguousarray(crop)


def _corners(rgb_hwc: np.ndarray, cut_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Upper left corners (y, x) of crops on a grid, and the probability up to each: in proportion
    to how much detail a crop has, but flat ones too, since skies must stay smooth."""
    luma = cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2GRAY)
    detail = np.abs(cv2.Laplacian(luma, cv2.CV_32F)).clip(0, 60)
    sums = cv2.integral(detail)
    height, width = luma.shape
    y, x = np.mgrid[0 : height - cut_px + 1 : _GRID_PX, 0 : width - cut_px + 1 : _GRID_PX]
    y, x = y.ravel(), x.ravel()
    score = sums[y + cut_px, x + cut_px] - sums[y, x + cut_px] - sums[y + cut_px, x] + sums[y, x]
    score = score / max(float(score.sum()), 1e-6)
    share = (1 - _FLAT_SHARE) * score + _FLAT_SHARE / len(score)
    return np.stack([y, x], axis=1), np.cumsum(share / share.sum())


def read_scene(path: Path) -> np.ndarray:
    """A picture, rgb_hwc uint8. Raises UsageError where it cannot be read."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise UsageError(f"{path}: cannot be read as a picture; remove it from the folder")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def read_scenes(files: Sequence[Path], least_px: int) -> list[np.ndarray]:
    """Pictures, rgb_hwc uint8. Raises UsageError where one cannot be read or has a shorter side."""
    scenes = [read_scene(path) for path in files]
    for path, scene in zip(files, scenes, strict=True):
        if min(scene.shape[:2]) < least_px:
            raise UsageError(f"{path}: expected at least {least_px} px a side; remove it")
    return scenes


def halved(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At half the size, rgb_hwc uint8: how a lens and a sensor would have had it from further off.

    By area, a little sharper (bicubic, stretched), or softer, since pictures at their own size
    are not all equally crisp.
    """
    kind, sigma_px = rng.random(), rng.uniform(0.3, 1.1)
    height, width = rgb_hwc.shape[:2]
    if kind < 0.25:
        taps = _BICUBIC_TAPS
        # The tap before the middle is the anchor: output i lies between pixels 2i and 2i + 1.
        filtered = cv2.sepFilter2D(
            rgb_hwc, cv2.CV_32F, taps, taps, anchor=(3, 3), borderType=cv2.BORDER_REFLECT
        )
        return np.clip(np.rint(filtered[::2, ::2]), 0, 255).astype(np.uint8)
    if kind > 0.7:
        rgb_hwc = cv2.GaussianBlur(rgb_hwc, (0, 0), sigma_px)
    return np.asarray(cv2.resize(rgb_hwc, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _bicubic_taps() -> np.ndarray:
    """Keys' cubic with a = -1/2, stretched by two: 8 taps for one output pixel."""
    distance = np.abs(np.arange(8) - 3.5) / 2
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = -0.5 * (((distance - 5) * distance + 8) * distance - 4)
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return (weights / weights.sum()).astype(np.float32)


_BICUBIC_TAPS = _bicubic_taps()


def clean(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as it is: what needs no restoring must come out as it went in."""
    return rgb_hwc


class SceneMixed:
    """GFP-GAN's mixed degradation on a picture of any size, its lengths in pixels of the picture.

    How strong blur and reduction may be is drawn for each picture first, from ``severity``, so
    that there are more slight ones than in the original, whose faces are all bad.
    """

    def __init__(self, ranges: Mixed, severity: Span = (0.1, 1.0)) -> None:
        self._ranges = ranges
        self._severity = severity

    def __call__(self, rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """rgb_hwc uint8 of any size to the same, degraded. A grey picture stays grey."""
        ranges, severity = self._ranges, rng.uniform(*self._severity)
        (low, high), (least, most) = ranges.blur_sigma_px, ranges.downsampling
        along, across = (low + severity * rng.random() * (high - low) for _ in range(2))
        turn = rng.uniform(0, np.pi)
        if rng.random() >= ranges.anisotropic_prob:
            across = along
        factor = least + severity * rng.random() * (most - least)
        noise_sigma, quality = rng.uniform(*ranges.noise_sigma), rng.uniform(*ranges.jpeg_quality)
        grey = is_grey(rgb_hwc)
        height, width = rgb_hwc.shape[:2]
        small_wh = (max(8, round(width / factor)), max(8, round(height / factor)))
        bad = _resized(blur_px(rgb_hwc, along, across, turn), small_wh)
        noise = rng.standard_normal((*bad.shape[:2], 1 if grey else 3), np.float32)
        bad = np.clip(np.rint(bad + noise_sigma * noise), 0, 255).astype(np.uint8)
        return _resized(jpeg(bad, round(quality), grey), (width, height))


def _resized(rgb_hwc: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    if size_wh == (rgb_hwc.shape[1], rgb_hwc.shape[0]):
        return rgb_hwc
    shrinks = size_wh[0] < rgb_hwc.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb_hwc, size_wh, interpolation=method))

"""Makes bad pictures of good ones: what training and evaluation restore from.

Lengths are pixels of a 512 px face, whatever the size at hand, so that a recipe means the same at
256 px. Chance comes only from the generator given. What a restorer must keep (the colours, the
tone of a print) changes in both pictures of a pair; what it must repair, in one.

Sources: blur, downsampling, noise, JPEG and colour jitter in that order and range: Wang et al.
2021 (GFP-GAN, arXiv:2101.04061), section 4.1, after Li et al. 2018 (GFRNet). The old print is ours:
what prints before 1960 look like after a scanner.
"""

from __future__ import annotations

import math
from typing import Annotated

import cv2
import numpy as np
from pydantic import AfterValidator, Field

from restore_batch.models.base import Options

REFERENCE_PX = 512


def _rises(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= span[0] <= span[1]:
        raise ValueError(f"expected two numbers from 0 on, the smaller one first, got {list(span)}")
    return span


def _up_to_100(span: tuple[float, float]) -> tuple[float, float]:
    if span[1] > 100:
        raise ValueError(f"expected qualities up to 100, got {list(span)}")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_rises)]
"""From the first to the second."""
Quality = Annotated[Span, AfterValidator(_up_to_100)]
Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=255)]


class Mixed(Options):
    """GFP-GAN's degradation, ``y = [(x * k) downsampled + n]_JPEG``, back to the crop's size.

    ``blur_sigma_px``, ``downsampling`` (a factor), ``noise_sigma`` (of 255) and ``jpeg_quality``
    are drawn evenly from their spans. The kernel is Gaussian, with probability
    ``anisotropic_prob`` an ellipse of any direction. Colour jitter shifts each channel of the bad
    picture by up to ``colour_jitter`` (of 255), with probability ``colour_jitter_prob``.
    """

    blur_sigma_px: Span = (0.2, 10.0)
    anisotropic_prob: Share = 0.5
    downsampling: Span = (1.0, 8.0)
    noise_sigma: Span = (0.0, 15.0)
    jpeg_quality: Quality = (60.0, 100.0)
    colour_jitter: Level = 20.0
    colour_jitter_prob: Share = 0.0

    def __call__(
        self, rgb_hwc: np.ndarray, rng: np.random.Generator, side_px: int | None = None
    ) -> np.ndarray:
        """A square picture, rgb_hwc uint8, degraded: rgb_hwc uint8 of ``side_px`` (None: its own).

        The same generator state gives the same damage at any size.
        """
        return resize(self.reduced(rgb_hwc, rng), side_px or len(rgb_hwc))

    def reduced(self, rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The degraded picture before it is enlarged again: as many pixels as the face had."""
        bad = blur(
            rgb_hwc,
            rng.uniform(*self.blur_sigma_px),
            rng.uniform(*self.blur_sigma_px) if rng.random() < self.anisotropic_prob else None,
            rng.uniform(0, math.pi),
        )
        bad = resize(bad, max(8, round(REFERENCE_PX / rng.uniform(*self.downsampling))))
        noise_sigma, quality = rng.uniform(*self.noise_sigma), rng.uniform(*self.jpeg_quality)
        jitter = rng.uniform(-self.colour_jitter, self.colour_jitter, 3)
        jitters = rng.random() < self.colour_jitter_prob
        grey = is_grey(bad)
        shape = bad.shape if not grey else (*bad.shape[:2], 1)
        noise = rng.standard_normal(shape, np.float32)
        bad = _stored(bad + noise_sigma * noise + (jitter if jitters else 0))
        return jpeg(bad, round(quality), grey and not jitters)


class OldPrint(Options):
    """A print and its scan: softness, a rough surface, grain or a printer's screen, wear.

    ``blur_sigma_px`` and ``downsampling`` as for :class:`Mixed`. ``contrast``: what is left of it,
    about the picture's mean. ``grain_sigma`` and ``paper_sigma`` (of 255): silver grain, strongest
    in the middle tones, and the paper's uneven surface. With ``halftone_prob`` a screen of dots
    ``halftone_pitch_px`` apart; with ``wear_prob`` up to ``scratches`` lines and ``specks`` of
    dust, each as bright as bare paper or dark.
    """

    blur_sigma_px: Span = (0.4, 4.0)
    downsampling: Span = (1.0, 5.0)
    contrast: Span = (0.85, 1.0)
    grain_sigma: Span = (0.0, 22.0)
    grain_size_px: Span = (0.8, 3.0)
    paper_sigma: Span = (0.0, 6.0)
    halftone_prob: Share = 0.15
    halftone_pitch_px: Span = (4.0, 9.0)
    wear_prob: Share = 0.4
    scratches: Annotated[int, Field(ge=0)] = 4
    specks: Annotated[int, Field(ge=0)] = 12
    jpeg_quality: Quality = (70.0, 100.0)

    def __call__(
        self, rgb_hwc: np.ndarray, rng: np.random.Generator, side_px: int | None = None
    ) -> np.ndarray:
        """As :meth:`Mixed.__call__`."""
        side_px = side_px or len(rgb_hwc)
        small_px = max(8, round(REFERENCE_PX / rng.uniform(*self.downsampling)))
        grey = is_grey(rgb_hwc)
        bad = resize(blur(rgb_hwc, rng.uniform(*self.blur_sigma_px)), small_px).astype(np.float32)
        mean = bad.mean((0, 1))
        bad = mean + (bad - mean) * rng.uniform(*self.contrast)
        bad += _paper(small_px, rng, rng.uniform(*self.paper_sigma))
        pitch_px = rng.uniform(*self.halftone_pitch_px)
        angle = rng.uniform(0, math.pi / 2)
        if rng.random() < self.halftone_prob:
            bad = halftone(bad, pitch_px, angle, strength=rng.uniform(0.3, 0.8))
        bad += grain(bad, rng, rng.uniform(*self.grain_sigma), rng.uniform(*self.grain_size_px))
        if rng.random() < self.wear_prob:
            bad = wear(bad, rng, self.scratches, self.specks)
        quality = rng.uniform(*self.jpeg_quality)
        return resize(jpeg(_stored(bad), round(quality), grey), side_px)


def blur(
    rgb_hwc: np.ndarray, sigma_px: float, across_px: float | None = None, angle: float = 0.0
) -> np.ndarray:
    """Gaussian blur of ``sigma_px`` (at 512 px), an ellipse where ``across_px`` differs."""
    unit = len(rgb_hwc) / REFERENCE_PX
    along, across = sigma_px * unit, (sigma_px if across_px is None else across_px) * unit
    return blur_px(rgb_hwc, along, None if across_px is None else across, angle)


def blur_px(
    rgb_hwc: np.ndarray, along_px: float, across_px: float | None, angle: float = 0.0
) -> np.ndarray:
    """Gaussian blur of a picture of any size, in its own pixels; None: round."""
    across = along_px if across_px is None else across_px
    radius = math.ceil(3 * max(along_px, across))
    if radius < 1:
        return rgb_hwc
    if across_px is None:
        size = 2 * radius + 1
        return cv2.GaussianBlur(rgb_hwc, (size, size), along_px, borderType=cv2.BORDER_REFLECT_101)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    u = x * math.cos(angle) + y * math.sin(angle)
    v = -x * math.sin(angle) + y * math.cos(angle)
    kernel = np.exp(-((u / max(along_px, 0.1)) ** 2 + (v / max(across, 0.1)) ** 2) / 2)
    return cv2.filter2D(rgb_hwc, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def resize(rgb_hwc: np.ndarray, side_px: int) -> np.ndarray:
    """To a square of ``side_px``: by area where it shrinks, else bilinear as in GFP-GAN."""
    if side_px == len(rgb_hwc):
        return rgb_hwc
    method = cv2.INTER_AREA if side_px < len(rgb_hwc) else cv2.INTER_LINEAR
    return cv2.resize(rgb_hwc, (side_px, side_px), interpolation=method)


def jpeg(rgb_hwc: np.ndarray, quality: int, grey: bool = False) -> np.ndarray:
    """Through baseline JPEG of that quality, ``grey`` with one channel; 100 is no JPEG at all."""
    if quality >= 100:
        return rgb_hwc
    picture = rgb_hwc[..., 1] if grey else cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2BGR)
    _, stream = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(stream, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV cannot read the JPEG that it wrote")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def is_grey(rgb_hwc: np.ndarray) -> bool:
    """Whether all three channels are the same."""
    return bool((rgb_hwc == rgb_hwc[..., :1]).all())


def grain(
    picture: np.ndarray, rng: np.random.Generator, sigma: float, size_px: float
) -> np.ndarray:
    """What silver grain adds to a float picture in [0, 255]: (H, W, 1), the same in all channels.

    Clumps of about ``size_px`` (at 512 px); strongest in the middle tones.
    """
    height, width = picture.shape[:2]
    noise = rng.standard_normal((height, width), np.float32)
    clump_px = size_px * height / REFERENCE_PX / 2
    if clump_px > 0.3:
        clumps = cv2.GaussianBlur(noise, (0, 0), clump_px)
        noise = (clumps / max(float(clumps.std()), 1e-6)).astype(np.float32)
    tone = np.clip(picture.mean(2) / 255, 0, 1)
    return (sigma * noise * (0.4 + 2.4 * tone * (1 - tone)))[..., None]


def _paper(side_px: int, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Unevenness a few hundredths of the face wide: (H, W, 1)."""
    coarse_px = int(rng.integers(12, 64))
    coarse = rng.standard_normal((coarse_px, coarse_px), np.float32)
    fine = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return (sigma * fine)[..., None]


def halftone(picture: np.ndarray, pitch_px: float, angle: float, strength: float) -> np.ndarray:
    """A float picture in [0, 255] behind a screen of round dots, blended by ``strength``.

    Dots are ``pitch_px`` (at 512 px) apart along ``angle`` (radians). The screen's threshold is
    soft, as ink on paper and a scanner's lens make it.
    """
    height, width = picture.shape[:2]
    frequency = 2 * math.pi / max(pitch_px * height / REFERENCE_PX, 2.0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = frequency * (x * math.cos(angle) + y * math.sin(angle))
    v = frequency * (-x * math.sin(angle) + y * math.cos(angle))
    screen = (np.cos(u) * np.cos(v))[..., None]
    tone = np.clip(picture / 255, 0, 1)
    dots = 255 / (1 + np.exp(-6 * (2 * tone - 1 + screen)))
    return picture + strength * (dots - picture) * 0.5


def wear(picture: np.ndarray, rng: np.random.Generator, scratches: int, specks: int) -> np.ndarray:
    """Up to ``scratches`` thin lines and ``specks`` of dust on a float picture in [0, 255]."""
    side = len(picture)
    unit = side / REFERENCE_PX
    worn = picture
    for light in (True, False):
        mask = np.zeros((side, side), np.uint8)
        for _ in range(int(rng.integers(0, scratches // 2 + 1))):
            start, end = rng.uniform(0, side, 2), rng.uniform(0, side, 2)
            points = np.linspace(start, end, 12) + rng.normal(0, 2 * unit, (12, 2))
            _line(mask, points, rng.uniform(0.6, 2.5) * unit, rng.uniform(0.3, 0.9))
        for _ in range(int(rng.integers(0, specks // 2 + 1))):
            at = rng.uniform(0, side, 2)
            _line(mask, np.stack([at, at]), rng.uniform(1.0, 4.0) * unit, rng.uniform(0.3, 0.9))
        depth = cv2.GaussianBlur(mask, (0, 0), max(0.5 * unit, 0.4))[..., None] / np.float32(255)
        paper = 235.0 if light else 25.0
        worn = worn + depth * (paper - worn)
    return worn


def _line(mask: np.ndarray, points_xy: np.ndarray, width_px: float, depth: float) -> None:
    # OpenCV draws whole pixels: thinner lines are fainter instead.
    fixed = np.rint(points_xy * 16).astype(np.int32)[None]
    thickness = max(1, round(width_px))
    value = round(255 * depth * min(1.0, width_px))
    cv2.polylines(mask, fixed, False, value, thickness, cv2.LINE_AA, 4)


def _stored(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(np.broadcast_to(picture, (*picture.shape[:2], 3))), 0, 255).astype(
        np.uint8
    )

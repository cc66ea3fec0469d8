"""The grain around a face: how strong, how coarse, in what colours, at which brightness.

Measured in *cells*, squares on a grid that lies over the picture and not over the face, in the
face and around it: flat ones count, those with edges or texture hardly. A cell's noise is the
median absolute deviation of what blurring takes away, so that specks, scratches and the edges of
JPEG blocks have no part in it, and a flat block of a JPEG says that nothing is there.

Sources: robust noise level, Donoho and Johnstone 1994 ("Ideal Spatial Adaptation by Wavelet
Shrinkage", section 4.2); noise as a function of brightness from flat places, Liu et al. 2006
("Noise Estimation from a Single Image", section 3).

All levels are grey levels of 8 bits, whatever the picture has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.before import Before
from restore_batch.stages.faces.masks import LUMA
from restore_batch.stages.geometry import (
    estimate_similarity,
    invert,
    scale_of,
    template,
    transform,
)

FINEST_SIGMA_PX = 0.8
"""Standard deviation of the blur that takes the finest band away; each next one is an octave."""
LEAST_LEVEL = 0.4
"""Weaker grain is none: rounding to whole levels alone makes 0.3."""

_BANDS = 3
_MOST_BANDS = 5
_CELL_PX = 8
_LEAST_RING_PX = 96
_MOST_CELLS = 400
_FEWEST_AT_MOST = 64
_FEWEST_CELLS = 6
_TILE_BUDGET_PX = 320_000
_MAD_TO_SIGMA = 1.4826
_HEAVIEST_TAIL = 1.8
"""Variance over its robust estimate: 1 for a normal distribution, 1.9 for Laplace's, which grain
comes near to after JPEG; more is no grain."""

_FLATTEST = 0.3
"""The quantile of slopes that counts as flat. In a face no place is without any."""
_LEAST_SLOPE = 0.1  # levels a pixel
_STEEP = 9.0
"""At this slope half of what went is taken for grain, at twice that a tenth."""
_MOST_UNEVEN = (0.6, 1.3)
_MOST_MISSING = 1.6
"""The grain of skin may be a quarter stronger than what is measured around it."""
_ANY_PX = 512
_KNOTS = np.linspace(0.0, 255.0, 18)
_ALIKE = 16.0  # levels: standard deviation within which cells are of one brightness
_PRIOR_CELLS = 0.7
_LEAST_VARIANCE = 1e-4

Window = Callable[[int, int, int, int], np.ndarray]
"""From left, top, width and height to that part of a picture, (height, width, C) in levels of 8
bits, uint8 or float32."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Squares of ``side`` pixels that lie in a picture with ``halo`` pixels around.

    ``corners_xy``: (N, 2) int, left and top of each without its halo.
    """

    corners_xy: np.ndarray
    side: int
    halo: int

    @property
    def tile_px(self) -> int:
        return self.side + 2 * self.halo

    def centres_xy(self) -> np.ndarray:
        """(N, 2) float64."""
        return self.corners_xy + (self.side - 1) / 2

    def some(self, chosen: np.ndarray) -> Cells:
        """Those of a boolean (N,)."""
        return Cells(self.corners_xy[chosen], self.side, self.halo)

    def stacked(self, window: Window) -> np.ndarray:
        """The cells with their halo, one beside the other: (T, N * T, C) float32."""
        tiles = [
            window(int(x) - self.halo, int(y) - self.halo, self.tile_px, self.tile_px)
            for x, y in self.corners_xy
        ]
        return np.concatenate(tiles, axis=1).astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Grain:
    """What was measured.

    ``level``: standard deviation of the brightness where most flat cells are. ``at``: the same
    for each brightness, (256,) float64. ``bands``: (K,) float64, of a noise with standard
    deviation 1 the variance of brightness in each octave, finest first. ``colours``: (K, C, C)
    float64, covariance of the channels in each for a variance of brightness of 1; C is 1 where
    all channels are equal.
    """

    level: float
    at: np.ndarray
    bands: np.ndarray
    colours: np.ndarray


def sigmas(bands: int) -> list[float]:
    """Standard deviations of the blurs between ``bands`` octaves and what is coarser, pixels."""
    return [FINEST_SIGMA_PX * 2**k for k in range(bands)]


def blurred(picture_hwc: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of the kernel that bands are told apart by; float32, same shape."""
    side = 2 * reach_px(sigma) + 1
    kernel = cv2.getGaussianKernel(side, sigma, cv2.CV_32F)
    done = cv2.sepFilter2D(picture_hwc, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    return np.asarray(done).reshape(picture_hwc.shape)


def brightness(picture_hwc: np.ndarray) -> np.ndarray:
    """(H, W) float32 of (H, W, 1 or 3) float32."""
    if picture_hwc.shape[2] == 1:
        return np.ascontiguousarray(picture_hwc[..., 0])
    # Not by a matrix product, whose last bit depends on the number of threads.
    return np.asarray(cv2.transform(picture_hwc, LUMA[None]))


def to_window(rgb_hwc: np.ndarray | Before) -> Window:
    """A picture in uint8 or uint16 as a :data:`Window`, for places inside it."""
    unit = np.float32(255 / np.iinfo(rgb_hwc.dtype).max)

    def window(left: int, top: int, width: int, height: int) -> np.ndarray:
        part = rgb_hwc[top : top + height, left : left + width]
        return part if unit == 1 else np.asarray(part * unit, dtype=np.float32)

    return window


def measure_grain(
    rgb_hwc: np.ndarray | Before,
    centre_xy: tuple[float, float],
    side_px: float,
    unit_px: float = 1.0,
) -> Grain | None:
    """The grain of ``rgb_hwc``, uint8 or uint16, in a square around a face and in the face.

    ``unit_px``: pixels here for a pixel of the original, 1 or more: grain was enlarged with it.
    None where there is none to speak of, or no room to measure it.
    """
    bands = min(_MOST_BANDS, _BANDS + int(np.ceil(np.log2(max(unit_px, 1.0)) - 0.01)))
    x, y = centre_xy
    half = max(side_px / 2, float(_LEAST_RING_PX * 2 ** (bands - _BANDS)))
    cells = cells_in(rgb_hwc.shape, (x - half, y - half, x + half, y + half), bands, 1.0)
    if len(cells.corners_xy) < _FEWEST_CELLS:
        return None
    window = to_window(rgb_hwc)
    tiles = cells.stacked(window)
    grey = bool((tiles == tiles[..., :1]).all())
    seen = look_at(tiles, cells, bands)
    flatness = _flatness(seen.slopes)
    at = _by_brightness(seen, flatness)
    level = float(np.sqrt(_weighted_median(seen.variance, flatness[None])[0]))
    if level < LEAST_LEVEL and at[_used(seen.brightness)].max() < LEAST_LEVEL:
        return None
    own = np.interp(seen.brightness, np.arange(256), at) ** 2
    relative = (seen.bands / own[:, None]).T
    shares = np.concatenate([_weighted_median(band, flatness[None]) for band in relative])
    colours = np.ones((bands, 1, 1)) if grey else _colours(tiles, cells, bands, flatness)
    return Grain(level, at, shares, colours)


def level_around(rgb_hwc: np.ndarray, face: Face) -> float:
    """How strong the grain around a face of a picture is; 0 where there is none to speak of."""
    matrix = invert(estimate_similarity(face.landmarks_xy, _ANY_PX))
    x, y = transform(matrix, template(_ANY_PX).mean(axis=0, keepdims=True))[0]
    grain = measure_grain(rgb_hwc, (float(x), float(y)), _ANY_PX * scale_of(matrix))
    return 0.0 if grain is None else grain.level


@dataclass(frozen=True, eq=False)
class Seen:
    """Of each cell: mean ``brightness`` (N,), rms slope of what is coarser than all bands (N,) in
    levels a pixel, robust ``variance`` of what is finer than the coarsest band (N,) and of each
    band (N, K)."""

    brightness: np.ndarray
    slopes: np.ndarray
    variance: np.ndarray
    bands: np.ndarray


def look_at(tiles: np.ndarray, cells: Cells, bands: int) -> Seen:
    """What the cells show; ``tiles`` as :meth:`Cells.stacked` returns them."""
    luma = brightness(tiles)
    levels = [luma, *(blurred(luma, sigma) for sigma in sigmas(bands))]
    coarse = _inner(levels[-1], cells)
    right, down = np.diff(coarse, axis=2), np.diff(coarse, axis=1)
    slopes = np.sqrt((right**2).mean(axis=(1, 2)) + (down**2).mean(axis=(1, 2)))
    each = [_variance(_inner(a - b, cells)) for a, b in pairwise(levels)]
    return Seen(
        coarse.mean(axis=(1, 2), dtype=np.float64),
        slopes.astype(np.float64),
        _variance(_inner(luma - levels[-2], cells)),
        np.stack(each, axis=1),
    )


@dataclass(frozen=True, eq=False)
class Missing:
    """What a restored face lacks of the grain.

    ``shares`` (K,): the fraction of variance missing per octave, from 0. ``at_cells`` (N,): the
    same over all octaves per cell; ``weights`` (N,): how far each cell is trusted.
    """

    shares: np.ndarray
    cells: Cells
    at_cells: np.ndarray
    weights: np.ndarray

    def unevenness(self, points_xy: np.ndarray, reach: float) -> np.ndarray:
        """By what the strength at (M, 2) places differs from that of the whole face: (M,) float32.

        ``reach``: standard deviation within which a cell has a say, in the pixels of the places.
        """
        if not len(self.at_cells):
            return np.ones(len(points_xy), np.float32)
        apart = points_xy[:, None] - self.cells.centres_xy()
        near = np.exp(-0.5 * (apart**2).sum(axis=2) / reach**2) * self.weights
        whole = max(float(_weighted_median(self.at_cells, self.weights[None])[0]), 0.0)
        here = np.maximum(_weighted_median(self.at_cells, near), 0.0)
        evidence = near.sum(axis=1) / self.weights.max()
        here = (evidence * here + _PRIOR_CELLS * whole) / (evidence + _PRIOR_CELLS)
        low, high = _MOST_UNEVEN
        uneven = np.sqrt(here / max(whole, _LEAST_VARIANCE)).clip(low, high)
        return uneven.astype(np.float32)


def missing_share(grain: Grain, cells: Cells, picture: Window, face: Window) -> Missing:
    """How much of the grain a restored face lacks.

    ``picture`` and ``face``: before and after, both as large as they are laid over each other;
    ``cells``: places wholly in the face. The difference of both is judged, so that what is drawn
    there has no part in it; where the restorer took more away than grain, it is not given back.
    """
    bands = len(grain.bands)
    if not len(cells.corners_xy):
        return Missing(np.ones(bands), cells, np.empty(0), np.empty(0))
    before = look_at(cells.stacked(picture), cells, bands)
    after = look_at(cells.stacked(face), cells, bands)
    weight = _flatness(before.slopes) * _flatness(after.slopes)
    due = np.maximum(np.interp(before.brightness, np.arange(256), grain.at) ** 2, _LEAST_VARIANCE)
    lacking = ((before.bands - after.bands) / (due[:, None] * grain.bands)).T
    middle = [_weighted_median(band, weight[None]) for band in lacking]
    # In a face of few pixels all is slope, and what went with the restoration is no grain.
    steepness = float((weight * before.slopes).sum() / weight.sum()) / _STEEP
    shares = np.clip(np.concatenate(middle), 0.0, _MOST_MISSING) / (1.0 + steepness**4)
    return Missing(shares, cells, (before.variance - after.variance) / due, weight)


def reach_px(sigma: float) -> int:
    return int(np.ceil(3 * sigma))


def _inner(stacked: np.ndarray, cells: Cells) -> np.ndarray:
    """(N, side, side) of (T, N * T), (N, side, side, C) of (T, N * T, C)."""
    tiles = stacked.reshape(cells.tile_px, -1, cells.tile_px, *stacked.shape[2:])
    inner = slice(cells.halo, cells.halo + cells.side)
    return np.moveaxis(tiles[inner, :, inner], 0, 1)


def _variance(values: np.ndarray) -> np.ndarray:
    """Robust variance of each of (N, side, side)."""
    flat = np.abs(values.reshape(len(values), -1))
    middle = flat.shape[1] // 2
    deviation = np.partition(flat, middle, axis=1)[:, middle].astype(np.float64)
    robust = (_MAD_TO_SIGMA * deviation) ** 2
    plain = np.square(flat, out=flat).mean(axis=1, dtype=np.float64)
    return np.maximum(np.minimum(plain, _HEAVIEST_TAIL * robust), _LEAST_VARIANCE)


def cells_in(
    shape: tuple[int, ...], box: tuple[float, float, float, float], bands: int, apart: float
) -> Cells:
    """Cells of a picture's grid within ``box`` (left, top, right, bottom), at most some hundreds.

    ``apart``: from one to the next, in sides of a cell; more where they would be too many.
    """
    octave = 2 ** (bands - _BANDS)
    side, halo = _CELL_PX * octave, reach_px(sigmas(bands)[-1])
    low = [max(float(halo), value) for value in box[:2]]
    high = [min(size - halo, b) for size, b in zip((shape[1], shape[0]), box[2:], strict=True)]
    most = min(_MOST_CELLS, max(_FEWEST_AT_MOST, _TILE_BUDGET_PX // (side + 2 * halo) ** 2))
    area = max(0.0, high[0] - low[0]) * max(0.0, high[1] - low[1])
    step = max(round(apart * side), 1)
    step *= max(1, int(np.ceil(np.sqrt(area / (most * step**2)))))
    x, y = (
        np.arange(-(-a // step) * step, b - side + 1, step, dtype=np.int64)
        for a, b in zip(low, high, strict=True)
    )
    return Cells(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), side, halo)


def _flatness(slopes: np.ndarray) -> np.ndarray:
    """How much a cell counts, (N,) in (0, 1]: by its slope, against those of the others."""
    flat = max(float(np.quantile(slopes, _FLATTEST)), _LEAST_SLOPE)
    return np.asarray(1.0 / (1.0 + (slopes / flat) ** 2) ** 2)


def _used(brightness: np.ndarray) -> slice:
    return slice(int(brightness.min()), int(brightness.max()) + 1)


def _by_brightness(seen: Seen, flatness: np.ndarray) -> np.ndarray:
    """Standard deviation at each brightness, (256,): the median of the cells that are alike, and
    where few are, of all."""
    near = np.exp(-0.5 * ((_KNOTS[:, None] - seen.brightness) / _ALIKE) ** 2)
    weight = near * flatness
    medians = np.log(_weighted_median(seen.variance, weight))
    overall = np.log(_weighted_median(seen.variance, flatness[None]))
    evidence = weight.sum(axis=1)
    logs = (evidence * medians + _PRIOR_CELLS * overall) / (evidence + _PRIOR_CELLS)
    return np.asarray(np.interp(np.arange(256), _KNOTS, np.exp(logs / 2)))


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The medians of ``values`` (N,) under each row of ``weights`` (M, N): (M,)."""
    order = np.argsort(values, kind="stable")
    heavy = np.cumsum(weights[:, order], axis=1)
    at = (heavy >= heavy[:, -1:] / 2).argmax(axis=1)
    return np.asarray(values[order][at])


def _colours(tiles: np.ndarray, cells: Cells, bands: int, flatness: np.ndarray) -> np.ndarray:
    """Covariance of R, G and B in each band over the flattest cells, brightness 1."""
    chosen = flatness >= np.quantile(flatness, 0.75)
    apart = tiles.reshape(cells.tile_px, len(chosen), cells.tile_px, 3)
    rgb = apart[:, chosen].reshape(cells.tile_px, -1, 3)
    finer, found = rgb, np.empty((bands, 3, 3))
    for k, sigma in enumerate(sigmas(bands)):
        coarser = blurred(rgb, sigma)
        band = _inner(finer - coarser, cells)
        each = band.reshape(len(band), -1, 3).astype(np.float64)
        of_cells = np.einsum("npi,npj->nij", each, each) / each.shape[1]
        # By the middle cell: one with an edge or a speck in it shows the colours of that.
        luma = max(float(np.median(LUMA @ of_cells @ LUMA)), _LEAST_VARIANCE)
        found[k] = np.median(of_cells, axis=0) / luma
        finer = coarser
    return found

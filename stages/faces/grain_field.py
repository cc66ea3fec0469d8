"""Grain made anew: random, but as strong, coarse and coloured as what was measured.

White noise, seeded, is split into the octaves in which :mod:`restore_batch.stages.faces.grain`
measures, each is brought to the measured covariance of the channels, and their sum is scaled by
what the brightness of each place calls for. A field without period or seam: any part of it can be
asked for, rows from the top on.

Source: film grain as filtered white noise whose variance follows the brightness, as in Yan and
Chen 1997, "Signal-Dependent Film Grain Noise Removal and Generation"; gains of overlapping bands
by iterative proportional fitting, Deming and Stephan 1940.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from restore_batch.stages.faces.grain import Grain, blurred, brightness, reach_px, sigmas

BLOCK_ROWS = 64
_ROUNDS = 40
_FREQUENCIES = 128
_SHADE_SIGMA_PX = 2.0
_LEAST_ADDED = 1e-3


class GrainField:
    """Grain over the pixels of one face.

    ``missing``: (K,) from 0, the share of its variance that a restored face lacks in each octave:
    only that is made. ``strength``: by what the measured standard deviation is multiplied;
    ``uneven`` (M, M) float32: a further factor for each part of the face's square; None: uniform.
    ``seed``: any whole number from 0 on; the same seed makes the same grain.
    """

    def __init__(
        self,
        grain: Grain,
        missing: np.ndarray,
        seed: int,
        strength: float = 1.0,
        uneven: np.ndarray | None = None,
    ) -> None:
        self._at = (grain.at * strength).astype(np.float32)
        self._seed = seed
        self._uneven = uneven
        bands = len(grain.bands)
        self._sigmas = sigmas(bands)
        made = grain.bands * missing
        share = min(float(made.sum() / grain.bands.sum()), 1.0)
        self._kept = float(np.sqrt(1.0 - share))
        self._mixes = _mixes(_gains(made), grain.colours)
        self._blocks: dict[int, np.ndarray] = {}

    @property
    def is_nil(self) -> bool:
        """Whether there is nothing to add."""
        return 1.0 - self._kept**2 < _LEAST_ADDED

    def amplitude(self, face_hwc: np.ndarray) -> np.ndarray:
        """By what the field is to be multiplied where it lies on ``face_hwc``, (S, S, 1 or 3)
        float32 in [0, 255]: (S, S) float32."""
        shade = blurred(brightness(face_hwc), _SHADE_SIGMA_PX)
        levels = np.asarray(cv2.LUT(np.clip(np.rint(shade), 0, 255).astype(np.uint8), self._at))
        if self._uneven is not None:
            levels *= np.asarray(cv2.resize(self._uneven, levels.shape[::-1]))
        return levels

    def gain(self, weight: np.ndarray) -> np.ndarray:
        """What is to be added where the face has ``weight``, so that grain is as strong under the
        mask's soft edge as in the face and around it. Of the picture's own grain the part
        ``1 - weight * (1 - kept)`` is still there; variances add up."""
        gone = weight * np.float32(1.0 - self._kept)
        return np.asarray(np.sqrt(gone * (2.0 - gone) / np.float32(1.0 - self._kept**2)))

    def rows(self, top: int, bottom: int, width: int) -> np.ndarray:
        """Rows of the field, (bottom - top, width, C) float32, for an amplitude of 1. Rows before
        the block that ``top`` lies in cannot be asked for afterwards without being made again."""
        reach = reach_px(self._sigmas[-1])
        white = self._white(top - reach, bottom + reach, width)
        inner = slice(reach, reach + bottom - top), slice(reach, reach + width)
        total: np.ndarray | None = None
        for sigma, mix in zip((0.0, *self._sigmas), self._mixes, strict=True):
            level = (blurred(white, sigma) if sigma else white)[inner]
            part = np.asarray(cv2.transform(level, mix)).reshape(level.shape)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total

    def _white(self, top: int, bottom: int, width: int) -> np.ndarray:
        """White noise of ``width`` and as much to both sides as blurs reach."""
        first, last = top // BLOCK_ROWS, (bottom - 1) // BLOCK_ROWS
        across = width + 2 * reach_px(self._sigmas[-1])
        channels = self._mixes[0].shape[0]
        for number in list(self._blocks):
            if number < first:
                del self._blocks[number]
        for number in range(first, last + 1):
            if number not in self._blocks:
                # The field begins above its first row.
                rng = np.random.Generator(np.random.PCG64([self._seed, number + 1]))
                shape = (BLOCK_ROWS, across, channels)
                self._blocks[number] = rng.standard_normal(shape, dtype=np.float32)
        rows = np.concatenate([self._blocks[number] for number in range(first, last + 1)])
        begin = top - first * BLOCK_ROWS
        return rows[begin : begin + bottom - top]


def _mixes(gains: np.ndarray, colours: np.ndarray) -> list[np.ndarray]:
    """What white noise and each of its blurs, from the finest, are multiplied by: (C, C) float32.

    A band is the difference of two neighbouring blurs.
    """
    nil = np.zeros(colours.shape[1:])
    bands = [gain * _root(colour) for gain, colour in zip(gains, colours, strict=True)]
    return [
        (own - finer).astype(np.float32)
        for finer, own in zip([nil, *bands], [*bands, nil], strict=True)
    ]


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _gains(variances: np.ndarray) -> np.ndarray:
    """What the bands of white noise are multiplied by, so that their sum has ``variances`` (K,)
    in the bands: (K,). Bands overlap: each holds a part of its neighbours."""
    overlap = _overlaps(len(variances))
    gains = np.sqrt(variances / np.einsum("kkk->k", overlap))
    for _ in range(_ROUNDS):
        found = np.einsum("i,kij,j->k", gains, overlap, gains)
        gains *= np.sqrt(variances / np.maximum(found, 1e-12)).clip(0.5, 2.0)
    return np.asarray(gains)


@lru_cache(maxsize=8)
def _overlaps(bands: int) -> np.ndarray:
    """[k, i, j]: what the bands i and j of white noise have in common in band k, (K, K, K)."""
    lines = []
    for sigma in sigmas(bands):
        reach = reach_px(sigma)
        line = np.zeros(_FREQUENCIES)
        line[np.arange(-reach, reach + 1)] = cv2.getGaussianKernel(2 * reach + 1, sigma).ravel()
        lines.append(np.fft.fft(line).real)
    levels = [np.ones((_FREQUENCIES,) * 2), *(np.outer(line, line) for line in lines)]
    band = np.stack([a - b for a, b in pairwise(levels)])
    band = band.reshape(bands, -1)
    found = np.einsum("kf,if,jf->kij", band**2, band, band, optimize=True) / band.shape[1]
    found.flags.writeable = False
    return found

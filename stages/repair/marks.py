"""Marks: connected places that the damage network takes for damage, and what each looks like.

The network sees pixels. Whether a mark as a whole is damage shows in more than the network's
certainty: damage is opaque and of one tone, and differs from its surroundings by more than these
differ from each other; a leaf among leaves does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_EDGE_PX = 2.0
_RING_PX = 8.0
_SIGMA_PX = 4.0
_LEAST = 1e-3
"""Certainties nearer to 0 and to 1 are not told apart."""
_NO_TONE = 8.0
"""Levels from black or white within which a copy of a copy shows no tones any more."""
_OPAQUE = 0.22
_SPECK_PX, _EVEN, _APART, _ALONE = 60, 4.0, 3.0, -3.5
"""Of specks on even ground: the largest area, how far levels of what is around differ at most, by
how many times that a speck does at least, and the log odds of what is around at most."""
STRATA = ("specks on even ground", "all else")

FEATURES = (
    "greatest certainty",
    "mean certainty",
    "area",
    "standing out",
    "opacity",
    "unrest around",
    "width",
    "length over width",
    "unevenness",
    "certainty around",
    "colour",
    "lightness",
)
"""The columns of :attr:`Marks.features`. Certainties are log odds. Sizes (pixels), deviations and
differences (levels of 255) are logarithms, so that ratios are differences. Lightness is 1 for light
marks, -1 for dark ones; opacity is the share of the way from the surroundings to white or black."""


@dataclass(frozen=True, eq=False)
class Marks:
    """``number_hw``: (H, W) int32, 0 where there is no mark, else the number of it, from 1.
    ``features``: (N, 12) float64, a row a mark; see :data:`FEATURES`. ``lonely``: (N,) bool,
    whether it is light and lies in black that has no tones any more, or dark in such white: it may
    be all that is left of a thing, as the buttons of a black coat are."""

    number_hw: np.ndarray
    features: np.ndarray
    lonely: np.ndarray


def marks(rgb_hwc: np.ndarray, expected: np.ndarray, least: float) -> Marks:
    """The marks of a picture.

    ``rgb_hwc``: (H, W, 3) uint8. ``expected``: (H, W) float32 in [0, 1], how certain it is that a
    pixel is damage; those of at least ``least`` that touch, be it by a corner, are one mark.
    """
    inside = expected >= least
    count, number = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    if count < 2:
        none = np.zeros((0, len(FEATURES)))
        return Marks(number, none, np.zeros(0, bool))
    row, column = np.nonzero(inside)
    of = _Means(number[inside], count)
    away, nearest = _surroundings(inside, number)
    ring = (away > _EDGE_PX) & (away <= _RING_PX)
    about = _Means(nearest[ring], count)

    luma = cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2GRAY).astype(np.float32)
    colour = (rgb_hwc.max(axis=2) - rgb_hwc.min(axis=2)).astype(np.float32)
    sound = (away > _EDGE_PX).astype(np.float32)
    tone, tint = _means_around(luma, sound), _means_around(colour, sound)
    beside = luma - tone
    difference = of.mean(beside[inside])
    unevenness = np.sqrt(np.maximum(of.mean(beside[inside] ** 2) - difference**2, 0))
    unrest = np.sqrt(about.mean(beside[ring] ** 2))
    around = of.mean(tone[inside])
    room = np.maximum(np.where(difference > 0, 255 - around, around), 20)
    lonely = np.where(difference > 0, around, 255 - around) < _NO_TONE
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    odds = _log_odds(expected)
    different = np.abs(difference)
    features = np.stack(
        [
            of.greatest(odds[inside], -np.inf),
            of.mean(odds[inside]),
            np.log(np.maximum(of.size, 1)),
            np.log((different + 1) / (unrest + 2)),
            different / room,
            np.log(unrest + 2),
            np.log(np.maximum(of.greatest(depth[inside], 0), 0.5)),
            np.log(_stretch(row, column, of)),
            np.log((unevenness + 2) / (different + 2)),
            about.mean(odds[ring]),
            np.log((of.mean(colour[inside]) + 4) / (of.mean(tint[inside]) + 4)),
            np.sign(difference),
        ],
        axis=1,
    )
    return Marks(number, features[1:], lonely[1:])


def faint(features: np.ndarray) -> np.ndarray:
    """Which marks let most of what is behind them through, (N,) bool. Dust and lost emulsion hide
    it; cords, bolts and gaps between boards, which differ little from what is behind, do not."""
    return np.asarray(features[:, 4] < _OPAQUE)


def strata(features: np.ndarray) -> np.ndarray:
    """Which of :data:`STRATA` each mark is of, (N,) int."""
    area, apart, unrest, around = (features[:, column] for column in (2, 3, 5, 9))
    speck = (area <= np.log(_SPECK_PX)) & (around <= _ALONE)
    speck &= (unrest <= np.log(_EVEN + 2)) & (apart >= np.log(_APART))
    return np.where(speck, 0, 1)


class _Means:
    """Means and extremes of values by the mark that they belong to, ``count`` of each."""

    def __init__(self, owner: np.ndarray, count: int) -> None:
        self._owner, self._count = owner, count
        self.size = np.bincount(owner, minlength=count)

    def mean(self, values: np.ndarray) -> np.ndarray:
        total = np.bincount(self._owner, values, minlength=self._count)
        return np.asarray(total / np.maximum(self.size, 1))

    def greatest(self, values: np.ndarray, least: float) -> np.ndarray:
        most = np.full(self._count, least, np.float64)
        np.maximum.at(most, self._owner, values)
        return most

    def apart(self, values: np.ndarray) -> np.ndarray:
        """Each value less the mean of its mark."""
        return np.asarray(values - self.mean(values)[self._owner])


def _surroundings(inside: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel is from a mark, and the number of the nearest."""
    away, part = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    renumbered = np.zeros(int(part.max()) + 1, np.int32)
    renumbered[part[inside]] = number[inside]
    return away, renumbered[part]


def _means_around(values: np.ndarray, sound: np.ndarray) -> np.ndarray:
    total = cv2.GaussianBlur(values * sound, (0, 0), _SIGMA_PX)
    weight = cv2.GaussianBlur(sound, (0, 0), _SIGMA_PX)
    return np.asarray(total / np.maximum(weight, _LEAST))


def _log_odds(expected: np.ndarray) -> np.ndarray:
    p = np.clip(expected, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(p / (1 - p)))


def _stretch(row: np.ndarray, column: np.ndarray, of: _Means) -> np.ndarray:
    """Length over width of the ellipse that has the second moments of a mark."""
    x, y = of.apart(column), of.apart(row)
    own = 1 / 12  # of one pixel
    xx, yy, xy = of.mean(x * x) + own, of.mean(y * y) + own, of.mean(x * y)
    long = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.asarray(np.sqrt(long / np.maximum(xx + yy - long, own)))

"""How much speaks for a mark being damage.

A logistic regression (Cox 1958) on what a mark looks like, its squares and products. Fitted by
``benchmarks/marks.py`` on photographs, sound ones and such with drawn damage, for the weights
``damage-1``; other weights ask for other numbers.
"""

from __future__ import annotations

import numpy as np

_FARTHEST = 6.0
"""Deviations from the mean beyond which a mark is as odd as it can be."""
_NO_DOUBT, _APART = 5.3, float(np.log(5.0))
_THIN, _LONG = 1.25, float(np.log(4.0))
"""Log odds of the network, deviations of what is around, half the width and length over width of
scratches that have odds of at least one: so blatant ones are rare in what was fitted. Lights,
buttons and the rims of plates are as blatant, but broader or shorter."""

_OPAQUE, _FAINT_ODDS = 0.45, 0.5
"""Opacity below which a mark's odds are at most so much, blatant scratches apart: less than is sure
in any picture. Dust and lost emulsion hide what is behind them. On real scans the fainter ones that
had good odds were cords, bolts and a gap between boards; among many others they may be dust."""

# fmt: off
_MEAN = np.array(
    [
        0.400, -0.140, 2.309, 0.610, 0.329, 2.991, 0.461, 0.577, -1.108, -3.035, -0.025, 0.304,
    ]
)
_DEVIATION = np.array(
    [
        1.368, 0.670, 1.701, 1.027, 0.215, 0.794, 0.545, 0.538, 1.172, 0.996, 0.538, 0.952,
    ]
)
_WEIGHTS = np.array(
    [
        -2.900, -0.636, 1.459, 0.551, -0.295, -0.659, 0.091, 0.125, 0.294, -1.218, -0.186, -0.693,
        -0.117, 0.606, -1.084, -0.002, -0.301, 0.288, -0.657, -0.353, 0.114, -0.112, 0.236,
        -0.044, -0.315, 0.326, 0.120, 0.582, -0.328, 0.561, 0.393, -0.260, 0.249, -0.078, 0.060,
        0.376, 0.440, 0.638, -0.093, 0.496, -1.051, -0.365, 0.608, -0.359, 0.044, 0.452, -0.121,
        -0.237, 0.118, -0.331, 0.019, -0.770, 0.240, -0.493, -0.157, -0.370, -0.353, 0.404, 0.049,
        -0.798, -0.112, 0.187, 0.078, 0.105, -0.088, -0.130, -0.213, 0.287, -0.259, 0.159, 0.379,
        0.312, -0.035, 0.050, 0.185, -0.308, 0.036, -0.036, 0.129, -0.037, 0.012, -0.670, 0.059,
        -0.344, -0.093, -0.000, -0.133, -0.103, 0.031, 0.117, 0.078,
    ]
)
# fmt: on


def for_damage(features: np.ndarray) -> np.ndarray:
    """Log odds of being damage, (N,) float64, of marks that look so: (N, 12), see
    :data:`~restore_batch.stages.repair.marks.FEATURES`."""
    odds = with_products(even(features, _MEAN, _DEVIATION)) @ _WEIGHTS
    certain, width, length = features[:, 0], features[:, 6], features[:, 7]
    blatant = (certain >= _NO_DOUBT) & (features[:, 3] >= _APART)
    blatant &= (width <= _THIN) & (length >= _LONG)
    odds = np.where(features[:, 4] < _OPAQUE, np.minimum(odds, _FAINT_ODDS), odds)
    return np.where(blatant, np.maximum(odds, 1.0), odds)


def even(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Features, (N, K), as deviations from the mean."""
    return np.clip((features - mean) / deviation, -_FARTHEST, _FARTHEST)


def with_products(columns: np.ndarray) -> np.ndarray:
    """1, the columns of (N, K) and all products of two of them, squares too."""
    count, width = columns.shape
    products = [columns[:, [i]] * columns[:, i:] for i in range(width)]
    return np.concatenate([np.ones((count, 1)), columns, *products], axis=1)

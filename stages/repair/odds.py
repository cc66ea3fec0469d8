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

# fmt: off
_MEAN = np.array(
    [
        0.437, -0.112, 2.408, 0.638, 0.302, 2.876, 0.501, 0.574, -1.084, -2.995, -0.071, 0.262,
    ]
)
_DEVIATION = np.array(
    [
        1.424, 0.736, 1.687, 0.963, 0.174, 0.654, 0.560, 0.537, 1.078, 0.968, 0.404, 0.965,
    ]
)
_WEIGHTS = np.array(
    [
        -2.765, -0.602, 1.753, 0.562, 0.114, -0.265, 0.078, -0.150, 0.128, -0.741, -0.089, -0.441,
        -0.209, 0.281, -0.483, -0.202, 0.151, -0.031, -0.152, -0.055, 0.160, 0.088, 0.139, -0.016,
        -0.165, 0.082, 0.174, -0.051, 0.106, 0.238, -0.022, -0.242, 0.138, -0.185, 0.079, 0.335,
        0.372, 0.136, 0.210, 0.021, -0.670, -0.367, 0.482, 0.153, -0.150, 0.423, -0.111, -0.099,
        0.052, 0.240, -0.082, -0.619, 0.287, -0.599, -0.172, -0.266, -0.155, 0.110, 0.038, -0.748,
        0.111, 0.469, 0.006, 0.115, -0.018, -0.021, -0.206, 0.156, -0.238, 0.153, 0.184, 0.230,
        0.063, -0.155, 0.069, -0.277, 0.085, 0.043, -0.058, 0.072, -0.119, -0.606, 0.191, 0.016,
        -0.088, 0.038, -0.182, -0.109, 0.061, 0.134, 0.113,
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
    return np.where(blatant, np.maximum(odds, 1.0), odds)


def even(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Features, (N, K), as deviations from the mean."""
    return np.clip((features - mean) / deviation, -_FARTHEST, _FARTHEST)


def with_products(columns: np.ndarray) -> np.ndarray:
    """1, the columns of (N, K) and all products of two of them, squares too."""
    count, width = columns.shape
    products = [columns[:, [i]] * columns[:, i:] for i in range(width)]
    return np.concatenate([np.ones((count, 1)), columns, *products], axis=1)

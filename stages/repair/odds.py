"""How much speaks for a mark being damage.

A logistic regression (Cox 1958) on what a mark looks like, its squares and products. Fitted by
``benchmarks/marks.py`` on photographs, sound ones and such with drawn damage, for the weights
``damage-1``; other weights ask for other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FARTHEST = 2.0
"""Deviations from the mean beyond which a mark is as odd as it can be."""


@dataclass(frozen=True, eq=False)
class Judge:
    """A regression. ``mean``, ``deviation``: (12,), of the features it was fitted on; ``weights``:
    (91,), of 1, of each feature as deviations from the mean, and of all products of two."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray

    def odds(self, features: np.ndarray) -> np.ndarray:
        """Log odds of being damage, (N,) float64, of marks that look so: (N, 12), see
        :data:`~restore_batch.stages.repair.marks.FEATURES`."""
        columns = with_products(even(features, self.mean, self.deviation))
        return np.asarray(columns @ self.weights)


def even(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Features, (N, K), as deviations from the mean."""
    return np.clip((features - mean) / deviation, -_FARTHEST, _FARTHEST)


def with_products(columns: np.ndarray) -> np.ndarray:
    """1, the columns of (N, K) and all products of two of them, squares too."""
    count, width = columns.shape
    products = [columns[:, [i]] * columns[:, i:] for i in range(width)]
    return np.concatenate([np.ones((count, 1)), columns, *products], axis=1)


# fmt: off
JUDGE = Judge(
    mean=np.array(
        [
        -0.259, -0.832, 2.761, 0.621, 0.276, 2.812, 0.609, 0.655, -0.932, -3.498, -0.033, 0.324,
        ]
    ),
    deviation=np.array(
        [
        1.565, 0.829, 1.846, 1.034, 0.177, 0.733, 0.619, 0.609, 1.061, 0.946, 0.526, 0.946,
        ]
    ),
    weights=np.array(
        [
        -2.462, -0.069, 1.011, 0.304, -0.012, -0.248, 0.417, 0.133, -0.187, -0.399, -0.440,
        -0.559, -0.027, 0.006, -0.575, -0.165, 0.507, -0.430, 0.257, 0.533, 0.076, 0.136, 0.223,
        -0.204, 0.051, 0.561, -0.038, -0.480, 0.459, -0.495, -0.071, -0.035, 0.158, 0.076, 0.342,
        0.145, -0.110, 0.264, -0.438, -0.206, -0.238, -0.038, 0.265, -0.059, 0.046, -0.167, 0.083,
        0.096, -0.041, 0.073, -0.087, -0.294, 0.068, -0.347, -0.029, -0.247, 0.220, 0.592, 0.147,
        -0.355, -0.071, 0.385, 0.021, -0.202, 0.174, 0.011, 0.083, 0.169, -0.210, 0.073, -0.190,
        0.050, 0.210, 0.070, 0.000, 0.013, 0.181, 0.059, -0.002, 0.047, -0.006, -0.500, 0.017,
        0.012, -0.044, 0.124, -0.030, -0.088, 0.074, -0.111, 0.018,
        ]
    ),
)
# fmt: on

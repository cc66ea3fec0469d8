"""How much speaks for a mark being damage.

A logistic regression (Cox 1958) on what a mark looks like, its squares and products. Fitted by
``benchmarks/marks.py`` on photographs, sound ones and such with drawn damage, for the weights
``damage-1``; other weights ask for other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FARTHEST = 6.0
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
        0.659, 0.023, 2.680, 0.797, 0.309, 2.780, 0.584, 0.644, -1.094, -3.364, -0.060, 0.332,
        ]
    ),
    deviation=np.array(
        [
        1.628, 0.879, 1.799, 1.043, 0.185, 0.767, 0.594, 0.643, 1.038, 1.122, 0.563, 0.943,
        ]
    ),
    weights=np.array(
        [
        -1.440, -0.391, 1.593, 0.163, 0.406, -0.352, 0.418, -0.026, 0.007, -0.358, -0.346, -0.596,
        -0.049, 0.120, -0.433, -0.148, 0.257, -0.221, -0.024, 0.217, -0.028, 0.085, 0.271, -0.041,
        0.048, 0.063, 0.169, -0.411, 0.183, -0.150, 0.033, -0.036, 0.017, -0.050, 0.167, 0.010,
        -0.062, -0.199, 0.277, -0.527, -0.087, 0.050, 0.273, 0.096, 0.024, 0.011, 0.129, -0.032,
        -0.004, 0.388, 0.032, -0.139, 0.140, -0.259, -0.074, -0.228, 0.259, 0.143, -0.042, -0.533,
        -0.128, 0.286, 0.147, -0.165, 0.426, 0.130, 0.119, 0.194, -0.196, -0.039, -0.121, 0.072,
        0.164, -0.101, 0.014, 0.018, -0.002, -0.004, -0.080, 0.071, -0.098, -0.342, -0.057,
        -0.070, 0.036, 0.092, -0.023, -0.121, 0.036, -0.159, 0.034,
        ]
    ),
)
# fmt: on

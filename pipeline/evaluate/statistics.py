"""What can be said of a score by the pictures at hand: means and how sure they are.

Intervals are percentile bootstrap (Efron 1979) over pictures: another draw of as many pictures
of the same kind would have its mean there, 95 times in 100. They say nothing of pictures of
another kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from restore_batch.models.metrics.sets import SetMetric

RESAMPLES = 2000
_LEVEL = 0.95
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Estimate:
    """A mean over ``count`` pictures and its 95 % interval; without one (None) of a single
    picture."""

    mean: float
    low: float | None
    high: float | None
    count: int

    def shown(self, digits: int = 4) -> str:
        """``31.2 [30.5, 32]``, all to as many significant digits."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}g}"
        return f"{self.mean:.{digits}g} [{self.low:.{digits}g}, {self.high:.{digits}g}]"


def estimate(values: Sequence[float], seed: int) -> Estimate | None:
    """The mean of finite ``values`` and its interval; None of none. The same values, in whatever
    order, and the same seed give the same interval."""
    samples = np.array(sorted(value for value in values if math.isfinite(value)), np.float64)
    if len(samples) == 0:
        return None
    mean = float(samples.mean())
    if len(samples) == 1:
        return Estimate(mean, None, None, 1)
    rng = np.random.default_rng([seed, len(samples)])
    means = np.empty(RESAMPLES)
    step = max(1, _AT_ONCE // len(samples))
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        chosen = rng.integers(len(samples), size=(rows, len(samples)))
        means[start : start + rows] = samples[chosen].mean(1)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(mean, float(low), float(high), len(samples))


def of_sets(
    features: Sequence[tuple[np.ndarray, np.ndarray]], metrics: Sequence[SetMetric]
) -> dict[str, Estimate]:
    """Distances of these results and their truth as sets, by the metrics' names, of those that say
    something of so many. Without intervals: of a set drawn from a set a distance is larger."""
    count = len(features)
    wanted = [metric for metric in metrics if not metric.too_few(count)]
    if not wanted:
        return {}
    results, true = (np.stack(each) for each in zip(*features, strict=True))
    return {m.name: Estimate(m.distance(results, true), None, None, count) for m in wanted}

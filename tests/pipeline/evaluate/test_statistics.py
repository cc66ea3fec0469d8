"""Intervals hold what they promise and are the same whenever they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.pipeline.evaluate.statistics import RESAMPLES, estimate


def test_an_interval_is_that_of_scipy() -> None:
    from scipy.stats import bootstrap  # takes a second, of every process that collects tests

    values = np.random.default_rng(4).gamma(2.0, 3.0, 40)
    found = estimate(list(values), seed=1)
    assert found is not None
    wanted = bootstrap(
        (values,), np.mean, n_resamples=20 * RESAMPLES, method="percentile", rng=0
    ).confidence_interval
    spread = wanted.high - wanted.low
    assert found.low == pytest.approx(wanted.low, abs=0.05 * spread)
    assert found.high == pytest.approx(wanted.high, abs=0.05 * spread)
    assert (found.mean, found.count) == (pytest.approx(values.mean()), 40)


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = list(np.random.default_rng(4).normal(0, 1, 30))
    assert estimate(values, 7) == estimate(values[::-1], 7)
    assert estimate(values, 7) != estimate(values, 8)


def test_a_single_picture_has_no_interval_and_none_no_mean() -> None:
    alone = estimate([3.25], 0)
    assert alone is not None
    assert (alone.mean, alone.low, alone.high) == (3.25, None, None)
    assert alone.shown() == "3.25"
    assert estimate([], 0) is None
    assert estimate([float("nan"), float("inf")], 0) is None


def test_equal_scores_have_an_interval_of_no_width() -> None:
    equal = estimate([2.0] * 5, 0)
    assert equal is not None
    assert (equal.low, equal.high) == (2.0, 2.0)

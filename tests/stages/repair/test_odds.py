"""The odds of damage follow what a mark looks like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore_batch.stages.repair.certain import Certainty
from restore_batch.stages.repair.marks import FEATURES, marks
from restore_batch.stages.repair.odds import JUDGE, even, with_products


def odds_of(picture: np.ndarray, mask: np.ndarray, certainty: float) -> float:
    expected = cv2.GaussianBlur(np.where(mask > 0, certainty, 0.03).astype(np.float32), (0, 0), 0.7)
    (odds,) = JUDGE.odds(marks(picture, expected, Certainty().pixel).features)
    return float(odds)


@pytest.mark.parametrize("tone", [5, 250])
def test_they_are_better_for_a_speck_on_a_wall_than_for_a_leaf_among_leaves(tone: int) -> None:
    rng = np.random.default_rng(0)
    wall = np.repeat(rng.normal(130, 4, (200, 260, 1)), 3, axis=2).astype(np.uint8)
    mask = np.zeros((200, 260), np.uint8)
    cv2.circle(mask, (130, 100), 4, 1, -1, cv2.LINE_AA)
    leaves = wall.copy()
    for _ in range(1500):
        at = tuple(int(v) for v in rng.uniform(0, 1, 2) * (260, 200))
        grey = [int(rng.integers(0, 256))] * 3
        cv2.ellipse(leaves, at, (6, 3), float(rng.uniform(0, 180)), 0, 360, grey, -1)
    for picture in (wall, leaves):
        picture[mask > 0] = tone
    assert odds_of(wall, mask, 0.998) > odds_of(leaves, mask, 0.6) + 0.5


def test_a_mark_beyond_all_bounds_is_judged_as_one_at_the_bound() -> None:
    features = np.zeros((2, len(FEATURES)))
    features[:, 2] = 1e3, 1e9
    first, second = JUDGE.odds(features)
    assert first == second


def test_products_are_of_any_two_columns() -> None:
    made = with_products(np.array([[2.0, 3.0, 5.0]]))
    assert sorted(made[0].tolist()) == [1, 2, 3, 4, 5, 6, 9, 10, 15, 25]
    assert even(np.array([[9.0]]), np.array([1.0]), np.array([1.0])).max() == 2

"""Damage stands out from what is around it; what is one of many alike does not."""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.stages.repair.evidence import standing_out


def wall(sigma: float = 4.0) -> np.ndarray:
    levels = 120 + np.random.default_rng(0).normal(0, sigma, (200, 260, 1))
    return np.repeat(np.clip(levels, 0, 255).astype(np.uint8), 3, axis=2)


def test_a_scratch_and_a_speck_on_a_wall_stand_out() -> None:
    picture, mask = wall(), np.zeros((200, 260), np.uint8)
    cv2.line(mask, (5, 20), (250, 180), 1, 2)
    cv2.circle(mask, (60, 150), 4, 1, -1)
    for tone in (20, 250):
        picture[mask > 0] = tone
        kept = standing_out(picture, mask > 0, 5.0)
        np.testing.assert_array_equal(kept, mask > 0)


def test_one_leaf_among_leaves_does_not() -> None:
    picture = wall()
    rng = np.random.default_rng(1)
    for _ in range(900):
        at = tuple(int(v) for v in rng.uniform(0, 1, 2) * (260, 200))
        cv2.ellipse(picture, at, (5, 2), float(rng.uniform(0, 180)), 0, 360, (230, 230, 230), -1)
    mask = np.zeros((200, 260), np.uint8)
    cv2.ellipse(mask, (130, 100), (5, 2), 30, 0, 360, 1, -1)
    picture[mask > 0] = 230
    assert not standing_out(picture, mask > 0, 4.0).any()


def test_grain_that_looks_like_a_speck_does_not() -> None:
    picture = wall(sigma=18.0)
    mask = np.zeros((200, 260), bool)
    mask[50:52, 80:82] = True
    picture[mask] = 150
    assert not standing_out(picture, mask, 4.0).any()


def test_parts_are_judged_each_by_itself() -> None:
    picture, mask = wall(), np.zeros((200, 260), bool)
    mask[40:44, 40:44] = True
    picture[40:44, 40:44] = 250
    mask[120:124, 150:154] = True  # nothing is there
    kept = standing_out(picture, mask, 5.0)
    assert kept[40:44, 40:44].all() and kept.sum() == 16


def test_no_damage_is_no_error() -> None:
    assert not standing_out(wall(), np.zeros((200, 260), bool), 5.0).any()

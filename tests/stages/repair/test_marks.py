"""Marks are cut out of what a finder expects, and described as a whole."""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.stages.repair.marks import FEATURES, Marks, faint, marks, strata


def wall(sigma: float = 4.0) -> np.ndarray:
    levels = 120 + np.random.default_rng(0).normal(0, sigma, (200, 260, 1))
    return np.repeat(np.clip(levels, 0, 255).astype(np.uint8), 3, axis=2)


def described(picture: np.ndarray, mask: np.ndarray) -> tuple[Marks, dict[str, np.ndarray]]:
    found = marks(picture, np.where(mask > 0, 0.9, 0.02).astype(np.float32), 0.5)
    return found, dict(zip(FEATURES, found.features.T, strict=True))


def test_each_mark_has_a_number_and_a_row() -> None:
    mask = np.zeros((200, 260), np.uint8)
    mask[20:24, 30:34] = mask[90, 5:200] = 1
    found, looks = described(wall(), mask)
    assert found.features.shape == (2, len(FEATURES))
    np.testing.assert_array_equal(found.number_hw > 0, mask > 0)
    np.testing.assert_allclose(np.exp(looks["area"]), [16, 195])


def test_a_scratch_is_long_and_a_speck_is_not() -> None:
    mask = np.zeros((200, 260), np.uint8)
    cv2.line(mask, (5, 20), (250, 180), 1, 2)
    cv2.circle(mask, (60, 150), 5, 1, -1)
    _, looks = described(wall(), mask)
    scratch, speck = np.exp(looks["length over width"])
    assert scratch > 30 and speck < 1.5
    assert looks["width"][0] < looks["width"][1]


def test_opacity_and_lightness_say_how_far_and_which_way_a_mark_goes() -> None:
    picture, mask = np.full((200, 260, 3), 100, np.uint8), np.zeros((200, 260), np.uint8)
    for row, tone in ((30, 255), (90, 178), (150, 0)):
        mask[row : row + 6, 40:200] = 1
        picture[row : row + 6, 40:200] = tone
    _, looks = described(picture, mask)
    np.testing.assert_allclose(looks["opacity"], [1, 0.5, 1], atol=0.01)
    np.testing.assert_array_equal(looks["lightness"], [1, 1, -1])


def test_a_speck_on_a_wall_stands_out_and_a_leaf_among_leaves_does_not() -> None:
    mask = np.zeros((200, 260), np.uint8)
    cv2.ellipse(mask, (130, 100), (5, 2), 30, 0, 360, 1, -1)
    lone, leaves = wall(), wall()
    rng = np.random.default_rng(1)
    for _ in range(900):
        at = tuple(int(v) for v in rng.uniform(0, 1, 2) * (260, 200))
        cv2.ellipse(leaves, at, (5, 2), float(rng.uniform(0, 180)), 0, 360, (230, 230, 230), -1)
    for picture in (lone, leaves):
        picture[mask > 0] = 230
    alone, among = (described(picture, mask)[1]["standing out"][0] for picture in (lone, leaves))
    assert alone > np.log(10) and among < np.log(3)


def test_specks_are_small_and_on_even_ground() -> None:
    picture, mask = wall(2.0), np.zeros((200, 260), np.uint8)
    cv2.circle(mask, (40, 40), 3, 1, -1)
    cv2.line(mask, (80, 20), (240, 30), 1, 2)
    cv2.circle(mask, (130, 140), 3, 1, -1)
    picture[100:180, 90:170] = np.random.default_rng(2).integers(60, 180, (80, 80, 1))
    picture[mask > 0] = 240
    found, _ = described(picture, mask)
    of_mark = {found.number_hw[y, x] - 1: name for name, (y, x) in
               {"speck": (40, 40), "line": (25, 160), "amid": (140, 130)}.items()}  # fmt: skip
    assert [of_mark[i] for i in np.flatnonzero(strata(found.features) == 0)] == ["speck"]


def test_marks_that_show_what_is_behind_them_are_faint() -> None:
    picture, mask = np.full((80, 90, 3), 100, np.uint8), np.zeros((80, 90), np.uint8)
    mask[20:24, 10:80] = mask[50:54, 10:80] = 1
    picture[20:24, 10:80], picture[50:54, 10:80] = 115, 200
    found, _ = described(picture, mask)
    assert faint(found.features).tolist() == [True, False]


def test_what_colour_a_mark_has_is_compared_with_what_is_around() -> None:
    picture = np.full((80, 90, 3), (150, 90, 40), np.uint8)
    mask = np.zeros((80, 90), np.uint8)
    mask[40:44, 20:70] = 1
    picture[mask > 0] = 240
    assert described(picture, mask)[1]["colour"][0] < -3


def test_no_marks_are_no_error() -> None:
    found, _ = described(wall(), np.zeros((200, 260), np.uint8))
    assert found.features.shape == (0, len(FEATURES)) and not found.number_hw.any()

"""The figures say what they are said to say."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.models.metrics.steadiness import (
    carried_by_picture,
    crop_slide_px,
    lag_frames,
    landmark_jitter_px,
    warping_error,
)
from restore_batch.stages.geometry import estimate_similarity, scale_of, warp

from support.moving_faces import face, landmarks, shown, similarity, texture

PAN = [similarity(2 * t, -t) for t in range(8)]


def test_jitter_is_zero_for_even_motion_and_known_for_an_alternating_one() -> None:
    even = np.array([landmarks(place) for place in PAN])
    assert landmark_jitter_px(even) == pytest.approx(0, abs=1e-9)
    even[::2] += (0.3, 0.4)
    assert landmark_jitter_px(even) == pytest.approx(4 * 0.25)


def test_jitter_needs_three_frames() -> None:
    with pytest.raises(ValueError, match="3 or more"):
        landmark_jitter_px(np.zeros((2, 5, 2)))


def test_the_pictures_own_shaking_is_no_jitter() -> None:
    rng = np.random.default_rng(0)
    places = [similarity(*rng.normal(0, 3, 2)) for _ in range(10)]
    frames = [shown(texture(1), place) for place in places]
    truth = np.array([landmarks(place) for place in places])
    carried = carried_by_picture(frames, truth)
    assert np.abs(carried - truth[1:]).max() < 0.3
    assert landmark_jitter_px(truth) > 3
    assert landmark_jitter_px(truth, carried) < 0.4
    astray = truth + rng.normal(0, 1, truth.shape)
    assert landmark_jitter_px(astray, carried_by_picture(frames, astray)) > 1


def test_crops_that_keep_their_place_on_the_face_do_not_slide() -> None:
    frames = [shown(texture(2), place) for place in PAN]

    def slide(error_px: float) -> float:
        matrices = [
            estimate_similarity(landmarks(place) + np.array([error_px * (t % 2), 0]), 128)
            for t, place in enumerate(PAN)
        ]
        crops = [warp(f, m, 128) for f, m in zip(frames, matrices, strict=True)]
        return crop_slide_px(crops, [scale_of(m) for m in matrices])

    assert slide(0.0) < 0.05
    assert slide(1.0) == pytest.approx(1.0, abs=0.1)


def test_warping_error_sees_flicker_and_not_motion() -> None:
    frames = [shown(texture(3), place) for place in PAN]
    boxes = [face(place).box_xyxy for place in PAN]
    moving = warping_error(frames, boxes)
    rng = np.random.default_rng(1)
    flickering = [np.clip(f + rng.normal(0, 12, f.shape), 0, 255).astype(np.uint8) for f in frames]
    assert moving < 5e-4
    # Two independent errors of 12 levels.
    expected = 2 * (12 / 255) ** 2
    assert moving + 0.6 * expected < warping_error(flickering, boxes, frames) < moving + expected
    elsewhere = [(-90.0, -90.0, -10.0, -10.0)] * len(frames)
    assert np.isnan(warping_error(frames, elsewhere))


def test_lag_is_found_to_a_fraction_of_a_frame() -> None:
    t = np.arange(60)[:, None]
    motion = np.concatenate([np.sin(t / 4), np.cos(t / 7)], axis=1)
    for late in (-2, 0, 1, 3):
        shifted = np.concatenate([np.sin((t - late) / 4), np.cos((t - late) / 7)], axis=1)
        assert lag_frames(motion, shifted) == pytest.approx(late, abs=0.02)
    half = np.concatenate([np.sin((t - 0.5) / 4), np.cos((t - 0.5) / 7)], axis=1)
    assert lag_frames(motion, half) == pytest.approx(0.5, abs=0.05)


def test_lag_needs_two_motions_of_one_length() -> None:
    with pytest.raises(ValueError, match="one shape"):
        lag_frames(np.zeros((30, 2)), np.zeros((29, 2)))

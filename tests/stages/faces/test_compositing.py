"""Where a crop lands, and how it is laid over the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.faces.compositing import crop_to_output, inside_source, paste_face
from restore_batch.stages.geometry import warp

from support.pixels import face_at, smooth_picture


def shift_px(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """By how much a picture moved to the right and down: least squares on its gradients."""
    down, right = np.gradient(before)
    slopes = np.stack([right.ravel(), down.ravel()], axis=1)
    x, y = np.linalg.lstsq(slopes, (before - after).ravel(), rcond=None)[0]
    return float(x), float(y)


@settings(deadline=None, max_examples=25)
@given(
    scale=st.floats(1.0, 4.0),
    degrees=st.floats(-180, 180),
    side_px=st.floats(110, 250),
    x=st.floats(130, 180),
    width=st.integers(301, 330),
    seed=st.integers(0, 99),
)
def test_an_unrestored_crop_returns_to_where_it_came_from(
    scale: float, degrees: float, side_px: float, x: float, width: int, seed: int
) -> None:
    source = smooth_picture(width, 310, seed, detail_px=9)
    size_wh = (round(width * scale), round(310 * scale))
    large = np.asarray(cv2.resize(source, size_wh, interpolation=cv2.INTER_CUBIC))
    _, alignment = face_at(x, 151.3, side_px, degrees)
    crop = warp(source, alignment.matrix, 512).astype(np.float32)
    canvas = np.zeros_like(large)
    place = crop_to_output(alignment.matrix, (width, 310), size_wh)
    paste_face(canvas, canvas.copy(), crop, np.ones((512, 512), np.float32), place)
    half = int(side_px * scale * 0.3)  # a square inside the crop, however it is turned
    centre_x = round((x + 0.5) * scale)
    centre_y = round(151.8 * scale)
    window = np.s_[centre_y - half : centre_y + half, centre_x - half : centre_x + half]
    before = large[window].mean(axis=2)
    after = canvas[window].mean(axis=2)
    assert np.hypot(*shift_px(before, after)) < 0.1
    assert np.abs(before - after).mean() < 6


def test_a_shift_of_half_a_pixel_would_be_seen() -> None:
    source = smooth_picture(300, 300, detail_px=9)
    moved = cv2.warpAffine(source, np.array([[1, 0, 0.5], [0, 1, 0]]), (300, 300))
    a, b = (image[50:250, 50:250].mean(axis=2) for image in (source, np.asarray(moved)))
    assert shift_px(a, b) == pytest.approx((0.5, 0), abs=0.1)


def test_a_crop_reduced_at_pasting_does_not_alias() -> None:
    checks = np.indices((512, 512)).sum(axis=0) % 2 * 255.0
    crop = np.repeat(checks[..., None], 3, axis=2).astype(np.float32)
    _, alignment = face_at(100, 100, 90)
    canvas = np.zeros((200, 200, 3), np.uint8)
    place = crop_to_output(alignment.matrix, (200, 200), (200, 200))
    paste_face(canvas, canvas.copy(), crop, np.ones((512, 512), np.float32), place)
    inside = canvas[70:130, 70:130].astype(float)
    assert abs(inside.mean() - 127.5) < 2
    assert inside.std() < 12


def test_the_inside_of_the_source_ends_where_its_pixels_end() -> None:
    inside = inside_source(np.array([[1.0, 0, 10], [0, 1, 0]]), 32, (8, 40))
    assert inside[0].tolist() == [0.0] * 10 + [1.0] * 8 + [0.0] * 14

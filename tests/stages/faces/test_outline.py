"""The outline of a face: it follows the landmarks, however the head is turned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.faces.outline import SOFT_SHARE, outline_mask
from restore_batch.stages.geometry import estimate_similarity, template, transform

# Five landmarks of a head in three dimensions, in distances of the eyes, measured on its own: the
# tip of the nose well before the eyes, the corners of the mouth a little.
HEAD = np.array(
    [(-0.5, 0, 0), (0.5, 0, 0), (0, 0.58, 0.6), (-0.45, 1.04, 0.12), (0.45, 1.04, 0.12)]
)
TEMPLE = np.array([1.0, -0.1, -0.6])
CHEEK = np.array([0.8, 0.4, -0.5])
CHIN = np.array([0.0, 1.75, 0.05])


def turned(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """(2, 3): what a far camera sees of a head that is turned to its left and down, degrees."""
    y, p = np.deg2rad([yaw, pitch])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return (about_x @ about_y)[:2] * 60.0


def aligned(camera: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Landmarks in the crop that they are aligned to, and where other points of the head lie."""
    seen = HEAD @ camera.T
    matrix = estimate_similarity(seen, 512)
    return transform(matrix, seen), [transform(matrix, (camera @ o)[None])[0] for o in others]


def at(mask: np.ndarray, point: np.ndarray) -> float:
    x, y = np.rint(point).astype(int)
    return float(mask[y, x])


@pytest.mark.parametrize("face_px", [64, 256, 512, 1024])
def test_a_frontal_face_is_inside_and_what_is_beside_it_is_not_touched(face_px: int) -> None:
    mask = outline_mask(template(face_px), face_px)
    unit = face_px / 512
    for x, y in template(face_px):
        assert mask[round(y), round(x)] > 0.99
    forehead, chin, cheek = (256, 165), (256, 430), (160, 300)
    for x, y in (forehead, chin, cheek):
        assert mask[round(y * unit), round(x * unit)] > 0.75
    beside, above, below = (90, 240), (256, 80), (256, 500)
    for x, y in (beside, above, below, (60, 60), (450, 60), (60, 450), (450, 450)):
        assert mask[round(y * unit), round(x * unit)] == 0
    assert mask.dtype == np.float32
    assert (mask[[0, -1]] == 0).all()
    assert (mask[:, [0, -1]] == 0).all()


def test_the_edge_is_soft_and_a_mirrored_face_gets_a_mirrored_mask() -> None:
    mask = outline_mask(template(512), 512)
    for axis in (0, 1):
        assert np.abs(np.diff(mask, axis=axis)).max() < 2 / (SOFT_SHARE * 512)
    mirrored = (511 - template(512) * (1, -1))[[1, 0, 2, 4, 3]] * (1, -1) + (0, 511)
    mirrored[:, 1] = template(512)[[1, 0, 2, 4, 3], 1]
    assert np.abs(outline_mask(mirrored, 512)[:, ::-1] - mask).max() < 0.1


@pytest.mark.parametrize("yaw", [-70, -45, -20, 20, 45, 70])
def test_of_a_turned_head_the_near_cheek_is_inside_and_the_air_beside_the_far_one_is_not(
    yaw: float,
) -> None:
    sign = np.sign(yaw)
    camera = turned(yaw)
    near = CHEEK * (-sign, 1, 1)
    beyond = TEMPLE * (sign * 2.0, 1, 0)  # in the air beside the far temple
    landmarks, (near_xy, beyond_xy, chin_xy) = aligned(camera, near, beyond, CHIN)
    mask = outline_mask(landmarks, 512)
    assert at(mask, near_xy) > 0.5
    assert at(mask, chin_xy) > 0.1
    if (beyond_xy >= 0).all() and (beyond_xy < 512).all():
        assert at(mask, beyond_xy) == 0
    for point in landmarks:
        assert at(mask, point) > 0.9


@settings(deadline=None, max_examples=40)
@given(
    yaw=st.floats(-80, 80),
    pitch=st.floats(-30, 30),
    seed=st.integers(0, 999),
    stray=st.floats(0, 0.08),
)
def test_landmarks_that_stray_move_the_outline_by_no_more_than_they_do_tenfold(
    yaw: float, pitch: float, seed: int, stray: float
) -> None:
    landmarks, _ = aligned(turned(yaw, pitch))
    moved = landmarks + np.random.default_rng(seed).uniform(-1, 1, (5, 2)) * stray * 126
    before, after = (outline_mask(some, 512) > 0 for some in (landmarks, moved))
    assert before.any()
    changed = (before ^ after).sum() / before.sum()
    assert changed < 0.02 + 10 * stray

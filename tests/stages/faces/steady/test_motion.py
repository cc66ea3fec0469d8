"""The motion of the picture at a face, and how far a face is followed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.motion import (
    FaceFollower,
    compose,
    measure_motion,
    moved_box,
)
from restore_batch.stages.geometry import invert, transform

from support.moving_faces import face, landmarks, shown, similarity, texture

STILL = similarity()


def error_px(matrix: np.ndarray | None, truth: np.ndarray, one: Face) -> float:
    assert matrix is not None
    points = one.landmarks_xy
    return float(np.abs(transform(matrix, points) - transform(truth, points)).max())


@given(
    seed=st.integers(0, 4),
    x=st.floats(-9, 9),
    y=st.floats(-9, 9),
    zoom=st.floats(0.97, 1.03),
    turn=st.floats(-0.05, 0.05),
)
@settings(max_examples=25, deadline=None)
def test_motion_is_measured_to_a_fraction_of_a_pixel(
    seed: int, x: float, y: float, zoom: float, turn: float
) -> None:
    picture, one = texture(seed), face(STILL)
    truth = similarity(x, y, zoom, turn)
    assert error_px(measure_motion(picture, shown(picture, truth), one.box_xyxy), truth, one) < 0.12


@pytest.mark.parametrize("side_px", [18, 60, 130])
def test_small_and_large_faces_are_followed_alike(side_px: float) -> None:
    picture, one = texture(1), face(STILL, side_px)
    truth = similarity(0.06 * side_px, -0.04 * side_px, 1.01, 0.02)
    matrix = measure_motion(picture, shown(picture, truth), one.box_xyxy)
    assert error_px(matrix, truth, one) < max(0.003 * side_px, 0.15)


def test_flicker_grain_and_a_scratch_do_not_mislead() -> None:
    rng = np.random.default_rng(0)
    picture, one, truth = texture(2), face(STILL), similarity(4, -3, 1.01, 0.01)
    after = shown(picture, truth) * 0.7 + 20 + rng.normal(0, 4, picture.shape)
    after[:, 118:121] = 255
    seen = np.clip(after, 0, 255).astype(np.uint8)
    assert error_px(measure_motion(picture, seen, one.box_xyxy), truth, one) < 0.3


def test_what_moves_inside_the_face_does_not_move_the_face() -> None:
    picture, one, truth = texture(3), face(STILL), similarity(3, 2)
    after = shown(picture, truth)
    after[110:125, 105:140] = texture(9)[:15, :35]  # a mouth opens
    assert error_px(measure_motion(picture, after, one.box_xyxy), truth, one) < 0.15


def test_a_doubled_frame_does_not_move() -> None:
    picture, one = texture(4), face(STILL)
    assert error_px(measure_motion(picture, picture.copy(), one.box_xyxy), STILL, one) < 1e-3


def test_sixteen_bits_move_as_eight() -> None:
    picture, one, truth = texture(1), face(STILL), similarity(5, 1)
    frames = [f.astype(np.uint16) * 257 for f in (picture, shown(picture, truth))]
    assert error_px(measure_motion(frames[0], frames[1], one.box_xyxy), truth, one) < 0.1


def test_where_nothing_can_be_followed_there_is_no_motion() -> None:
    picture, box = texture(1), face(STILL).box_xyxy
    assert measure_motion(np.full_like(picture, 90), np.full_like(picture, 90), box) is None
    assert measure_motion(picture, texture(5), box) is None
    assert measure_motion(picture, picture, (400, 300, 460, 380)) is None
    assert measure_motion(picture, picture, (50, 50, 50, 50)) is None


def test_matrices_compose_and_boxes_are_carried() -> None:
    one, other = similarity(3, 1, 1.1, 0.2), similarity(-2, 5, 0.9, -0.1)
    points = landmarks(STILL)
    assert np.allclose(
        transform(compose(other, one), points), transform(other, transform(one, points))
    )
    assert np.allclose(moved_box((100, 70, 140, 110), similarity(5, -3, 2.0)), (85, 47, 165, 127))


REACH = 4


def follow(places: list[np.ndarray], seen: list[bool], cut: int | None = None) -> FaceFollower:
    """A film of one face, detected where ``seen``."""
    follower = FaceFollower(REACH)
    for t, (place, found) in enumerate(zip(places, seen, strict=True)):
        frame = shown(texture(7 if cut is None or t < cut else 8), place)
        follower.push(frame, [face(place)] if found else [], t == cut)
    return follower


def test_a_face_is_followed_until_it_is_detected_again_but_not_further_than_the_reach() -> None:
    places = [similarity(2 * t, -t, 1.0, 0.01 * t) for t in range(9)]
    seen = [True, True, False, False, True, False, False, False, False]
    paths = follow(places, seen).paths()
    assert [len(some[0]) if some else 0 for some in paths] == [1, 3, 0, 0, REACH, 0, 0, 0, 0]
    for ahead, matrix in enumerate(paths[4][0], 5):
        truth = compose(places[ahead], invert(places[4]))
        assert error_px(matrix, truth, face(places[4])) < 0.25


def test_a_face_is_not_followed_into_another_shot_or_a_frame_of_another_size() -> None:
    places = [similarity(t) for t in range(4)]
    paths = follow(places, [True, False, False, False], cut=2).paths()
    assert len(paths[0][0]) == 1
    follower = FaceFollower(REACH)
    follower.push(texture(7), [face(STILL)])
    follower.push(texture(7, (300, 200)), [])
    assert follower.paths() == (((),), ())


def test_a_follower_without_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="reach"):
        FaceFollower(0)

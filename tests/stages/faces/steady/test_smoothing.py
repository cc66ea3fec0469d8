"""Smoothed landmarks tremble less, and follow every real motion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from restore_batch.models.base import Face
from restore_batch.models.metrics.steadiness import lag_frames, landmark_jitter_px
from restore_batch.stages.faces.steady.smoothing import SMOOTH_FRAMES, smooth_landmarks
from restore_batch.stages.faces.steady.track import TrackedFace, Tracks
from restore_batch.stages.geometry import (
    DegenerateFaceError,
    estimate_similarity,
    invert,
    template,
    transform,
)

from support.moving_faces import face, landmarks, similarity, steps

FRAMES = 60
FPS = 25


def sway(t: float) -> np.ndarray:
    """A head that sways by 12 px twice a second, and turns."""
    phase = 2 * np.pi * 2 * t / FPS
    return similarity(12 * np.sin(phase), 3 * np.cos(phase), 1.0, 0.08 * np.sin(phase))


def pan(t: float) -> np.ndarray:
    return similarity(4 * t - 120, -1.5 * t)


def zoom(t: float) -> np.ndarray:
    return similarity(zoom=1.012**t)


def shaken(t: float) -> np.ndarray:
    """A hand-held camera: another jump every frame, and every fifth frame doubled."""
    rng = np.random.default_rng(int(t) - (int(t) % 5 == 4))
    return similarity(*rng.normal(0, 6, 2), rng.normal(1, 0.01), rng.normal(0, 0.02))


MOTIONS = [sway, pan, zoom, shaken]
Motion = Callable[[float], np.ndarray]


def film(motion: Motion, error_px: float, seed: int = 0) -> tuple[Tracks, np.ndarray]:
    """A tracked face, detected with an error, and where its landmarks really are."""
    rng = np.random.default_rng(seed)
    where = [motion(t) for t in range(FRAMES)]
    faces = [face(w, error_px=rng.normal(0, error_px, (5, 2))) for w in where]
    return tracked(faces, where), np.array([landmarks(w) for w in where])


def tracked(faces: list[Face], where: list[np.ndarray]) -> Tracks:
    known = [*steps(where), None]
    return tuple((TrackedFace(f, 0, False, s),) for f, s in zip(faces, known, strict=True))


def points(tracks: Tracks) -> np.ndarray:
    return np.array([some[0].face.landmarks_xy for some in tracks], dtype=np.float64)


@pytest.mark.parametrize("motion", MOTIONS)
def test_without_errors_a_motion_stays_as_it_is(motion: Motion) -> None:
    tracks, truth = film(motion, 0.0)
    assert np.abs(points(smooth_landmarks(tracks)) - truth).max() < 0.02


@pytest.mark.parametrize("motion", MOTIONS)
def test_errors_shrink_and_nothing_lags(motion: Motion) -> None:
    tracks, truth = film(motion, 0.8)
    steady = points(smooth_landmarks(tracks))
    before, after = points(tracks) - truth, steady - truth
    assert landmark_jitter_px(after) < landmark_jitter_px(before) / 3
    assert np.abs(after.mean(axis=(1, 2))).max() < 0.5
    assert round(lag_frames(truth, steady)) == 0


@pytest.mark.parametrize("motion", MOTIONS)
def test_crops_stay_where_they_are_on_the_face(motion: Motion) -> None:
    tracks, truth = film(motion, 0.8)

    def slide(some: Tracks) -> float:
        """RMS second difference, in crop pixels, of where the true landmarks lie in the crop."""
        matrices = [estimate_similarity(p, 512) for p in points(some)]
        inside = [transform(m, t) for m, t in zip(matrices, truth, strict=True)]
        return landmark_jitter_px(np.array(inside))

    assert slide(smooth_landmarks(tracks)) < slide(tracks) / 4


def test_the_alignment_is_the_average_of_the_windows_alignments() -> None:
    tracks, _ = film(shaken, 0.5)
    steady = points(smooth_landmarks(tracks))
    here = FRAMES // 2
    window = range(here - SMOOTH_FRAMES, here + SMOOTH_FRAMES + 1)
    seen = []
    for s in window:
        back = invert(estimate_similarity(points(tracks)[s], 512))
        to_here = shaken(here) @ np.vstack([invert(shaken(s)), [0, 0, 1]])
        seen.append(transform(to_here, transform(back, template(512))))
    corners = transform(invert(estimate_similarity(steady[here], 512)), template(512))
    low, high = np.min(seen, axis=0), np.max(seen, axis=0)
    assert ((low < corners) & (corners < high)).all()
    assert np.abs(corners - np.mean(seen, axis=0)).max() < 0.25 * (high - low).max()


def test_a_detection_that_jumps_pulls_neither_itself_nor_its_neighbours_along() -> None:
    where = [pan(t) for t in range(FRAMES)]
    jump = np.full((5, 2), 25.0)
    faces = [face(w, error_px=jump if t == 30 else 0.0) for t, w in enumerate(where)]
    steady = points(smooth_landmarks(tracked(faces, where)))
    truth = np.array([landmarks(w) for w in where])
    assert np.abs(steady - truth).max() < 0.5


def test_a_single_landmark_that_jumps_is_put_right() -> None:
    error = np.zeros((5, 2))
    error[4] = (18, -12)
    where = [sway(t) for t in range(FRAMES)]
    faces = [face(w, error_px=error if t == 30 else 0.0) for t, w in enumerate(where)]
    steady = points(smooth_landmarks(tracked(faces, where)))
    assert np.abs(steady - [landmarks(w) for w in where]).max() < 0.5


def test_filled_faces_have_no_vote_but_are_placed() -> None:
    tracks, truth = film(sway, 0.0)
    astray = face(sway(30), error_px=np.full((5, 2), 3.0))
    (before,) = tracks[30]
    filled = (TrackedFace(astray, 0, True, before.step),)
    steady = smooth_landmarks((*tracks[:30], filled, *tracks[31:]))
    assert steady[30][0].filled
    assert np.abs(points(steady) - truth).max() < 0.02


def test_boxes_are_steady_too() -> None:
    rng = np.random.default_rng(1)
    where = [shaken(t) for t in range(FRAMES)]
    faces = []
    for w in where:
        one = face(w)
        left, top, right, bottom = (v + rng.normal(0, 1.5) for v in one.box_xyxy)
        faces.append(Face((left, top, right, bottom), one.landmarks_xy, one.score))
    truth = np.array([face(w).box_xyxy for w in where])
    before = np.array([f.box_xyxy for f in faces]) - truth
    steady = smooth_landmarks(tracked(faces, where))
    after = np.array([some[0].face.box_xyxy for some in steady]) - truth
    assert after.std() < before.std() / 2


def test_where_the_motion_is_not_known_nothing_is_carried_across() -> None:
    tracks, _ = film(pan, 0.8)
    (one,) = tracks[30]
    broken = (*tracks[:30], (TrackedFace(one.face, 0, False, None),), *tracks[31:])
    steady = points(smooth_landmarks(broken))
    apart = [smooth_landmarks(broken[:31]), smooth_landmarks(broken[31:])]
    assert np.array_equal(steady, np.concatenate([points(some) for some in apart]))


def test_a_face_of_a_single_frame_stays_as_it_is() -> None:
    alone = face(similarity(), error_px=np.random.default_rng(2).normal(0, 1, (5, 2)))
    ((steady,),) = smooth_landmarks(((TrackedFace(alone, 0),),))
    assert np.abs(steady.face.landmarks_xy - alone.landmarks_xy).max() < 1e-3
    assert np.allclose(steady.face.box_xyxy, alone.box_xyxy)
    assert steady.face.score == alone.score


def test_tracks_do_not_influence_each_other() -> None:
    one, _ = film(sway, 0.8, seed=1)
    other, _ = film(pan, 0.8, seed=2)
    both = tuple(
        (*a, TrackedFace(b[0].face, 1, False, b[0].step)) for a, b in zip(one, other, strict=True)
    )
    together = smooth_landmarks(both)
    assert np.array_equal(points(together), points(smooth_landmarks(one)))
    assert [[f.track for f in some] for some in together] == [[0, 1]] * FRAMES


def test_landmarks_that_form_no_face_are_smoothed_without_an_alignment() -> None:
    where = [pan(t) for t in range(10)]
    rng = np.random.default_rng(3)
    flat = np.array([(100, 90), (110, 90), (120, 90), (130, 90), (140, 90)], dtype=np.float32)
    faces = [
        Face(face(w).box_xyxy, (transform(w, flat) + rng.normal(0, 0.1, (5, 2))).astype("f4"), 0.9)
        for w in where
    ]
    with pytest.raises(DegenerateFaceError):
        estimate_similarity(faces[5].landmarks_xy, 512)
    steady = points(smooth_landmarks(tracked(faces, where)))
    assert np.abs(steady - [transform(w, flat) for w in where]).max() < 0.3

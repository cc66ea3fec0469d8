"""Small tremors are averaged away; everything larger is followed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from restore_batch.models.base import Face
from restore_batch.models.metrics.steadiness import lag_frames, landmark_jitter_px
from restore_batch.stages.faces.steady.track import TrackedFace, Tracks
from restore_batch.stages.faces.steady.tremor import TREMOR_FRAMES, damp_tremor

SIDE = 60.0
POINTS = np.array([[20, 24], [40, 24], [30, 36], [22, 46], [38, 46]], dtype=np.float32)


def track(places_xy: np.ndarray, number: int = 0, first: int = 0) -> dict[int, TrackedFace]:
    """A face of 60 px that is at the given places, from frame ``first``."""
    made = {}
    for t, (x, y) in enumerate(places_xy.tolist()):
        face = Face((x, y, x + SIDE, y + SIDE), POINTS + np.float32([x, y]), 0.9)
        made[first + t] = TrackedFace(face, number)
    return made


def frames(length: int, *parts: dict[int, TrackedFace]) -> Tracks:
    return tuple(tuple(part[t] for part in parts if t in part) for t in range(length))


def landmarks(tracks: Tracks, number: int = 0) -> np.ndarray:
    return np.array([f.face.landmarks_xy for some in tracks for f in some if f.track == number])


def shake(rms_px: float, length: int = 60, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, rms_px, (length, 2))


def test_a_small_tremor_is_mostly_gone_and_nothing_lags() -> None:
    turn = np.linspace(0, 6 * np.pi, 200)
    path = 10 * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    before = frames(200, track(path + shake(0.25, 200)))
    after = damp_tremor(before)
    assert landmark_jitter_px(landmarks(after)) < landmark_jitter_px(landmarks(before)) / 3
    assert abs(lag_frames(landmarks(before), landmarks(after))) < 0.05


def test_a_large_tremor_is_followed() -> None:
    before = frames(60, track(shake(4.0)))
    moved = landmarks(damp_tremor(before)) - landmarks(before)
    assert np.abs(moved).max() < 0.01 * SIDE


@pytest.mark.parametrize("speed", [0.0, 1.5, 20.0])
def test_an_even_motion_stays_as_it_is(speed: float) -> None:
    before = frames(30, track(np.arange(30)[:, None] * np.array([[speed, -speed / 3]])))
    assert np.abs(landmarks(damp_tremor(before)) - landmarks(before)).max() < 1e-3


def test_boxes_move_with_their_landmarks() -> None:
    before = frames(20, track(shake(0.3, 20)))
    for (old,), (new,) in zip(before, damp_tremor(before), strict=True):
        move = new.face.landmarks_xy[0] - old.face.landmarks_xy[0]
        box = np.subtract(new.face.box_xyxy, old.face.box_xyxy)
        assert box == pytest.approx([*move, *move], abs=1e-4)


def test_faces_do_not_sway_each_other() -> None:
    one, other = track(shake(0.3, 30)), track(100 + shake(0.3, 12, seed=8), 1, first=9)
    together = damp_tremor(frames(30, one, other))
    assert np.array_equal(landmarks(together), landmarks(damp_tremor(frames(30, one))))
    assert np.array_equal(landmarks(together, 1), landmarks(damp_tremor(frames(30, other)), 1))


@pytest.mark.parametrize("cut", [8, 13, 20])
def test_a_frame_depends_on_its_neighbourhood_alone(cut: int) -> None:
    whole = track(shake(0.4, 30))
    all_of_it = landmarks(damp_tremor(frames(30, whole)))
    parts: Sequence[range] = (range(cut), range(cut, 30))
    for part in parts:
        reach = range(max(part[0] - TREMOR_FRAMES, 0), min(part[-1] + TREMOR_FRAMES + 1, 30))
        seen = landmarks(damp_tremor(frames(30, {t: whole[t] for t in reach})))
        kept = seen[[t - reach[0] for t in part]]
        assert np.array_equal(kept, all_of_it[list(part)])

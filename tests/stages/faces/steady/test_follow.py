"""From detections to steady tracks: the same however the film is divided, on real film too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models import registry
from restore_batch.models.base import Face, ModelRef
from restore_batch.models.metrics import steadiness
from restore_batch.models.weights.store import Store
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.steady.deflicker import DEFLICKER_FRAMES
from restore_batch.stages.faces.steady.follow import (
    CONTEXT_FRAMES,
    STEADY_CONTEXT_FRAMES,
    SteadyFaces,
)
from restore_batch.stages.faces.steady.motion import FaceFollower
from restore_batch.stages.faces.steady.motion import Path as FacePath
from restore_batch.stages.faces.steady.smoothing import smooth_landmarks
from restore_batch.stages.faces.steady.track import GAP_FRAMES, TrackedFace, Tracks, link_faces
from restore_batch.stages.faces.steady.tremor import damp_tremor
from restore_batch.stages.geometry import estimate_similarity, scale_of, warp
from restore_batch.stages.media import Frame

from support import data
from support.moving_faces import face, shown, similarity, texture


def told(some: Sequence[TrackedFace]) -> list[tuple[object, ...]]:
    """All that is said of a frame's faces, but for the numbers of the tracks."""
    return [
        (
            one.face.box_xyxy,
            one.face.landmarks_xy.tobytes(),
            one.face.score,
            one.filled,
            None if one.step is None else one.step.tobytes(),
        )
        for one in some
    ]


def partners(tracks: Tracks, t: int) -> list[int | None]:
    """For each face of frame t, which face of the next frame is on its track."""
    after = {one.track: j for j, one in enumerate(tracks[t + 1])}
    return [after.get(one.track) for one in tracks[t]]


Detections = list[list[Face]]


def random_film(seed: int) -> tuple[Detections, list[bool], list[list[FacePath]]]:
    """Three people who wander, hide and meet; false and doubtful detections, cuts, and motion
    that is not always known."""
    rng = np.random.default_rng(seed)
    frames = 54
    walks = np.cumsum(rng.normal(0, 4, (frames, 3, 2)), axis=0) + rng.uniform(40, 160, (1, 3, 2))
    cuts = [bool(rng.random() < 0.04) for _ in range(frames)]
    faces: Detections = []
    paths: list[list[FacePath]] = []
    for t in range(frames):
        some, ahead = [], []
        for i in rng.permutation(3):
            if rng.random() < 0.35:
                continue
            error, score = rng.normal(0, 1, (5, 2)), rng.uniform(0.6, 1)
            some.append(face(similarity(), 40, walks[t, i], error, score))
            steps = [
                similarity(*(walks[v, i] - walks[t, i] + rng.normal(0, 0.3, 2)))
                for v in range(t + 1, min(t + 1 + rng.integers(0, GAP_FRAMES + 2), frames))
            ]
            stop = next((k for k in range(len(steps)) if cuts[t + 1 + k]), len(steps))
            ahead.append(tuple(steps[:stop]))
        faces.append(some)
        paths.append(ahead)
    return faces, cuts, paths


def part(
    film: tuple[Detections, list[bool], list[list[FacePath]]], start: int, stop: int
) -> Tracks:
    """The tracks as a segment sees them that knows the frames from ``start`` to ``stop``."""
    faces, cuts, paths = film
    known = [
        [path[: stop - 1 - t] for path in some] for t, some in enumerate(paths[start:stop], start)
    ]
    return damp_tremor(smooth_landmarks(link_faces(faces[start:stop], cuts[start:stop], known)))


@given(seed=st.integers(0, 100_000), start=st.integers(0, 30), length=st.integers(1, 20))
@settings(max_examples=15, deadline=None)
def test_faces_depend_on_their_context_alone(seed: int, start: int, length: int) -> None:
    film = random_film(seed)
    whole = part(film, 0, 54)
    first = max(start - STEADY_CONTEXT_FRAMES, 0)
    segment = part(film, first, min(start + length + STEADY_CONTEXT_FRAMES, 54))
    for t in range(start, min(start + length, 54)):
        assert told(segment[t - first]) == told(whole[t])
        if t + 1 < min(start + length, 54):
            assert partners(segment, t - first) == partners(whole, t)


def test_a_context_two_frames_shorter_would_not_do() -> None:
    # The face is missed after frame 14. Frame 16 has one beside it, frame 20 one just there: who
    # does not see frame 20 takes the other for it. Frame 16 has a vote on frame 10, which has a
    # part in the tremor of frame 8, which has one in that of frame 5.
    still, beside, frames = similarity(), similarity(7, 3), 24
    seen = {**dict.fromkeys(range(15), still), 5: similarity(2, 1), 16: beside, 20: still}
    faces = [[face(seen[t])] if t in seen else [] for t in range(frames)]
    paths = [[(still,) * (GAP_FRAMES + 1)] if t in seen else [] for t in range(frames)]
    film = (faces, [False] * frames, paths)
    whole = part(film, 0, frames)
    assert told(part(film, 0, 5 + STEADY_CONTEXT_FRAMES + 1)[5]) == told(whole[5])
    assert told(part(film, 0, 5 + STEADY_CONTEXT_FRAMES - 1)[5]) != told(whole[5])


def test_the_context_covers_what_the_deflicker_looks_at() -> None:
    assert CONTEXT_FRAMES == STEADY_CONTEXT_FRAMES + DEFLICKER_FRAMES


@cache
def shaking_film() -> tuple[tuple[np.ndarray, ...], tuple[tuple[Face, ...], ...]]:
    """Pictures and detections of two faces, one of them missing now and then, and a cut."""
    rng = np.random.default_rng(5)
    frames, faces = [], []
    for t in range(40):
        place = similarity(*rng.normal(0, 3, 2), 1.0, rng.normal(0, 0.01))
        frames.append(shown(texture(11 if t < 22 else 12), place))
        some = [face(place, 50, (70, 80), rng.normal(0, 1, (5, 2)))]
        if t % 9 not in (3, 4):
            some.append(face(place, 45, (170, 95), rng.normal(0, 1, (5, 2))))
        faces.append(tuple(some))
    return tuple(frames), tuple(faces)


def steady(start: int, stop: int) -> SteadyFaces:
    frames, faces = shaking_film()
    collected = SteadyFaces()
    for frame, some in zip(frames[start:stop], faces[start:stop], strict=True):
        collected.push(frame, some)
    return collected


@pytest.mark.parametrize("own", [(0, 12), (12, 17), (17, 28), (28, 40)])
def test_pictures_too_matter_no_further_than_the_context(own: tuple[int, int]) -> None:
    whole = steady(0, 40).tracks()
    first = max(own[0] - STEADY_CONTEXT_FRAMES, 0)
    segment = steady(first, min(own[1] + STEADY_CONTEXT_FRAMES, 40)).tracks()
    for t in range(*own):
        assert told(segment[t - first]) == told(whole[t])


def test_cuts_and_gaps_are_found_in_pictures() -> None:
    collected = steady(0, 40)
    assert [t for t, cut in enumerate(collected.cuts) if cut] == [22]
    tracks = collected.tracks()
    # The frames before the gap at the cut, which nothing bridges, and the last ones.
    assert [t for t in range(40) if len(tracks[t]) < 2] == [21, 22, 39]
    assert {t for t in range(40) if any(one.filled for one in tracks[t])} == {3, 4, 12, 13, 30, 31}


def test_people_are_told_apart_by_their_embeddings() -> None:
    picture, one = texture(11), face(similarity())
    people = np.array([1.0, 0.0]), np.array([-1.0, 0.0])
    collected = SteadyFaces()
    for person in people:
        collected.push(picture, [one], [person])
    tracks = collected.tracks()
    assert tracks[0][0].track != tracks[1][0].track


def detector(name: str) -> ModelRef:
    store = Store(None, download=False)
    if name != "retinaface":
        return store.ref(registry.card(name), {})
    weights = data.weights() / "retinaface_mobilenet025" / "mobilenet0.25_Final.pth"
    if not weights.is_file():
        pytest.skip(f"no {weights}")
    return store.ref_from_path(weights, "detect", {})


def real_film(name: str, most: int, finder: str) -> tuple[tuple[np.ndarray, ...], Tracks, Tracks]:
    """Pictures, linked and steady faces of a clip."""
    clip = data.folder("RESTORE_BATCH_VIDEO", "video") / name
    if not clip.is_file():
        pytest.skip(f"no {clip}")
    detect = Detect(detector(finder))
    detect.open(WorkerContext())
    collected, follower = SteadyFaces(), FaceFollower(GAP_FRAMES + 1)
    frames, faces = [], []
    with av.open(str(clip)) as container:
        for decoded, _ in zip(container.decode(video=0), range(most), strict=False):
            frames.append(decoded.to_ndarray(format="rgb24"))
            faces.append(detect.find([Frame(frames[-1])])[0])
            collected.push(frames[-1], faces[-1])
            follower.push(frames[-1], faces[-1], collected.cuts[-1])
    return tuple(frames), link_faces(faces, collected.cuts, follower.paths()), collected.tracks()


def slide_px(frames: Sequence[np.ndarray], tracks: Tracks) -> float:
    matrices = [estimate_similarity(some[0].face.landmarks_xy, 128) for some in tracks]
    crops = [warp(frame, matrix, 128) for frame, matrix in zip(frames, matrices, strict=True)]
    return steadiness.crop_slide_px(crops, [scale_of(matrix) for matrix in matrices])


def points_of(tracks: Tracks) -> np.ndarray:
    return np.array([some[0].face.landmarks_xy for some in tracks], dtype=np.float64)


def jitter_px(frames: Sequence[np.ndarray], tracks: Tracks) -> float:
    points = points_of(tracks)
    carried = steadiness.carried_by_picture(frames, points)
    return steadiness.landmark_jitter_px(points, carried)


@pytest.mark.parametrize(
    ("name", "most", "share", "finder"),
    [
        ("carphone_aac.mp4", 120, 1 / 3, "cascade-1"),
        pytest.param("carphone_aac.mp4", 120, 1 / 3, "retinaface", marks=pytest.mark.slow),
        # Its tremor is too large to be calmed.
        pytest.param("film_1950s.mp4", 44, 1.0, "retinaface", marks=pytest.mark.slow),
    ],
)
def test_on_real_film_landmarks_tremble_half_and_crops_slide_a_third_as_much(
    name: str, most: int, share: float, finder: str
) -> None:
    frames, linked, tracks = real_film(name, most, finder)
    assert len({one.track for some in tracks for one in some}) == 1
    followed = smooth_landmarks(linked)
    assert jitter_px(frames, followed) < jitter_px(frames, linked) / 2
    assert slide_px(frames, followed) < slide_px(frames, linked) / 3
    # What is left is the picture's own tremor.
    before, after = (steadiness.landmark_jitter_px(points_of(some)) for some in (linked, tracks))
    assert after < share * before
    assert slide_px(frames, tracks) < slide_px(frames, linked)
    assert round(steadiness.lag_frames(points_of(linked), points_of(tracks))) == 0

"""Which faces become one track, and that each assignment is the best there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.track import (
    GAP_FRAMES,
    LONE_SCORE,
    TrackedFace,
    Tracks,
    assign,
    link_faces,
)

from support.moving_faces import face, landmarks, paths, similarity, steps

STILL = similarity()
Costs = list[list[float | None]]


def linked(faces: Sequence[Sequence[Face]], cuts: Sequence[int] = (), **more: object) -> Tracks:
    marks = [t in cuts for t in range(len(faces))]
    return link_faces(faces, marks, **more)  # type: ignore[arg-type]


def places(tracks: Tracks) -> dict[int, list[int]]:
    """The frames of each track."""
    found: dict[int, list[int]] = {}
    for t, some in enumerate(tracks):
        for one in some:
            found.setdefault(one.track, []).append(t)
    return found


def only(tracks: Tracks, t: int) -> TrackedFace:
    (one,) = tracks[t]
    return one


def test_a_face_that_moves_is_one_track() -> None:
    tracks = linked([[face(similarity(3 * t, t))] for t in range(8)])
    assert places(tracks) == {only(tracks, 0).track: list(range(8))}


def test_detections_are_handed_on_as_they_are() -> None:
    faces = [[face(STILL, at=(60, 60)), face(STILL, at=(180, 100))] for _ in range(3)]
    tracks = linked(faces)
    for detected, some in zip(faces, tracks, strict=True):
        assert [one.face for one in some] == detected
        assert not any(one.filled for one in some)


def test_no_track_runs_across_a_cut() -> None:
    tracks = linked([[face(STILL)] for _ in range(6)], cuts=[3])
    assert sorted(places(tracks).values()) == [[0, 1, 2], [3, 4, 5]]


def test_no_gap_is_filled_across_a_cut() -> None:
    faces = [[face(STILL)] if t not in (2, 3) else [] for t in range(6)]
    assert [len(some) for some in linked(faces, cuts=[3])] == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("missing", range(1, GAP_FRAMES + 1))
def test_missing_detections_are_interpolated(missing: int) -> None:
    frames = missing + 4
    lost = range(2, 2 + missing)
    where = [similarity(4 * t, -2 * t) for t in range(frames)]
    faces = [[face(w, score=0.9 + t / 100)] for t, w in enumerate(where)]
    tracks = linked([[] if t in lost else some for t, some in enumerate(faces)])
    assert len(places(tracks)) == 1
    for t in lost:
        one = only(tracks, t)
        assert one.filled
        assert np.abs(one.face.landmarks_xy - landmarks(where[t])).max() < 1e-3
        assert np.allclose(one.face.box_xyxy, faces[t][0].box_xyxy, atol=1e-3)
        assert one.face.score == pytest.approx(0.9 + t / 100)


def test_a_longer_gap_is_left_open() -> None:
    frames = GAP_FRAMES + 5
    faces = [[face(STILL)] if t in (0, 1, frames - 2, frames - 1) else [] for t in range(frames)]
    tracks = linked(faces)
    assert len(places(tracks)) == 2
    assert not any(one.filled for some in tracks for one in some)


def test_a_gap_between_faces_that_do_not_agree_is_left_open() -> None:
    there, elsewhere = face(STILL, at=(60, 60)), face(STILL, at=(150, 110))
    tracks = linked([[there], [there], [], [elsewhere], [elsewhere]])
    assert [len(some) for some in tracks] == [1, 1, 0, 1, 1]


def test_filled_faces_follow_the_picture() -> None:
    where = [similarity(*shift) for shift in ((0, 0), (1, 0), (14, -9), (-6, 8), (3, 2), (4, 2))]
    faces = [[] if t in (2, 3) else [face(w)] for t, w in enumerate(where)]
    known = [[path] if some else [] for path, some in zip(paths(where, 6), faces, strict=True)]
    tracks = linked(faces, paths=known)
    for t in (2, 3):
        assert np.abs(only(tracks, t).face.landmarks_xy - landmarks(where[t])).max() < 1e-3
    for t, truth in enumerate(steps(where)):
        assert np.allclose(only(tracks, t).step, truth)
    assert only(tracks, 5).step is None


def test_where_the_motion_is_not_known_there_is_no_step() -> None:
    tracks = linked([[face(STILL)], [], [face(STILL)]])
    assert [only(tracks, t).step for t in range(3)] == [None] * 3


def crossing(t: int) -> tuple[np.ndarray, np.ndarray]:
    return similarity(-28 + 8 * t), similarity(28 - 8 * t, 4)


def test_faces_that_cross_keep_their_tracks_when_the_motion_is_known() -> None:
    where = [crossing(t) for t in range(8)]
    faces = [[face(a), face(b)] for a, b in where]
    ahead = [paths([pair[i] for pair in where], 6) for i in (0, 1)]
    tracks = linked(faces, paths=list(zip(*ahead, strict=True)))
    assert [[one.track for one in some] for some in tracks] == [[0, 1]] * 8


def test_faces_that_cross_keep_their_tracks_when_the_people_are_known() -> None:
    people = (np.array([1.0, 0.0]), np.array([0.2, 0.98]))
    faces = [[face(place) for place in crossing(t)] for t in range(8)]
    tracks = linked(faces, embeddings=[people] * 8)
    assert [[one.track for one in some] for some in tracks] == [[0, 1]] * 8


def test_two_people_in_one_place_are_not_linked() -> None:
    one, other = np.array([1.0, 0.0]), np.array([-0.6, 0.8])
    faces = [[face(STILL)] for _ in range(4)]
    tracks = linked(faces, embeddings=[[one], [one], [other], [other]])
    assert sorted(places(tracks).values()) == [[0, 1], [2, 3]]


def test_a_face_without_an_embedding_is_linked_by_its_place() -> None:
    faces = [[face(STILL)] for _ in range(3)]
    tracks = linked(faces, embeddings=[[np.array([1.0, 0.0])], [None], [np.array([0.0, 1.0])]])
    assert len(places(tracks)) == 1


def test_faces_come_and_go() -> None:
    stays = face(STILL, at=(60, 60))
    guest = [face(similarity(3 * t), at=(160, 100)) for t in range(8)]
    tracks = linked([[stays, guest[t]] if 2 <= t < 6 else [stays] for t in range(8)])
    assert sorted(places(tracks).values()) == [[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5]]


def test_the_order_of_the_detections_does_not_matter() -> None:
    left = [face(similarity(2 * t), at=(60, 60)) for t in range(6)]
    right = [face(similarity(-2 * t), at=(170, 100)) for t in range(6)]
    mixed = [[left[t], right[t]] if t % 2 else [right[t], left[t]] for t in range(6)]
    owner = {id(one.face): one.track for some in linked(mixed) for one in some}
    assert len({owner[id(one)] for one in left}) == 1
    assert len({owner[id(one)] for one in right}) == 1


def test_a_lone_doubtful_detection_is_dropped_and_a_sure_one_stays() -> None:
    person = face(STILL, at=(60, 60))
    for score, expected in ((LONE_SCORE - 0.1, 1), (LONE_SCORE + 0.05, 2)):
        odd = face(STILL, at=(180, 110), score=score)
        tracks = linked([[person], [person], [person, odd], [person]])
        assert len(tracks[2]) == expected


def test_doubtful_detections_that_confirm_each_other_stay() -> None:
    faces = [[face(STILL, score=0.7)] if t in (2, 4) else [] for t in range(6)]
    assert [len(some) for some in linked(faces)] == [0, 0, 1, 1, 1, 0]


def test_a_doubtful_face_of_a_single_frame_is_kept() -> None:
    doubtful = face(STILL, score=0.65)
    assert [len(some) for some in linked([[doubtful]])] == [1]
    assert [len(some) for some in linked([[], [doubtful], []], cuts=[1, 2])] == [0, 1, 0]


def test_a_false_detection_does_not_break_a_track() -> None:
    person = [face(similarity(2 * t)) for t in range(6)]
    wrong = face(similarity(6), at=(133, 97), side_px=35, score=0.7)
    tracks = linked([[wrong, person[3]] if t == 3 else [person[t]] for t in range(6)])
    assert [one.face for some in tracks for one in some] == person
    assert len(places(tracks)) == 1


def test_landmarks_that_are_no_numbers_are_not_linked() -> None:
    broken = Face((90.0, 60.0, 150.0, 140.0), np.full((5, 2), np.nan, np.float32), 0.99)
    assert len(places(linked([[broken], [broken]]))) == 2


def test_sequences_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cuts"):
        link_faces([[]], [])
    with pytest.raises(ValueError, match="paths"):
        link_faces([[face(STILL)]], [False], paths=[[]])
    with pytest.raises(ValueError, match="embeddings"):
        link_faces([[face(STILL)]], [False], embeddings=[[]])


def test_a_film_without_frames_has_no_tracks() -> None:
    assert link_faces([], []) == ()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_a_track_has_one_face_a_frame_and_no_hole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    faces = []
    for t in range(30):
        some = []
        for spot in rng.integers(0, 4, rng.integers(0, 4)):
            place = similarity(t + rng.normal(0, 3))
            some.append(face(place, at=(50 + 40 * spot, 80), score=rng.uniform(0.6, 1)))
        faces.append(some)
    cuts = set(rng.integers(1, 30, 2).tolist())
    tracks = linked(faces, list(cuts))
    for frames in places(tracks).values():
        assert frames == list(range(frames[0], frames[-1] + 1))
        assert not cuts & set(frames[1:])
    for given_faces, some in zip(faces, tracks, strict=True):
        kept = [one.face for one in some if not one.filled]
        assert kept == [one for one in given_faces if one in kept]


# -- assignment ---
def cost_tables() -> st.SearchStrategy[Costs]:
    entry = st.one_of(st.none(), st.integers(0, 12).map(lambda n: n / 4))
    sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
    return sizes.flatmap(
        lambda size: st.lists(
            st.lists(entry, min_size=size[1], max_size=size[1]),
            min_size=size[0],
            max_size=size[0],
        )
    )


def best_assignment(
    costs: Costs, row: int = 0, taken: frozenset[int] = frozenset()
) -> tuple[int, float]:
    """(minus the number of pairs, cost) of the best assignment, by trying all."""
    if row == len(costs):
        return 0, 0.0
    results = [best_assignment(costs, row + 1, taken)]
    for column, cost in enumerate(costs[row]):
        if cost is not None and column not in taken:
            pairs, total = best_assignment(costs, row + 1, taken | {column})
            results.append((pairs - 1, total + cost))
    return min(results)


@given(costs=cost_tables())
@settings(max_examples=200, deadline=None)
def test_no_other_assignment_has_more_pairs_or_as_many_for_less(costs: Costs) -> None:
    pairs = assign(costs)
    chosen = [costs[i][j] for i, j in pairs]
    assert None not in chosen
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert (-len(pairs), sum(c for c in chosen if c is not None)) == best_assignment(costs)


def test_nothing_to_assign_is_nothing() -> None:
    assert assign([]) == []
    assert assign([[], []]) == []
    assert assign([[None], [None]]) == []


def test_a_crowd_is_told_apart() -> None:
    count = 60
    costs: Costs = [[abs(i - (j * 7) % count) / 10 for j in range(count)] for i in range(count)]
    assert all((j * 7) % count == i for i, j in assign(costs))

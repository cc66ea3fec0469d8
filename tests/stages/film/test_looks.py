"""Which frames of a film are searched as a whole, and what the others' search is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import av
import numpy as np
import pytest

from restore_batch.models import registry
from restore_batch.models.base import Face, Runtime
from restore_batch.models.weights.store import Store
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.film.faces import FACE_CONTEXT_FRAMES, FilmFaces, find_faces
from restore_batch.stages.film.looks import LOOK_FRAMES, LOOK_REACH, Search, SearchedFrame
from restore_batch.stages.media import Frame
from restore_batch.stages.video.types import VideoFrame

from support import data
from support.moving_faces import face, shown, similarity, texture

FRAMES = 83
CUT = 37


@cache
def film() -> tuple[np.ndarray, ...]:
    """A camera that trembles, and another place from ``CUT`` on; its first pixel says which frame
    it is."""
    rng = np.random.default_rng(3)
    frames = []
    for t in range(FRAMES):
        picture = shown(texture(21 if t < CUT else 22), similarity(*rng.normal(0, 1, 2)))
        picture[0, 0] = t
        frames.append(picture)
    return tuple(frames)


def people(t: int) -> tuple[Face, ...]:
    """One who walks, one who comes between two whole looks, one who is gone after the cut."""
    walker = face(similarity(0.4 * t, 0), 40, (60, 80))
    late = face(similarity(), 36, (190, 60))
    guest = face(similarity(0, 0.3 * t), 44, (140, 100))
    return (walker, *([late] if t >= 18 else []), *([guest] if t < CUT else []))


class Looker:
    """Finds the people of a frame, near those that are expected, and notes what it was asked."""

    def __init__(self, fails: Sequence[int] = ()) -> None:
        self.whole: list[int] = []
        self.near: dict[int, int] = {}
        self.fails = fails

    def __call__(self, frame: Frame, expected: tuple[Face, ...] | None) -> tuple[Face, ...]:
        t = int(frame.rgb_hwc[0, 0, 0])
        if t in self.fails:
            raise ValueError("it is dark")
        if expected is None:
            self.whole.append(t)
            return people(t)
        self.near[t] = len(expected)
        return tuple(
            one
            for one in people(t)
            if any(np.hypot(*(one.landmarks_xy - e.landmarks_xy).T).mean() < 30 for e in expected)
        )

    def search(self, *, sparse: bool = True) -> Search:
        return Search(lambda frame: frame, self, lambda frame: frame, sparse)


def frames(first: int, stop: int) -> Iterator[VideoFrame]:
    for t in range(first, stop):
        yield VideoFrame(Frame(film()[t]), pts=t, duration=1)


def searched(looker: Looker, first: int = 0, stop: int = FRAMES) -> list[SearchedFrame]:
    with ThreadPoolExecutor(2) as pool:
        return list(looker.search().frames(frames(first, stop), first, pool, 3))


def faces(looker: Looker, first: int = 0, stop: int = FRAMES, *, steady: bool = True) -> FilmFaces:
    with ThreadPoolExecutor(2) as pool:
        return find_faces(
            frames(first, stop), first, looker.search(sparse=steady), pool,
            pixel_aspect=1.0, steady=steady, ahead=3,
        )  # fmt: skip


@cache
def faces_of_all() -> FilmFaces:
    return faces(Looker())


def test_every_few_frames_both_sides_of_a_cut_and_the_last_are_searched_as_a_whole() -> None:
    looker = Looker()
    found = searched(looker)
    assert [t for t, one in enumerate(found) if one.cut] == [CUT]
    grid = set(range(0, FRAMES, LOOK_FRAMES))
    assert sorted(looker.whole) == sorted(grid | {CUT - 1, CUT, FRAMES - 1})
    assert set(looker.near) == set(range(FRAMES)) - set(looker.whole)


def test_nobody_is_missed_who_stays_for_longer_than_a_whole_look_takes() -> None:
    found = searched(Looker())
    for t, one in enumerate(found):
        assert {f.box_xyxy for f in one.faces} == {f.box_xyxy for f in people(t)}, t


def test_a_frame_is_told_of_faces_behind_and_ahead_but_of_none_across_a_cut() -> None:
    looker = Looker()
    searched(looker)
    assert looker.near[16] == len(people(15)) + len(people(20))
    assert looker.near[CUT + 1] == len(people(CUT)) + len(people(40))


@pytest.mark.parametrize("own", [(0, 1), (0, 30), (29, 30), (30, 44), (CUT, 52), (44, 83)])
def test_the_faces_of_a_frame_are_the_same_however_the_film_is_cut(own: tuple[int, int]) -> None:
    first = max(own[0] - FACE_CONTEXT_FRAMES, 0)
    part = faces(Looker(), first, min(own[1] + FACE_CONTEXT_FRAMES, FRAMES))
    whole = faces_of_all()
    for t in range(*own):
        ours, theirs = part.faces[t - first], whole.faces[t]
        assert [f.box_xyxy for f in ours] == [f.box_xyxy for f in theirs]
        assert [f.landmarks_xy.tobytes() for f in ours] == [
            f.landmarks_xy.tobytes() for f in theirs
        ]


def test_what_is_looked_for_in_a_frame_reaches_no_further_than_said() -> None:
    looker, whole = Looker(), Looker()
    searched(whole)
    first = 21 - LOOK_REACH
    searched(looker, first, 24 + LOOK_REACH + 1)
    assert {t: looker.near[t] for t in range(21, 25)} == {t: whole.near[t] for t in range(21, 25)}
    short = Looker()
    searched(short, 21, 24)
    assert 21 not in short.near


def test_without_steadying_every_frame_is_searched_as_a_whole() -> None:
    looker = Looker()
    found = faces(looker, 3, 20, steady=False)
    assert sorted(looker.whole) == list(range(3, 20))
    assert [len(some) for some in found.faces] == [len(people(t)) for t in range(3, 20)]


def test_a_frame_that_cannot_be_searched_costs_itself_alone() -> None:
    found = searched(Looker(fails=(12, 20)))
    assert [(t, one.fault) for t, one in enumerate(found) if one.fault] == [
        (12, "it is dark"), (20, "it is dark"),
    ]  # fmt: skip
    for t in {*range(30)} - {12, 18, 19, 20, 21}:
        assert len(found[t].faces) == len(people(t)), t


def test_the_frames_come_in_order_and_few_of_them_wait() -> None:
    read: list[int] = []

    def noted() -> Iterator[VideoFrame]:
        for t, frame in enumerate(frames(0, 60)):
            read.append(t)
            yield frame

    with ThreadPoolExecutor(2) as pool:
        for t, one in enumerate(Looker().search().frames(noted(), 0, pool, 3)):
            assert int(one.rgb_hwc[0, 0, 0]) == t
            assert len(read) - t <= 2 * (LOOK_FRAMES + 3) + 1


def is_among(face: Face, others: Sequence[Face]) -> bool:
    """Whether one of the others is as good as at the same place."""
    return any(
        np.hypot(*(face.landmarks_xy - other.landmarks_xy).T).mean() < 0.25 * face.side_px
        for other in others
    )


@pytest.mark.parametrize(
    ("name", "most"),
    [
        # Faces that move, and two cuts with nobody between.
        ("cuts_and_gaps.mp4", 50),
        pytest.param("film_1950s.mp4", 360, marks=pytest.mark.slow),
        pytest.param("carphone_aac.mp4", 120, marks=pytest.mark.slow),
        pytest.param("hevc_10bit.mp4", 60, marks=pytest.mark.slow),
        pytest.param("vfr.mp4", 90, marks=pytest.mark.slow),
    ],
)
def test_no_face_of_a_film_is_lost_that_a_search_of_every_whole_frame_follows(
    name: str, most: int
) -> None:
    clip = data.folder("RESTORE_BATCH_VIDEO", "video") / name
    if not clip.is_file():
        pytest.skip(f"no {clip}")
    detector = registry.build(Store().ref(registry.card("cascade-1"), {}), Runtime())
    detect = Detect(None, detector=detector)
    with av.open(str(clip)) as container:
        film = [
            VideoFrame(Frame(decoded.to_ndarray(format="rgb24")), pts=t, duration=1)
            for t, decoded in zip(range(most), container.decode(video=0), strict=False)
        ]
    whole: list[int] = []

    def look(frame: Frame, expected: tuple[Face, ...] | None, *, sparse: bool) -> tuple[Face, ...]:
        if sparse and expected is not None:
            return detect.find([frame], [expected])[0]
        whole[-1] += 1
        return detect.find([frame])[0]

    def found(sparse: bool) -> FilmFaces:
        search = Search(lambda f: f, lambda f, e: look(f, e, sparse=sparse), lambda f: f, sparse)
        whole.append(0)
        with ThreadPoolExecutor(1) as pool:
            return find_faces(film, 0, search, pool, pixel_aspect=1.0, steady=True, ahead=2)

    ours, theirs = found(sparse=True), found(sparse=False)
    assert whole[0] < len(film) / 3
    assert whole[1] == len(film)
    tracks = [track for some in theirs.tracks for track in some]
    followed = {track for track in tracks if tracks.count(track) > LOOK_FRAMES}
    assert followed
    lost = [
        (t, face)
        for t, (faces, some) in enumerate(zip(theirs.faces, theirs.tracks, strict=True))
        for face, track in zip(faces, some, strict=True)
        if track in followed and not is_among(face, ours.faces[t])
    ]
    # At the limit of what the detector sees a face may be found some frames later, or earlier.
    assert [(t, face) for t, face in lost if face.side_px >= detector.smallest_px] == []
    assert sum(map(len, ours.faces)) >= sum(map(len, theirs.faces))

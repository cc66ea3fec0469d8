"""Faces that lie on their side or stand on their head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.jobs.units import Segment
from restore_batch.models.base import Detector, DetectorTraits, Face, Looker
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.turned import Turned
from restore_batch.stages.geometry import TEMPLATE_512
from restore_batch.stages.media import Chunk, Frame

from support.toys import unit

_UPRIGHT = (TEMPLATE_512 - 256) / 300
_SIDE = 40


class Arrows:
    """Sees squares that are red in their upper half as upright faces of certainty, and those that
    are green there as faces of less; of other sides it sees squares too, as ``otherwise`` says."""

    smallest_px = 20.0
    traits = DetectorTraits(
        default_score=0.5, sees_any_size=True, upright_score=0.99, turned_score=0.9
    )

    def __init__(self, otherwise: float = 0.0) -> None:
        self.otherwise = otherwise
        self.calls = 0

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        self.calls += len(images)
        return [[f for f in self._find(image) if f.score >= min_score] for image in images]

    def _find(self, image: np.ndarray) -> list[Face]:
        lit = image.max(axis=2) > 60
        if not lit.any():
            return []
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
        upper = image[top : (top + bottom) // 2, left : right + 1].reshape(-1, 3).mean(axis=0)
        score = 0.999 if upper[0] > 200 else 0.95 if upper[1] > 200 else self.otherwise
        size, centre = (right - left, bottom - top), ((left + right) / 2, (top + bottom) / 2)
        landmarks = (_UPRIGHT * size + centre).astype(np.float32)
        return [Face((float(left), float(top), float(right), float(bottom)), landmarks, score)]


def arrow(upper: tuple[int, int, int] = (255, 0, 0)) -> np.ndarray:
    """A black picture with an upright square, away from the middle."""
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[30 : 30 + _SIDE, 50 : 50 + _SIDE] = (0, 0, 255)
    picture[30 : 30 + _SIDE // 2, 50 : 50 + _SIDE] = upper
    return picture


def seen(picture: np.ndarray, detector: Detector, **options: object) -> Chunk:
    stage = Detect(None, detector=detector, **options)  # type: ignore[arg-type]
    (chunk,) = stage([Chunk(unit("a"), frames=(Frame(picture),))])
    assert isinstance(chunk, Chunk)
    return chunk


@settings(max_examples=60, deadline=None)
@given(
    quarters=st.integers(1, 3),
    size_hw=st.tuples(st.integers(4, 50), st.integers(4, 50)),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_what_is_seen_in_the_turned_picture_is_said_of_the_picture(
    quarters: int, size_hw: tuple[int, int], place: tuple[float, float]
) -> None:
    """A lit pixel is a face, whose landmarks are all there."""
    y, x = (int(share * (size - 1)) for share, size in zip(place, size_hw, strict=True))

    class Pixel:
        smallest_px = 1.0
        traits = DetectorTraits()

        def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
            assert all(image.flags.c_contiguous for image in images)
            at = [np.argwhere(image[..., 0])[0].tolist() for image in images]
            return [
                [Face((x - 1, y - 2, x + 1, y + 2), np.full((5, 2), (x, y), np.float32), 1.0)]
                for y, x in at
            ]

    picture = np.zeros((*size_hw, 3), np.uint8)
    picture[y, x] = 255
    for found in (Turned(Pixel(), quarters), Turned(Pixel(), quarters).look):
        ((face,),) = found([picture], 0.5)
        assert (face.landmarks_xy == (x, y)).all()
        across, down = (1, 2) if quarters == 2 else (2, 1)
        assert face.box_xyxy == (x - across, y - down, x + across, y + down)


def test_a_turned_detector_is_asked_and_shown_a_face_again_as_the_detector_is() -> None:
    class Looks(Arrows):
        def look(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
            return [[] for _ in images]

    turned, plain = Turned(Looks(), 1), Turned(Arrows(), 1)
    assert isinstance(turned, Looker)
    assert turned.traits == Looks.traits
    lying = np.ascontiguousarray(np.rot90(arrow(), -1))
    assert len(turned([lying], 0.5)[0]) == len(plain.look([lying], 0.5)[0]) == 1
    assert turned.look([lying], 0.5) == [[]]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_that_lies_otherwise_has_the_faces_that_it_has_upright(quarters: int) -> None:
    upright = seen(arrow(), Arrows())
    lying = np.ascontiguousarray(np.rot90(arrow(), -quarters))
    turned = seen(lying, Arrows())
    (face,), (same,) = upright.faces[0], turned.faces[0]
    pixels = [
        (lying[tuple(np.rint(xy)[::-1].astype(int))].tolist(),
         arrow()[tuple(np.rint(own)[::-1].astype(int))].tolist())
        for xy, own in zip(same.landmarks_xy, face.landmarks_xy, strict=True)
    ]  # fmt: skip
    assert all(one == other for one, other in pixels)
    assert same.side_px == pytest.approx(face.side_px, rel=0.01), "it was looked at in another size"
    assert not upright.warnings
    (told,) = turned.warnings
    words = {1: "90 degrees counter-clockwise", 2: "stand on its head", 3: "90 degrees clockwise"}
    assert words[quarters] in told


def test_a_face_that_stands_upright_for_certain_is_looked_at_once() -> None:
    detector = Arrows()
    seen(arrow(), detector)
    assert detector.calls == 1


def test_what_is_wrong_from_this_side_gives_way_to_what_is_right_from_another() -> None:
    """An upside-down face with the eyes at its mouth is worse than none."""
    chunk = seen(np.ascontiguousarray(arrow()[::-1, ::-1]), Arrows(otherwise=0.95))
    (face,) = chunk.faces[0]
    assert face.score == 0.999
    assert face.landmarks_xy[0, 1] > face.landmarks_xy[4, 1], "the mouth is above the eyes"


def test_a_face_that_is_likelier_upright_stays() -> None:
    chunk = seen(arrow(upper=(0, 255, 0)), Arrows(otherwise=0.93))
    (face,) = chunk.faces[0]
    assert face.score == 0.95
    assert not chunk.warnings


def test_where_another_side_is_not_certain_either_nothing_is_found() -> None:
    lying = np.ascontiguousarray(np.rot90(arrow(upper=(0, 0, 255))))
    chunk = seen(lying, Arrows(otherwise=0.8), min_score=0.85)
    assert chunk.faces == ((),)
    assert not chunk.warnings


def test_a_certain_face_counts_even_if_another_is_chosen() -> None:
    """The largest is uncertain, and alone it would be looked for from the other sides."""
    doubtful, certain = (
        replace(*Arrows()([arrow()], 0.0)[0], score=score) for score in (0.8, 0.999)
    )
    doubtful = replace(doubtful, box_xyxy=(150.0, 50.0, 250.0, 150.0))
    doubtful = replace(doubtful, landmarks_xy=doubtful.landmarks_xy * 2 + (60, 0))

    class Both(Arrows):
        def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
            self.calls += len(images)
            return [[doubtful, certain] for _ in images]

    detector = Both()
    chunk = seen(arrow(), detector, select="largest")
    assert detector.calls == 1
    assert [face.score for face in chunk.faces[0]] == [0.8]


def test_only_where_the_job_and_the_detector_say_so() -> None:
    lying = np.ascontiguousarray(np.rot90(arrow()))
    assert seen(lying, Arrows(), turned="off").faces == ((),)

    class Unsaid:
        smallest_px = 20.0
        traits = DetectorTraits(default_score=0.5, sees_any_size=True)

        def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
            return Arrows()(images, min_score)

    assert seen(lying, Unsaid()).faces == ((),)


def test_films_are_not_turned() -> None:
    lying = Frame(np.ascontiguousarray(np.rot90(arrow())))
    of_photo = unit("a")
    film: Segment[None] = Segment(
        id="f", source="f", output="f.mp4", staging_dir="/nowhere", base_key="b", face_key="f",
        megapixels=0.1, work=None,
    )  # fmt: skip
    stage = Detect(None, detector=Arrows())
    one, other = stage([Chunk(of_photo, frames=(lying,)), Chunk(film, frames=(lying,))])
    assert isinstance(one, Chunk)
    assert isinstance(other, Chunk)
    assert (len(one.faces[0]), len(other.faces[0])) == (1, 0)

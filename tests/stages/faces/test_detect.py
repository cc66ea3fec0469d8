"""Finding faces over levels and tiles, with a detector that sees discs and with real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.base import (
    Detector,
    DetectorTraits,
    Face,
    Looker,
    NoOptions,
    Runtime,
    traits_of,
)
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.detect import Detect, is_plausible, smallest_restorable_px
from restore_batch.stages.faces.pyramid import TILE_PX, plan_pyramid, render_tiles
from restore_batch.stages.geometry import TEMPLATE_512
from restore_batch.stages.media import Chunk, Failure, Frame

from support import data
from support.toys import unit

_FACE = (TEMPLATE_512 - 256) / 300


class DiscDetector:
    """Sees bright discs on black as faces, but only of the sizes that a real detector sees, and
    a disc that is cut by the border of its picture as a smaller box."""

    smallest_px = 20.0
    largest_px = 640.0
    traits = DetectorTraits(default_score=0.5)

    def __init__(self) -> None:
        self.largest_input = (0, 0)
        self.calls: list[int] = []

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        self.calls.append(len(images))
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> list[Face]:
        assert image.dtype == np.uint8
        self.largest_input = max(self.largest_input, image.shape[:2], key=lambda s: s[0] * s[1])
        mask = (image[..., 0] > 127).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        faces = []
        for left, top, width, height, _ in stats[1:].tolist():
            if self.smallest_px * 0.9 <= max(width, height) <= self.largest_px:
                size, centre = (width, height), (left + width / 2, top + height / 2)
                landmarks = _FACE * size + centre
                box = (float(left), float(top), float(left + width), float(top + height))
                faces.append(Face(box, landmarks.astype(np.float32), 0.9))
        return faces


class LookingDetector(DiscDetector):
    """The same with a second look, which confirms only discs with a bright green channel."""

    traits = DetectorTraits(default_score=0.5, look_px=64.0)

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        found = super().__call__(images, min_score)
        return [
            [f for f in faces if image[..., 1].max() > 150 or image.shape != (160, 160, 3)]
            for image, faces in zip(images, found, strict=True)
        ]


def discs(size: tuple[int, int], *discs_xyd: tuple[float, float, float]) -> np.ndarray:
    """A black picture (width, height) with white discs: centre x, y, diameter."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y, diameter in discs_xyd:
        cv2.circle(picture, (round(x), round(y)), round(diameter / 2), (255, 255, 255), -1)
    return picture


def find(rgb_hwc: np.ndarray, detector: Detector | None = None, **options: object) -> list[Face]:
    stage = Detect(None, detector=detector or DiscDetector(), **options)  # type: ignore[arg-type]
    return list(stage.find([Frame(rgb_hwc)])[0])


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(200, 4000),
    height=st.integers(200, 4000),
    place=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    share=st.floats(0, 1),
)
def test_a_face_of_any_size_is_found_once_at_its_place(
    width: int, height: int, place: tuple[float, float], share: float
) -> None:
    largest = min(width, height) * 0.9
    diameter = 22 * (largest / 22) ** share
    x = diameter / 2 + 2 + place[0] * (width - diameter - 4)
    y = diameter / 2 + 2 + place[1] * (height - diameter - 4)
    faces = find(discs((width, height), (x, y, diameter)), min_face_px=16)
    assert len(faces) == 1
    left, top, right, bottom = faces[0].box_xyxy
    near = 2 + 0.06 * diameter
    assert abs((left + right) / 2 - x) < near
    assert abs((top + bottom) / 2 - y) < near
    assert abs(faces[0].side_px - diameter) < near
    assert np.abs(faces[0].landmarks_xy - (_FACE * diameter + (x, y))).max() < near


def test_a_tiny_and_a_full_frame_face_are_found_in_one_large_scan() -> None:
    picture = discs((9000, 5000), (2600, 2500, 4500), (8900, 60, 22))
    detector = DiscDetector()
    faces = find(picture, detector, min_face_px=16)
    assert [round(f.side_px / 50) for f in faces] == [90, 0]
    assert max(detector.largest_input) <= TILE_PX


@pytest.mark.parametrize(
    ("size", "least_px"),
    [((320, 240), 16), ((1920, 1080), 16), ((4744, 3162), 31.62), ((12000, 2000), 20),
     ((11600, 8700), 48)],
)  # fmt: skip
def test_the_smallest_restorable_face_is_a_hundredth_of_the_shorter_side_within_bounds(
    size: tuple[int, int], least_px: float
) -> None:
    assert smallest_restorable_px(*size) == pytest.approx(least_px)


def test_by_default_a_face_too_small_for_its_picture_is_left() -> None:
    picture = discs((4500, 3000), (700, 700, 26), (2000, 2000, 36))
    assert [round(f.side_px, -1) for f in find(picture)] == [40]
    assert [round(f.side_px, -1) for f in find(picture, min_face_px=16)] == [40, 30]


def test_where_faces_are_expected_no_others_are_looked_for() -> None:
    picture = discs((1900, 1000), (300, 300, 60), (1500, 700, 110))
    detector = DiscDetector()
    (large, small) = find(picture, detector)
    looked_at = detector.largest_input
    stage = Detect(None, detector=detector)
    detector.largest_input = (0, 0)
    moved = Frame(np.roll(picture, (14, -31), (0, 1)))
    ((found,),) = stage.find([moved], [[small]])
    assert np.abs(np.array(found.box_xyxy) - (239, 284, 299, 344)).max() < 4
    assert detector.largest_input[0] * 5 < looked_at[0]
    none, twice = stage.find([moved, moved], [[], [large, large]])
    assert [len(none), len(twice)] == [0, 1]


def test_a_crowd_is_searched_as_a_whole() -> None:
    places = [(60.0 + 64 * (i % 9), 60.0 + 64 * (i // 9), 50.0) for i in range(54)]
    picture = Frame(discs((640, 450), *places))
    detector = DiscDetector()
    stage = Detect(None, detector=detector)
    (faces,) = stage.find([picture])
    assert len(faces) == 54
    whole = detector.calls.copy()
    detector.calls.clear()
    (again,) = stage.find([picture], [faces])
    assert [f.box_xyxy for f in again] == [f.box_xyxy for f in faces]
    assert detector.calls == whole


def test_a_small_picture_is_searched_as_a_whole_where_regions_would_take_more_calls() -> None:
    picture = Frame(discs((320, 240), (60, 60, 30), (160, 120, 30), (260, 180, 30)))
    detector = DiscDetector()
    stage = Detect(None, detector=detector)
    (faces,) = stage.find([picture])
    whole = detector.calls.copy()
    detector.calls.clear()
    (all_again,) = stage.find([picture], [faces])
    assert [f.box_xyxy for f in all_again] == [f.box_xyxy for f in faces]
    assert detector.calls == whole
    looked_at = detector.largest_input
    detector.largest_input = (0, 0)
    ((one,),) = stage.find([picture], [faces[:1]])
    assert np.abs(np.array(one.box_xyxy) - faces[0].box_xyxy).max() < 3
    assert np.prod(detector.largest_input) < np.prod(looked_at)


def test_what_is_where_it_is_expected_is_looked_at_once_and_what_is_not_is_searched_for() -> None:
    picture = discs((1900, 1000), (300, 300, 60), (1500, 700, 110))
    detector = LookingDetector()
    stage = Detect(None, detector=detector)
    (faces,) = stage.find([Frame(picture)])
    assert len(faces) == 2
    detector.calls.clear()
    (again,) = stage.find([Frame(picture)], [faces])
    assert detector.calls == [2]
    for one, before in zip(again, faces, strict=True):
        assert np.abs(np.array(one.box_xyxy) - before.box_xyxy).max() < 3
    moved = Frame(np.roll(picture, (14, -30), (0, 1)))
    detector.calls.clear()
    (large, small) = stage.find([moved], [faces])[0]
    # Both at once, a region around the small one, which is too far away, and it again.
    assert detector.calls == [2, 1, 1]
    assert np.abs(np.array(large.box_xyxy) - (1415, 659, 1525, 769)).max() < 4
    assert np.abs(np.array(small.box_xyxy) - (240, 284, 300, 344)).max() < 4


def test_a_chunk_may_come_with_the_faces_that_are_expected() -> None:
    picture = discs((900, 500), (200, 200, 60), (600, 300, 80))
    stage = Detect(None, detector=DiscDetector())
    (_, small) = stage.find([Frame(picture)])[0]
    (reply,) = stage([Chunk(unit("v"), frames=(Frame(picture),), faces=((small,),))])
    assert isinstance(reply, Chunk)
    assert [round(f.side_px, -1) for f in reply.faces[0]] == [60]


def test_order_is_by_falling_size_then_from_the_top() -> None:
    picture = discs((800, 400), (100, 300, 60), (500, 200, 120), (300, 100, 60))
    centres = [round((f.box_xyxy[0] + f.box_xyxy[2]) / 2, -1) for f in find(picture)]
    assert centres == [500, 300, 100]


def test_small_faces_are_dropped_and_the_largest_or_central_chosen() -> None:
    picture = discs((800, 400), (60, 60, 30), (400, 200, 60), (650, 250, 150))
    assert len(find(picture)) == 3
    assert len(find(picture, min_face_px=40)) == 2
    assert [round(f.side_px, -1) for f in find(picture, max_faces=2)] == [150, 60]
    assert [round(f.side_px, -1) for f in find(picture, select="largest")] == [150]
    assert [round(f.side_px, -1) for f in find(picture, select="center")] == [60]
    assert find(discs((800, 400)), select="center") == []


def test_a_larger_minimum_looks_at_fewer_pixels() -> None:
    few = plan_pyramid(8000, 6000, smallest_px=20, min_face_px=80)
    many = plan_pyramid(8000, 6000, smallest_px=20, min_face_px=20)
    assert sum(t.width * t.height for t in few) * 8 < sum(t.width * t.height for t in many)


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 20000), height=st.integers(1, 20000), small=st.floats(8, 200))
def test_tiles_cover_each_level_and_stay_within_bounds(
    width: int, height: int, small: float
) -> None:
    tiles = plan_pyramid(width, height, 20, small)
    longest = max(tiles[-1].level_width, tiles[-1].level_height)
    assert longest <= 641
    for level in {(t.level_width, t.level_height) for t in tiles}:
        columns = np.zeros(level[0], bool)
        rows = np.zeros(level[1], bool)
        for t in tiles:
            if (t.level_width, t.level_height) == level:
                assert t.left >= 0
                assert t.left + t.width <= level[0]
                assert t.top + t.height <= level[1]
                assert max(t.width, t.height) <= TILE_PX
                columns[t.left : t.left + t.width] = True
                rows[t.top : t.top + t.height] = True
        assert columns.all()
        assert rows.all()


def test_positions_in_a_tile_lead_back_to_the_picture() -> None:
    x_ramp = np.linspace(0, 60000, 3000).astype(np.uint16)
    picture = np.broadcast_to(x_ramp[None, :, None], (2000, 3000, 3))
    picture = np.ascontiguousarray(picture)
    tiles = plan_pyramid(3000, 2000, 20, 40)
    for tile, pixels in zip(tiles, render_tiles(picture, tiles), strict=True):
        assert pixels.shape == (tile.height, tile.width, 3)
        middle = np.array([[tile.width // 2, tile.height // 2]], float)
        x = tile.to_source(middle, 3000, 2000)[0, 0]
        expected = x / 2999 * 60000 / 257
        assert abs(pixels[tile.height // 2, tile.width // 2, 0] - expected) < 1


def test_a_16_bit_and_a_grey_frame_give_the_faces_of_the_8_bit_one() -> None:
    picture = discs((700, 500), (200, 200, 90), (500, 300, 40))
    expected = [f.box_xyxy for f in find(picture)]
    assert len(expected) == 2
    assert [f.box_xyxy for f in find(picture.astype(np.uint16) * 257)] == expected


def test_frames_of_one_chunk_go_to_the_detector_together() -> None:
    detector = DiscDetector()
    frames = tuple(Frame(discs((320, 240), (100 + i, 100, 50))) for i in range(6))
    stage = Detect(None, detector=detector)
    (result,) = stage([Chunk(unit("v"), frames=frames)])
    assert isinstance(result, Chunk)
    assert [len(faces) for faces in result.faces] == [1] * 6
    assert detector.calls == [6]
    alone = [stage.find([frame])[0][0].box_xyxy for frame in frames]
    assert alone == [faces[0].box_xyxy for faces in result.faces]


def test_the_second_look_drops_what_it_does_not_confirm() -> None:
    picture = discs((900, 700), (200, 200, 90), (600, 400, 150))
    picture[300:, :, 1] = 0
    assert len(find(picture)) == 2
    (confirmed,) = find(picture, LookingDetector())
    assert np.abs(np.array(confirmed.box_xyxy) - (155, 155, 245, 245)).max() < 3
    assert np.abs(confirmed.landmarks_xy - (_FACE * 90 + 200)).max() < 3


class SureDetector(LookingDetector):
    """The same, certain of discs with a bright green channel; the others it sees as likely."""

    traits = replace(LookingDetector.traits, certain_score=0.8)

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        found = super().__call__(images, min_score)
        return [
            [Face(f.box_xyxy, f.landmarks_xy, 0.9 if _is_green(image, f) else 0.7) for f in faces]
            for image, faces in zip(images, found, strict=True)
        ]


def _is_green(image: np.ndarray, face: Face) -> bool:
    left, top, right, bottom = face.box_xyxy
    return bool(image[int(top + bottom) // 2, int(left + right) // 2, 1] > 150)


def test_what_the_detector_is_certain_of_needs_no_second_look() -> None:
    picture = discs((900, 700), (200, 200, 90), (600, 400, 150))
    picture[300:, :, 1] = 0
    detector = SureDetector()
    (confirmed,) = find(picture, detector)
    assert np.abs(np.array(confirmed.box_xyxy) - (155, 155, 245, 245)).max() < 3
    looks = detector.calls.copy()
    detector.calls.clear()
    detector.traits = replace(detector.traits, certain_score=0.95)
    assert [f.box_xyxy for f in find(picture, detector)] == [
        pytest.approx(confirmed.box_xyxy, abs=3)
    ]
    assert looks[-1] == 1
    assert detector.calls[-1] == 2


def test_a_higher_threshold_than_certainty_is_kept() -> None:
    detector = SureDetector()
    detector.traits = replace(detector.traits, certain_score=0.5)
    assert find(discs((900, 700), (200, 200, 90)), detector, min_score=0.95) != []
    assert detector.calls[-1] == 1


def test_a_detector_that_sees_any_size_gets_the_finest_level_as_a_whole() -> None:
    picture = discs((4000, 2400), (1200, 1200, 620), (3900, 60, 30))
    detector = DiscDetector()
    detector.traits = replace(detector.traits, sees_any_size=True)
    faces = find(picture, detector, min_face_px=24)
    assert [round(f.side_px, -1) for f in faces] == [620, 30]
    assert detector.calls == [1]
    assert detector.largest_input == (2000, 3333)


class LookingClosely(LookingDetector):
    """The same with a way of its own to be shown what it has found."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[int] = []

    def look(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        self.looks.append(len(images))
        return super().__call__(images, min_score)


def test_a_detector_that_has_a_way_to_look_again_is_asked_so() -> None:
    picture = discs((900, 700), (200, 200, 90), (600, 400, 150))
    plain, closely = LookingDetector(), LookingClosely()
    assert isinstance(closely, Looker)
    assert not isinstance(plain, Looker)
    boxes = [f.box_xyxy for f in find(picture, plain)]
    assert [f.box_xyxy for f in find(picture, closely)] == boxes
    assert closely.looks == [2]
    assert closely.calls == plain.calls


class PlainDetector:
    """Says nothing of itself, as one of another package may; counts what it is asked."""

    smallest_px = 20.0

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        self.asked.append((len(images), min_score))
        return DiscDetector()(images, min_score)


def test_a_detector_without_traits_is_asked_as_they_say_by_default() -> None:
    picture, detector = discs((900, 700), (200, 200, 90)), PlainDetector()
    assert traits_of(detector) == DetectorTraits()
    (found,) = find(picture, detector)  # type: ignore[arg-type]
    assert np.abs(np.array(found.box_xyxy) - (155, 155, 245, 245)).max() < 3
    assert {least for _, least in detector.asked} == {DetectorTraits().default_score}
    tiles = len(plan_pyramid(900, 700, 20.0, smallest_restorable_px(900, 700)))
    assert sum(count for count, _ in detector.asked) == tiles, "it was asked again, or as a whole"
    (chunk,) = Detect(None, detector=detector)([Chunk(unit("a"), frames=(Frame(picture),))])  # type: ignore[arg-type]
    assert isinstance(chunk, Chunk)
    assert sum(count for count, _ in detector.asked) == 2 * tiles, "it was asked from other sides"


class FixedDetector:
    """Returns the same faces for any picture."""

    smallest_px = 20.0
    traits = DetectorTraits()

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        return [[f for f in self.faces if f.score > min_score] for _ in images]


def face(left: float, top: float, side: float, score: float = 0.9) -> Face:
    landmarks = _FACE * side + (left + side / 2, top + side / 2)
    return Face((left, top, left + side, top + side), landmarks.astype(np.float32), score)


BLANK = np.zeros((500, 500, 3), np.uint8)


def test_of_a_face_inside_a_larger_false_box_the_likelier_stays() -> None:
    inner, outer = face(150, 150, 60, 0.99), face(100, 100, 300, 0.7)
    assert [f.score for f in find(BLANK, FixedDetector(outer, inner))] == [0.99]


def test_neighbours_that_overlap_a_little_both_stay() -> None:
    assert len(find(BLANK, FixedDetector(face(100, 100, 100), face(180, 120, 90)))) == 2


def test_the_threshold_is_the_detectors_own_unless_given() -> None:
    detector = FixedDetector(face(20, 20, 80, 0.65), face(300, 300, 80, 0.95))
    assert len(find(BLANK, detector)) == 2
    assert len(find(BLANK, detector, min_score=0.9)) == 1
    detector.traits = DetectorTraits(default_score=0.8)
    assert len(find(BLANK, detector)) == 1


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_face_is_plausible_at_any_angle(turn: int) -> None:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    landmarks = _FACE @ np.array([[c, -s], [s, c]]).T * 100 + 100
    assert is_plausible(Face((50, 50, 150, 150), landmarks.astype(np.float32), 0.9))


def test_boxes_and_landmarks_that_cannot_be_a_face_are_dropped() -> None:
    good = face(100, 100, 100)
    landmarks = good.landmarks_xy
    assert is_plausible(good)
    impossible = {
        "outside": Face((300, 300, 400, 400), landmarks, 0.9),
        "mirrored": Face(good.box_xyxy, landmarks[[1, 0, 2, 4, 3]], 0.9),
        "a point": Face(good.box_xyxy, np.full((5, 2), 150, np.float32), 0.9),
        "not a number": Face(good.box_xyxy, np.full((5, 2), np.nan, np.float32), 0.9),
        "a sliver": Face((100, 100, 200, 120), landmarks, 0.9),
        "empty": Face((150, 150, 150, 150), landmarks, 0.9),
    }
    assert [name for name, each in impossible.items() if is_plausible(each)] == []


def test_a_broken_chunk_fails_alone() -> None:
    good = Chunk(unit("good"), frames=(Frame(discs((300, 300), (150, 150, 90))),))
    broken = Chunk(unit("broken"), frames=(Frame(np.zeros((300, 300, 3), np.float32)),))
    first, failed, last = Detect(None, detector=DiscDetector())([good, broken, good])
    assert isinstance(failed, Failure)
    assert failed.unit.id == "broken"
    assert isinstance(first, Chunk)
    assert isinstance(last, Chunk)
    assert len(first.faces[0]) == len(last.faces[0]) == 1


def test_without_a_detector_no_frame_has_a_face() -> None:
    frame = Frame(discs((300, 300), (150, 150, 90)))
    (reply,) = Detect()([Chunk(unit("u"), frames=(frame, frame))])
    assert isinstance(reply, Chunk)
    assert reply.faces == ((), ())


@pytest.mark.parametrize("options", [{"min_face_px": 0}, {"min_score": 1.5}, {"max_faces": 0}])
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Detect(None, **{"detector": DiscDetector(), **options})  # type: ignore[arg-type]


@cache
def real(name: str) -> Detector:
    import torch

    from restore_batch.models import registry
    from restore_batch.models.families import retinaface
    from restore_batch.models.weights.store import Store

    if name != "retinaface":
        store = Store(None, download=False)
        found: Detector = registry.build(store.ref(registry.card(name), {}), Runtime())
        return found
    path = data.weights() / "retinaface_mobilenet025" / "mobilenet0.25_Final.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return retinaface.FAMILY.build(state, retinaface.CARDS[0], NoOptions(), Runtime())


def photo(name: str) -> np.ndarray:
    from PIL import Image

    with Image.open(data.photos() / name) as picture:
        return np.asarray(picture.convert("RGB"))


PHOTOS = {
    "old/group_solvay_1927.jpg": 29,
    "old/group_astronauts_1995.jpg": 23,
    "old/children_walking_1900.jpg": 3,
    "old/noface_moulin_rouge_1914.png": 0,
    "old/autochrome_girl_1910.png": 1,
    "old/autochrome_portrait_1910.png": 1,
    "old/newsprint_portrait_1915.jpg": 1,
    "old/scratched_couple_1916.png": 2,
    "pose/lisa1.jpg": 1,
    "pose/lisa2.jpg": 1,
    "pose/lisa3.jpg": 1,
    "pose/lisa4.jpg": 1,
    "portraits/congress_D000096.jpg": 1,
    "portraits/congress_K000394.jpg": 1,
    "portraits/congress_N000147.jpg": 1,
    "portraits/historic_000374.jpg": 1,
    "portraits/historic_007744.jpg": 1,
    "portraits/london_025_03.jpg": 1,
    "portraits/london_061_03.jpg": 1,
    "portraits/london_062_03.jpg": 1,
    "odd/two_sizes.jpg": 2,
    "odd/upside_down.jpg": 1,
    "odd/gray_1ch.jpg": 1,
    "odd/animated.gif": 1,
    "odd/noise.png": 0,
    "odd/flat.png": 0,
    "odd/tiny.png": 0,
    "odd/one_pixel.png": 0,
    "odd/sliver.png": 0,
}


@pytest.mark.parametrize(
    ("detector", "name"),
    [
        *((detector, name) for detector in ("retinaface", "cascade-1") for name in PHOTOS),
        *(("mtcnn", name) for name in list(PHOTOS)[:4]),
    ],
)
def test_each_photo_gives_its_faces_and_no_other(detector: str, name: str) -> None:
    faces = find(photo(name), real(detector))
    assert len(faces) == PHOTOS[name]
    for one, other in pairwise(faces):
        assert one.side_px >= other.side_px


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize(
    "name",
    [
        "old/group_solvay_1927.jpg",
        "old/scratched_couple_1916.png",
        "portraits/historic_000374.jpg",
        "portraits/london_061_03.jpg",
    ],
)
def test_a_photo_that_lies_otherwise_gives_the_same_faces(name: str, quarters: int) -> None:
    """A turned face moves by less than a tenth of its side, so that its eyes are its eyes."""
    upright = photo(name)
    stage = Detect(None, detector=real("cascade-1"))
    lying = Frame(np.ascontiguousarray(np.rot90(upright, -quarters)))
    turn, _ = stage.find_turned(lying, stage.find([lying])[0])
    assert turn == quarters
    (chunk,) = stage([Chunk(unit(name), frames=(lying,))])
    assert isinstance(chunk, Chunk)
    (faces,) = chunk.faces
    expected = find(upright, real("cascade-1"))
    assert len(faces) == len(expected) == PHOTOS[name]
    for face in faces:
        here = _turned_back(face.landmarks_xy, lying.width, lying.height, quarters)
        apart = [np.abs(here - other.landmarks_xy).max() / other.side_px for other in expected]
        assert min(apart) < 0.1


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_photo_without_faces_is_not_taken_for_one_that_lies_otherwise(quarters: int) -> None:
    stage = Detect(None, detector=real("cascade-1"))
    upright = photo("old/noface_moulin_rouge_1914.png")
    lying = Frame(np.ascontiguousarray(np.rot90(upright, -quarters)))
    assert stage.find_turned(lying, stage.find([lying])[0])[0] == 0


def _turned_back(xy: np.ndarray, width: int, height: int, quarters: int) -> np.ndarray:
    for _ in range(quarters):
        xy = np.stack([xy[:, 1], width - 1 - xy[:, 0]], axis=1)
        width, height = height, width
    return xy


@pytest.mark.parametrize("detector", ["retinaface", "cascade-1", "mtcnn"])
def test_landmarks_hardly_depend_on_the_size_of_the_picture(detector: str) -> None:
    """What the second look is for: without it a 30 px face is off by a tenth of the eye distance
    and more."""
    portrait = photo("portraits/london_062_03.jpg")
    (large,) = find(portrait, real(detector))
    scale = 30 / large.side_px
    small_picture = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (small,) = find(small_picture, real(detector))
    eyes = np.linalg.norm(large.landmarks_xy[1] - large.landmarks_xy[0])
    back = (small.landmarks_xy + 0.5) / scale - 0.5
    assert np.linalg.norm(back - large.landmarks_xy, axis=1).mean() < 0.07 * eyes


def test_the_stage_loads_its_detector_where_it_opens(tmp_path: Path) -> None:
    from restore_batch.models.families import mtcnn
    from restore_batch.models.weights.store import Store

    stage = Detect(Store(tmp_path, download=False).ref(mtcnn.CARD, {}))
    with pytest.raises(RuntimeError, match="open"):
        stage.find([Frame(BLANK)])
    stage.open(WorkerContext())
    assert stage.find([Frame(BLANK)]) == ((),)
    stage.close()
    with pytest.raises(RuntimeError, match="open"):
        stage.find([Frame(BLANK)])

"""What the proposal network learns from: crops, and where faces are in them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.errors import UsageError
from restore_batch.models.train.data.faces_there import Seen, detector, of_portrait, of_scene
from restore_batch.models.train.data.proposal_pairs import (
    DOUBTFUL,
    NONE,
    STEPS,
    THERE,
    ProposalPairs,
    told,
)

from support import data
from support.scenes import draw_scenes

PLACES = st.floats(8, 88)


def seen(*faces: tuple[float, float, float], certain: bool = True) -> Seen:
    x, y, side = (np.array(column) for column in zip(*faces, strict=True))
    return Seen(np.stack([x, y], axis=1), side, np.full(len(side), certain))


def said(cells: np.ndarray, row: int, column: int) -> tuple[float, float, float]:
    """Middle and side of the face that a cell tells of, in pixels of the crop."""
    right, below, size = (cells[1:, row, column].astype(float) - 128) / STEPS
    return column * 4 + 1.5 + right * 4, row * 4 + 1.5 + below * 4, 16 * 2**size


@settings(deadline=None)
@given(x=PLACES, y=PLACES, side=st.floats(9.5, 25))
def test_each_cell_that_shows_a_face_tells_where_it_is(x: float, y: float, side: float) -> None:
    cells = told(seen((x, y, side)), 96)
    rows, columns = np.nonzero(cells[0] == THERE)
    assert len(rows)
    for row, column in zip(rows, columns, strict=True):
        assert said(cells, row, column) == pytest.approx((x, y, side), abs=0.2)
    far = np.hypot(*(np.stack(np.nonzero(cells[0] != NONE)) * 4 + 1.5 - np.array([[y], [x]])))
    assert far.max() < side


@settings(deadline=None)
@given(side=st.sampled_from([8.0, 28.0]))
def test_a_face_somewhat_too_small_or_large_is_left_open(side: float) -> None:
    cells = told(seen((40.0, 40.0, side)), 96)
    assert set(np.unique(cells[0])) == {NONE, DOUBTFUL}


def test_a_face_of_quite_another_size_is_none_and_an_uncertain_one_left_open() -> None:
    assert not told(seen((40.0, 40.0, 60.0)), 96)[0].any()
    assert set(np.unique(told(seen((40.0, 40.0, 60.0), certain=False), 96)[0])) == {NONE, DOUBTFUL}


def test_of_two_faces_each_cell_tells_of_the_nearer() -> None:
    cells = told(seen((40.0, 40.0, 24.0), (48.0, 40.0, 24.0)), 96)
    assert said(cells, 10, 10) == pytest.approx((40, 40, 24), abs=0.2)
    assert said(cells, 10, 11) == pytest.approx((48, 40, 24), abs=0.2)


def test_a_pair_is_a_function_of_its_number_alone(tmp_path: Path) -> None:
    files = sorted(draw_scenes(tmp_path / "scenes", 2, 130, 160).glob("*.png"))
    first, second = (ProposalPairs(files, [], 96, 3, 100) for _ in range(2))
    second[5]
    for number in (7, 2):
        for one, other in zip(first[number], second[number], strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    grey, cells = first[0]
    assert (grey.shape, cells.shape) == ((1, 96, 96), (4, 24, 24))


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    files = sorted(draw_scenes(tmp_path / "scenes", 1, 90, 160).glob("*.png"))
    with pytest.raises(UsageError, match=r"\.png: expected at least 96 px"):
        ProposalPairs(files, [], 96, 3, 100)
    with pytest.raises(UsageError, match="crop_px 90: expected a multiple of 4"):
        ProposalPairs(files, [], 90, 3, 100)


def test_portraits_and_scenes_show_their_faces_and_crops_have_them() -> None:
    files = sorted((data.photos() / "portraits").glob("*.jpg"))[:1]
    portraits = sorted((data.faces() / "train").glob("london*.jpg"))[:2]
    pairs = ProposalPairs(files, portraits, 96, 3, 100)
    found = 0
    for number in range(12):
        grey, its = pairs.crop(number)
        assert grey.dtype == np.uint8
        found += len(its.sides_px)
        half = its.sides_px[:, None] / 2
        assert ((its.middles_xy > -half) & (its.middles_xy < 96 + half)).all()
    assert found > 12


def test_a_portrait_has_one_face_and_a_scene_those_of_its_size() -> None:
    detect = detector("mtcnn")
    (path,) = sorted((data.faces() / "train").glob("london*.jpg"))[:1]
    portrait = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
    one = of_portrait(portrait, detect)
    assert one.sides_px[0] == pytest.approx(0.62 * len(portrait), rel=0.25)
    small = cv2.resize(portrait, (32, 32), interpolation=cv2.INTER_AREA)
    scene = np.full((120, 160, 3), 90, np.uint8)
    scene[40:72, 60:92] = small
    there = of_scene(scene, detect)
    (face,) = there.middles_xy[there.certain]
    assert face == pytest.approx((76, 57), abs=4)
    assert len(of_portrait(np.full((256, 256, 3), 90, np.uint8), detect).sides_px) == 0

"""What a benchmark with known faces lays where, and what it counts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from recall import DEGRADATIONS, Portrait, Score, false_finds, sheet, size_class

_SCENE_GREY, _FACE_GREY = 40, 230


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """A dark scene, and a portrait that is bright all over."""
    scene, face = tmp_path / "scene.png", tmp_path / "face.png"
    cv2.imwrite(str(scene), np.full((60, 90, 3), _SCENE_GREY, np.uint8))
    cv2.imwrite(str(face), np.full((64, 64, 3), _FACE_GREY, np.uint8))
    return [scene], [face]


def test_a_sheet_shows_its_portraits_where_it_says_and_is_the_same_each_time(
    pictures: tuple[list[Path], list[Path]],
) -> None:
    rgb_hwc, portraits, kind = sheet(0, 4, *pictures)
    again, placed_again, _ = sheet(0, 4, *pictures)
    assert kind == "undisturbed"
    assert np.array_equal(rgb_hwc, again)
    assert portraits == placed_again
    assert rgb_hwc.shape[0] * rgb_hwc.shape[1] == pytest.approx(4e6, rel=0.05)
    assert len(portraits) > 50
    assert 16 < min(p.side_px for p in portraits) < 22
    assert 150 < max(p.side_px for p in portraits) <= 200
    for portrait in portraits:
        x, y, half = round(portrait.x), round(portrait.y), round(portrait.side_px / 4)
        assert (rgb_hwc[y - half : y + half, x - half : x + half] == _FACE_GREY).all()
    assert (rgb_hwc == _SCENE_GREY).mean() > 0.6


@pytest.mark.parametrize("kind", sorted(DEGRADATIONS.keys() - {"undisturbed"}))
def test_a_degradation_changes_a_picture_but_not_what_is_where(kind: str) -> None:
    picture = np.full((120, 200, 3), 90, np.uint8)
    cv2.circle(picture, (140, 50), 30, (220, 190, 160), -1)
    worse = DEGRADATIONS[kind](picture, np.random.default_rng(0))
    assert worse.shape == picture.shape
    assert worse.dtype == np.uint8
    assert not np.array_equal(worse, picture)
    assert worse[35:65, 125:155].mean() > worse[:, :90].mean() + 20


def test_a_find_counts_where_it_lies_on_a_face_and_is_as_large() -> None:
    portrait = Portrait(100, 100, 40)
    on_it, small = [82.0, 80.0, 122.0, 120.0, 0.9], [95.0, 95.0, 105.0, 105.0, 0.9]
    beside = [120.0, 80.0, 160.0, 120.0, 0.9]
    assert portrait.is_at(on_it)
    assert false_finds([on_it, small, beside], [portrait]) == 2


def test_sizes_are_classed_by_the_smallest_that_is_looked_for() -> None:
    classes = [size_class(Portrait(0, 0, side), 20) for side in (19, 21, 25, 31, 60, 180)]
    assert classes == ["1 to 1.2", "1 to 1.2", "1.2 to 1.5", "1.5 to 2.5", "2.5 to 5", "from 5"]


@pytest.mark.parametrize(("only_other", "only_this", "worse"), [(5, 3, False), (20, 4, True)])
def test_fewer_finds_than_a_coin_would_give_are_worse(
    only_other: int, only_this: int, worse: bool
) -> None:
    score = Score()
    for by_other, by_this, times in ((True, False, only_other), (False, True, only_this)):
        for _ in range(times):
            score.count(by_other, by_this)
    score.count(True, True)
    assert score.is_worse is worse
    assert (score.other, score.this) == (only_other + 1, only_this + 1)
    assert f"| {only_other} | {only_this} |" in score.row()

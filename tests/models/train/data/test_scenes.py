"""Crops of whole pictures: what a pair shows, and that it depends on its number alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from restore_batch.errors import UsageError
from restore_batch.models.train.data.degrade import Mixed, is_grey
from restore_batch.models.train.data.loading import Streams, batches
from restore_batch.models.train.data.old_scan.recipe import OldScan
from restore_batch.models.train.data.pairs import picture_files
from restore_batch.models.train.data.scenes import SceneMixed, ScenePairs, clean, halved

from support import training
from support.scenes import draw_scene, draw_scenes, grey


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return draw_scenes(tmp_path / "scenes", 4)


def _pairs(folder: Path, seed: int = 0, **options: Any) -> ScenePairs:
    chosen: dict[str, Any] = {
        "degradations": [(0.5, SceneMixed(Mixed())), (0.5, OldScan())],
        "shrinks": 2,
    } | options
    return ScenePairs(picture_files([folder]), 64, seed=seed, length=1000, **chosen)


def test_a_pair_is_degraded_true_and_the_truth_at_the_degraded_ones_size(scenes: Path) -> None:
    degraded, true, same = _pairs(scenes)[3]
    assert degraded.shape == same.shape == (3, 32, 32)
    assert true.shape == (3, 64, 64)
    assert {p.dtype for p in (degraded, true, same)} == {torch.uint8}
    degraded, true = _pairs(scenes, shrinks=1)[3]
    assert degraded.shape == true.shape == (3, 64, 64)


def test_all_pictures_of_a_clean_pair_show_the_same_place(scenes: Path) -> None:
    pairs = _pairs(scenes, degradations=[(1.0, clean)])
    for i in range(12):
        degraded, true, same = pairs.pair(i)
        assert np.array_equal(degraded, same)
        small = cv2.resize(true, (32, 32), interpolation=cv2.INTER_AREA).astype(float)
        moved = [np.roll(small, step, axis) for axis in (0, 1) for step in (-1, 1)]
        error = np.abs(small - same).mean()
        assert error < 0.6 * min(np.abs(m - same).mean() for m in moved) + 0.3


def test_a_pair_does_not_depend_on_what_was_made_before(scenes: Path) -> None:
    forwards, backwards = _pairs(scenes), _pairs(scenes)
    made = [forwards.pair(i) for i in range(8)]
    for i in reversed(range(8)):
        for one, other in zip(backwards.pair(i), made[i], strict=True):
            assert np.array_equal(one, other)
    assert not np.array_equal(_pairs(scenes, 1).pair(0)[1], made[0][1])


def test_sharp_places_are_taken_more_often_than_flat_ones(tmp_path: Path) -> None:
    picture = np.full((160, 480, 3), 128, np.uint8)
    picture[:, 320:] = np.random.default_rng(0).integers(0, 256, (160, 160, 3))
    folder = tmp_path / "half"
    folder.mkdir()
    cv2.imwrite(str(folder / "half.png"), picture)
    pairs = _pairs(folder, degradations=[(1.0, clean)])
    sharp = [pairs.pair(i)[1].std() > 20 for i in range(80)]
    assert 0.6 < np.mean(sharp) < 1


def test_what_is_no_picture_or_too_small_is_refused_by_name(tmp_path: Path) -> None:
    folder = draw_scenes(tmp_path / "small", 1, 60, 70)
    with pytest.raises(UsageError, match=r"scene_0\.png: 70x60 px; expected at least 96 px"):
        _pairs(folder)
    (folder / "scene_0.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"scene_0\.png: cannot be read"):
        _pairs(folder)
    with pytest.raises(UsageError, match="crop_px 60: expected a multiple of 16"):
        ScenePairs([], 60, [(1.0, clean)], 0, 1, shrinks=2)


def test_halving_moves_nothing_whatever_its_kernel() -> None:
    height, width = 80, 96
    y, x = np.mgrid[:height, :width]
    ramp = np.stack([y * 2, x * 2, (x + y)], axis=-1).astype(np.uint8)
    for seed in range(20):
        half = halved(ramp, np.random.default_rng(seed)).astype(float)
        expected = np.stack(
            [
                np.broadcast_to((2 * np.arange(40) + 0.5)[:, None] * 2, (40, 48)),
                np.broadcast_to((2 * np.arange(48) + 0.5)[None] * 2, (40, 48)),
                (2 * np.arange(40) + 0.5)[:, None] + (2 * np.arange(48) + 0.5)[None],
            ],
            axis=-1,
        )
        assert np.abs(half - expected)[4:-4, 4:-4].max() <= 0.6


def test_mixed_keeps_size_and_greyness_and_ranges_from_slight_to_strong() -> None:
    scene = grey(draw_scene(1, 90, 130))
    errors = []
    for seed in range(40):
        bad = SceneMixed(Mixed())(scene, np.random.default_rng(seed))
        assert bad.shape == scene.shape
        assert is_grey(bad)
        errors.append(np.sqrt(((bad.astype(float) - scene) ** 2).mean()))
    assert min(errors) < 0.5 * max(errors)


@pytest.mark.parametrize("first_step", [0, 3])
def test_loader_processes_change_no_batch(tmp_path: Path, scenes: Path, first_step: int) -> None:
    other = draw_scenes(tmp_path / "others", 2)
    made = []
    for loaders in (0, 2):
        recipe = training.recipe(
            tmp_path,
            scenes,
            data=[],
            scenes=[
                {"folders": [scenes], "crop_px": 64},
                {"folders": [other], "crop_px": 96, "every": 3},
            ],
            degradations={"old_scan": 1, "clean": 0.2, "mixed": 0.5, "fading": {}},
            run=training.run(6, loaders=loaders),
        )
        made.append(list(batches(Streams.of(recipe, 2), recipe, first_step)))
    assert [b[1].shape[-1] for b in made[0]] == [64, 64, 96, 64, 64, 96][first_step:]
    for alone, helped in zip(*made, strict=True):
        assert len(alone) == 3
        for one, twin in zip(alone, helped, strict=True):
            assert torch.equal(one, twin)

"""Grain: as strong and as coarse as asked, by brightness, and grey on grey."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.models.train.data.old_scan.grain import Grain

from support.scenes import draw_scene, grey

_EVEN = {"coarse_prob": 0.0, "patchy_prob": 0.0}


def _flat(level: float) -> np.ndarray:
    return np.full((200, 200, 3), level, np.float32)


def _noise(kind: Grain, level: float, seed: int) -> np.ndarray:
    return kind(_flat(level), np.random.default_rng(seed)) - level


def _neighbours(noise: np.ndarray) -> float:
    plane = noise[..., 1]
    return float(np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1])


def test_no_grain_changes_nothing() -> None:
    scene = draw_scene(0, 64, 64).astype(np.float32)
    assert np.array_equal(Grain(sigma=(0, 0))(scene, np.random.default_rng(0)), scene)


def test_larger_clumps_make_neighbours_more_alike_at_the_same_strength() -> None:
    fine = Grain(sigma=(15, 15), size_px=(0.5, 0.5), **_EVEN)
    coarse = Grain(sigma=(15, 15), size_px=(3, 3), **_EVEN)
    fine_noise, coarse_noise = _noise(fine, 128, 1), _noise(coarse, 128, 1)
    assert abs(_neighbours(fine_noise)) < 0.05
    assert _neighbours(coarse_noise) > 0.7
    assert coarse_noise.std() == pytest.approx(fine_noise.std(), rel=0.1)


def test_strength_depends_on_brightness_and_is_at_most_what_was_asked() -> None:
    kind = Grain(sigma=(20, 20), coloured_prob=0, **_EVEN)
    ratios = []
    for seed in range(12):
        stds = [_noise(kind, level, seed).std() for level in (15, 75, 128, 180, 240)]
        assert max(stds) < 21
        ratios.append(max(stds) / min(stds))
    assert np.median(ratios) > 1.5


def test_a_picture_keeps_its_brightness() -> None:
    kind = Grain(sigma=(25, 25))
    for seed in range(5):
        assert abs(_noise(kind, 128, seed).mean()) < 1.0


def test_channels_differ_in_colour_film_alone() -> None:
    coloured, silver = (Grain(sigma=(20, 20), coloured_prob=p, **_EVEN) for p in (1.0, 0.0))
    tinted = _flat(128) + np.array([0, 1, 2], np.float32)
    spread = [
        np.ptp(kind(tinted, np.random.default_rng(3)) - tinted, axis=2).mean()
        for kind in (coloured, silver)
    ]
    assert spread[0] > 2
    assert spread[1] < 1e-3
    grained = coloured(grey(draw_scene(1, 64, 64)).astype(np.float32), np.random.default_rng(0))
    assert np.ptp(grained, axis=2).max() == 0

"""Fading: grey, brown, paler dyes, uneven light; it changes tone and no detail."""

from __future__ import annotations

import numpy as np

from restore_batch.models.train.data.degrade import is_grey
from restore_batch.models.train.data.old_scan.fading import Fading

from support.scenes import draw_scene

_NOTHING = {
    "grey_prob": 0.0, "sepia_prob": 0.0, "dye_prob": 0.0, "flat_prob": 0.0, "uneven_prob": 0.0,
    "gamma": (1.0, 1.0),
}  # fmt: skip


def _faded(seed: int = 0, **options: object) -> tuple[np.ndarray, np.ndarray]:
    scene = draw_scene(2, 120, 160)
    fading = Fading.model_validate({**_NOTHING, **options})
    return scene.astype(int), fading(scene, np.random.default_rng(seed)).astype(int)


def test_nothing_asked_for_changes_nothing() -> None:
    scene, same = _faded()
    assert np.array_equal(scene, same)


def test_grey_is_grey_and_sepia_never_has_more_blue_than_red() -> None:
    assert is_grey(_faded(grey_prob=1)[1])
    sepia = _faded(sepia_prob=1)[1]
    assert not is_grey(sepia)
    assert (sepia[..., 0] - sepia[..., 2]).min() >= -1


def test_faded_dyes_shift_colours_and_only_lighten() -> None:
    for seed in range(6):
        scene, faded = _faded(seed, dye_prob=1, dye=(0.5, 0.8))
        assert (faded - scene).min() >= -1
        shifts = (faded - scene).mean((0, 1))
        assert shifts.min() > 1


def test_a_flat_picture_has_lost_contrast() -> None:
    for seed in range(6):
        scene, flat = _faded(seed, flat_prob=1)
        assert flat.std() < scene.std()


def test_uneven_light_is_smooth() -> None:
    scene, lit = _faded(3, uneven_prob=1, unevenness=(0.15, 0.15))
    ratio = (lit + 0.5) / (scene + 0.5)
    bright = scene.min(2) > 60
    assert ratio[bright].std() > 0.01
    steps = np.abs(np.diff(ratio[..., 1], axis=1))[bright[:, 1:] & bright[:, :-1]]
    assert np.median(steps) < 0.02

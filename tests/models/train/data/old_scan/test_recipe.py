"""The old scan as a whole."""

from __future__ import annotations

import numpy as np

from restore_batch.models.train.data.degrade import is_grey
from restore_batch.models.train.data.old_scan.recipe import OldScan

from support.scenes import draw_scene, grey

_NEVER = {
    f"{step}_prob": 0.0
    for step in (
        "softness", "grain", "halftone", "stains", "creases", "tears", "scratches", "hairs", "dust",
        "lens", "sensor",
    )
}  # fmt: skip


def test_the_same_chance_gives_the_same_scan_of_the_same_size() -> None:
    scene = draw_scene(0, 90, 130)
    for seed in range(12):
        first, second = (OldScan()(scene, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, second)
        assert first.shape == scene.shape
        assert first.dtype == np.uint8


def test_scans_range_from_almost_clean_to_badly_worn() -> None:
    scene = draw_scene(0, 90, 130)
    errors = []
    for seed in range(60):
        scan = OldScan()(scene, np.random.default_rng(seed)).astype(float)
        errors.append(np.sqrt(((scan - scene) ** 2).mean()))
    assert min(errors) < 5
    assert max(errors) > 20
    assert 5 < np.median(errors) < 25


def test_grey_pictures_stay_grey() -> None:
    scene = grey(draw_scene(1, 90, 130))
    for seed in range(30):
        assert is_grey(OldScan()(scene, np.random.default_rng(seed)))


def test_where_nothing_happens_nothing_changes() -> None:
    scene = draw_scene(2, 90, 130)
    untouched = OldScan.model_validate({**_NEVER, "jpeg": {"plain_prob": 1}})
    scan, alpha = untouched.with_mask(scene, np.random.default_rng(0))
    assert np.array_equal(scan, scene)
    assert not alpha.any()


def test_the_mask_shows_what_lies_on_the_picture_and_not_its_grain() -> None:
    scene = draw_scene(2, 120, 130)
    plain = {**_NEVER, "jpeg": {"plain_prob": 1}}
    dusty = OldScan.model_validate({**plain, "dust_prob": 1, "dust": {"per_megapixel": (2e3, 2e3)}})
    scan, alpha = dusty.with_mask(scene, np.random.default_rng(3))
    changed = (scan != scene).any(2)
    assert alpha.max() > 0.3
    assert not changed[alpha == 0].any()
    grained = OldScan.model_validate({**plain, "grain_prob": 1, "grain": {"sigma": (20, 20)}})
    scan, alpha = grained.with_mask(scene, np.random.default_rng(3))
    assert (scan != scene).any(2).mean() > 0.5
    assert not alpha.any()

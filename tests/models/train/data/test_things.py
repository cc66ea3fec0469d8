"""Things that look like damage: drawn into sound crops, and no damage."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.train.data.damage import DamageToFind
from restore_batch.models.train.data.things import Things

GREY = np.full((120, 160, 3), 128, np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(40, 200), st.integers(40, 200))
def test_a_picture_with_things_keeps_its_size_and_range(seed: int, height: int, width: int) -> None:
    picture = np.random.default_rng(1).uniform(0, 255, (height, width, 3)).astype(np.float32)
    before = picture.copy()
    one, other = (Things()(picture, np.random.default_rng(seed)) for _ in range(2))
    assert one.shape == picture.shape and one.dtype == np.float32
    assert one.min() >= 0 and one.max() <= 255
    assert np.array_equal(one, other) and np.array_equal(picture, before)


def test_their_edges_are_as_soft_as_a_lens_leaves_them() -> None:
    """The step from one pixel to the next is a part of the whole, which damage's need not be."""
    soft = Things(edge_px=(1.0, 1.4), rule_prob=0.0, post_px=(6, 12), disc_px=(5, 9), count=1)
    for seed in range(12):
        drawn = soft(GREY, np.random.default_rng(seed))
        steps = np.abs(np.diff(drawn, axis=1)).max()
        assert steps < 0.55 * np.ptp(drawn), seed


def test_a_margin_is_on_one_side_and_its_rule_along_it() -> None:
    margin = Things(
        rule_prob=1.0, count=1, disc_px=(1.5, 1.6), post_px=(1.5, 1.6), length_px=(4, 5)
    )
    for seed in range(6):
        drawn = margin(GREY, np.random.default_rng(seed))
        changed = (np.abs(drawn - GREY).max(axis=2) > 40).mean()
        assert 0.01 < changed < 0.45, seed
        sides = [drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]]
        *_, second, most = sorted(float(np.abs(side - 128).mean()) for side in sides)
        assert most > 50 > second, seed


def test_they_are_no_damage() -> None:
    look = DamageToFind(sound=1.0, things_prob=1.0)
    for seed in range(6):
        made = look(GREY, np.random.default_rng(seed))
        scanned, damage = made.damaged, made.damage
        assert np.ptp(scanned) > 30 and not damage.any()

"""What every damage that lies on a picture promises: it hides what its mask says, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from restore_batch.models.train.data.old_scan.creases import Creases
from restore_batch.models.train.data.old_scan.dust import Dust
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.layer import number
from restore_batch.models.train.data.old_scan.scratches import Scratches
from restore_batch.models.train.data.old_scan.stains import Stains
from restore_batch.models.train.data.old_scan.tears import Tears

from support.scenes import draw_scene, grey

# Each as a picture that has plenty of it.
KINDS: dict[str, Any] = {
    "dust": Dust(per_megapixel=(3000, 3000)),
    "hairs": Hairs(per_megapixel=(300, 300)),
    "scratches": Scratches(per_megapixel=(200, 200)),
    "creases": Creases(per_megapixel=(80, 80)),
    "stains": Stains(per_megapixel=(200, 200)),
    "tears": Tears(per_megapixel=(150, 150)),
}
EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def _scene() -> np.ndarray:
    return draw_scene(3, 240, 320).astype(np.float32)


@EACH
def test_a_picture_is_changed_where_its_mask_says_so_and_nowhere_else(kind: Any) -> None:
    scene = _scene()
    damaged = kind(scene, np.random.default_rng(1))
    untouched = damaged.alpha_hw == 0
    assert np.array_equal(damaged.picture[untouched], scene[untouched])
    assert damaged.alpha_hw.dtype == damaged.picture.dtype == np.float32
    assert 0 <= damaged.alpha_hw.min() < damaged.alpha_hw.max() <= 1
    plain = damaged.alpha_hw > 0.5
    if plain.any():
        change = np.abs(damaged.picture - scene).max(2)
        assert change[plain].mean() > 20, "what hides more than half is seen"
    assert untouched.mean() > 0.3


@EACH
def test_the_same_chance_gives_the_same_damage_and_leaves_its_input_alone(kind: Any) -> None:
    scene = _scene()
    first, second = (kind(scene, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(first.alpha_hw, second.alpha_hw)
    assert not np.array_equal(first.picture, kind(scene, np.random.default_rng(5)).picture)
    assert np.array_equal(scene, _scene())


@EACH
def test_none_asked_for_is_none(kind: Any) -> None:
    scene = _scene()
    damaged = kind.model_copy(update={"per_megapixel": (0, 0)})(scene, np.random.default_rng(2))
    assert np.array_equal(damaged.picture, scene)
    assert not damaged.alpha_hw.any()


def test_stains_on_a_grey_picture_are_grey() -> None:
    scene = grey(draw_scene(1, 160, 160)).astype(np.float32)
    stained = Stains(per_megapixel=(400, 400), coloured_prob=1)(scene, np.random.default_rng(0))
    assert not np.array_equal(stained.picture, scene)
    assert np.ptp(stained.picture, axis=2).max() == 0


def test_a_scratch_is_long_and_a_speck_of_dust_is_not() -> None:
    """Bounding boxes of what is drawn one by one."""
    black = np.zeros((400, 400, 3), np.float32)

    def longest_px(kind: Any, seed: int) -> int:
        light = kind.model_copy(update={"light_prob": 1.0, "per_megapixel": (6, 6)})
        mask = light(black, np.random.default_rng(seed)).alpha_hw > 0.1
        rows, columns = np.nonzero(mask)
        return 0 if len(rows) == 0 else int(max(np.ptp(rows), np.ptp(columns)))

    scratch = Scratches(length_px=(200, 200), broken_prob=0, width_px=(2, 2))
    dust = Dust(clusters=0)
    scratches = [length for seed in range(30) if (length := longest_px(scratch, seed))]
    specks = [length for seed in range(30) if (length := longest_px(dust, seed))]
    assert np.median(scratches) > 60
    assert min(specks) <= 12


def test_numbers_grow_with_the_picture() -> None:
    rng = np.random.default_rng(0)
    small = np.mean([number(rng, (100, 100), (200, 500)) for _ in range(300)])
    large = np.mean([number(rng, (100, 100), (400, 1000)) for _ in range(300)])
    assert small == pytest.approx(10, rel=0.15)
    assert large == pytest.approx(40, rel=0.15)


@pytest.mark.parametrize("kind", [Dust, Scratches, Hairs], ids=["dust", "scratches", "hairs"])
def test_marks_are_light_or_dark_as_asked(kind: Any) -> None:
    middle = np.full((300, 300, 3), 128, np.float32)
    for light_prob, brighter in ((1.0, True), (0.0, False)):
        many = kind(per_megapixel=(800, 800), light_prob=light_prob)
        marked = many(middle, np.random.default_rng(7)).picture - middle
        # Dust of a scan is nearly all of one kind.
        assert (marked.sum() > 0) == brighter

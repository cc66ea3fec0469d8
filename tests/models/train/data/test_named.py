"""Recipes by name: seeded by picture, recorded, of the sizes that they promise."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from restore_batch.models.train.data.named import RECIPES, Recorded, UnsuitedError

FACE = np.ascontiguousarray(skimage.data.astronaut()[:128, 160:288])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_the_same_of_the_same_name_and_seed(name: str) -> None:
    recipe = RECIPES[name]
    once, again, other = (
        recipe.degrade(FACE, Recorded(seed, of)) for seed, of in ((1, "a"), (1, "a"), (1, "b"))
    )
    assert once.dtype == np.uint8
    assert once.shape == (128 // recipe.shrinks, 128 // recipe.shrinks, 3)
    assert (once == again).all()
    chance = not name.startswith("bicubic")
    assert bool((once != other).any()) is chance


def test_what_was_drawn_is_enough_to_draw_it_again() -> None:
    rng = Recorded(3, "scans/a.png")
    RECIPES["mixed"].degrade(FACE, rng)
    blur = rng.drawn[0]
    assert blur["by"].startswith("Mixed.")
    assert (blur["how"], blur["of"]) == ("uniform", [0.2, 10.0])
    assert 0.2 <= blur["got"] <= 10.0
    assert Recorded(3, "scans/a.png").uniform(*blur["of"]) == blur["got"]


def test_recording_changes_nothing_that_is_drawn() -> None:
    recorded = Recorded(5, "a")
    plain = np.random.Generator(np.random.PCG64([5, 0xE8B7BE43]))  # crc32 of "a"
    assert recorded.random() == plain.random()
    assert (recorded.standard_normal(4) == plain.standard_normal(4)).all()
    assert recorded.integers(0, 9) == plain.integers(0, 9)


def test_recipes_of_faces_refuse_what_is_not_square() -> None:
    for name in ("mixed", "old-print"):
        with pytest.raises(UnsuitedError, match="square"):
            RECIPES[name].degrade(FACE[:100], Recorded(0, "a"))


def test_a_reduction_refuses_sides_that_it_does_not_divide() -> None:
    with pytest.raises(UnsuitedError, match="multiples of 4"):
        RECIPES["bicubic-4"].degrade(FACE[:126], Recorded(0, "a"))

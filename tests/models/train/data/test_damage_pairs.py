"""What the damage network learns from: crops, and how far damage changed each pixel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from restore_batch.errors import UsageError
from restore_batch.models.train.data.damage import DamageToFind
from restore_batch.models.train.data.damage_pairs import DamagePairs


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    for number in range(2):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        picture = cv2.resize(coarse, (260, 200), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    return sorted(tmp_path.glob("*.png"))


def test_a_pair_is_a_function_of_its_number_alone(scenes: list[Path]) -> None:
    first, second = (DamagePairs(scenes, 96, DamageToFind(), 3, 100) for _ in range(2))
    second.scanned(5)
    for number in (7, 2):
        one, other = first.scanned(number), second.scanned(number)
        np.testing.assert_array_equal(one.damaged, other.damaged)
        np.testing.assert_array_equal(one.sound, other.sound)
        np.testing.assert_array_equal(one.damage, other.damage)


def test_sound_crops_have_no_damage_though_they_are_grainy_and_compressed(
    scenes: list[Path],
) -> None:
    pairs = DamagePairs(scenes, 96, DamageToFind(sound=1.0), 3, 20)
    made = [pairs.scanned(number) for number in range(12)]
    assert not any(each.damage.any() for each in made)
    for each in made:
        np.testing.assert_array_equal(each.damaged, each.sound)


def test_words_and_hard_tones_are_no_damage(scenes: list[Path]) -> None:
    look = DamageToFind(
        sound=1.0, lettering_prob=1.0, hard_prob=1.0, softness_prob=0, grain_prob=0,
        halftone_prob=0, lens_prob=0, sensor_prob=0,
    )  # fmt: skip
    plain = look.model_copy(update={"lettering_prob": 0.0})
    ramp = np.repeat(np.linspace(60, 180, 192, dtype=np.float32)[None, :, None], 192, axis=0)
    good = np.repeat(ramp, 3, axis=2)
    lettered = hard = 0
    for seed in range(8):
        made = look(good, np.random.default_rng(seed))
        scanned = made.damaged
        assert not made.damage.any()
        hard += scanned.min() < 20 and scanned.max() > 235
        without = plain(good, np.random.default_rng(seed)).damaged
        # Rows of a ramp are alike, but for JPEG, unless words stand in it.
        lettered += scanned.std(axis=0).max() > 4 * (without.std(axis=0).max() + 1)
    assert hard == 8 and lettered >= 4


def test_damage_is_where_the_crop_was_changed(scenes: list[Path]) -> None:
    look = DamageToFind(
        sound=0.0, dust_prob=1.0, scratches_prob=1.0, softness_prob=0, grain_prob=0,
        halftone_prob=0, lens_prob=0, sensor_prob=0, lettering_prob=0, hard_prob=0,
    )  # fmt: skip
    rng = np.random.default_rng(4)
    good = np.full((128, 128, 3), 120, np.float32)
    made = look(good, rng)
    scanned, damage = made.damaged, made.damage
    assert scanned.dtype == np.uint8 and damage.dtype == np.float32
    assert 0.002 < (damage > 0.5).mean() < 0.5
    change = np.abs(scanned.astype(float) - 120).max(axis=2)
    assert change[damage == 1].mean() > 20
    assert change[cv2.dilate(damage, np.ones((17, 17))) == 0].max() < 12  # JPEG alone
    assert np.abs(made.sound.astype(float) - 120).max() < 12


def test_a_scan_that_is_enlarged_is_so_with_its_damage_and_its_blocks(scenes: list[Path]) -> None:
    look = DamageToFind(
        sound=0.0, dust_prob=1.0, enlarged=(2.0, 2.0), enlarged_prob=1.0, softness_prob=0,
        lens_prob=0, sensor_prob=0,
    )  # fmt: skip
    good = np.full((128, 96, 3), 120, np.float32)
    made = look(good, np.random.default_rng(4))
    assert made.damaged.shape == made.sound.shape == good.shape
    assert made.damage.shape == good.shape[:2]
    assert made.damage.min() >= 0 and made.damage.max() == 1
    change = np.abs(made.damaged.astype(float) - made.sound).max(axis=2)
    assert change[made.damage == 1].mean() > 20
    # Nothing is finer than two pixels.
    for picture in (made.damaged, made.sound):
        half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        again = cv2.resize(half, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        assert np.abs(picture.astype(float) - again).mean() < 3


def test_damage_is_given_as_a_grey_picture(scenes: list[Path]) -> None:
    crop, damage = DamagePairs(scenes, 96, DamageToFind(sound=0.0), 3, 20)[1]
    assert crop.shape == damage.shape == (3, 96, 96)
    assert (damage[0] == damage[2]).all()


def test_pictures_smaller_than_a_crop_are_refused(scenes: list[Path]) -> None:
    with pytest.raises(UsageError, match="at least 300 px"):
        DamagePairs(scenes, 300, DamageToFind(), 3, 20)

"""What the fill network learns from: where a damaged crop is to be filled, and what lies there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from restore_batch.models.nets.damage import DamageNet
from restore_batch.models.train.data.damage import DamageToFind
from restore_batch.models.train.data.fill_pairs import FillPairs, found


@pytest.fixture
def pairs(tmp_path: Path) -> FillPairs:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (260, 200), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "one.png"), picture)
    return FillPairs([tmp_path / "one.png"], 96, DamageToFind(sound=0.0), 3, 40)


def test_outside_of_what_is_to_be_filled_the_pair_is_the_same(pairs: FillPairs) -> None:
    filled = 0
    for number in range(12):
        shown, true = pairs[number]
        assert shown.shape == (4, 96, 96) and true.shape == (3, 96, 96)
        assert set(shown[3].unique().tolist()) <= {0, 255}
        differs = (shown[:3] != true).any(dim=0)
        assert not differs[shown[3] == 0].any()
        filled += int(differs.any())
    assert filled >= 9


def test_most_damage_is_to_be_filled_and_its_edges_too(pairs: FillPairs) -> None:
    damaged = missing = both = 0
    for number in range(40):
        damage = pairs.scanned(number).damage > 0.95
        shown, _ = pairs[number]
        mask = shown[3].numpy() > 0
        damaged, missing = damaged + damage.sum(), missing + mask.sum()
        both += (damage & mask).sum()
    assert both > 0.8 * damaged
    assert missing > 1.2 * both


def test_a_pair_is_a_function_of_its_number_alone(pairs: FillPairs) -> None:
    first = pairs[7]
    pairs[3]
    for one, other in zip(first, pairs[7], strict=True):
        assert bool((one == other).all())


def test_a_crop_that_is_nearly_all_damage_is_not_filled_to_its_borders() -> None:
    damage = np.zeros((64, 64), np.float32)
    damage[:, ::4] = 1
    assert all(found(damage, np.random.default_rng(seed)).mean() < 0.95 for seed in range(30))


def test_in_half_of_the_pairs_a_finder_says_where_they_are_to_be_filled(tmp_path: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "one.png"), cv2.resize(coarse, (260, 200)))
    torch.manual_seed(0)
    net = DamageNet(widths=(8, 8, 8, 8))
    with torch.no_grad():
        net.logit.bias.zero_()
    save_file(net.state_dict(), tmp_path / "finder.safetensors")
    looks = DamageToFind(sound=1.0)
    alone, asked = (
        FillPairs([tmp_path / "one.png"], 96, looks, 3, 40, finder)
        for finder in (None, str(tmp_path / "finder.safetensors"))
    )
    # Sound crops have nothing to fill but what a finder points at.
    assert not any(bool((alone[number][0][3] > 0).any()) for number in range(20))
    pointed = [bool((asked[number][0][3] > 0).any()) for number in range(20)]
    assert 5 <= sum(pointed) <= 15
    for number in range(20):
        shown, true = asked[number]
        assert torch.equal(shown[:3], true)

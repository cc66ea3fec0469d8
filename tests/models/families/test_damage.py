"""The damage network: any size, no seams, and what the shipped weights find."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import damage
from restore_batch.models.nets.damage import DamageNet, infer, top_hats
from restore_batch.models.weights.store import Store

from support.data import ROOT

TINY = {"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]}


def tiny() -> damage.UNetDamageFinder:
    torch.manual_seed(0)
    net = DamageNet(**TINY)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return damage.UNetDamageFinder(net.eval(), Runtime())


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (1, 1), (7, 200)])
def test_a_picture_of_any_size_gets_a_certainty_for_every_pixel(size: tuple[int, int]) -> None:
    expected = tiny()(picture(*size))
    assert expected.shape == size and expected.dtype == np.float32
    assert expected.min() >= 0 and expected.max() <= 1


def test_a_picture_upside_down_shows_the_same_upside_down() -> None:
    finder, upright = tiny(), picture(64, 96)
    turned = finder(np.ascontiguousarray(upright[::-1, ::-1]))
    np.testing.assert_allclose(turned[::-1, ::-1], finder(upright), atol=1e-5)
    assert np.abs(finder(np.ascontiguousarray(upright[::-1]))[::-1] - finder(upright)).max() > 1e-3


def test_a_tile_with_its_reach_around_it_shows_what_the_whole_picture_shows() -> None:
    finder, whole = tiny(), picture(320, 320)
    reach = finder.reach_px
    part = whole[: 160 + reach, : 160 + reach]
    inner = finder(part)[:160, :160]
    assert np.abs(inner - finder(whole)[:160, :160]).max() < 1e-3


def test_sides_that_it_cannot_fold_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        DamageNet(**TINY)(torch.zeros(1, 3, 24, 32))
    deeper = DamageNet(widths=(8, 8, 8, 8, 8), blocks=(1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="multiples of 32"):
        deeper(torch.zeros(1, 3, 48, 32))
    assert deeper(torch.zeros(1, 3, 64, 32)).shape == (1, 1, 64, 32)


def test_top_hats_show_what_is_small_by_its_polarity() -> None:
    signed = torch.zeros(1, 3, 40, 40)
    signed[..., 10, :] = 1  # a light line
    signed[..., 20:28, 20:28] = -1  # a dark square, too large for the smaller hat
    light, dark, light_13, dark_13 = (hat[0, 0] for hat in top_hats(signed))
    assert light[10].min() == pytest.approx(1, abs=1e-5) and light[24].abs().max() < 1e-5
    assert dark.abs().max() < 1e-5
    assert light_13[10].min() == pytest.approx(1, abs=1e-5)
    assert dark_13[24, 24] == pytest.approx(1, abs=1e-5)


def test_the_architecture_is_read_from_the_keys() -> None:
    net = DamageNet(widths=(8, 16, 8, 24), blocks=(1, 2, 1, 3))
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert infer(shapes) == {"widths": [8, 16, 8, 24], "blocks": [1, 2, 1, 3]}


def test_the_shipped_weights_find_a_scratch_and_dust_on_a_sample() -> None:
    card = registry.card("damage-1")
    finder = registry.build(Store().ref(card, {}), Runtime())
    bgr = cv2.imread(str(ROOT / "jobs" / "samples" / "album_page.jpg"))
    good = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    drawn = np.zeros(good.shape[:2], np.uint8)
    cv2.line(drawn, (20, 40), (good.shape[1] - 30, good.shape[0] - 60), 255, 2, cv2.LINE_AA)
    for x in range(60, good.shape[1] - 60, 90):
        cv2.circle(drawn, (x, good.shape[0] // 3), 3, 255, -1, cv2.LINE_AA)
    alpha = drawn[..., None] / 255
    bad = np.rint(good * (1 - alpha) + 250 * alpha).astype(np.uint8)
    before, after = finder(good), finder(bad)
    assert after[drawn > 128].mean() > 0.45
    assert before[drawn > 128].mean() < 0.2

"""The fill network: what it leaves alone, any size, no seams, and what training begins with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.base import Runtime
from restore_batch.models.families import fill
from restore_batch.models.nets.fill import FillNet, drawn_together, infer, widened
from restore_batch.models.nets.photo import PhotoNet

TINY: dict[str, Any] = {"widths": [4, 4, 8, 8], "blocks": [1, 1, 1]}


def tiny() -> FillNet:
    torch.manual_seed(0)
    net = FillNet(**TINY)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.eval()


def picture(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    missing = np.zeros((height, width), bool)
    missing[height // 3 : height // 3 + 4] = True
    return rng.random((height, width, 3), np.float32), missing


@pytest.mark.parametrize("size", [(64, 128), (33, 50), (7, 200)])
def test_only_what_is_missing_changes_in_a_picture_of_any_size(size: tuple[int, int]) -> None:
    rgb, missing = picture(*size)
    filled = fill.UNetFiller(tiny(), Runtime())(rgb, missing)
    assert filled.shape == rgb.shape and filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~missing], rgb[~missing])
    assert (filled[missing] != rgb[missing]).any()
    assert filled.min() >= 0 and filled.max() <= 1


def test_a_tile_with_its_reach_around_it_shows_what_the_whole_picture_shows() -> None:
    filler = fill.UNetFiller(tiny(), Runtime())
    rgb, missing = picture(384, 384)
    whole = filler(rgb, missing)
    part = slice(128 - filler.reach_px, 256 + filler.reach_px)
    inner = slice(filler.reach_px, filler.reach_px + 128)
    tile = filler(rgb[part, part], missing[part, part])[inner, inner]
    assert np.abs(tile - whole[128:256, 128:256]).max() < 2e-3


def test_a_smooth_picture_is_drawn_together_and_the_rest_stays() -> None:
    ramp = torch.linspace(0, 1, 128).repeat(128, 1)
    rgb = torch.stack([ramp, ramp.T, (ramp + ramp.T) / 2])[None]
    missing = torch.zeros(1, 1, 128, 128)
    missing[..., 60:66, 10:110] = 1
    bad = torch.where(missing > 0, 1.0, rgb)
    drawn = drawn_together(bad, missing)
    assert (drawn - rgb).abs().max() < 0.03
    assert torch.equal(drawn[..., missing[0, 0] == 0], rgb[..., missing[0, 0] == 0])


def test_what_has_nothing_around_it_is_grey() -> None:
    drawn = drawn_together(torch.ones(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
    assert bool((drawn == 0.5).all())


def test_an_untrained_network_draws_together_and_a_photo_network_corrects_that() -> None:
    rgb, missing = torch.rand(1, 3, 64, 64), (torch.rand(1, 1, 64, 64) > 0.8).float()
    guess = drawn_together(rgb, missing)
    assert torch.equal(FillNet(**TINY)(rgb, missing), guess)
    photo = PhotoNet(1, **TINY)
    with torch.no_grad():
        for parameter in photo.parameters():
            parameter.normal_(0, 0.05)
    begun = fill.network(photo.state_dict())
    expected = torch.where(missing > 0, guess + photo(guess)[0], guess)
    assert (begun(rgb, missing) - expected).abs().max() < 1e-5


def test_sides_that_it_cannot_halve_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        FillNet(**TINY)(torch.zeros(1, 3, 96, 64), torch.zeros(1, 1, 96, 64))


def test_the_architecture_is_read_from_the_keys() -> None:
    state = FillNet(widths=(4, 8, 8, 16), blocks=(1, 2, 1)).state_dict()
    assert infer({key: tuple(v.shape) for key, v in state.items()}) == {
        "widths": [4, 8, 8, 16],
        "blocks": [1, 2, 1],
    }
    assert fill.recognise(state) == {"widths": [4, 8, 8, 16], "blocks": [1, 2, 1]}
    assert fill.recognise(PhotoNet(1, **TINY).state_dict()) is None


def test_keys_that_do_not_fit_are_named() -> None:
    state = widened(PhotoNet(1, **TINY).state_dict())
    del state["trunk.up_full.bias"]
    with pytest.raises(WeightsError, match=r"trunk\.up_full\.bias"):
        fill.network(state)

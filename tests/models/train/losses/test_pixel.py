"""Pixel terms against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.models.train.losses import pixel

PixelTerm = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
X = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]])
Y = torch.tensor([[[[0.0, 0.0], [-1.0, 4.0]]]])
# X - Y is 0, 1 over 3, 0.


def test_l1_is_the_mean_of_the_errors() -> None:
    assert pixel.l1(X, Y).item() == pytest.approx((0 + 1 + 3 + 0) / 4)


def test_l2_is_the_mean_of_the_squared_errors() -> None:
    assert pixel.l2(X, Y).item() == pytest.approx((0 + 1 + 9 + 0) / 4)


def test_charbonnier_is_a_rounded_l1() -> None:
    by_hand = (2 * 0.5 + math.sqrt(1.25) + math.sqrt(9.25)) / 4
    assert pixel.charbonnier(X, Y, eps=0.5).item() == pytest.approx(by_hand)
    assert pixel.charbonnier(X, X).item() == pytest.approx(1e-3)


def test_gradient_compares_neighbours_along_rows_and_columns() -> None:
    # Along the rows the error rises by 1 and -3, along the columns by 3 and -1.
    assert pixel.gradient(X, Y).item() == pytest.approx((1 + 3) / 2 + (3 + 1) / 2)


@given(shift=st.floats(-1, 1), seed=st.integers(0, 99))
def test_gradient_is_blind_to_brightness_and_the_others_are_not(shift: float, seed: int) -> None:
    picture = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(seed))
    assert pixel.gradient(picture + shift, picture).item() == pytest.approx(0, abs=1e-5)
    assert pixel.l1(picture + shift, picture).item() == pytest.approx(abs(shift), abs=1e-5)
    assert pixel.l2(picture + shift, picture).item() == pytest.approx(shift**2, abs=1e-5)


def test_the_pyramid_compares_each_level_with_the_halved_truth() -> None:
    target = torch.arange(16.0).view(1, 1, 4, 4)
    # Means of 2x2 pixels: 2.5, 4.5 over 10.5, 12.5; their mean and that of the target is 7.5.
    levels = [torch.full((1, 1, 2, 2), 2.5), torch.zeros(1, 1, 4, 4)]
    by_hand = (0 + 2 + 8 + 10) / 4 + 7.5
    assert pixel.pyramid(levels, target).item() == pytest.approx(by_hand)
    assert pixel.pyramid(levels[::-1], target).item() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "levels",
    [[], [torch.zeros(1, 1, 3, 3)], [torch.zeros(1, 1, 16, 16)], [torch.zeros(2, 1, 4, 4)]],
)
def test_a_pyramid_of_other_sizes_is_refused(levels: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="expected"):
        pixel.pyramid(levels, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("loss", [pixel.l1, pixel.l2, pixel.charbonnier, pixel.gradient])
def test_pictures_that_only_broadcast_are_refused(loss: PixelTerm) -> None:
    with pytest.raises(ValueError, match="one shape"):
        loss(torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match="one shape"):
        loss(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8))


@pytest.mark.parametrize("loss", [pixel.l1, pixel.l2, pixel.charbonnier, pixel.gradient])
def test_half_precision_is_summed_in_single(loss: PixelTerm) -> None:
    # 300² overflows float16, and the mean of many small errors vanishes in it.
    x, y = torch.full((1, 1, 64, 64), 300.0), torch.zeros(1, 1, 64, 64)
    value = loss(x.half(), y.half())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(x, y).item())


@pytest.mark.parametrize("loss", [pixel.l1, pixel.l2, pixel.charbonnier, pixel.gradient])
def test_following_the_slope_lowers_the_loss(loss: PixelTerm) -> None:
    generator = torch.Generator().manual_seed(0)
    restored = torch.rand(2, 3, 8, 8, generator=generator).requires_grad_()
    target = torch.rand(2, 3, 8, 8, generator=generator)
    before = loss(restored, target)
    (slope,) = torch.autograd.grad(before, restored)
    assert loss(restored - 0.1 * slope, target) < before

"""Perceptual and style distances against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from restore_batch.models.nets.judges.vgg import VGGFeatures
from restore_batch.models.train.losses import perceptual as terms
from restore_batch.models.train.losses.perceptual import gram, gram_distance, perceptual, style

X = {"a": torch.full((2, 1, 2, 2), 3.0), "b": torch.full((2, 2, 1, 1), 1.0)}
Y = {"a": torch.full((2, 1, 2, 2), 1.0), "b": torch.full((2, 2, 1, 1), 0.5)}
WEIGHTS = {"a": 0.1, "b": 2.0}


def test_perceptual_adds_up_the_weighted_layers() -> None:
    assert perceptual(X, Y, WEIGHTS, "l1").item() == pytest.approx(0.1 * 2 + 2 * 0.5)
    assert perceptual(X, Y, WEIGHTS, "l2").item() == pytest.approx(0.1 * 4 + 2 * 0.25)


def test_gram_is_the_features_times_themselves_over_their_number() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    by_hand = torch.tensor([[[1 + 4, 3 + 8], [3 + 8, 9 + 16]]]) / (2 * 1 * 2)
    assert torch.equal(gram(features), by_hand)


def test_style_compares_gram_matrices() -> None:
    # "a": 36 / 4 against 4 / 4. "b": every entry 1 / 2 against 0.25 / 2.
    assert style(X, Y, WEIGHTS).item() == pytest.approx(0.1 * 8 + 2 * 0.375)


def test_style_does_not_see_where_things_are() -> None:
    features = torch.rand(1, 3, 4, 5)
    elsewhere = features.flatten(2)[..., torch.randperm(20)].view(1, 3, 4, 5)
    assert gram_distance(features, elsewhere).item() == pytest.approx(0, abs=1e-6)
    assert perceptual({"a": features}, {"a": elsewhere}, {"a": 1.0}).item() > 0.05


def test_gram_of_half_precision_does_not_overflow() -> None:
    large = torch.full((1, 2, 64, 64), 200.0)
    assert torch.allclose(gram(large.half()), gram(large))


def test_the_true_features_are_constants() -> None:
    x = {"a": torch.ones(1, 1, 2, 2, requires_grad=True)}
    y = {"a": torch.full((1, 1, 2, 2), 2.0, requires_grad=True)}
    (perceptual(x, y, {"a": 1.0}) + style(x, y, {"a": 1.0})).backward()
    assert x["a"].grad is not None
    assert y["a"].grad is None


@pytest.mark.parametrize(
    ("layers", "depth"),
    [
        (terms.SRGAN_LAYERS, 19),
        (terms.GFPGAN_LAYERS, 19),
        (terms.PIX2PIXHD_LAYERS, 19),
        (terms.GLEAN_LAYERS, 16),
    ],
)
def test_the_published_layers_exist_and_carry_gradients(
    layers: dict[str, float], depth: int
) -> None:
    torch.manual_seed(0)
    net = VGGFeatures(layers, depth, widths=(8, 8, 8, 8, 8)).requires_grad_(False)
    for module in net.features:
        if isinstance(module, torch.nn.Conv2d):  # else so few random channels all die
            torch.nn.init.kaiming_normal_(module.weight)
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    seen = net(x)
    assert seen.keys() == layers.keys()
    perceptual(seen, net(torch.rand(1, 3, 32, 32)), layers).backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_srgans_rescaling_is_about_six_thousandths_of_the_square() -> None:
    assert pytest.approx(0.006, abs=2e-4) == terms.SRGAN_RESCALING**2

"""Discriminators: their equations in numpy, their shapes, the authors' keys, two derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from restore_batch.models.train.losses.adversarial import r1_penalty
from restore_batch.models.train.losses.discriminators import (
    ComponentDiscriminator,
    EqualisedConv2d,
    EqualisedLinear,
    MultiScalePatchDiscriminator,
    PatchDiscriminator,
    Smooth,
    SRGANDiscriminator,
    StyleGAN2Discriminator,
    minibatch_stddev,
)

FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "stylegan2": (lambda: StyleGAN2Discriminator(32, 1, 1 / 32), (3, 3, 32, 32)),
    "component": (lambda: ComponentDiscriminator(4), (3, 3, 40, 40)),
    "patch": (lambda: MultiScalePatchDiscriminator(6, 4, 4, 2), (3, 6, 48, 48)),
    "srgan": (lambda: SRGANDiscriminator(32, 4, 8), (3, 3, 32, 32)),
}


def _correlated(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    from scipy.signal import correlate2d  # takes a second, of every process that collects tests

    return np.asarray(correlate2d(x, kernel, "valid"))


def _conv(x: np.ndarray, weight: np.ndarray, pad: int, stride: int = 1) -> np.ndarray:
    """Equalised convolution of (C, H, W): the weights over √fan_in."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    scaled = weight / np.sqrt(weight[0].size)
    out = [sum(_correlated(c, k) for c, k in zip(x, ks, strict=True)) for ks in scaled]
    return np.stack(out)[:, ::stride, ::stride]


def _blur(x: np.ndarray, pad: int) -> np.ndarray:
    return np.stack([_correlated(np.pad(c, pad), FIR) for c in x])


def _act(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    x = x + bias[:, None, None]
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def _stylegan2_by_numpy(w: dict[str, np.ndarray], pictures: np.ndarray) -> np.ndarray:
    """The discriminator at 8 px: one convolution, one residual halving, the head."""
    bodies = []
    for picture in pictures:
        x = _act(_conv(picture, w["conv_body.0.0.weight"], 0), w["conv_body.0.1.bias"])
        block = "conv_body.1."
        y = _act(_conv(x, w[block + "conv1.0.weight"], 1), w[block + "conv1.1.bias"])
        y = _conv(_blur(y, 2), w[block + "conv2.1.weight"], 0, stride=2)
        y = _act(y, w[block + "conv2.2.bias"])
        skip = _conv(_blur(x, 1), w[block + "skip.1.weight"], 0, stride=2)
        bodies.append((y + skip) / np.sqrt(2))
    stacked = np.stack(bodies)
    spread = np.sqrt(stacked.var(axis=0) + 1e-8).mean()
    logits = []
    for body in bodies:
        x = np.concatenate([body, np.full((1, 4, 4), spread)])
        x = _act(_conv(x, w["final_conv.0.weight"], 1), w["final_conv.1.bias"]).ravel()
        first, second = w["final_linear.0.weight"], w["final_linear.1.weight"]
        x = first @ x / np.sqrt(x.size) + w["final_linear.0.bias"]
        x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
        logits.append(second @ x / np.sqrt(x.size) + w["final_linear.1.bias"])
    return np.stack(logits)


def test_stylegan2s_discriminator_computes_what_its_equations_say() -> None:
    torch.manual_seed(0)
    net = StyleGAN2Discriminator(8, 1, 1 / 128).double()
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.3)
    pictures = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    weights = {key: value.numpy() for key, value in net.state_dict().items()}
    (logits,) = net(pictures).logits
    by_numpy = _stylegan2_by_numpy(weights, pictures.numpy())
    # The spread between pictures is computed in single precision.
    assert np.allclose(logits.detach().numpy(), by_numpy, atol=1e-6)


def test_a_group_that_does_not_divide_the_batch_shrinks() -> None:
    features = torch.randn(6, 2, 4, 4)
    spread = minibatch_stddev(features, 4)
    assert spread.shape == (6, 1, 4, 4)
    # Three to a group: pictures 0, 2, 4 and pictures 1, 3, 5.
    grouped = features.numpy()
    for first in (0, 1):
        by_numpy = np.sqrt(grouped[first::2].var(axis=0) + 1e-8).mean()
        assert np.allclose(spread[first::2].numpy(), by_numpy, atol=1e-6)


def test_equal_pictures_have_no_spread_and_finite_slopes() -> None:
    features = torch.ones(4, 2, 4, 4, requires_grad=True)
    spread = minibatch_stddev(features, 4)
    assert spread.max().item() == pytest.approx(1e-4)
    (slope,) = torch.autograd.grad(spread.sum(), features)
    assert torch.isfinite(slope).all()


def test_halving_is_smoothed_by_the_binomial_filter() -> None:
    impulse = torch.zeros(1, 1, 9, 9)
    impulse[0, 0, 4, 4] = 1
    out = Smooth(kernel_px=3)(impulse)[0, 0]
    assert out.sum().item() == pytest.approx(1)
    rows, columns = torch.nonzero(out, as_tuple=True)
    seen = out[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert np.allclose(seen.numpy(), FIR)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(EqualisedConv2d(64, 64, 3, 1, True), (4, 64, 16, 16)), (EqualisedLinear(512, 64), (64, 512))],
)
def test_equalised_layers_keep_the_variance_at_any_width(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    out = layer(torch.randn(shape))[..., 2:-2]
    assert out.var().item() == pytest.approx(1, rel=0.1)


def test_the_keys_are_those_of_the_authors() -> None:
    keys = set(StyleGAN2Discriminator(16, 1, 1 / 64).state_dict())
    block = {"conv1.0.weight", "conv1.1.bias", "conv2.1.weight", "conv2.2.bias", "skip.1.weight"}
    assert keys == {
        "conv_body.0.0.weight",
        "conv_body.0.1.bias",
        *(f"conv_body.{i}.{key}" for i in (1, 2) for key in block),
        "final_conv.0.weight",
        "final_conv.1.bias",
        "final_linear.0.weight",
        "final_linear.0.bias",
        "final_linear.1.weight",
        "final_linear.1.bias",
    }
    plain, halving = ("0.weight", "1.bias"), ("1.weight", "2.bias")
    layers = {"conv1": plain, "conv2": halving, "conv3": plain, "conv4": halving, "conv5": plain}
    assert set(ComponentDiscriminator(4).state_dict()) == {
        *(f"{layer}.{key}" for layer, keys in layers.items() for key in keys),
        "final_conv.0.weight",
        "final_conv.0.bias",
    }


def test_published_sizes_have_the_published_shapes() -> None:
    with torch.device("meta"):
        gfpgan = StyleGAN2Discriminator(512, channel_multiplier=1).state_dict()
        glean = StyleGAN2Discriminator(1024).state_dict()
        component = ComponentDiscriminator()
        srgan = SRGANDiscriminator()
        critique = component(torch.empty(2, 3, 80, 80))
        (logits,) = srgan(torch.empty(2, 3, 96, 96)).logits
    assert gfpgan["conv_body.0.0.weight"].shape == (32, 3, 1, 1)
    assert gfpgan["final_conv.0.weight"].shape == (512, 513, 3, 3)
    assert glean["conv_body.0.0.weight"].shape == (32, 3, 1, 1)
    assert glean["final_linear.0.weight"].shape == (512, 8192)
    assert critique.logits[0].shape == (2, 1, 20, 20)
    assert [f.shape[1:] for f in critique.features[0]] == [(128, 40, 40), (256, 20, 20)]
    assert logits.shape == (2, 1)
    assert srgan.classifier[0].weight.shape == (1024, 512 * 6 * 6)


def test_each_scale_sees_half_of_the_one_before() -> None:
    torch.manual_seed(0)
    net = MultiScalePatchDiscriminator(6, channels=4, layers=4, scales=2).eval()
    critique = net(torch.randn(1, 6, 64, 64))
    # 4x4 convolutions padded by 2: 64 → 33 → 17 → 9 → 10 → 11 and 32 → 17 → 9 → 5 → 6 → 7.
    assert [logits.shape[-1] for logits in critique.logits] == [11, 7]
    sides = [[feature.shape[-1] for feature in scale] for scale in critique.features]
    assert sides == [[33, 17, 9, 10], [17, 9, 5, 6]]
    assert [feature.shape[1] for feature in critique.features[0]] == [4, 8, 16, 32]


def test_the_second_scale_judges_the_mean_picture() -> None:
    torch.manual_seed(0)
    net = MultiScalePatchDiscriminator(3, channels=4, layers=3).eval()
    # A picture that the mean of 3x3 pixels leaves as it is: a slope.
    slope = torch.linspace(-1, 1, 33).expand(1, 3, 33, 33)
    halved = net.scales[1](slope[..., ::2, ::2])
    inner = (..., slice(1, -1), slice(1, -1))
    seen = net(slope).features[1][0]
    assert torch.allclose(seen[inner], halved.features[0][0][inner], atol=0.05)
    assert seen.shape == halved.features[0][0].shape


def test_spectral_norm_bounds_the_convolutions() -> None:
    torch.manual_seed(0)
    net = PatchDiscriminator(3, channels=8, layers=4)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(20)
        for _ in range(60):
            net(torch.randn(1, 3, 32, 32))
    for block in list(net.blocks)[1:]:
        weight = block[0].weight  # type: ignore[index, union-attr]
        largest = torch.linalg.matrix_norm(weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_learns_and_r1_can_be_differentiated_again(name: str) -> None:
    torch.manual_seed(0)
    make, shape = SMALL[name]
    net = make()
    real = torch.randn(shape, requires_grad=True)
    critique = net(real)
    loss = torch.stack([logits.square().mean() for logits in critique.logits]).sum()
    (loss + r1_penalty(critique.logits, real)).backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_tell_bright_from_dark(name: str) -> None:
    torch.manual_seed(0)
    make, shape = SMALL[name]
    net = make()
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    noise = torch.randn(shape) * 0.1
    striped = noise.clone()
    striped[..., ::2] += 1
    for _ in range(25):
        real, fake = (torch.cat([s.flatten() for s in net(p).logits]) for p in (striped, noise))
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.7  # 2 log 2 = 1.39 where it cannot tell


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        StyleGAN2Discriminator(96)
    with pytest.raises(ValueError, match="power of two"):
        StyleGAN2Discriminator(4)
    with pytest.raises(ValueError, match="multiple of 16"):
        SRGANDiscriminator(100)

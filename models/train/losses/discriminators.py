"""Discriminators: what tells restored pictures from true ones while a restorer is trained.

All answer with a :class:`Critique`. Keys of the StyleGAN2 and component discriminators are those
of BasicSR and of GFP-GAN's authors, so that their published discriminators can go on training.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from restore_batch.models.nets.doubling import blur
from restore_batch.models.nets.stylegan2 import FIR, SLOPE, SQRT2, channel_table, fir_kernel


class Critique(NamedTuple):
    """What a discriminator says of N pictures.

    ``logits``: for each scale a tensor (N, 1) or (N, 1, h, w), large where a picture looks true.
    ``features``: for each scale its layers' features (N, c, h, w), first layer first; empty where
    no objective compares them.
    """

    logits: tuple[torch.Tensor, ...]
    features: tuple[tuple[torch.Tensor, ...], ...] = ()


# -- patches: pix2pixHD, HiFaceGAN ------------------------------------------------------------


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches: 4x4 convolutions, instance norm, spectral norm.

    ``layers`` - 1 convolutions halve the size, one keeps it, one yields the logits. With 4 layers
    a patch is 70 px wide. Source: Isola et al. 2017, "Image-to-Image Translation with Conditional
    Adversarial Networks", appendix 6.1.2; norms as in Park et al. 2019 (SPADE), appendix A.
    """

    def __init__(self, in_channels: int, channels: int = 64, layers: int = 4) -> None:
        super().__init__()
        widths = [min(channels << i, 512) for i in range(layers)]
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, 2, 2), nn.LeakyReLU(SLOPE))]
        )
        for i in range(1, layers):
            stride = 1 if i == layers - 1 else 2
            # The norm takes away any constant, so a bias would do nothing.
            conv = nn.Conv2d(widths[i - 1], widths[i], 4, stride, 2, bias=False)
            self.blocks.append(
                nn.Sequential(
                    spectral_norm(conv), nn.InstanceNorm2d(widths[i]), nn.LeakyReLU(SLOPE)
                )
            )
        self.last = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, pictures: torch.Tensor) -> Critique:
        """(N, C, H, W), at least 16 px a side, to the logits and features of one scale."""
        features = [pictures]
        for block in self.blocks:
            features.append(block(features[-1]))
        return Critique((self.last(features[-1]),), (tuple(features[1:]),))


class MultiScalePatchDiscriminator(nn.Module):
    """Patch discriminators of the picture, of its half, and so on: ``scales`` of them.

    For a conditional discriminator, as HiFaceGAN's, the degraded and the restored picture are
    stacked to 6 channels. Source: Wang et al. 2018 (pix2pixHD), section 3.2.
    """

    def __init__(
        self, in_channels: int, channels: int = 64, layers: int = 4, scales: int = 2
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(in_channels, channels, layers) for _ in range(scales)
        )

    def forward(self, pictures: torch.Tensor) -> Critique:
        """(N, C, H, W) in [-1, 1] to the logits and features of every scale, largest first."""
        logits: list[torch.Tensor] = []
        features: list[tuple[torch.Tensor, ...]] = []
        for index, scale in enumerate(self.scales):
            if index:
                pictures = F.avg_pool2d(pictures, 3, 2, 1, count_include_pad=False)
            critique = cast(Critique, scale(pictures))
            logits += critique.logits
            features += critique.features
        return Critique(tuple(logits), tuple(features))


# -- equalised layers: StyleGAN2, GFP-GAN -----------------------------------------------------


class EqualisedConv2d(nn.Module):
    """A convolution whose unit-variance weights are divided by √fan_in at every call.

    So all layers learn at one rate under Adam: Karras et al. 2018 ("Progressive Growing of
    GANs"), section 4.1. In the networks for inference these factors are folded away.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_px: int, stride: int, bias: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_px, kernel_px))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = (in_channels * kernel_px**2) ** -0.5
        self.stride = stride
        self.padding = kernel_px // 2 if stride == 1 else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class EqualisedLinear(nn.Module):
    """A linear layer, equalised likewise; with ``activated`` a leaky ReLU of gain √2 follows."""

    def __init__(self, in_features: int, out_features: int, activated: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale = in_features**-0.5
        self.activated = activated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.linear(x, self.weight * self.scale, self.bias)
        return F.leaky_relu(out, SLOPE) * SQRT2 if self.activated else out


class BiasedLeakyReLU(nn.Module):
    """Bias by channel, leaky ReLU, and a gain of √2 that keeps the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(x + self.bias[:, None, None], SLOPE) * SQRT2


class Smooth(nn.Module):
    """The FIR filter ahead of a convolution of stride 2, against aliasing."""

    fir: torch.Tensor

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        self.register_buffer("fir", fir_kernel(FIR), persistent=False)
        # So that the convolution gives exactly half the size.
        self.padding = (kernel_px + len(FIR) - 2) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return blur(x, self.fir, self.padding)


def conv_layer(
    in_channels: int,
    out_channels: int,
    kernel_px: int,
    halving: bool = False,
    activated: bool = True,
    bias: bool = True,
) -> nn.Sequential:
    """Equalised convolution, with the filter ahead where it halves and the activation behind."""
    layers: list[nn.Module] = [Smooth(kernel_px)] if halving else []
    stride = 2 if halving else 1
    layers.append(
        EqualisedConv2d(in_channels, out_channels, kernel_px, stride, bias and not activated)
    )
    if activated:
        layers.append(BiasedLeakyReLU(out_channels))
    return nn.Sequential(*layers)


class ResidualHalving(nn.Module):
    """Two convolutions beside a shortcut, to half the size; the sum is divided by √2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv_layer(in_channels, in_channels, 3)
        self.conv2 = conv_layer(in_channels, out_channels, 3, halving=True)
        self.skip = conv_layer(
            in_channels, out_channels, 1, halving=True, activated=False, bias=False
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / SQRT2


class StyleGAN2Discriminator(nn.Module):
    """The residual discriminator of StyleGAN2, which GFP-GAN and GLEAN train against.

    ``channel_multiplier``: 1 in GFP-GAN's recipe, 2 in StyleGAN2 and GLEAN. Source: Karras et al.
    2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4.1 and appendix B.
    """

    def __init__(
        self,
        in_px: int,
        channel_multiplier: float = 2,
        narrow: float = 1.0,
        stddev_group: int = 4,
    ) -> None:
        super().__init__()
        if in_px < 8 or in_px & (in_px - 1):
            raise ValueError(f"expected a power of two of at least 8 px, got {in_px}")
        self.in_px = in_px
        self.stddev_group = stddev_group
        channels = channel_table(channel_multiplier, narrow)
        body: list[nn.Module] = [conv_layer(3, channels[in_px], 1)]
        side = in_px
        while side > 4:
            body.append(ResidualHalving(channels[side], channels[side // 2]))
            side //= 2
        self.conv_body = nn.Sequential(*body)
        self.final_conv = conv_layer(channels[4] + 1, channels[4], 3)
        self.final_linear = nn.Sequential(
            EqualisedLinear(channels[4] * 16, channels[4], activated=True),
            EqualisedLinear(channels[4], 1),
        )

    def forward(self, pictures: torch.Tensor) -> Critique:
        """(N, 3, ``in_px``, ``in_px``) in [-1, 1] to logits (N, 1)."""
        features = self.conv_body(pictures)
        features = torch.cat([features, minibatch_stddev(features, self.stddev_group)], dim=1)
        return Critique((self.final_linear(self.final_conv(features).flatten(1)),))


def minibatch_stddev(features: torch.Tensor, group: int) -> torch.Tensor:
    """How much the pictures of a group differ, as one more channel: (N, 1, H, W).

    A group takes every M-th of the N = ``group`` * M pictures; where ``group`` does not divide N,
    the largest smaller number that does. The standard deviation over the group is averaged over
    channels and pixels. Source: Karras et al. 2018, section 3.
    """
    count, channels, height, width = features.shape
    group = next(g for g in range(min(group, count), 0, -1) if count % g == 0)
    grouped = features.float().view(group, count // group, channels, height, width)
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    spread = deviation.repeat(group).to(features.dtype)
    return spread[:, None, None, None].expand(-1, 1, height, width)


class ComponentDiscriminator(nn.Module):
    """Judges crops of one facial component: an eye or the mouth.

    Its features after the third and fifth convolution carry the style of the component. Source:
    Wang et al. 2021 (GFP-GAN), the facial component loss; layers as in its released code.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv1 = conv_layer(3, channels, 3)
        self.conv2 = conv_layer(channels, 2 * channels, 3, halving=True)
        self.conv3 = conv_layer(2 * channels, 2 * channels, 3)
        self.conv4 = conv_layer(2 * channels, 4 * channels, 3, halving=True)
        self.conv5 = conv_layer(4 * channels, 4 * channels, 3)
        self.final_conv = conv_layer(4 * channels, 1, 3, activated=False)

    def forward(self, crops: torch.Tensor) -> Critique:
        """(N, 3, h, w) in [-1, 1] to logits (N, 1, h/4, w/4) and two layers of features."""
        early = self.conv3(self.conv2(self.conv1(crops)))
        late = self.conv5(self.conv4(early))
        return Critique((self.final_conv(late),), ((early, late),))


# -- SRGAN ------------------------------------------------------------------------------------


class SRGANDiscriminator(nn.Module):
    """Eight convolutions that end in one number for a crop of ``in_px``.

    Source: Ledig et al. 2017 (arXiv:1609.04802), figure 4, without the last sigmoid: objectives
    take logits.
    """

    def __init__(self, in_px: int = 96, channels: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        if in_px % 16:
            raise ValueError(f"expected a multiple of 16 px, got {in_px}")
        self.in_px = in_px
        widths = [channels << i for i in range(4)]
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1), nn.LeakyReLU(SLOPE)]
        for before, after, stride in _steps(widths):
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(SLOPE),
            ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * (in_px // 16) ** 2, hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, 1),
        )

    def forward(self, pictures: torch.Tensor) -> Critique:
        """(N, 3, ``in_px``, ``in_px``) in [-1, 1] to logits (N, 1)."""
        return Critique((self.classifier(self.features(pictures).flatten(1)),))


def _steps(widths: Sequence[int]) -> list[tuple[int, int, int]]:
    """Channels in, channels out and stride: each width once at stride 1, then halving."""
    steps = [(widths[0], widths[0], 2)]
    for before, after in pairwise(widths):
        steps += [(before, after, 1), (after, after, 2)]
    return steps

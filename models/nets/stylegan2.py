"""StyleGAN2's generator, as the generative prior inside GFP-GAN and GLEAN.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2 and
appendix B. Two forms were published: with the FIR filters of the original ("fir") and with
bilinear resampling ("bilinear"). The equalised learning rate of the original is no form of its
own here: its constant factors are folded into the weights once, when they are loaded
(``equalised.py``).

The prior does not loop by itself: GFP-GAN bends its features inside every level and GLEAN between
levels, so both call :meth:`StyleGAN2Prior.start` once and :meth:`StyleGAN2Prior.rise` for each
level. Inference only: features are updated in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.doubling import blur, conv_doubled, double
from restore_batch.models.nets.layout import exactly

SLOPE = 0.2
SQRT2 = 2**0.5
DEMODULATION_EPS = 1e-8

Resampling = Literal["bilinear", "fir"]
Fir = tuple[float, ...]
FIR: Fir = (1.0, 3.0, 3.0, 1.0)


def channel_table(multiplier: float, narrow: float = 1.0) -> dict[int, int]:
    """Channels of the generator at each side in pixels, 4 to 1024."""
    wide = dict.fromkeys((4, 8, 16, 32), 512)
    tapered = {side: 16384 // side * multiplier for side in (64, 128, 256, 512, 1024)}
    return {side: int(channels * narrow) for side, channels in (wide | tapered).items()}


def fir_kernel(taps: Sequence[float], gain: float = 1.0) -> torch.Tensor:
    """The outer product of ``taps`` with itself, summing to ``gain``: (T, T) float32."""
    line = torch.tensor(taps, dtype=torch.float32)
    plane = torch.outer(line, line)
    return plane * (gain / plane.sum())


class NormStyleCode(nn.Module):
    """Scale each style code to unit mean square."""

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        return code * torch.rsqrt(code.square().mean(dim=1, keepdim=True) + 1e-8)


class ModulatedConv2d(nn.Module):
    """Convolution whose weights a style scales by input channel (equations 1 to 3).

    With ``upsampling`` the output has twice the input's size: "bilinear" interpolates first,
    "fir" is a transposed convolution followed by the FIR filter.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_px: int,
        style_channels: int,
        demodulate: bool = True,
        upsampling: Resampling | None = None,
        fir: Fir = FIR,
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.upsampling = upsampling
        self.padding = kernel_px // 2
        self.fir: torch.Tensor
        self.register_buffer("fir", fir_kernel(fir, gain=4), persistent=False)
        shape = (1, out_channels, in_channels, kernel_px, kernel_px)
        self.weight = nn.Parameter(torch.randn(shape) / (in_channels * kernel_px**2) ** 0.5)
        self.modulation = nn.Linear(style_channels, in_channels)
        nn.init.ones_(self.modulation.bias)

    def forward(self, x: torch.Tensor, code: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        """Features (N, C, H, W) and style codes (N, S) to features.

        Demodulation gives each output channel the expected deviation ``gain``.
        """
        weight = self.weight[0]
        with torch.autocast(x.device.type, enabled=False):
            style = self.modulation(code.float())
            demodulation = None
            if self.demodulate:
                # Demodulation cancels any factor common to a style; without its peak, neither
                # the products nor their squares leave the range of half precision.
                style = style / style.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
                energy = weight.float().square().sum(dim=(2, 3))
                demodulation = gain * torch.rsqrt(
                    F.linear(style.square(), energy) + DEMODULATION_EPS
                )
        # A style scales input channels and demodulation output channels, so both can be applied
        # to activations; one plain convolution then serves the whole batch. For a single item
        # the weights are scaled instead wherever they are the smaller of the two tensors.
        if len(x) == 1 and weight.numel() < x.numel():
            weight = weight * style.view(1, -1, 1, 1)
            if demodulation is not None:
                weight = weight * demodulation.view(-1, 1, 1, 1)
            return self._convolve(x, weight)
        out = self._convolve(x * style[:, :, None, None].to(x.dtype), weight)
        if demodulation is not None:
            out = out.mul_(demodulation[:, :, None, None].to(out.dtype))
        return out

    def _convolve(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.upsampling == "fir":
            raised = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            return blur(raised, self.fir, padding=1)
        if self.upsampling == "bilinear":
            return conv_doubled(x, weight)
        return F.conv2d(x, weight, padding=self.padding)


class StyleConv(nn.Module):
    """Modulated convolution, noise, bias and leaky ReLU. ``weight`` is the noise's strength."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_channels: int,
        upsampling: Resampling | None = None,
        fir: Fir = FIR,
    ) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(
            in_channels, out_channels, 3, style_channels, upsampling=upsampling, fir=fir
        )
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(
        self, x: torch.Tensor, code: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        # The activation's gain of √2 is applied ahead of it: a leaky ReLU is homogeneous, and
        # the stored noise strengths and biases already contain it.
        out = self.modulated_conv(x, code, gain=SQRT2)
        if noise is None:
            noise = torch.randn_like(out[:, :1])
        out.add_((noise * self.weight).to(out.dtype)).add_(self.bias.to(out.dtype))
        return F.leaky_relu_(out, SLOPE)


class ToRGB(nn.Module):
    """Features to RGB by a modulated 1x1 convolution, added to the picture of the level below."""

    def __init__(
        self, in_channels: int, style_channels: int, resampling: Resampling, fir: Fir = FIR
    ) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv2d(in_channels, 3, 1, style_channels, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.resampling = resampling
        self.fir: torch.Tensor
        self.register_buffer("fir", fir_kernel(fir, gain=4), persistent=False)

    def forward(
        self, x: torch.Tensor, code: torch.Tensor, below: torch.Tensor | None = None
    ) -> torch.Tensor:
        rgb = exactly(self.modulated_conv, x, code) + self.bias
        if below is None:
            return rgb
        if self.resampling == "bilinear":
            return rgb + double(below)
        filters = self.fir.to(below.dtype).expand(3, 1, *self.fir.shape)
        return rgb + F.conv_transpose2d(below, filters, stride=2, padding=1, groups=3)


class StyleGAN2Prior(nn.Module):
    """The generator, level by level from 4x4 to ``out_px``.

    ``channels`` gives the width at each side in pixels. Style codes are (N, ``num_latent``,
    ``style_channels``): one code for each convolution. ``noises.noise{i}`` are the stored noise
    images, part of the state dict.
    """

    def __init__(
        self,
        out_px: int,
        style_channels: int,
        num_mlp: int,
        channels: Mapping[int, int],
        resampling: Resampling,
        fir: Fir = FIR,
    ) -> None:
        super().__init__()
        self.levels = out_px.bit_length() - 3
        self.num_latent = 2 * self.levels + 2
        mapping: list[nn.Module] = [NormStyleCode()]
        for _ in range(num_mlp):
            mapping += [nn.Linear(style_channels, style_channels), nn.LeakyReLU(SLOPE)]
        self.style_mlp = nn.Sequential(*mapping)
        self.constant_input = nn.ParameterDict({"weight": torch.randn(1, channels[4], 4, 4)})
        self.style_conv1 = StyleConv(channels[4], channels[4], style_channels)
        self.to_rgb1 = ToRGB(channels[4], style_channels, resampling, fir)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise0", torch.randn(1, 1, 4, 4))
        for level in range(self.levels):
            side = 8 << level
            below, here = channels[side // 2], channels[side]
            self.style_convs.append(StyleConv(below, here, style_channels, resampling, fir))
            self.style_convs.append(StyleConv(here, here, style_channels))
            self.to_rgbs.append(ToRGB(here, style_channels, resampling, fir))
            for i in (2 * level + 1, 2 * level + 2):
                self.noises.register_buffer(f"noise{i}", torch.randn(1, 1, side, side))

    def codes(self, style: torch.Tensor, is_latent: bool) -> torch.Tensor:
        """One style code for each convolution.

        (N, S), used everywhere, or (N, ``num_latent``, S); passed through the mapping network
        first unless they are latent codes already.
        """
        if not is_latent:
            style = self.style_mlp(style)
        if style.ndim == 2:
            style = style[:, None].expand(-1, self.num_latent, -1)
        return style

    def _noise(self, index: int, randomize: bool) -> torch.Tensor | None:
        return None if randomize else self.noises.get_buffer(f"noise{index}")

    def start(self, codes: torch.Tensor, randomize_noise: bool = False) -> torch.Tensor:
        """Features at 4x4."""
        constant = self.constant_input["weight"].expand(len(codes), -1, -1, -1)
        return self.style_conv1(constant, codes[:, 0], self._noise(0, randomize_noise))

    def rise(
        self,
        level: int,
        features: torch.Tensor,
        codes: torch.Tensor,
        randomize_noise: bool = False,
        between: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Features at twice the size; level 0 leads from 4x4 to 8x8.

        ``between`` changes the features between the level's two convolutions.
        """
        i = 2 * level + 1
        up, conv = self.style_convs[i - 1], self.style_convs[i]
        features = up(features, codes[:, i], self._noise(i, randomize_noise))
        if between is not None:
            features = between(features)
        return conv(features, codes[:, i + 1], self._noise(i + 1, randomize_noise))

    def picture(
        self, level: int, features: torch.Tensor, codes: torch.Tensor, below: torch.Tensor | None
    ) -> torch.Tensor:
        """RGB at ``level`` (-1: 4x4), added to the picture of the level below."""
        if below is None:
            return self.to_rgb1(features, codes[:, 1])
        return self.to_rgbs[level](features, codes[:, 2 * level + 3], below)

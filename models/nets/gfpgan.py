"""GFP-GAN: a U-Net that steers StyleGAN2 with spatial feature transforms.

Wang et al. 2021, "Towards Real-World Blind Face Restoration with Generative Facial Prior",
section 3. The U-Net removes degradation and yields one style code for each of the prior's
convolutions (section 3.2) and, at every level, a scale and a shift for the prior's features
(channel-split SFT, section 3.3, equation 4).

Three published architectures: ``clean`` (v1.2 to v1.4) and ``bilinear`` (what v1.2 was trained
as) resample bilinearly, ``original`` (v1) with FIR filters. The latter two have equalised weights,
folded by :data:`EQUALISED` rules when they are loaded, and are then the same network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.doubling import blur, conv_doubled, double
from restore_batch.models.nets.equalised import Rule, layer, nested, prior_rules, weight
from restore_batch.models.nets.stylegan2 import (
    FIR,
    SLOPE,
    SQRT2,
    Fir,
    Resampling,
    StyleGAN2Prior,
    channel_table,
    fir_kernel,
)


def equalised_rules(lr_mlp: float = 0.01) -> tuple[Rule, ...]:
    """How the keys of ``original`` and ``bilinear`` checkpoints map onto :class:`GFPGAN`.

    A residual sum is divided by √2 there; that factor goes into the weights on both sides of the
    sum, where it cancels the gain of the second convolution's activation.
    """
    block = r"(conv_body_(?:down|up)\.\d+"
    return (
        weight(r"(conv_body_first|final_conv)\.0\.weight", r"\1.weight", SQRT2),
        Rule(r"(conv_body_first|final_conv)\.1\.bias", r"\1.bias", SQRT2),
        weight(block + r"\.conv1)\.0\.weight", r"\1.weight", SQRT2),
        Rule(block + r"\.conv1)\.1\.bias", r"\1.bias", SQRT2),
        weight(block + r"\.conv2)(?:\.1)?\.weight", r"\1.weight"),
        Rule(block + r"\.conv2)\.(?:2|activation)\.bias", r"\1.bias"),
        weight(block + r"\.skip)(?:\.1)?\.weight", r"\1.weight", 1 / SQRT2),
        *layer(r"(condition_(?:scale|shift)\.\d+\.0)", r"\1", SQRT2),
        *layer(r"(condition_(?:scale|shift)\.\d+\.2)", r"\1"),
        *layer(r"(toRGB\.\d+)", r"\1"),
        *layer(r"(final_linear)", r"\1"),
        *nested("stylegan_decoder.", prior_rules(lr_mlp)),
    )


class DownBlock(nn.Module):
    """Residual block to half the size."""

    fir: torch.Tensor | None

    def __init__(self, in_channels: int, out_channels: int, fir: Fir | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.register_buffer("fir", None if fir is None else fir_kernel(fir), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.leaky_relu_(self.conv1(x), SLOPE)
        if self.fir is None:
            # Bilinear interpolation to exactly half the size is the mean of 2x2 pixels.
            out, x = self.conv2(F.avg_pool2d(out, 2)), F.avg_pool2d(x, 2)
        else:
            out = F.conv2d(blur(out, self.fir, 2), self.conv2.weight, self.conv2.bias, stride=2)
            x = blur(x, self.fir, padding=1, stride=2)
        # Added to the shortcut: the slope of the activation is read off its result.
        return self.skip(x).add_(F.leaky_relu_(out, SLOPE))


class UpBlock(nn.Module):
    """Residual block to twice the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.leaky_relu_(self.conv1(x), SLOPE)
        out = conv_doubled(out, self.conv2.weight, self.conv2.bias)
        out = F.leaky_relu_(out, SLOPE)
        # A 1x1 convolution and interpolation commute: interpolate the smaller tensor.
        return double(self.skip(x)).add_(out)


def _condition(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
    )


class GFPGAN(nn.Module):
    """Argument names are the authors'. ``resampling`` of the encoder and the prior: "bilinear"
    for the clean and bilinear architectures, "fir" with ``resample_kernel`` for the original.
    """

    def __init__(
        self,
        out_size: int = 512,
        num_style_feat: int = 512,
        channel_multiplier: float = 2,
        num_mlp: int = 8,
        input_is_latent: bool = True,
        different_w: bool = True,
        narrow: float = 1.0,
        sft_half: bool = True,
        resampling: Resampling = "bilinear",
        resample_kernel: Sequence[float] = FIR,
    ) -> None:
        super().__init__()
        self.out_px = out_size
        self.style_channels = num_style_feat
        self.input_is_latent = input_is_latent
        self.different_w = different_w
        self.sft_half = sft_half
        fir = tuple(resample_kernel)
        wide = channel_table(channel_multiplier, narrow)
        channels = channel_table(channel_multiplier, narrow * 0.5)
        sides = [4 << i for i in range(out_size.bit_length() - 2)]

        self.conv_body_first = nn.Conv2d(3, channels[out_size], 1)
        self.conv_body_down = nn.ModuleList(
            DownBlock(channels[2 * side], channels[side], fir if resampling == "fir" else None)
            for side in sides[-2::-1]
        )
        self.final_conv = nn.Conv2d(channels[4], channels[4], 3, padding=1)
        self.conv_body_up = nn.ModuleList(
            UpBlock(channels[side // 2], channels[side]) for side in sides[1:]
        )
        self.toRGB = nn.ModuleList(nn.Conv2d(channels[side], 3, 1) for side in sides[1:])
        self.stylegan_decoder = StyleGAN2Prior(
            out_size, num_style_feat, num_mlp, wide, resampling, fir
        )
        codes = self.stylegan_decoder.num_latent if different_w else 1
        self.final_linear = nn.Linear(channels[4] * 16, codes * num_style_feat)
        bent = {side: channels[side] if sft_half else wide[side] for side in sides}
        self.condition_scale = nn.ModuleList(
            _condition(channels[side], bent[side]) for side in sides[1:]
        )
        self.condition_shift = nn.ModuleList(
            _condition(channels[side], bent[side]) for side in sides[1:]
        )

    def forward(
        self, x: torch.Tensor, return_rgb: bool = True, randomize_noise: bool = True
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Restore aligned faces.

        (N, 3, ``out_size``, ``out_size``) RGB in [-1, 1] to the same shape, unclamped, and the
        U-Net's own pictures from 8x8 up (none unless ``return_rgb``). With ``randomize_noise``
        the prior draws fresh noise, else it uses the stored one.
        """
        features = F.leaky_relu_(self.conv_body_first(x), SLOPE)
        skips = []
        for down in self.conv_body_down:
            features = down(features)
            skips.append(features)
        features = F.leaky_relu_(self.final_conv(features), SLOPE)
        style = self.final_linear(features.flatten(1))
        if self.different_w:
            style = style.unflatten(1, (-1, self.style_channels))

        prior = self.stylegan_decoder
        codes = prior.codes(style, self.input_is_latent)
        generated = prior.start(codes, randomize_noise)
        image = prior.picture(-1, generated, codes, None)
        rgbs = []
        for level, up in enumerate(self.conv_body_up):
            features = up(features + skips.pop())
            if return_rgb:
                rgbs.append(self.toRGB[level](features))
            scale = self.condition_scale[level](features)
            shift = self.condition_shift[level](features)

            def transform(
                x: torch.Tensor, scale: torch.Tensor = scale, shift: torch.Tensor = shift
            ) -> torch.Tensor:
                kept = x.shape[1] // 2 if self.sft_half else 0
                if torch.is_grad_enabled():
                    # In place, the activation's result would be gone when its slope is asked for.
                    return torch.cat([x[:, :kept], x[:, kept:] * scale + shift], dim=1)
                x[:, kept:].mul_(scale).add_(shift)
                return x

            generated = prior.rise(level, generated, codes, randomize_noise, transform)
            image = prior.picture(level, generated, codes, image)
        return image, rgbs


def infer(shapes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """Constructor arguments of :class:`GFPGAN` from the shapes of its (folded) state dict.

    ``input_is_latent`` leaves no trace in the weights: a code for each convolution is taken as
    latent, a single one as the mapping network's input. Raises KeyError where keys are missing.
    """
    prior = "stylegan_decoder."
    levels = 1 + max(int(key.split(".")[2]) for key in shapes if key.startswith(f"{prior}to_rgbs."))
    out_size = 4 << levels
    channels, style = shapes[f"{prior}style_conv1.modulated_conv.modulation.weight"]
    narrow = channels / 512
    multiplier = 2.0  # no level that it widens
    if out_size >= 64:
        multiplier = shapes[f"{prior}style_convs.6.modulated_conv.weight"][1] / (256 * narrow)
    different_w = shapes["final_linear.weight"][0] != style
    half = shapes["condition_scale.0.2.weight"][0] == shapes["condition_scale.0.0.weight"][0]
    return {
        "out_size": out_size,
        "num_style_feat": style,
        "channel_multiplier": int(multiplier) if multiplier.is_integer() else multiplier,
        "num_mlp": sum(key.startswith(f"{prior}style_mlp.") for key in shapes) // 2,
        "input_is_latent": different_w,
        "different_w": different_w,
        "narrow": narrow,
        "sft_half": half,
    }

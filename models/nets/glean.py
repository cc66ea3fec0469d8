"""GLEAN: an encoder, StyleGAN2 as a bank of detail, and a decoder.

Chan et al. 2021, "GLEAN: Generative Latent Bank for Large-Factor Image Super-Resolution",
section 3. The encoder yields a style code for each of the bank's convolutions and features that
are mixed into the bank up to the size of the input; the decoder makes the picture from the
encoder's features and those of the bank above that size. The bank's own picture takes no part in
the result and is not computed.

Checkpoints come from mmagic, with equalised weights and its own names; :func:`equalised_rules`
leads them to the names of the prior that GFP-GAN uses too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.equalised import Rule, weight
from restore_batch.models.nets.rrdb import RRDBTrunk
from restore_batch.models.nets.stylegan2 import SLOPE, SQRT2, StyleGAN2Prior, channel_table

GROWTH = 32
DECODER_CHANNELS = 64
FIR_KEY = r"generator\.(?:convs\.\d+\.conv\.blur|to_rgbs\.\d+\.upsample)\.kernel"
LR_MLP = 0.01


def equalised_rules() -> tuple[Rule, ...]:
    """How mmagic's keys map onto :class:`GLEAN`."""
    names = {"conv1": "style_conv1", r"convs\.(\d+)": r"style_convs.\1"}
    rgbs = {"to_rgb1": "to_rgb1", r"to_rgbs\.(\d+)": r"to_rgbs.\1"}
    rules: list[Rule] = [
        Rule(r"generator\.injected_noise_(\d+)", r"generator.noises.noise\1"),
        Rule(r"generator\.constant_input\.input", "generator.constant_input.weight"),
    ]
    for i in range(1, 17):
        source, target = rf"generator\.style_mapping\.{i}", f"generator.style_mlp.{2 * i - 1}"
        rules += [
            Rule(rf"{source}\.bias", f"{target}.bias", SQRT2 * LR_MLP),
            weight(rf"{source}\.linear\.weight_orig", f"{target}.weight", SQRT2 * LR_MLP),
        ]
    for theirs, ours in names.items():
        rules += [
            Rule(
                rf"generator\.{theirs}\.noise_injector\.weight", f"generator.{ours}.weight", SQRT2
            ),
            Rule(
                rf"generator\.{theirs}\.activate\.bias",
                f"generator.{ours}.bias",
                SQRT2,
                per_channel=True,
            ),
        ]
    for theirs, ours in (names | rgbs).items():
        source, target = rf"generator\.{theirs}\.conv", f"generator.{ours}.modulated_conv"
        style = rf"{source}\.style_modulation"
        rules += [
            weight(rf"{source}\.weight_orig", f"{target}.weight"),
            weight(rf"{style}\.linear\.weight_orig", f"{target}.modulation.weight"),
            Rule(rf"{style}\.bias", f"{target}.modulation.bias"),
        ]
    return tuple(rules)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)


def _leaky() -> nn.Module:
    return nn.LeakyReLU(SLOPE, inplace=True)


class ShuffleUp(nn.Module):
    """To twice the size: a convolution to four times the channels, then a pixel shuffle."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample_conv = _conv(in_channels, out_channels * 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(self.upsample_conv(x), 2)


class GLEAN(nn.Module):
    """Argument names are the authors'; ``narrow`` scales the bank's channels, for tests."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        img_channels: int = 3,
        rrdb_channels: int = 64,
        num_rrdbs: int = 23,
        style_channels: int = 512,
        num_mlps: int = 8,
        channel_multiplier: float = 2,
        narrow: float = 1.0,
    ) -> None:
        super().__init__()
        if not 4 <= in_size < out_size:
            raise ValueError(f"in_size must be from 4 to below out_size, got {in_size}, {out_size}")
        self.in_px = in_size
        self.out_px = out_size
        self.style_channels = style_channels
        channels = channel_table(channel_multiplier, narrow)
        self.generator = StyleGAN2Prior(out_size, style_channels, num_mlps, channels, "fir")

        shared = [in_size >> i for i in range(in_size.bit_length() - 2)]
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(
                    RRDBTrunk(img_channels, rrdb_channels, num_rrdbs, GROWTH),
                    _conv(rrdb_channels, channels[in_size]),
                    _leaky(),
                )
            ]
        )
        for side in shared[:-1]:
            below = channels[side // 2]
            self.encoder.append(
                nn.Sequential(
                    _conv(channels[side], below, stride=2), _leaky(), _conv(below, below), _leaky()
                )
            )
        codes = self.generator.num_latent * style_channels
        self.encoder.append(
            nn.Sequential(
                _conv(channels[4], channels[4]),
                _leaky(),
                nn.Flatten(),
                nn.Linear(16 * channels[4], codes),
            )
        )
        self.fusion_out = nn.ModuleList(
            _conv(2 * channels[side], channels[side]) for side in shared[::-1]
        )
        # Mixes the encoder into the bank's own picture: stored, and without effect.
        self.fusion_skip = nn.ModuleList(_conv(channels[side] + 3, 3) for side in shared[::-1])

        self.decoder = nn.ModuleList()
        side = in_size
        while side <= out_size:
            width = channels[side] if side == in_size else 2 * channels[side]
            if side < out_size:
                self.decoder.append(ShuffleUp(width, channels[2 * side]))
            else:
                last = _conv(DECODER_CHANNELS, img_channels)
                self.decoder.append(nn.Sequential(_conv(width, DECODER_CHANNELS), _leaky(), last))
            side *= 2

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        """(N, 3, ``in_size``, ``in_size``) RGB in [-1, 1] to (N, 3, ``out_size``, ``out_size``).

        Unclamped. Raises ValueError on another size.
        """
        if lq.shape[-2:] != (self.in_px, self.in_px):
            raise ValueError(f"expected {self.in_px} px squares, got {tuple(lq.shape)}")
        encoded = []
        features = lq
        for block in self.encoder:
            features = block(features)
            encoded.append(features)
        codes = encoded.pop().unflatten(1, (-1, self.style_channels))
        smallest_first = encoded[::-1]

        bank = self.generator.start(codes)
        larger = []
        for level in range(self.generator.levels):
            if level < len(self.fusion_out):
                bank = self.fusion_out[level](torch.cat([bank, smallest_first[level]], dim=1))
            bank = self.generator.rise(level, bank, codes)
            if bank.shape[-1] > self.in_px:
                larger.append(bank)

        picture = encoded[0]
        for i, block in enumerate(self.decoder):
            if i > 0:
                picture = torch.cat([picture, larger[i - 1]], dim=1)
            picture = block(picture)
        return picture


def infer(shapes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """Constructor arguments of :class:`GLEAN` from the shapes of its (renamed) state dict.

    Raises KeyError where keys are missing.
    """

    def count(prefix: str, depth: int) -> int:
        return 1 + max(int(key.split(".")[depth]) for key in shapes if key.startswith(prefix))

    levels = count("generator.to_rgbs.", 2)
    modulation = shapes["generator.style_conv1.modulated_conv.modulation.weight"]
    narrow = modulation[0] / 512
    multiplier = 2.0  # no level that it widens
    if levels >= 4:
        wide = shapes["generator.style_convs.6.modulated_conv.weight"][1]
        multiplier = wide / (256 * narrow)
    mlps = sum(key.startswith("generator.style_mlp.") for key in shapes) // 2
    return {
        "in_size": 2 << count("fusion_out.", 1),
        "out_size": 4 << levels,
        "img_channels": shapes["encoder.0.0.conv_first.weight"][1],
        "rrdb_channels": shapes["encoder.0.0.conv_first.weight"][0],
        "num_rrdbs": count("encoder.0.0.body.", 4),
        "style_channels": modulation[1],
        "num_mlps": mlps,
        "channel_multiplier": int(multiplier) if multiplier.is_integer() else multiplier,
        "narrow": narrow,
    }

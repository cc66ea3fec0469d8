"""HiFaceGAN: a SPADE decoder that is guided, level by level, by an adaptive encoder.

The encoder ("content-adaptive suppression") shrinks the picture with local importance pooling,
which learns what to keep; each level of the decoder ("replenishment") is modulated by the
encoder's features of its size. ``LIPSPADEGenerator`` is the authors' simpler variant: the
encoder only makes the start, and the picture itself is the guide everywhere.

The published results are those of ``train()`` mode; see :mod:`restore_batch.models.nets.spade`.

Source: Yang et al. 2020, "HiFaceGAN: Face Renovation via Collaborative Suppression and
Replenishment", section 3; Gao et al. 2019, "LIP: Local Importance-Based Pooling".
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_batch.models.nets.layout import exactly
from restore_batch.models.nets.spade import SPADEResidual

_LEVELS = 5
_GATE_GAIN = 12.0


class ImportancePooling(nn.Module):
    """Halves the size by a weighted mean of 3x3 pixels; the weights exp(logit) are learnt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logit = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        # exp(12) is beyond float16, and bfloat16 would leave three digits of the quotient.
        importance = torch.exp(_GATE_GAIN * torch.sigmoid(self.logit(x).float()))
        total = F.avg_pool2d(x * importance, 3, stride=2, padding=1)
        return (total / F.avg_pool2d(importance, 3, stride=2, padding=1)).to(x.dtype)


def _encoder_widths(ngf: int) -> list[tuple[int, int]]:
    """Channels before and after each halving."""
    widths = [ngf * min(2**level, 16) for level in range(_LEVELS + 1)]
    return list(pairwise(widths))


def _head(ngf: int) -> list[nn.Module]:
    return [nn.Conv2d(3, ngf, 3, padding=1, bias=False), nn.InstanceNorm2d(ngf), nn.ReLU()]


def _halving(before: int, after: int, last: bool) -> list[nn.Module]:
    layers = [
        ImportancePooling(before),
        nn.Conv2d(before, after, 3, padding=1),
        nn.InstanceNorm2d(after),
    ]
    return layers if last else [*layers, nn.ReLU()]


class SuppressionEncoder(nn.Module):
    """Features at every level, smallest first: (N, min(2^i, 16) * ngf, H / 2^i, W / 2^i)."""

    def __init__(self, ngf: int) -> None:
        super().__init__()
        self.head = nn.Sequential(*_head(ngf))
        for level, (before, after) in enumerate(_encoder_widths(ngf)):
            block = nn.Sequential(*_halving(before, after, last=level == _LEVELS - 1))
            setattr(self, f"encoder_{level}", block)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.head(x)]
        for level in range(_LEVELS):
            features.append(getattr(self, f"encoder_{level}")(features[-1]))
        return features[::-1]


class LIPEncoder(nn.Module):
    """The same encoder in one sequence, for its smallest features only."""

    def __init__(self, ngf: int) -> None:
        super().__init__()
        layers = _head(ngf)
        for level, (before, after) in enumerate(_encoder_widths(ngf)):
            layers += _halving(before, after, last=level == _LEVELS - 1)
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class _Decoder(nn.Module):
    """What both generators share: seven SPADE blocks, five doublings, one of four outputs.

    ``guide_channels``: of the head, the middle (twice) and the four levels up.
    """

    def __init__(self, ngf: int, guide_channels: list[int]) -> None:
        super().__init__()
        wide = 16 * ngf
        head, middle, *levels = guide_channels
        self.fc = nn.Conv2d(3, wide, 3, padding=1)
        self.head_0 = SPADEResidual(wide, wide, head)
        self.G_middle_0 = SPADEResidual(wide, wide, middle)
        self.G_middle_1 = SPADEResidual(wide, wide, middle)
        widths = [wide >> level for level in range(5)]
        self.ups = nn.ModuleList(
            SPADEResidual(before, after, guide)
            for (before, after), guide in zip(pairwise(widths), levels, strict=True)
        )
        # Only the last is used here; the others are left from the progressive training.
        self.to_rgbs = nn.ModuleList(nn.Conv2d(width, 3, 3, padding=1) for width in widths[1:])

    def decode(self, x: Tensor, guides: list[Tensor]) -> Tensor:
        """From (N, 16 * ngf, H/32, W/32) and six guides to (N, 3, H, W) in [-1, 1]."""
        x = self.head_0(x, guides[0])
        x = _double(x)
        x = self.G_middle_0(x, guides[1])
        x = self.G_middle_1(x, guides[1])
        for block, guide in zip(self.ups, guides[2:], strict=True):
            x = block(_double(x), guide)
        return torch.tanh(exactly(self.to_rgbs[-1], F.leaky_relu(x, 0.2)))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class HiFaceGANGenerator(_Decoder):
    """The published network. In and out: (N, 3, H, W) in [-1, 1], H and W multiples of 32."""

    def __init__(self, ngf: int = 64) -> None:
        levels = [ngf * min(2**level, 16) for level in range(_LEVELS + 1)]
        super().__init__(ngf, levels[::-1])
        self.encoder = SuppressionEncoder(ngf)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        start = F.interpolate(x, size=(height >> _LEVELS, width >> _LEVELS), mode="nearest")
        return self.decode(self.fc(start), self.encoder(x))


class LIPSPADEGenerator(_Decoder):
    """The variant guided by the picture. In and out as :class:`HiFaceGANGenerator`."""

    def __init__(self, ngf: int = 64) -> None:
        super().__init__(ngf, [3] * (_LEVELS + 1))
        self.lip_encoder = LIPEncoder(ngf)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.lip_encoder(x), [x] * (_LEVELS + 1))

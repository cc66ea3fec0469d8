"""SPADE residual blocks as HiFaceGAN uses them: normalise, then modulate from a feature map.

Two things differ from the SPADE of the paper: a normalised map is multiplied by gamma, not by
1 + gamma, and the gamma and beta convolutions have no bias.

Every block works in one of two modes. In *train* mode each picture is normalised by its own
statistics and spectral norms take one power iteration; in *eval* mode by the running statistics
and the stored vectors. Unlike torch's own layers these change no buffer in train mode, so a
picture's result depends neither on its neighbours in the batch nor on earlier pictures.

Source: Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive Normalization";
Miyato et al. 2018, "Spectral Normalization", algorithm 1; Yang et al. 2020 (HiFaceGAN).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralConv2d(nn.Module):
    """A convolution whose weight is divided by its largest singular value, estimated.

    Keys are those of ``torch.nn.utils.spectral_norm``: ``weight_orig`` and the buffers
    ``weight_u`` and ``weight_v``.
    """

    weight_u: Tensor
    weight_v: Tensor
    fixed_weight: Tensor | None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = True
    ) -> None:
        super().__init__()
        plain = nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias)
        self.weight_orig = plain.weight
        self.bias = plain.bias
        fan_in = in_channels * kernel_size**2
        self.register_buffer("weight_u", F.normalize(torch.randn(out_channels), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(fan_in), dim=0))
        self.padding = kernel_size // 2
        self.register_buffer("fixed_weight", None, persistent=False)

    def weight(self) -> Tensor:
        """(out, in, k, k): the weight over its estimated largest singular value."""
        matrix = self.weight_orig.flatten(1)
        u, v = self.weight_u, self.weight_v
        if self.training:
            v = F.normalize(matrix.mT @ u, dim=0, eps=1e-12)
            u = F.normalize(matrix @ v, dim=0, eps=1e-12)
        return self.weight_orig / torch.dot(u, matrix @ v)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight() if self.fixed_weight is None else self.fixed_weight
        return F.conv2d(x, weight, self.bias, padding=self.padding)

    @torch.no_grad()
    def fix(self) -> None:
        """Compute the weight once, in the present mode and precision, and keep to it."""
        self.fixed_weight = self.weight().contiguous(memory_format=torch.channels_last)


def fix_spectral_norms(net: nn.Module) -> None:
    """Compute every spectral norm of ``net`` now: for inference, before any cast to 16 bits."""
    for module in net.modules():
        if isinstance(module, SpectralConv2d):
            module.fix()


class PictureNorm(nn.Module):
    """Batch norm without scale and shift; in train mode with each picture's own statistics.

    The authors run the released models on one picture at a time in train mode, where a batch's
    statistics are that picture's. Taking them per picture gives the same for any batch size.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return F.instance_norm(x, eps=self.eps)
        return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class SPADE(nn.Module):
    """``norm(x) * gamma(guide) + beta(guide)``; the guide is resized by nearest neighbour.

    x: (N, ``channels``, H, W). guide: (N, ``guide_channels``, any, any).
    """

    def __init__(self, channels: int, guide_channels: int) -> None:
        super().__init__()
        hidden = min(128, channels)
        self.param_free_norm = PictureNorm(channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(guide_channels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        if guide.shape[-2:] != x.shape[-2:]:
            guide = F.interpolate(guide, size=x.shape[-2:], mode="nearest")
        shared = self.mlp_shared(guide)
        return torch.addcmul(self.mlp_beta(shared), self.param_free_norm(x), self.mlp_gamma(shared))


class SPADEResidual(nn.Module):
    """Two modulated convolutions beside a shortcut, which has its own where channels change.

    Source: Park et al. 2019, appendix A, figure 11.
    """

    def __init__(self, in_channels: int, out_channels: int, guide_channels: int) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.conv_0 = SpectralConv2d(in_channels, middle, 3)
        self.conv_1 = SpectralConv2d(middle, out_channels, 3)
        self.norm_0 = SPADE(in_channels, guide_channels)
        self.norm_1 = SPADE(middle, guide_channels)
        self.learned_shortcut = in_channels != out_channels
        if self.learned_shortcut:
            self.conv_s = SpectralConv2d(in_channels, out_channels, 1, bias=False)
            self.norm_s = SPADE(in_channels, guide_channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        shortcut = self.conv_s(self.norm_s(x, guide)) if self.learned_shortcut else x
        x = self.conv_0(F.leaky_relu(self.norm_0(x, guide), 0.2))
        return shortcut + self.conv_1(F.leaky_relu(self.norm_1(x, guide), 0.2))

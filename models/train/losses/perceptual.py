"""Perceptual terms: distances between what a network trained on ImageNet sees.

``features`` are what :class:`restore_batch.models.nets.judges.vgg.VGGFeatures` returns: layers by
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F

Features = Mapping[str, torch.Tensor]
Distance = Literal["l1", "l2"]

SRGAN_LAYERS: Mapping[str, float] = {"relu5_4": 1.0}
"""Ledig et al. 2017, section 2.2.1: the fourth convolution ahead of the fifth pooling, after its
activation."""

SRGAN_RESCALING = 1 / 12.75
"""What the features are multiplied with (section 3.2), to bring the loss to the pixels' scale:
about 0.006 on the squared distance."""

GFPGAN_LAYERS: Mapping[str, float] = {
    "conv1_2": 0.1,
    "conv2_2": 0.1,
    "conv3_4": 1.0,
    "conv4_4": 1.0,
    "conv5_4": 1.0,
}
"""Wang et al. 2021: five layers before activation; the layers' weights are those of the released
recipe."""

GLEAN_LAYERS: Mapping[str, float] = {"conv4_3": 1.0}
"""Chan et al. 2021, of VGG-16; the layer is that of the released configuration."""

PIX2PIXHD_LAYERS: Mapping[str, float] = {
    "relu1_1": 1 / 32,
    "relu2_1": 1 / 16,
    "relu3_1": 1 / 8,
    "relu4_1": 1 / 4,
    "relu5_1": 1.0,
}
"""Wang et al. 2018 (pix2pixHD), its released code; HiFaceGAN took it over."""


def perceptual(
    restored: Features, target: Features, layers: Mapping[str, float], distance: Distance = "l1"
) -> torch.Tensor:
    """``sum over layers l of w_l * mean |f_l(x) - f_l(y)|``, or its square with "l2". A scalar.

    Source: Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and
    Super-Resolution" (arXiv:1603.08155), equation 2 ("l2"). The true features are constants.
    """
    measure = F.l1_loss if distance == "l1" else F.mse_loss
    terms = [
        weight * measure(restored[name].float(), target[name].detach().float())
        for name, weight in layers.items()
    ]
    return torch.stack(terms).sum()


def style(restored: Features, target: Features, layers: Mapping[str, float]) -> torch.Tensor:
    """``sum over layers l of w_l * mean |Gram(f_l(x)) - Gram(f_l(y))|``. A scalar.

    Which features go together, wherever they are: texture. Source: Gatys et al. 2016, "Image
    Style Transfer Using Convolutional Neural Networks", equations 3 to 5, with L1 as in GFP-GAN.
    """
    terms = [
        weight * gram_distance(restored[name], target[name]) for name, weight in layers.items()
    ]
    return torch.stack(terms).sum()


def gram_distance(restored: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``mean |Gram(x) - Gram(y)|`` of features (N, C, H, W), the second taken as constants."""
    return F.l1_loss(gram(restored), gram(target.detach()))


def gram(features: torch.Tensor) -> torch.Tensor:
    """``F F^T / (C H W)`` of each picture's features: (N, C, H, W) to (N, C, C) float32.

    Source: Johnson et al. 2016, equation 3.
    """
    # Sums over a whole picture overflow half precision.
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)
        return flat @ flat.mT / (flat.shape[1] * flat.shape[2])

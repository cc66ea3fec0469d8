"""Pixel terms: how far a restored picture is from the true one, in colour and in edges.

All take pictures of one shape and of any common range, and average over every element, so that
a weight means the same for any size and batch. They compute in float32, also under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

CHARBONNIER_EPS = 1e-3
LEAST_L2 = 1e-3
"""Of pictures in [-1, 1]: 36 dB."""


def check_pair(restored: torch.Tensor, target: torch.Tensor) -> None:
    """Raise ValueError unless both are (N, C, H, W) of one shape.

    Tensors that merely broadcast against each other would give a loss without an error.
    """
    if restored.ndim != 4 or restored.shape != target.shape:
        raise ValueError(
            f"expected two (N, C, H, W) of one shape, got {tuple(restored.shape)} and"
            f" {tuple(target.shape)}"
        )


def l1(restored: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error, ``mean |x - y|``: a scalar."""
    check_pair(restored, target)
    return F.l1_loss(restored.float(), target.float())


def l2(restored: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error, ``mean (x - y)^2``: a scalar."""
    check_pair(restored, target)
    return F.mse_loss(restored.float(), target.float())


def log_l2(restored: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over the pictures of the logarithm of each one's mean squared error: PSNR, but for sign
    and scale, so that a picture that is nearly right counts as much as one that is far off. A
    scalar. Errors below :data:`LEAST_L2` are not told apart: what is clean would outweigh all else.

    Source: Chen et al. 2021, "HINet" (arXiv:2105.06086), section 3.3.
    """
    check_pair(restored, target)
    error = (restored.float() - target.float()).square().flatten(1).mean(dim=1)
    return (error + LEAST_L2).log().mean()


def charbonnier(
    restored: torch.Tensor, target: torch.Tensor, eps: float = CHARBONNIER_EPS
) -> torch.Tensor:
    """``mean sqrt((x - y)^2 + eps^2)``: L1 that is smooth at zero. A scalar.

    Source: Lai et al. 2017, "Deep Laplacian Pyramid Networks" (arXiv:1704.03915), section 3.3,
    with its ``eps`` of 1e-3 for pictures in [0, 1].
    """
    check_pair(restored, target)
    return ((restored.float() - target.float()).square() + eps**2).sqrt().mean()


def gradient(restored: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 between the pictures' differences of neighbours: a scalar.

    ``mean |dx(x - y)| + mean |dy(x - y)|`` with dx and dy the forward differences along a row
    and a column. It asks for edges of the right height and place, and is blind to a shift of
    brightness. Source: the gradient difference loss of Mathieu et al. 2016, "Deep multi-scale video
    prediction" (arXiv:1511.05440), without the absolute values that there hide an edge's sign.
    """
    check_pair(restored, target)
    error = restored.float() - target.float()
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def pyramid(pictures: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """GFP-GAN's pyramid restoration loss: ``sum over s of mean |x_s - y_s|``. A scalar.

    ``pictures`` are what the U-Net's levels show, each (N, C, H / 2^k, W / 2^k), in any order;
    y_s is ``target`` (N, C, H, W), halved as often as it takes. Halving is bilinear, which at
    exactly half the size is the mean of 2x2 pixels. Raises ValueError for no pictures and for
    another size.

    Source: Wang et al. 2021 (arXiv:2101.04061), the intermediate restoration losses of its
    degradation removal module; weight 1 in its released recipe.
    """
    if not pictures:
        raise ValueError("expected the pictures of the network's levels, got none")
    halved = {tuple(target.shape): target.float()}
    smallest = min(picture.shape[-1] for picture in pictures)
    level = target.float()
    while level.shape[-1] >= 2 * smallest and not any(side % 2 for side in level.shape[-2:]):
        level = F.avg_pool2d(level, 2)
        halved[tuple(level.shape)] = level
    total = torch.zeros((), device=target.device)
    for picture in pictures:
        truth = halved.get(tuple(picture.shape))
        if truth is None:
            raise ValueError(
                f"expected halvings of {tuple(target.shape)}, got {tuple(picture.shape)}"
            )
        total = total + l1(picture, truth)
    return total

"""Facial components of aligned faces: where they are, and how their style is compared.

Source: Wang et al. 2021 (GFP-GAN, arXiv:2101.04061), the facial component loss. The authors crop
by each training picture's own landmarks; here every face is aligned to one template, whose
landmarks tell where the components are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from restore_batch.models.train.losses.perceptual import gram_distance

TEMPLATE_PX = 512
COMPONENTS_512: dict[str, tuple[float, float, float]] = {
    "left_eye": (192.98138, 239.94708, 80),
    "right_eye": (318.90277, 240.1936, 80),
    "mouth": (257.17507, 371.28076, 120),
}
"""Centre x and y, and side in pixels, in an aligned crop of 512 px: the template's eyes and the
middle between its corners of the mouth. The sides are those of the authors' crops."""

STYLE_LAYERS = (0.5, 1.0)
"""Weights of the two layers of a component discriminator, from the released code."""


def component_crops(faces: torch.Tensor) -> dict[str, torch.Tensor]:
    """Crops of aligned square faces (N, C, S, S): by name (N, C, s, s), in the same range.

    Sizes and places scale with S, in whole pixels, so that a discriminator never sees the traces
    of interpolation. Raises ValueError unless the faces are square and at least 64 px.
    """
    side_px = faces.shape[-1]
    if faces.ndim != 4 or faces.shape[-2] != side_px or side_px < 64:
        raise ValueError(f"expected square faces of at least 64 px, got {tuple(faces.shape)}")
    scale = side_px / TEMPLATE_PX
    crops = {}
    for name, (x, y, size) in COMPONENTS_512.items():
        width = round(size * scale)
        left, top = (round(centre * scale - (width - 1) / 2) for centre in (x, y))
        crops[name] = faces[..., top : top + width, left : left + width]
    return crops


def component_style(
    restored: Sequence[torch.Tensor], target: Sequence[torch.Tensor]
) -> torch.Tensor:
    """``sum over layers i of w_i * mean |Gram(d_i(x)) - Gram(d_i(y))|`` of one component.

    d_i are the features of its discriminator, w_i are :data:`STYLE_LAYERS`. A scalar.
    """
    terms = [
        weight * gram_distance(x, y)
        for weight, x, y in zip(STYLE_LAYERS, restored, target, strict=True)
    ]
    return torch.stack(terms).sum()

"""The part of an aligned face that a recognition network looks at, differentiable."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def chip(
    faces: torch.Tensor, scale_512: float, shift_px: tuple[float, float], side_px: int
) -> torch.Tensor:
    """(N, 3, S, S) aligned to the restorers' template to (N, 3, side_px, side_px), same range.

    ``scale_512``, ``shift_px``: from pixels of the template at 512 px to those of the chip. Reduced
    without aliasing, then placed to the sub-pixel. Raises ValueError unless square RGB.
    """
    side = faces.shape[-1]
    if faces.ndim != 4 or faces.shape[1] != 3 or faces.shape[-2] != side:
        raise ValueError(f"expected square RGB faces, got {tuple(faces.shape)}")
    faces = faces.float()
    scale = scale_512 * 512 / side
    shift_x, shift_y = shift_px
    if scale < 1:
        size = max(round(side * scale), 1)
        ratio = size / side
        faces = F.interpolate(
            faces, size=(size, size), mode="bilinear", align_corners=False, antialias=True
        )
        # Centres of pixels are at whole numbers, and those of the reduced picture moved.
        shift_x += scale * (0.5 / ratio - 0.5)
        shift_y += scale * (0.5 / ratio - 0.5)
        scale /= ratio
    target = torch.arange(side_px, device=faces.device, dtype=faces.dtype)
    last = faces.shape[-1] - 1
    x, y = ((target - shift) / scale * 2 / last - 1 for shift in (shift_x, shift_y))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    return F.grid_sample(
        faces,
        grid.expand(len(faces), -1, -1, -1),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=True,
    )

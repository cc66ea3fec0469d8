"""Bicubic downscaling by a whole factor, as PULSE defines "downscales correctly".

One axis is one matrix: the cubic kernel stretched by the factor, its reflection at the borders
folded in. Two products shrink a picture, and their gradient is deterministic on every device
(that of reflection padding is not).

Source: Menon et al. 2020 (PULSE), section 3.1; Keys 1981, the cubic kernel with a = -1/2.
"""

from __future__ import annotations

import torch
from torch import Tensor

_A = -0.5


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel, zero beyond 2."""
    x = x.abs()
    near = ((_A + 2) * x - (_A + 3)) * x**2 + 1
    far = _A * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def bicubic_taps(factor: int) -> Tensor:
    """The 4 * ``factor`` weights of one axis: float32, summing to 1."""
    place = torch.arange(4 * factor, dtype=torch.float64)
    weights = cubic((place - 2 * factor + 0.5) / factor)
    return (weights / weights.sum()).float()


def bicubic_matrix(size_px: int, factor: int) -> Tensor:
    """(size_px / factor, size_px) float32: maps an axis to its downscaled form.

    Raises ValueError where ``factor`` does not divide ``size_px``, or the reflection of the
    kernel would reach past the other border.
    """
    if size_px % factor or size_px <= 3 * factor - 3 * factor // 2:
        raise ValueError(f"cannot downscale {size_px} px by {factor}")
    taps = bicubic_taps(factor)
    outputs = size_px // factor
    # The authors pad 3 * factor in all; where that is odd, the larger half comes last.
    first = torch.arange(outputs)[:, None] * factor - 3 * factor // 2
    source = first + torch.arange(4 * factor)
    source = (size_px - 1 - (source.abs() - (size_px - 1)).abs()).long()
    matrix = torch.zeros(outputs, size_px)
    return matrix.scatter_add_(1, source, taps.expand(outputs, -1))


class BicubicDownsample:
    """(N, C, H, W) to (N, C, H / factor, W / factor); H and W are multiples of ``factor``."""

    def __init__(self, factor: int) -> None:
        self.factor = factor
        self._matrices: dict[tuple[int, torch.device], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return self._matrix(height, x.device) @ x @ self._matrix(width, x.device).mT

    def _matrix(self, size_px: int, device: torch.device) -> Tensor:
        key = (size_px, device)
        if key not in self._matrices:
            self._matrices[key] = bicubic_matrix(size_px, self.factor).to(device)
        return self._matrices[key]

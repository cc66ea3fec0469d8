"""Structural similarity: luminance, contrast and structure in small windows, at several scales.

Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural
Similarity", section III-B; Wang, Simoncelli and Bovik 2003, "Multi-scale Structural Similarity
for Image Quality Assessment", section 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from restore_batch.models.train.losses.pixel import check_pair

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first, found by Wang et al. 2003 in section 3.2."""

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
K1, K2 = 0.01, 0.03

# A power below 1 of a negative number does not exist, and at zero its slope is infinite:
# windows of opposite structure count as this much instead.
_LEAST = 1e-4


def ssim(restored: torch.Tensor, target: torch.Tensor, data_range: float) -> torch.Tensor:
    """Mean structural similarity of (N, C, H, W), a scalar in [-1, 1].

    Pictures are in [0, ``data_range``]: the comparison of luminances means nothing where values
    can be negative. float64 is computed with where it is given, else float32. Windows stay inside
    the picture; channels are compared by themselves. Raises ValueError for pictures smaller than
    the window of 11 px.
    """
    luminance, contrast = _comparisons(restored, target, data_range)
    return (luminance * contrast).mean()


def ms_ssim(restored: torch.Tensor, target: torch.Tensor, data_range: float) -> torch.Tensor:
    """Mean multi-scale similarity of (N, C, H, W) in [0, ``data_range``], a scalar in (0, 1].

    ``l_5^w5 * product over j = 1..5 of cs_j^wj``: contrast and structure at five scales, each
    half as large as the one before (mean of 2x2 pixels), luminance at the last only. Every cs_j
    and l_5 is the mean over a channel's windows. Raises ValueError for pictures below 176 px,
    whose last scale is smaller than the window.
    """
    check_pair(restored, target)
    smallest = WINDOW_PX << (len(SCALE_WEIGHTS) - 1)
    if min(restored.shape[-2:]) < smallest:
        raise ValueError(
            f"MS-SSIM needs at least {smallest} px a side, got {tuple(restored.shape[-2:])}"
        )
    x, y = _precise(restored), _precise(target)
    product = torch.ones(x.shape[:2], device=x.device, dtype=x.dtype)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        luminance, contrast = _comparisons(x, y, data_range)
        product = product * contrast.mean((2, 3)).clamp_min(_LEAST).pow(weight)
    product = product * luminance.mean((2, 3)).clamp_min(_LEAST).pow(SCALE_WEIGHTS[-1])
    return product.mean()


def ms_ssim_loss(restored: torch.Tensor, target: torch.Tensor, data_range: float) -> torch.Tensor:
    """``1 - MS-SSIM``: a scalar in [0, 1), 0 for equal pictures."""
    return 1 - ms_ssim(restored, target, data_range)


def _comparisons(
    restored: torch.Tensor, target: torch.Tensor, data_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Luminance l and contrast times structure cs of every window, each (N, C, H-10, W-10)."""
    check_pair(restored, target)
    if min(restored.shape[-2:]) < WINDOW_PX:
        raise ValueError(
            f"SSIM needs at least {WINDOW_PX} px a side, got {tuple(restored.shape[-2:])}"
        )
    # Variances are differences of large numbers: half precision would lose them.
    with torch.autocast(restored.device.type, enabled=False):
        x, y = _precise(restored), _precise(target)
        c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
        mean_x, mean_y = _windowed(x), _windowed(y)
        variance_x = _windowed(x * x) - mean_x**2
        variance_y = _windowed(y * y) - mean_y**2
        covariance = _windowed(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        contrast = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return luminance, contrast


def _precise(x: torch.Tensor) -> torch.Tensor:
    """float64 where that was given, else float32."""
    return x if x.dtype == torch.float64 else x.float()


def _windowed(x: torch.Tensor) -> torch.Tensor:
    """Gaussian-weighted mean of every window that lies inside the picture."""
    offsets = torch.arange(WINDOW_PX, device=x.device, dtype=x.dtype) - WINDOW_PX // 2
    line = torch.exp(-(offsets**2) / (2 * WINDOW_SIGMA_PX**2))
    line = (line / line.sum()).expand(x.shape[1], 1, -1)
    x = F.conv2d(x, line[..., None], groups=x.shape[1])
    return F.conv2d(x, line[:, :, None], groups=x.shape[1])

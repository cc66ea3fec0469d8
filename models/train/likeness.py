"""Identity-preserving objective: a restored face must be the same person to ArcFace.

Source: Wang et al. 2021 (GFP-GAN, arXiv:2101.04061), the identity preserving loss; Deng et al.
2019 (ArcFace). The authors' network sees grey faces of 128 px; this one is the embedder that
measures restored faces (:mod:`restore_batch.models.identity`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.identity import _SCALE_512, _SHIFT_PX, INPUT_PX
from restore_batch.models.train.pixel import check_pair


def arcface_input(faces: torch.Tensor) -> torch.Tensor:
    """ArcFace's crop (N, 3, 112, 112) of aligned square faces (N, 3, S, S), differentiable.

    The same warp as :func:`restore_batch.models.identity.to_input`: reduced without aliasing,
    then placed to the sub-pixel. The range is kept. Raises ValueError unless square RGB.
    """
    side_px = faces.shape[-1]
    if faces.ndim != 4 or faces.shape[1] != 3 or faces.shape[-2] != side_px:
        raise ValueError(f"expected square RGB faces, got {tuple(faces.shape)}")
    faces = faces.float()
    scale = _SCALE_512 * 512 / side_px
    shift_x, shift_y = (float(shift) for shift in _SHIFT_PX)
    if scale < 1:
        size = max(round(side_px * scale), 1)
        ratio = size / side_px
        faces = F.interpolate(
            faces, size=(size, size), mode="bilinear", align_corners=False, antialias=True
        )
        # Centres of pixels are at whole numbers, and those of the reduced picture moved.
        shift_x += scale * (0.5 / ratio - 0.5)
        shift_y += scale * (0.5 / ratio - 0.5)
        scale /= ratio
    target = torch.arange(INPUT_PX, device=faces.device, dtype=faces.dtype)
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


def identity(restored: torch.Tensor, target: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """``mean |e(x) - e(y)|`` over the D components of the embeddings. A scalar.

    Faces are (N, 3, S, S) in [-1, 1], aligned to the restorers' template; ``network`` is that of
    :func:`restore_batch.models.identity.network`, in eval mode. Its unit vectors are taken times
    √D: components then have unit mean square, as the normalised features have that GFP-GAN
    compares, and its weight of 10 keeps its meaning.
    """
    check_pair(restored, target)
    with torch.no_grad():
        wanted = _embedding(target, network)
    return F.l1_loss(_embedding(restored, network), wanted)


def _embedding(faces: torch.Tensor, network: nn.Module) -> torch.Tensor:
    # facexlib's head flattens with view(), which needs this layout.
    vectors = network(arcface_input(faces).contiguous()).float()
    return F.normalize(vectors) * vectors.shape[1] ** 0.5

"""Identity-preserving terms: a restored face must be the same person, to ArcFace or to dlib.

Source: Wang et al. 2021 (GFP-GAN, arXiv:2101.04061), the identity preserving loss; Deng et al.
2019 (ArcFace). The authors' network sees grey faces of 128 px; this one is the embedder that
measures restored faces (:mod:`restore_batch.models.families.identity`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.families.dlib import SCALE_512, SHIFT_PX
from restore_batch.models.families.identity import ARCFACE_SCALE, ARCFACE_SHIFT_PX, INPUT_PX
from restore_batch.models.nets.judges.dlib_resnet import INPUT_PX as DLIB_PX
from restore_batch.models.nets.judges.face_chip import chip
from restore_batch.models.train.losses.pixel import check_pair


def arcface_input(faces: torch.Tensor) -> torch.Tensor:
    """ArcFace's crop (N, 3, 112, 112) of aligned square faces (N, 3, S, S), differentiable.

    The same warp as :func:`restore_batch.models.families.identity.to_input`: reduced without
    aliasing, then placed to the sub-pixel. The range is kept. Raises ValueError unless square RGB.
    """
    shift_x, shift_y = (float(shift) for shift in ARCFACE_SHIFT_PX)
    return chip(faces, ARCFACE_SCALE, (shift_x, shift_y), INPUT_PX)


def identity(restored: torch.Tensor, target: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """``mean |e(x) - e(y)|`` over the D components of the embeddings. A scalar.

    Faces are (N, 3, S, S) in [-1, 1], aligned to the restorers' template; ``network`` is that of
    :func:`restore_batch.models.families.identity.network`, in eval mode. Its unit vectors are taken
    times √D: components then have unit mean square, as the normalised features have that GFP-GAN
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


def dlib_distance(restored: torch.Tensor, target: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """Mean Euclidean distance of dlib's vectors, the measure that it was trained for: pictures of
    one person are less than about 0.6 apart (King 2017). A scalar.

    Faces as in :func:`identity`; ``network``: :func:`restore_batch.models.families.dlib.network`'s.
    """
    check_pair(restored, target)
    with torch.no_grad():
        wanted = _dlib_vectors(target, network)
    # The root has no gradient at 0.
    return ((_dlib_vectors(restored, network) - wanted).square().sum(dim=1) + 1e-6).sqrt().mean()


def _dlib_vectors(faces: torch.Tensor, network: nn.Module) -> torch.Tensor:
    vectors: torch.Tensor = network(chip((faces + 1) * 127.5, SCALE_512, SHIFT_PX, DLIB_PX))
    return vectors.float()

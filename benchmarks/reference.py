"""The reference way to restore a picture, as the papers' programs go about it.

Faces are looked for in the whole pyramid, down to 16 px, at every level as a whole; networks
compute in the papers' order (:mod:`benchmarks.published`); the whole picture goes through a network
that enlarges four times and is then resized; each face is warped into a picture of the whole size,
and blended by a mask of that size. Source of the order: the published inference scripts of GFP-GAN
and Real-ESRGAN, and FaceRestoreHelper of facexlib.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.published import contiguous, published
from restore_batch.models import registry
from restore_batch.models.base import Face, Runtime
from restore_batch.models.families import mtcnn
from restore_batch.models.families.mtcnn import MTCNNDetector
from restore_batch.models.nets import mtcnn as mtcnn_nets
from restore_batch.models.weights.store import Store
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.geometry import estimate_similarity, invert, output_size, warp
from restore_batch.stages.media import Frame

_LEAST_FACE_PX = 16
_ANY_PX = 1 << 20
_SOFT_SHARE = 0.05


def detector() -> MTCNNDetector:
    """The detector whose weights come with a package, as jobs use it."""
    found = registry.build(Store().ref(registry.card("mtcnn"), {}), Runtime())
    assert isinstance(found, MTCNNDetector)
    return found


def random_network(name: str) -> nn.Module:
    """The network of that card with random weights: time does not depend on them."""
    card = registry.card(name)
    return registry.family_of(card).network(None, **card.architecture).eval()


@contextmanager
def _whole_levels() -> Iterator[None]:
    """Within it, faces are looked for in all levels of tiles, no part of a level is left out, all
    are looked at twice, and torch's own layers are used."""

    def pooled(features_nchw: torch.Tensor, kernel: int) -> torch.Tensor:
        return F.max_pool2d(features_nchw, kernel, 2, ceil_mode=True)

    looks_twice = replace(MTCNNDetector.traits, sees_any_size=False, certain_score=math.inf)
    with ExitStack() as stack:
        for module, name, other in (
            (mtcnn, "_TILE_PX", _ANY_PX),
            (mtcnn, "_FINEST_SCALE", 0.6),
            (mtcnn, "_PYRAMID_STEP", 0.709),
            (mtcnn, "_MIN_PROPOSAL", 0.6),
            (mtcnn, "_MIN_FINEST_PROPOSAL", 0.6),
            (mtcnn, "_SAME_ACROSS", 0.7),
            (MTCNNDetector, "traits", looks_twice),
            (MTCNNDetector, "_seen_again", lambda self, pictures, found: found),
            (mtcnn_nets, "_activated", lambda features_nchw, prelu: prelu(features_nchw)),
            (mtcnn_nets, "_pooled", pooled),
        ):
            stack.enter_context(mock.patch.object(module, name, other))
        yield


class Reference:
    """Restores pictures the reference way. ``enlarger``: name of a network of scale 4, or None."""

    def __init__(self, restorer: str = "compact-1", enlarger: str | None = None) -> None:
        found = detector()
        found._tile_px = _ANY_PX
        contiguous(found._nets)
        self._detect = Detect(None, min_face_px=_LEAST_FACE_PX, detector=found)
        self._face_px = registry.card(restorer).input_px or 512
        self._restorer = contiguous(random_network(restorer))
        self._enlarger = None if enlarger is None else contiguous(random_network(enlarger))

    def faces(self, rgb_hwc: np.ndarray) -> tuple[Face, ...]:
        """All faces of a picture, rgb_hwc uint8."""
        with _whole_levels():
            return self._detect.find([Frame(rgb_hwc)])[0]

    def enlarged(self, rgb_hwc: np.ndarray, scale: float) -> np.ndarray:
        """By the network and a resize, or by the resize alone."""
        size = output_size(rgb_hwc.shape[1], rgb_hwc.shape[0], scale)
        if self._enlarger is not None:
            rgb_hwc = _through(self._enlarger, rgb_hwc)
        return np.asarray(cv2.resize(rgb_hwc, size, interpolation=cv2.INTER_LANCZOS4))

    def pasted(
        self, large_hwc: np.ndarray, matrix: np.ndarray, crop: np.ndarray, scale: float
    ) -> np.ndarray:
        """``crop`` over the enlarged picture; ``matrix`` led from the small one to the crop."""
        size = (large_hwc.shape[1], large_hwc.shape[0])
        back = invert(matrix) * scale
        soft_px = round(_SOFT_SHARE * len(crop))
        mask = np.zeros(crop.shape[:2], np.float32)
        mask[soft_px:-soft_px, soft_px:-soft_px] = 1
        mask = cv2.warpAffine(mask, back, size)
        mask = cv2.GaussianBlur(mask, (0, 0), soft_px / 2)[..., None]
        face = cv2.warpAffine(crop, back, size)
        return np.asarray((mask * face + (1 - mask) * large_hwc).clip(0, 255).astype(np.uint8))

    def restored(self, rgb_hwc: np.ndarray, scale: float) -> np.ndarray:
        """The picture enlarged, with each of its faces restored."""
        large = self.enlarged(rgb_hwc, scale)
        for face in self.faces(rgb_hwc):
            matrix = estimate_similarity(face.landmarks_xy, self._face_px)
            crop = _through(self._restorer, warp(rgb_hwc, matrix, self._face_px))
            large = self.pasted(large, matrix, crop, scale)
        return large


def _through(net: nn.Module, rgb_hwc: np.ndarray) -> np.ndarray:
    with torch.inference_mode(), published():
        x = torch.from_numpy(np.ascontiguousarray(rgb_hwc)).permute(2, 0, 1)[None]
        y = net(x.float().contiguous() / 255)
        y = y[0] if isinstance(y, tuple) else y
        return (y[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()

"""A cascade that finds faces: one network proposes windows, two others refine and confirm them.

What proposes is a subclass' matter; the other two are MTCNN's R-Net, which moves a window or drops
it, and its O-Net, which says where the landmarks are.

Source: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (arXiv:1604.02878), section II.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import DetectorTraits, Face
from restore_batch.models.running.batching import equal_size_batches
from restore_batch.models.running.octaves import Octaves, squares_around
from restore_batch.models.running.shapes import rounded
from restore_batch.models.running.windows import suppress, suppress_contained

if TYPE_CHECKING:
    import torch

_LOOK_PX = 96.0
_LOOK_SIZES = (0.415, 1.8)
"""Sizes of the face that a closer look searches for, over the one that is expected."""
_MIN_REFINED = 0.7
_PATCHES_A_BATCH = 32  # a core's cache holds their features
_PIXELS_A_BATCH = 16_000_000
_LOOKS_A_BATCH = 16


FirstSeen = tuple[np.ndarray, ...]
"""Squares (N, 4), how likely each is a face (N,), and how far its box is from it (N, 4), over its
side."""


class CascadeDetector(ABC):
    """A :class:`~restore_batch.models.base.Looker`. Always in float32: the networks are tiny."""

    smallest_px = 20.0
    traits = DetectorTraits(
        default_score=0.7,
        look_px=_LOOK_PX,
        # Of candidates to which the O-Net gives more than that twice, the second time in their own
        # box, one in a thousand was no face; a look at them alone misses one face in a hundred.
        certain_score=0.7,
        sees_any_size=True,
        # A face above the first stands upright, with few exceptions: it was found so in one
        # (MTCNN's proposals: three) of 294 turned photographs with faces. Above the second, twice
        # as large as the smallest, nothing (two) was found in 156 without faces from any other
        # side.
        upright_score=0.995,
        turned_score=0.92,
    )

    def __init__(self, networks: Any, device: str) -> None:
        """``networks`` has ``rnet`` and ``onet``, which take pixels in [0, 255]."""
        import torch

        self._device = torch.device(device)
        self._nets = networks.to(self._device).eval().to(memory_format=torch.channels_last)

    @abstractmethod
    def _propose(self, pictures: list[Octaves], sizes_px: tuple[float, float]) -> list[np.ndarray]:
        """For each of some pictures of one size boxes (N, 4) that may show faces of those sizes,
        in its pixels."""

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """N pictures, rgb_hwc uint8 of any size; for each its faces by falling score.

        Pictures of one size go through the networks together on a GPU, one by one elsewhere.
        """
        import torch

        found: list[list[Face]] = [[] for _ in images]
        with torch.inference_mode():
            for indices in equal_size_batches(images, self._device.type, _PIXELS_A_BATCH):
                pictures = [Octaves(images[i]) for i in indices]
                faces = self._seen_again(pictures, self._detect(pictures, min_score))
                for i, some in zip(indices, faces, strict=True):
                    found[i] = some
        return found

    def look(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """The same for N pictures of one size, all of one frame, with a face of about
        ``traits.look_px`` each: they share batches on any device, and much smaller faces are not
        searched for."""
        import torch

        found: list[list[Face]] = []
        sizes_px = (_LOOK_SIZES[0] * _LOOK_PX, _LOOK_SIZES[1] * _LOOK_PX)
        with torch.inference_mode():
            for start in range(0, len(images), _LOOKS_A_BATCH):
                some = [Octaves(image) for image in images[start : start + _LOOKS_A_BATCH]]
                found += self._detect(some, min_score, sizes_px)
        return found

    def _detect(
        self,
        pictures: list[Octaves],
        min_score: float,
        sizes_px: tuple[float, float] = (0, math.inf),
    ) -> list[list[Face]]:
        """The three steps on pictures of one size; crops of all of them share batches."""
        windows = self._first_seen(pictures, self._propose(pictures, sizes_px))
        boxes = [_refine(*some) for some in windows]
        squares = [squares_around(some, 48) for some in boxes]
        final = self._run(self._nets.onet, pictures, squares, 48)
        return [_apart(_faces(s, *f), min_score) for s, f in zip(squares, final, strict=True)]

    def _first_seen(self, pictures: list[Octaves], boxes: list[np.ndarray]) -> list[FirstSeen]:
        """What the R-Net says of the boxes of each picture."""
        squares = [squares_around(some, 24) for some in boxes]
        seen = self._run(self._nets.rnet, pictures, squares, 24)
        return [(square, *some) for square, some in zip(squares, seen, strict=True)]

    def _seen_again(self, pictures: list[Octaves], found: list[list[Face]]) -> list[list[Face]]:
        """The same faces after the O-Net has seen each in its own box too, by falling score."""
        squares = [squares_around(_boxes(some), 48) for some in found]
        again = self._run(self._nets.onet, pictures, squares, 48)
        surer = [
            [self._surer(*both) for both in zip(some, _faces(s, *out), strict=True)]
            for some, s, out in zip(found, squares, again, strict=True)
        ]
        return [sorted(some, key=lambda face: -face.score) for some in surer]

    def _surer(self, face: Face, again: Face) -> Face:
        """The face with the lower of both scores: as it was seen again where that is certain."""
        score = min(face.score, again.score)
        return replace(again if score > self.traits.certain_score else face, score=score)

    def _run(
        self,
        net: torch.nn.Module,
        pictures: list[Octaves],
        squares: list[np.ndarray],
        side_px: int,
    ) -> list[list[np.ndarray]]:
        """For each picture the network's outputs on its crops, one row a crop, float64."""
        where = [
            (picture, square)
            for picture, some in zip(pictures, squares, strict=True)
            for square in some.astype(int).tolist()
        ]
        rows = []
        for start in range(0, max(len(where), 1), _PATCHES_A_BATCH):
            some = where[start : start + _PATCHES_A_BATCH]
            patches = np.zeros((rounded(len(some), 8), side_px, side_px, 3), np.uint8)
            for patch, (picture, square) in zip(patches, some, strict=False):
                patch[...] = picture.square(square, side_px)
            out = net(self._tensor(patches))
            rows.append([each[: len(some)].double().cpu().numpy() for each in out])
        outputs = [np.concatenate(column) for column in zip(*rows, strict=True)]
        ends = np.cumsum([len(some) for some in squares])[:-1]
        return [list(each) for each in zip(*(np.split(o, ends) for o in outputs), strict=True)]

    def _tensor(self, rgb_nhwc: np.ndarray) -> torch.Tensor:
        import torch

        # Writable too, which what comes from Ray's object store is not: torch warns of that.
        pixels = torch.from_numpy(np.require(rgb_nhwc, requirements=["C", "W"])).to(self._device)
        return pixels.float().permute(0, 3, 1, 2)


def _refine(squares: np.ndarray, scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The boxes that the R-Net keeps, moved by its offsets."""
    likely = scores > _MIN_REFINED
    squares, scores = squares[likely], scores[likely]
    boxes = squares + offsets[likely] * (squares[:, 2] - squares[:, 0])[:, None]
    return boxes[suppress(boxes, scores, 0.7)]


def _faces(
    squares: np.ndarray, scores: np.ndarray, offsets: np.ndarray, landmarks: np.ndarray
) -> list[Face]:
    """The O-Net's outputs for the squares of one picture as faces."""
    side = (squares[:, 2] - squares[:, 0])[:, None]
    x = squares[:, :1] + landmarks[:, :5] * side
    y = squares[:, 1:2] + landmarks[:, 5:] * side
    boxes = (squares + offsets * side).tolist()
    return [
        Face((box[0], box[1], box[2], box[3]), points.astype(np.float32), score)
        for box, points, score in zip(boxes, np.stack([x, y], axis=2), scores.tolist(), strict=True)
    ]


def _apart(faces: list[Face], min_score: float) -> list[Face]:
    """Those above a score that no likelier one holds or is held by, by falling score."""
    likely = [face for face in faces if face.score > min_score]
    scores = np.array([face.score for face in likely])
    return [likely[i] for i in suppress_contained(_boxes(likely), scores, 0.7)]


def _boxes(faces: list[Face]) -> np.ndarray:
    return np.array([face.box_xyxy for face in faces]).reshape(-1, 4)

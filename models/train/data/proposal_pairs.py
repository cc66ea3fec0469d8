"""Grey crops of scenes, with and without small faces, and where these are: what the proposal
network learns from.

The faces are those of the scenes, as a detector sees them, and portraits that are laid in, turned,
slanted and partly hidden. Pair i is a function of the seed and of i alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from restore_batch.errors import UsageError
from restore_batch.models.nets.propose import CELL_PX, SIZES_PX, USUAL_PX
from restore_batch.models.train.data.degrade import jpeg
from restore_batch.models.train.data.faces_there import (
    Seen,
    detector,
    joined,
    of_portrait,
    of_scene,
)
from restore_batch.models.train.data.pairs import read_face
from restore_batch.models.train.data.scenes import read_scenes
from restore_batch.models.train.data.tone import LUMA

PORTRAIT_PX = 256
STEPS = 64
"""How finely places are told: an offset of so many is a cell, a size of so many a doubling."""
NONE, THERE, DOUBTFUL = 0, 255, 127
"""Of a cell: no face's middle is near, one is there, or nothing is said of it."""

_SIDES_PX = (8.5, 32.0)
"""Of faces as shown: some are too small or too large, and nothing is said of those."""
_DOUBTED_PX = (7.0, 31.0)
_LARGEST_SCALE = 1.5
_FACED_PROB, _LAID_IN_PROB, _MOST_LAID_IN = 0.4, 0.65, 4
_TURNED, _FAR_PROB, _ANYHOW_PROB = 15.0, 0.15, 0.15
"""Standard deviation of turns in degrees; of those up to 60 and of any the shares."""
_NEAR, _AROUND = 0.22, 0.45
"""Of a face's side: cells this near to its middle show it; of those around nothing is said."""


class ProposalPairs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Crops of ``side_px``, a multiple of 4, and where faces are in them; see the module.

    ``files``: pictures of any size; ``portraits``: square ones of a face each; all are read once
    and kept, and looked at by the detector of that name. Raises UsageError for those that cannot be
    read or are smaller than a crop.
    """

    def __init__(
        self,
        files: Sequence[Path],
        portraits: Sequence[Path],
        side_px: int,
        seed: int,
        length: int,
        detector_name: str = "mtcnn",
    ) -> None:
        if side_px % CELL_PX:
            raise UsageError(f"crop_px {side_px}: expected a multiple of {CELL_PX}")
        self.side_px = side_px
        detect = detector(detector_name)
        self._scenes = read_scenes(files, side_px)
        self._seen = [of_scene(scene, detect) for scene in self._scenes]
        self._faced = [i for i, seen in enumerate(self._seen) if seen.certain.any()]
        pictures = (read_face(path, PORTRAIT_PX) for path in portraits)
        found = ((picture, of_portrait(picture, detect)) for picture in pictures)
        self._portraits = [(picture, seen) for picture, seen in found if len(seen.sides_px)]
        self._seed = seed
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pair ``index``: the crop (1, S, S) and what is to be said of its cells (4, S / 4, S / 4),
        see :func:`told`, both uint8."""
        grey, seen = self.crop(index)
        return torch.from_numpy(grey[None]), torch.from_numpy(told(seen, self.side_px))

    def crop(self, index: int) -> tuple[np.ndarray, Seen]:
        """The crop of pair ``index``, (S, S) uint8, and its faces, in its pixels."""
        rng = np.random.default_rng([self._seed, index])
        grey, seen = self._of_scene(rng)
        if self._portraits and rng.random() < _LAID_IN_PROB:
            for _ in range(rng.integers(1, _MOST_LAID_IN + 1)):
                picture, whose = self._portraits[rng.integers(len(self._portraits))]
                grey, seen = _laid_in(grey, seen, picture, whose, rng)
        grey = _spoilt(grey, rng)
        if rng.random() < 0.5:
            mirrored = (self.side_px, 0) + seen.middles_xy * (-1, 1)
            grey, seen = grey[:, ::-1].copy(), Seen(mirrored, seen.sides_px, seen.certain)
        return grey, seen

    def _of_scene(self, rng: np.random.Generator) -> tuple[np.ndarray, Seen]:
        """A square of a scene at some size, (S, S) float32, around one of its faces or anywhere."""
        side = self.side_px
        faced = bool(self._faced) and rng.random() < _FACED_PROB
        which = self._faced[rng.integers(len(self._faced))] if faced else None
        chosen = int(rng.integers(len(self._scenes))) if which is None else which
        scene, seen = self._scenes[chosen], self._seen[chosen]
        height, width = scene.shape[:2]
        least = side / min(height, width)
        if which is None:
            scale = max(_between(rng, (least, 1.2)), least)
            middle = rng.uniform(0, (width, height))
        else:
            face = rng.choice(np.flatnonzero(seen.certain))
            scale = float(np.clip(_between(rng, _SIDES_PX) / seen.sides_px[face], least,
                                  _LARGEST_SCALE))  # fmt: skip
            middle = seen.middles_xy[face] + rng.uniform(-0.4, 0.4, 2) * side / scale
        cut = min(round(side / scale), height, width)
        left, top = (int(np.clip(at - cut / 2, 0, length - cut)) for at, length in
                     zip(middle, (width, height), strict=True))  # fmt: skip
        way = cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC
        part = cv2.resize(
            scene[top : top + cut, left : left + cut], (side, side), interpolation=way
        )
        moved = (seen.middles_xy - (left, top)) * (side / cut)
        sides = seen.sides_px * (side / cut)
        inside = ((moved > -sides[:, None] / 2) & (moved < side + sides[:, None] / 2)).all(axis=1)
        return _grey(part, rng), Seen(moved[inside], sides[inside], seen.certain[inside])


def told(seen: Seen, side_px: int) -> np.ndarray:
    """What is to be said of the cells of a crop with those faces: (4, S / 4, S / 4) uint8. First
    :data:`NONE`, :data:`THERE` or :data:`DOUBTFUL`; then, of a face that is there, how far right of
    and below the cell's middle its own is, and its size, each in ``STEPS`` around 128; the units
    are those of :class:`~restore_batch.models.nets.propose.ProposalNet`."""
    cells = side_px // CELL_PX
    middles = np.arange(cells) * CELL_PX + (CELL_PX - 1) / 2
    there = np.full((cells, cells), NONE, np.uint8)
    rest = np.full((3, cells, cells), 128, np.uint8)
    nearest = np.full((cells, cells), np.inf)
    for (x, y), side, certain in zip(seen.middles_xy, seen.sides_px, seen.certain, strict=True):
        right, below = np.meshgrid(x - middles, y - middles)
        away = np.maximum(np.abs(right), np.abs(below))
        around = (away <= max(_AROUND * side, CELL_PX)) & (there != THERE)
        if certain and SIZES_PX[0] <= side <= SIZES_PX[1]:
            there[around] = DOUBTFUL
            # At least the cell that it is in.
            its = (away <= max(_NEAR * side, CELL_PX / 2 + 0.01)) & (away < nearest)
            there[its], nearest[its] = THERE, away[its]
            size = np.full_like(right, np.log2(side / USUAL_PX))
            told_of = np.stack([right / CELL_PX, below / CELL_PX, size])[:, its]
            rest[:, its] = np.clip(np.rint(128 + STEPS * told_of), 0, 255)
        elif not certain or _DOUBTED_PX[0] <= side <= _DOUBTED_PX[1]:
            there[around] = DOUBTFUL
    return np.concatenate([there[None], rest])


def _laid_in(
    grey: np.ndarray, seen: Seen, portrait: np.ndarray, whose: Seen, rng: np.random.Generator
) -> tuple[np.ndarray, Seen]:
    """The same with a portrait's face somewhere, unless it would lie over another."""
    side, middle = _between(rng, _SIDES_PX), rng.uniform(0, len(grey), 2)
    apart = np.hypot(*(seen.middles_xy - middle).T)
    if (apart < 0.9 * np.maximum(seen.sides_px, side)).any():
        return grey, seen
    own_side, small = float(whose.sides_px[0]), portrait
    # Halved as often as it can be: what is then warped is hardly reduced, and keeps no moiré.
    while own_side > 1.7 * side and len(small) > 16:
        small = cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        own_side /= 2
    own_middle = whose.middles_xy[0] * (len(small) / len(portrait))
    turn = _turn(rng)
    # As seen from above or below, or from the side.
    slim = 2 ** rng.uniform(-0.35, 0.15)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = side / own_side * np.array([[cos * slim, -sin], [sin, cos / slim]])
    if rng.random() < 0.2:
        matrix[0, 1] += rng.uniform(-0.25, 0.25) * side / own_side
    matrix = np.concatenate([matrix, (middle - matrix @ own_middle)[:, None]], axis=1)
    tone = _grey(small, rng) * rng.uniform(0.6, 1.15) + rng.uniform(-25, 25)
    if rng.random() < 0.4:
        tone = _lit_from_a_side(tone, rng)
    if rng.random() < 0.3:
        tone = _with_hat(tone, own_middle, own_side, rng)
    size = (len(grey), len(grey))
    mask = cv2.warpAffine(_outline(len(small), rng), matrix, size)
    laid = mask * cv2.warpAffine(tone, matrix, size) + (1 - mask) * grey
    if rng.random() < 0.12:
        width, height = (rng.uniform(0.15, 0.5, 2) * side).astype(int) + 1
        left, top = np.maximum(middle + rng.uniform(-0.5, 0.5, 2) * side, 0).astype(int)
        laid[top : top + height, left : left + width] = rng.uniform(0, 255)
    return laid, joined(seen, middle, side)


def _turn(rng: np.random.Generator) -> float:
    """In radians: most faces are nearly upright, some lie."""
    kind = rng.random()
    if kind < _ANYHOW_PROB:
        return float(rng.uniform(-np.pi, np.pi))
    far = kind < _ANYHOW_PROB + _FAR_PROB
    return float(np.deg2rad(rng.uniform(-60, 60) if far else rng.normal(0, _TURNED)))


def _lit_from_a_side(tone: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, len(tone), dtype=np.float32)])
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 / (1 + np.exp(-rng.uniform(1, 5) * (x * np.cos(angle) + y * np.sin(angle))))
    darkest = rng.uniform(0.15, 0.8)
    return np.asarray(tone * (darkest + (1 - darkest) * light), np.float32)


def _with_hat(
    tone: np.ndarray, middle_xy: np.ndarray, side_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Something over the forehead, with or without a brim and a shadow below it."""
    brim = middle_xy[1] - rng.uniform(0.15, 0.38) * side_px
    x, wide = middle_xy[0] + rng.uniform(-0.1, 0.1) * side_px, rng.uniform(0.38, 0.62) * side_px
    tall = rng.uniform(0.2, 0.6) * side_px
    lean = rng.uniform(-0.12, 0.12) * side_px
    narrow = wide * rng.uniform(0.6, 1.0)
    corners = [[x - wide, brim - lean], [x + wide, brim + lean],
               [x + narrow, brim - tall], [x - narrow, brim - tall]]  # fmt: skip
    shade = float(rng.uniform(0, 255))
    hatted = tone.copy()
    cv2.fillConvexPoly(hatted, np.rint(np.array(corners)).astype(np.int32), shade)
    if rng.random() < 0.6:
        ends = np.rint([[x - 1.3 * wide, brim - lean], [x + 1.3 * wide, brim + lean]]).astype(int)
        thick = max(round(rng.uniform(0.03, 0.12) * side_px), 1)
        cv2.line(hatted, ends[0].tolist(), ends[1].tolist(), shade * rng.uniform(0.5, 1), thick)
    if rng.random() < 0.5:
        below = slice(max(round(brim), 0), max(round(brim + rng.uniform(0.1, 0.4) * side_px), 0))
        hatted[below] *= rng.uniform(0.3, 0.8)
    return hatted


def _outline(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """How far a portrait of that side covers what is behind: its head, its face or all of it."""
    x, y = np.meshgrid(*2 * [np.linspace(-1, 1, side_px, dtype=np.float32)])
    kind = rng.random()
    if kind < 0.5:
        away, soft = np.hypot(x / 0.9, y), 0.2
    elif kind < 0.75:
        away, soft = np.hypot(x / 0.72, (y - 0.02) / 0.82), 0.25
    else:
        away, soft = np.maximum(np.abs(x), np.abs(y)), 0.1
    return np.asarray(np.clip((1 - away) / soft, 0, 1), np.float32)


def _spoilt(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft, faded, grainy, scratched, compressed, each now and then: (S, S) uint8."""
    if rng.random() < 0.35:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.5:
        mean = grey.mean()
        grey = (grey - mean) * 2 ** rng.uniform(-1.3, 0.5) + mean + rng.uniform(-50, 50)
    if rng.random() < 0.2:
        grey = 255 * np.clip(grey / 255, 0, 1) ** (2 ** rng.uniform(-1, 1))
    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(1, 22), grey.shape)
        grey = grey + (cv2.GaussianBlur(grain, (0, 0), 0.9) * 1.8 if rng.random() < 0.5 else grain)
    stored = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        for _ in range(rng.integers(1, 12)):
            ends = rng.integers(0, len(grey), (2, 2))
            if rng.random() < 0.5:
                ends[1] = ends[0] + rng.integers(-8, 9, 2)
            shade, width = float(rng.uniform(0, 255)), int(rng.integers(1, 3))
            cv2.line(stored, ends[0].tolist(), ends[1].tolist(), shade, width)
    if rng.random() < 0.3:
        three = np.repeat(stored[..., None], 3, axis=2)
        stored = jpeg(three, int(rng.integers(15, 80)), grey=True)[..., 0]
    return np.ascontiguousarray(stored)


def _grey(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32: as the eye sees it, or as some film or filter does."""
    weights = LUMA if rng.random() < 0.6 else rng.dirichlet([1.6, 2, 1.2]).astype(np.float32)
    return np.asarray(rgb_hwc.astype(np.float32) @ weights, np.float32)


def _between(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """Of each doubling as many as of any other."""
    low, high = np.log2(span)
    return float(2 ** rng.uniform(low, max(low, high)))

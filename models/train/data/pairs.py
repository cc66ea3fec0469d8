"""Pairs of a degraded and a true face, made on the fly from folders of aligned faces.

Pair i of a data set is a function of its seed and of i alone: not of who makes it, of how many
workers there are, or of what was made before. That is what lets a run be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from restore_batch.errors import UsageError
from restore_batch.models.train.data.tone import Tone

Degradation = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]

Kind = TypeVar("Kind")
Picture = TypeVar("Picture")

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_ORDER = 1  # a stream of chance of its own, apart from that of any pair


@dataclass(frozen=True)
class Jitter:
    """How far a detector may misplace a face: shift (of the side), scale, turn (degrees)."""

    shift: float = 0.015
    scale: float = 0.04
    turn_deg: float = 2.0
    flip_prob: float = 0.5

    def __call__(self, rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """rgb_hwc uint8, square; the same shape. What comes in from outside is mirrored."""
        side = len(rgb_hwc)
        dx, dy = rng.uniform(-self.shift, self.shift, 2) * side
        scale = 1 + rng.uniform(-self.scale, self.scale)
        turn = rng.uniform(-self.turn_deg, self.turn_deg)
        flips = rng.random() < self.flip_prob
        centre = (side - 1) / 2
        matrix = cv2.getRotationMatrix2D((centre, centre), turn, scale)
        matrix[:, 2] += dx, dy
        moved = cv2.warpAffine(
            rgb_hwc, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return moved[:, ::-1].copy() if flips else moved


def picture_files(folders: Sequence[Path], exclude: Sequence[str] = ()) -> list[Path]:
    """The pictures in ``folders``, by name, without those whose name matches a pattern.

    Raises UsageError for a folder that is not there and when nothing is left.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; expected a folder of pictures")
        found += sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in _SUFFIXES
            and not any(fnmatch(path.name, pattern) for pattern in exclude)
        )
    if not found:
        raise UsageError(
            f"no pictures in {', '.join(map(str, folders))}; expected JPEG, PNG or WebP"
        )
    return found


def read_face(path: Path, side_px: int) -> np.ndarray:
    """One aligned face, rgb_hwc uint8 of ``side_px``.

    Raises UsageError where it cannot be read or is not square.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise UsageError(f"{path}: cannot be read as a picture; remove it from the folder")
    if bgr.shape[0] != bgr.shape[1]:
        raise UsageError(
            f"{path}: {bgr.shape[1]}x{bgr.shape[0]} px; expected a square crop of an aligned face"
        )
    if len(bgr) != side_px:
        method = cv2.INTER_AREA if len(bgr) > side_px else cv2.INTER_CUBIC
        bgr = cv2.resize(bgr, (side_px, side_px), interpolation=method)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


class Mixture(Generic[Kind]):
    """Degradations, each taken as often as the weight beside it says."""

    def __init__(self, weighted: Sequence[tuple[float, Kind]]) -> None:
        weights = np.array([weight for weight, _ in weighted], np.float64)
        self._until = np.cumsum(weights / weights.sum())
        self._kinds = [kind for _, kind in weighted]

    def one(self, rng: np.random.Generator) -> Kind:
        """One of them; takes one number from ``rng``."""
        chosen = int(np.searchsorted(self._until, rng.random(), side="right"))
        return self._kinds[min(chosen, len(self._kinds) - 1)]


def in_turn(pictures: Sequence[Picture], seed: int, index: int) -> Picture:
    """The picture of pair ``index``: each is used once, in an order of chance, before any is used
    again."""
    turn, place = divmod(index, len(pictures))
    order = np.random.default_rng([seed, turn, 0, _ORDER]).permutation(len(pictures))
    return pictures[order[place]]


class FacePairs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Degraded and true faces of ``side_px``; see the module.

    ``degradations`` are taken with the probabilities beside them. The faces are read once and
    kept (0.2 MB each at 256 px). Every face is used once before any is used again. Degraded
    pictures are ``1 / shrinks`` of the size, for networks that enlarge.
    """

    def __init__(
        self,
        files: Sequence[Path],
        side_px: int,
        degradations: Sequence[tuple[float, Degradation]],
        seed: int,
        length: int,
        tone: Tone | None = None,
        jitter: Jitter | None = None,
        shrinks: int = 1,
    ) -> None:
        if side_px % shrinks:
            raise UsageError(
                f"side_px {side_px}: expected a multiple of {shrinks} for this network"
            )
        self.side_px = side_px
        self._degraded_px = side_px // shrinks
        self._faces = [read_face(path, side_px) for path in files]
        self._degradations = Mixture(degradations)
        self._seed = seed
        self._length = length
        self._tone = tone
        self._jitter = jitter

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pair ``index``: (degraded, true), each (3, S, S) uint8 RGB."""
        degraded, true = self.pair(index)
        return as_chw(degraded), as_chw(true)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Pair ``index`` as pictures: (degraded, true), each rgb_hwc uint8."""
        true = in_turn(self._faces, self._seed, index)
        rng = np.random.default_rng([self._seed, index])
        if self._jitter is not None:
            true = self._jitter(true, rng)
        if self._tone is not None:
            true = self._tone(true, rng)
        return self._degradations.one(rng)(true, rng, self._degraded_px), true


def as_chw(rgb_hwc: np.ndarray) -> torch.Tensor:
    """(H, W, 3) to (3, H, W), the same dtype."""
    return torch.from_numpy(np.ascontiguousarray(rgb_hwc.transpose(2, 0, 1)))

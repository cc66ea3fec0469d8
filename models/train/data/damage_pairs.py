"""Crops of scenes, most of them damaged, and where: what the damage network learns from.

Faded and brown crops are among damaged and sound ones alike; for the rest see
:class:`~restore_batch.models.train.data.damage.DamageToFind`. Pair i is a function of the seed and
of i alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from restore_batch.models.train.data.damage import DamageToFind, Scanned
from restore_batch.models.train.data.old_scan.outlines import read_outlines
from restore_batch.models.train.data.pairs import as_chw
from restore_batch.models.train.data.scenes import read_scenes
from restore_batch.models.train.data.tone import LUMA


class DamagePairs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Crops of ``side_px`` and their damage; see the module.

    ``files``: pictures of any size, read once and kept (3 bytes a pixel). Raises UsageError for
    those that cannot be read or are smaller than a crop.
    """

    def __init__(
        self, files: Sequence[Path], side_px: int, look: DamageToFind, seed: int, length: int
    ) -> None:
        self.side_px = side_px
        self._look = look
        self._outlines = read_outlines(look.outlines) if look.outlines else None
        self._scenes = read_scenes(files, side_px)
        # Large pictures have more to show.
        area = np.array([scene.shape[0] * scene.shape[1] for scene in self._scenes], np.float64)
        self._until = np.cumsum(area / area.sum())
        self._seed = seed
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pair ``index``: the scan, and its damage as a grey picture, each (3, S, S) uint8."""
        scanned = self.scanned(index)
        mask = torch.from_numpy(np.rint(scanned.damage * 255).astype(np.uint8))
        return as_chw(scanned.damaged), mask.expand(3, -1, -1).contiguous()

    def scanned(self, index: int) -> Scanned:
        """What pair ``index`` is made of, (S, S)."""
        rng = np.random.default_rng([self._seed, index])
        chosen = int(np.searchsorted(self._until, rng.random(), side="right"))
        scene = self._scenes[min(chosen, len(self._scenes) - 1)]
        good = _crop(scene, self.side_px, rng).astype(np.float32)
        grey = bool(rng.random() < 0.45)
        if grey:
            good = np.repeat((good @ LUMA)[..., None], 3, axis=2)
        return self._look(_toned(good, rng, grey), rng, self._outlines)


def _crop(scene: np.ndarray, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """A square of the scene at some size, mirrored or turned: rgb_hwc uint8 of ``side_px``."""
    height, width = scene.shape[:2]
    # Up to twice as large: scans show thin things broader than these small pictures do.
    zoom = float(np.exp(rng.uniform(np.log(0.55), np.log(2.0))))
    side = int(np.clip(round(side_px / zoom), 32, min(height, width)))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    part = scene[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > side_px else cv2.INTER_CUBIC
    part = cv2.resize(part, (side_px, side_px), interpolation=method)
    part = np.rot90(part, int(rng.choice([0, 0, 0, 1, 2, 3])))
    return part[:, ::-1] if rng.random() < 0.5 else part


def _toned(picture: np.ndarray, rng: np.random.Generator, grey: bool) -> np.ndarray:
    """Faded, brown, or with a cast: what damage lies on."""
    if rng.random() < 0.5:
        return picture
    black, white = rng.uniform(0, 70), rng.uniform(170, 255)
    levels = (picture / 255) ** rng.uniform(0.7, 1.4) * (white - black) + black
    if not grey or rng.random() < 0.6:
        levels = levels * rng.uniform(0.8, 1.0, 3) + rng.uniform(0, 12, 3)
    return np.asarray(np.clip(levels, 0, 255), np.float32)

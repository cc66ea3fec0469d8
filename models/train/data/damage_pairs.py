"""Crops of scenes, most of them damaged, and where: what the damage network learns from.

Softness, grain, printers' screens, fading, brown tones and JPEG blocks are on damaged and on sound
crops alike: they are no damage that could be filled. Neither are stains, which have no edge. Pair i
is a function of the seed and of i alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from restore_batch.errors import UsageError
from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.creases import Creases
from restore_batch.models.train.data.old_scan.dust import Dust
from restore_batch.models.train.data.old_scan.grain import Grain
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.halftone import Halftone
from restore_batch.models.train.data.old_scan.layer import laid_over, sometimes
from restore_batch.models.train.data.old_scan.outlines import Outlines, read_outlines
from restore_batch.models.train.data.old_scan.scanner import Jpeg, Lens, Sensor
from restore_batch.models.train.data.old_scan.scratches import Scratches
from restore_batch.models.train.data.old_scan.tears import Tears
from restore_batch.models.train.data.pairs import as_chw
from restore_batch.models.train.data.scenes import read_scene
from restore_batch.models.train.data.tone import LUMA

_LETTERS = "ABCDEFGHIKLMNOPRSTUVWabcdefghiklmnoprstuvw0123456789  .,-"
_FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
_FULL_CHANGE = 24.0
"""Change of a channel, of 255, from which a pixel is damaged for certain."""


class DamageToFind(Options):
    """What crops look like. ``sound``: the share of them that nothing lies on. ``outlines``: a
    file with the shapes of real dust and hairs; None: all are drawn. Kinds of damage come with
    the probabilities beside them, denser than on real scans: a crop is small."""

    sound: Share = 0.3
    outlines: Path | None = None
    scratches: Scratches = Scratches(per_megapixel=(15.0, 600.0), width_px=(0.5, 6.0))
    scratches_prob: Share = 0.5
    hairs: Hairs = Hairs(per_megapixel=(15.0, 400.0), width_px=(0.6, 4.0))
    hairs_prob: Share = 0.35
    dust: Dust = Dust(per_megapixel=(30.0, 5000.0), radius_px=(0.6, 7.0))
    dust_prob: Share = 0.6
    creases: Creases = Creases(per_megapixel=(10.0, 160.0))
    creases_prob: Share = 0.25
    tears: Tears = Tears(per_megapixel=(10.0, 120.0))
    tears_prob: Share = 0.15
    coloured_prob: Share = 0.12
    lettering_prob: Share = 0.06
    hard_prob: Share = 0.1
    softness: Lens = Lens(sigma_px=(0.0, 1.4))
    softness_prob: Share = 0.4
    grain: Grain = Grain()
    grain_prob: Share = 0.65
    halftone: Halftone = Halftone()
    halftone_prob: Share = 0.08
    lens: Lens = Lens(sigma_px=(0.0, 1.2))
    lens_prob: Share = 0.5
    sensor: Sensor = Sensor()
    sensor_prob: Share = 0.4
    jpeg: Jpeg = Jpeg()

    def __call__(
        self, good: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """``good``: (H, W, 3) float32 in [0, 255]. The scan, rgb_hwc uint8, and its damage, (H, W)
        float32 in [0, 1]: how far each pixel was changed by it, 1 from a tenth of the range on."""
        good = sometimes(self.lettering_prob, _lettered, good, rng)
        good = sometimes(self.hard_prob, hard, good, rng)
        good = sometimes(self.softness_prob, self.softness, good, rng)
        good = sometimes(self.halftone_prob, self.halftone, good, rng)
        good = sometimes(self.grain_prob, self.grain, good, rng)
        good = damaged = np.clip(good, 0, 255)
        if rng.random() >= self.sound:
            damaged = self._damaged(good, rng, outlines)
        if rng.random() < self.lens_prob:
            state = rng.bit_generator.state
            good = self.lens(good, rng)
            rng.bit_generator.state = state
            damaged = self.lens(damaged, rng)
        change = np.abs(damaged - good).max(axis=2) / _FULL_CHANGE
        damaged = sometimes(self.sensor_prob, self.sensor, damaged, rng)
        scanned = self.jpeg(np.clip(np.rint(damaged), 0, 255).astype(np.uint8), rng)
        return scanned, np.asarray(np.clip(change, 0, 1), np.float32)

    def _damaged(
        self, good: np.ndarray, rng: np.random.Generator, outlines: Outlines | None
    ) -> np.ndarray:
        damaged = good
        for chance, damage in (
            (self.creases_prob, self.creases),
            (self.tears_prob, self.tears),
            (self.scratches_prob, lambda p, r: self.scratches(p, r, outlines)),
            (self.hairs_prob, lambda p, r: self.hairs(p, r, outlines)),
            (self.dust_prob, lambda p, r: self.dust(p, r, outlines)),
        ):
            if rng.random() >= chance:
                continue
            done = damage(damaged, rng)
            if rng.random() < self.coloured_prob:  # one layer of colour film is gone
                damaged = laid_over(damaged, done.alpha_hw, rng.uniform(0, 255, 3))
            else:
                damaged = done.picture
        return damaged


def _lettered(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With words in it, as captions and signs are: as thin as scratches, and no damage."""
    height, width = picture.shape[:2]
    tone = rng.uniform(0, 255) if rng.random() < 0.7 else rng.choice([0.0, 255.0])
    hidden = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 4)):
        word = "".join(rng.choice(list(_LETTERS), rng.integers(3, 16)))
        at = int(rng.integers(-width // 4, width)), int(rng.integers(height))
        face, size = int(rng.choice(_FACES)), float(rng.uniform(0.3, 1.6))
        strokes_px = int(rng.integers(1, 2 + round(size)))
        cv2.putText(hidden, word, at, face, size, (255,), strokes_px, cv2.LINE_AA)
    return laid_over(picture, hidden.astype(np.float32) / 255, np.full(3, tone))


def hard(
    picture: np.ndarray,
    rng: np.random.Generator,
    black: Span = (0.0, 0.5),
    white: Span = (0.7, 1.0),
) -> np.ndarray:
    """What an old copy is: blacks and whites without drawing, in which each button is a speck.

    ``picture``: (H, W, 3) float32 in [0, 255], as is what comes back. ``black``, ``white``: spans
    of the quantiles that become so.
    """
    low, high = np.quantile(picture, [rng.uniform(*black), rng.uniform(*white)])
    return np.clip((picture - low) * (255 / max(high - low, 20)), 0, 255).astype(np.float32)


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
        self._scenes = [read_scene(path) for path in files]
        for path, scene in zip(files, self._scenes, strict=True):
            if min(scene.shape[:2]) < side_px:
                raise UsageError(f"{path}: expected at least {side_px} px a side; remove it")
        # Large pictures have more to show.
        area = np.array([scene.shape[0] * scene.shape[1] for scene in self._scenes], np.float64)
        self._until = np.cumsum(area / area.sum())
        self._seed = seed
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pair ``index``: the scan, and its damage as a grey picture, each (3, S, S) uint8."""
        scanned, damage = self.pair(index)
        mask = torch.from_numpy(np.rint(damage * 255).astype(np.uint8))
        return as_chw(scanned), mask.expand(3, -1, -1).contiguous()

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Pair ``index``: rgb_hwc uint8, and (S, S) float32 in [0, 1]; see
        :class:`DamageToFind`."""
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

"""What crops look like that the damage network learns from, drawn on a good picture.

Softness, grain, printers' screens and JPEG blocks are on damaged and on sound crops alike: they are
no damage that could be filled. Neither are stains, which have no edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.creases import Creases
from restore_batch.models.train.data.old_scan.dust import Dust
from restore_batch.models.train.data.old_scan.grain import Grain
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.halftone import Halftone
from restore_batch.models.train.data.old_scan.layer import laid_over, sometimes
from restore_batch.models.train.data.old_scan.outlines import Outlines
from restore_batch.models.train.data.old_scan.scanner import Jpeg, Lens, Sensor
from restore_batch.models.train.data.old_scan.scratches import Scratches
from restore_batch.models.train.data.old_scan.tears import Tears
from restore_batch.models.train.data.things import Things

_LETTERS = "ABCDEFGHIKLMNOPRSTUVWabcdefghiklmnoprstuvw0123456789  .,-"
_FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
_FULL_CHANGE = 24.0
"""Change of a channel, of 255, from which a pixel is damaged for certain."""


@dataclass(frozen=True, eq=False)
class Scanned:
    """``damaged``: a scan, rgb_hwc uint8; ``sound``: what it would be without its damage, with the
    same grain, noise and blocks. ``damage``: (H, W) float32 in [0, 1], how far each pixel was
    changed by it, 1 from a tenth of the range on."""

    damaged: np.ndarray
    sound: np.ndarray
    damage: np.ndarray

    def enlarged(self, height: int, width: int) -> Scanned:
        """The scan at another size, as small ones are before they are looked at."""
        damaged, sound, damage = (
            np.asarray(cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC))
            for each in (self.damaged, self.sound, self.damage)
        )
        return Scanned(damaged, sound, np.clip(damage, 0, 1))


class DamageToFind(Options):
    """What crops look like. ``sound``: the share of them that nothing lies on. ``outlines``: a
    file with the shapes of real dust and hairs; None: all are drawn. Kinds of damage come with
    the probabilities beside them, denser than on real scans: a crop is small. ``enlarged``: by how
    much a scan is enlarged then, blocks, grain and all, as repair does it with small ones."""

    sound: Share = 0.3
    outlines: Path | None = None
    scratches: Scratches = Scratches(per_megapixel=(15.0, 600.0), width_px=(0.5, 6.0))
    scratches_prob: Share = 0.5
    hairs: Hairs = Hairs(per_megapixel=(15.0, 400.0), width_px=(0.6, 4.0))
    hairs_prob: Share = 0.35
    dust: Dust = Dust(per_megapixel=(30.0, 5000.0), radius_px=(0.5, 14.0))
    dust_prob: Share = 0.6
    creases: Creases = Creases(per_megapixel=(10.0, 160.0))
    creases_prob: Share = 0.25
    tears: Tears = Tears(per_megapixel=(10.0, 120.0))
    tears_prob: Share = 0.15
    coloured_prob: Share = 0.12
    lettering_prob: Share = 0.06
    hard_prob: Share = 0.1
    things: Things = Things()
    things_prob: Share = 0.3
    softness: Lens = Lens(sigma_px=(0.0, 2.2))
    softness_prob: Share = 0.55
    grain: Grain = Grain()
    grain_prob: Share = 0.65
    halftone: Halftone = Halftone()
    halftone_prob: Share = 0.08
    lens: Lens = Lens(sigma_px=(0.0, 1.2))
    lens_prob: Share = 0.5
    sensor: Sensor = Sensor()
    sensor_prob: Share = 0.4
    jpeg: Jpeg = Jpeg()
    enlarged: Span = (1.2, 2.0)
    enlarged_prob: Share = 0.0

    def __call__(
        self, good: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> Scanned:
        """``good``: (H, W, 3) float32 in [0, 255]."""
        height, width = good.shape[:2]
        # Asked only where some are enlarged: pairs of earlier recipes stay what they were.
        if not self.enlarged_prob or rng.random() >= self.enlarged_prob:
            return self._scanned(good, rng, outlines)
        factor = rng.uniform(*self.enlarged)
        return self._scanned(
            good[: round(height / factor), : round(width / factor)], rng, outlines
        ).enlarged(height, width)

    def _scanned(
        self, good: np.ndarray, rng: np.random.Generator, outlines: Outlines | None
    ) -> Scanned:
        good = sometimes(self.things_prob, self.things, good, rng)
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
        state = rng.bit_generator.state
        sound = self._stored(good, rng)
        rng.bit_generator.state = state
        return Scanned(
            self._stored(damaged, rng), sound, np.asarray(np.clip(change, 0, 1), np.float32)
        )

    def _stored(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        picture = sometimes(self.sensor_prob, self.sensor, picture, rng)
        return self.jpeg(np.clip(np.rint(picture), 0, 255).astype(np.uint8), rng)

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

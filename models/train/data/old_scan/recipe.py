"""The old scan: what a photograph has been through, in the order in which it happened.

Grain is in the film, print or screen come after it; folds, stains, dust and scratches lie on top;
the scanner's lens softens all of it, its sensor adds noise, and files are saved as JPEG, at times
twice. Every step happens with a probability of its own, so that the pictures range from almost
clean to badly worn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share
from restore_batch.models.train.data.old_scan.creases import Creases
from restore_batch.models.train.data.old_scan.dust import Dust
from restore_batch.models.train.data.old_scan.grain import Grain
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.halftone import Halftone
from restore_batch.models.train.data.old_scan.layer import Damage, Damaged, sometimes
from restore_batch.models.train.data.old_scan.outlines import Outlines
from restore_batch.models.train.data.old_scan.scanner import Jpeg, Lens, Sensor
from restore_batch.models.train.data.old_scan.scratches import Scratches
from restore_batch.models.train.data.old_scan.stains import Stains
from restore_batch.models.train.data.old_scan.tears import Tears


class OldScan(Options):
    """Each kind's ranges, and how often it happens."""

    softness: Lens = Lens(sigma_px=(0.0, 1.4))
    softness_prob: Share = 0.5
    grain: Grain = Grain()
    grain_prob: Share = 0.8
    halftone: Halftone = Halftone()
    halftone_prob: Share = 0.08
    stains: Stains = Stains()
    stains_prob: Share = 0.2
    creases: Creases = Creases()
    creases_prob: Share = 0.2
    tears: Tears = Tears()
    tears_prob: Share = 0.1
    scratches: Scratches = Scratches()
    scratches_prob: Share = 0.4
    hairs: Hairs = Hairs()
    hairs_prob: Share = 0.3
    dust: Dust = Dust()
    dust_prob: Share = 0.5
    lens: Lens = Lens(sigma_px=(0.0, 0.9))
    lens_prob: Share = 0.5
    sensor: Sensor = Sensor()
    sensor_prob: Share = 0.6
    jpeg: Jpeg = Jpeg()

    def __call__(
        self, rgb_hwc: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> np.ndarray:
        """A picture of any size, rgb_hwc uint8, as an old scan shows it: the same shape and dtype.

        Lengths are pixels of the picture. A grey picture stays grey. With ``outlines`` some of the
        dust, hairs and scratches have the shapes of real ones.
        """
        return self.with_mask(rgb_hwc, rng, outlines)[0]

    def with_mask(
        self, rgb_hwc: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As a call; also what lies on the picture: (H, W) float32 in [0, 1], the share hidden by
        stains, creases, tears, scratches, hairs and dust, before the scanner's lens."""
        grey = bool((rgb_hwc == rgb_hwc[..., :1]).all())
        picture = rgb_hwc.astype(np.float32)
        picture = sometimes(self.softness_prob, self.softness, picture, rng)
        picture = sometimes(self.grain_prob, self.grain, picture, rng)
        picture = sometimes(self.halftone_prob, self.halftone, picture, rng)
        picture = np.clip(picture, 0, 255)
        alpha = np.zeros(picture.shape[:2], np.float32)
        for chance, damage in self._on_top(outlines):
            if rng.random() < chance:
                damaged = damage(picture, rng)
                picture, alpha = damaged.picture, 1 - (1 - alpha) * (1 - damaged.alpha_hw)
        picture = sometimes(self.lens_prob, self.lens, picture, rng)
        picture = sometimes(self.sensor_prob, self.sensor, picture, rng)
        scanned = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        if grey:  # tinted dust would not be on a grey scan
            scanned = np.repeat(scanned[..., 1:2], 3, axis=2)
        return self.jpeg(scanned, rng), alpha

    def _on_top(self, outlines: Outlines | None) -> tuple[tuple[float, Damage], ...]:
        return (
            (self.stains_prob, self.stains),
            (self.creases_prob, self.creases),
            (self.tears_prob, self.tears),
            (self.scratches_prob, _Shaped(self.scratches, outlines)),
            (self.hairs_prob, _Shaped(self.hairs, outlines)),
            (self.dust_prob, _Shaped(self.dust, outlines)),
        )


@dataclass(frozen=True)
class _Shaped:
    """A kind of damage that may have the shapes of real ones."""

    damage: Dust | Hairs | Scratches
    outlines: Outlines | None

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> Damaged:
        return self.damage(picture, rng, self.outlines)

"""Crops of damaged scenes, where they are to be filled, and what lies there: what the fill network
learns from.

Where they are to be filled is what the damage network might say: somewhat more than the damage,
without some of it, and now and then with places that are sound; or what a damage network does say.
Pair i is a function of the seed and of i alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch

from restore_batch.models.base import DamageFinder, Runtime
from restore_batch.models.train.data.damage import DamageToFind
from restore_batch.models.train.data.damage_pairs import DamagePairs
from restore_batch.models.train.data.pairs import as_chw

_LEAST = (0.2, 0.9)
"""Span of the change, of that which counts in full, from which on a pixel is found."""
_EDGES_PX = (0, 1, 1, 2, 2, 3)
_MISSES_PROB, _MISSED = 0.3, 0.4
_FALSE_PROB = 0.25
_TOO_MUCH = 0.6
_ASKED_PROB = 0.5
_CERTAIN, _FRINGES_PX = (0.1, 0.6), (0, 1, 1, 2)
"""Span of the certainties of a finder from which on what it points at is filled, and by how much
that is grown."""
_OWN = 2  # a stream of chance of its own, apart from the one that makes the scan


class FillPairs(DamagePairs):
    """See the module, and :class:`DamagePairs` for the other arguments. ``finder``: a damage
    network, by name or file, that says in half of the pairs where they are to be filled."""

    def __init__(
        self,
        files: Sequence[Path],
        side_px: int,
        look: DamageToFind,
        seed: int,
        length: int,
        finder: str | None = None,
    ) -> None:
        super().__init__(files, side_px, look, seed, length)
        self._named = finder

    @cached_property
    def _finder(self) -> DamageFinder:
        # Built where pairs are made: another process than the one that trains.
        from restore_batch.models.families.damage import UNetDamageFinder, network
        from restore_batch.models.train.trainees import start

        assert self._named is not None
        return UNetDamageFinder(network(start(self._named)), Runtime())

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pair ``index``: (4, S, S) uint8, the scan and 255 where it is to be filled, and
        (3, S, S) uint8, the scan without its damage there."""
        scanned = self.scanned(index)
        rng = np.random.default_rng([self._seed, index, _OWN])
        if self._named is not None and rng.random() < _ASKED_PROB:
            missing = pointed_at(self._finder(scanned.damaged), rng)
        else:
            missing = found(scanned.damage, rng)
        true = np.where(missing[..., None], scanned.sound, scanned.damaged)
        shown = torch.from_numpy(missing.astype(np.uint8) * 255)
        return torch.cat([as_chw(scanned.damaged), shown[None]]), as_chw(true)


def pointed_at(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What is filled of a picture of which a finder says this, (H, W) float32 in [0, 1]: bool."""
    mask = (expected >= rng.uniform(*_CERTAIN)).astype(np.uint8)
    return _grown(mask, int(rng.choice(_FRINGES_PX))) > 0


def found(damage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where a picture would be filled whose damage, (H, W) float32 in [0, 1], is such: bool."""
    mask = (damage >= rng.uniform(*_LEAST)).astype(np.uint8)
    if rng.random() < _MISSES_PROB:
        count, number = cv2.connectedComponents(mask, connectivity=8)
        kept = rng.random(count) >= _MISSED
        mask &= kept[number].astype(np.uint8)
    if rng.random() < _FALSE_PROB:
        # What damage looks like, where there is none.
        down, across = (int(shift) for shift in rng.integers(1, min(mask.shape), 2))
        mask |= np.roll(mask, (down, across), (0, 1))
    grown = _grown(mask, int(rng.choice(_EDGES_PX)))
    # Crops with hardly anything left to go by teach nothing.
    return np.asarray((grown if grown.mean() < _TOO_MUCH else mask) > 0)


def _grown(mask: np.ndarray, edge_px: int) -> np.ndarray:
    side = 2 * edge_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask, disc))

"""What a network of whole pictures minimises: pixels, edges, and how alike the pictures look."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from restore_batch.models.nets.judges.stlpips import STLPIPS
from restore_batch.models.train.losses import pixel
from restore_batch.models.train.losses.base import (
    Entry,
    Judges,
    Losses,
    Objective,
    Sample,
    weighted,
)

_JUDGED_SHARE = 0.25


@dataclass(frozen=True)
class SceneObjective(Objective):
    """``L = l1 |x - y| + gradient (|dx(x - y)| + |dy(x - y)|) + psnr log |x - y|^2
    + perceptual d(x, y)``, and ``same`` times the same of the pictures at the degraded ones' size,
    where the network makes those too.

    d is ST-LPIPS, from ``perceptual_from_step`` on and of a quarter of each batch: its network
    costs twice what a small restorer's does, and while pixels are far off they are the better
    guide. No network judges what is real, so nothing is rewarded for being invented.
    """

    l1: float = 1.0
    gradient: float = 0.5
    psnr: float = 0.0
    perceptual: float = 0.0
    perceptual_from_step: float = 0.0
    same: float = 1.0

    @property
    def needs_likeness(self) -> bool:
        return self.perceptual > 0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        terms = self._terms("", sample.restored, sample.target, judges, step)
        if sample.same is not None and sample.pyramid and self.same:
            (restored,) = sample.pyramid
            also = self._terms("same_", restored, sample.same, judges, step)
            terms |= {name: self.same * term for name, term in also.items()}
        return Losses(terms)

    def _terms(
        self, prefix: str, x: torch.Tensor, y: torch.Tensor, judges: Judges, step: int
    ) -> dict[str, torch.Tensor]:
        perceptual = self.perceptual if step >= self.perceptual_from_step else 0.0
        entries: list[Entry] = [
            (f"{prefix}l1", self.l1, lambda: pixel.l1(x, y)),
            (f"{prefix}gradient", self.gradient, lambda: pixel.gradient(x, y)),
            (f"{prefix}psnr", self.psnr, lambda: pixel.log_l2(x, y)),
            (f"{prefix}perceptual", perceptual, lambda: _likeness(x, y, judges)),
        ]
        return weighted(entries)


def _likeness(x: torch.Tensor, y: torch.Tensor, judges: Judges) -> torch.Tensor:
    if not isinstance(judges.likeness, STLPIPS):
        raise ValueError("the objective compares how pictures look: its judges need ST-LPIPS")
    judged = max(1, round(_JUDGED_SHARE * len(x)))
    return judges.likeness.distances(x[:judged].clamp(-1, 1), y[:judged]).mean()

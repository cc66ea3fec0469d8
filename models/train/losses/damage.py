"""What finding damage minimises: how far the expected damage is from that which is there."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from restore_batch.models.train.losses.base import Judges, Losses, Objective, Sample, weighted
from restore_batch.models.train.losses.pixel import check_pair

_LEAST = 1e-6


@dataclass(frozen=True)
class DamageObjective(Objective):
    """``L = entropy -(t log p + (1 - t) log(1 - p))``, p the damage expected and t the damage done,
    both shown as pictures: -1 none, 1 as much as counts."""

    entropy: float = 1.0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        def entropy() -> torch.Tensor:
            return cross_entropy(sample.restored, sample.target)

        return Losses(weighted([("entropy", self.entropy, entropy)]))


def cross_entropy(expected: torch.Tensor, done: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of two (N, C, H, W) in [-1, 1] that stand for [0, 1]: a scalar."""
    check_pair(expected, done)
    p, t = expected.float() / 2 + 0.5, done.float() / 2 + 0.5
    bits = t * (p + _LEAST).log() + (1 - t) * (1 - p + _LEAST).log()
    return -bits.mean()

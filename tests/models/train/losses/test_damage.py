"""The objective of finding damage: cross-entropy, of pictures that show certainty."""

from __future__ import annotations

import math

import pytest
import torch

from restore_batch.models.train.losses.base import Judges, Sample
from restore_batch.models.train.losses.damage import DamageObjective, cross_entropy


def shown(value: float) -> torch.Tensor:
    return torch.full((1, 3, 4, 4), 2 * value - 1)


@pytest.mark.parametrize(("expected", "done"), [(0.5, 1.0), (0.9, 1.0), (0.2, 0.0), (0.3, 0.5)])
def test_it_is_the_cross_entropy_by_hand(expected: float, done: float) -> None:
    by_hand = -(done * math.log(expected) + (1 - done) * math.log(1 - expected))
    assert float(cross_entropy(shown(expected), shown(done))) == pytest.approx(by_hand, abs=1e-4)


def test_being_right_for_certain_costs_nothing_and_being_wrong_is_finite() -> None:
    assert float(cross_entropy(shown(1.0), shown(1.0))) == pytest.approx(0, abs=1e-5)
    assert math.isfinite(float(cross_entropy(shown(0.0), shown(1.0))))


def test_the_objective_is_that_term() -> None:
    sample = Sample(shown(0.2), shown(0.0))
    losses = DamageObjective(entropy=2.0).generator_loss(sample, Judges(), 0)
    assert losses.logged()["entropy"] == pytest.approx(2 * -math.log(0.8), abs=1e-4)

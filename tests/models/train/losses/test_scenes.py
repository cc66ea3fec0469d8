"""The objective of whole pictures: both sizes, and how alike they look from some step on."""

from __future__ import annotations

import math

import pytest
import torch

from restore_batch.models.nets.judges.stlpips import STLPIPS
from restore_batch.models.train.losses.base import Judges, Sample
from restore_batch.models.train.losses.scenes import SceneObjective


def _picture(seed: int, side: int = 32) -> torch.Tensor:
    return torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_both_sizes_count_and_the_smaller_one_as_much_as_asked() -> None:
    sample = Sample(_picture(0, 64), _picture(1, 64), None, (_picture(2),), _picture(3))
    once, half = (SceneObjective(same=s).generator_loss(sample, Judges(), 0) for s in (1.0, 0.5))
    assert set(once.terms) == {"l1", "gradient", "same_l1", "same_gradient"}
    for name, term in once.terms.items():
        assert float(term) > 0.1
        share = 0.5 if name.startswith("same_") else 1.0
        assert float(half.terms[name]) == pytest.approx(share * float(term))


def test_without_the_smaller_pictures_only_the_others_count() -> None:
    sample = Sample(_picture(0), _picture(1))
    assert set(SceneObjective().generator_loss(sample, Judges(), 0).terms) == {"l1", "gradient"}


def test_how_alike_they_look_counts_from_its_step_on_and_teaches() -> None:
    torch.manual_seed(0)
    judges = Judges(likeness=STLPIPS([8, 8, 8, 8, 8]).requires_grad_(False))
    restored = _picture(0).requires_grad_()
    sample = Sample(restored, _picture(1))
    objective = SceneObjective(l1=0, gradient=0, perceptual=1, perceptual_from_step=10)
    assert objective.needs_likeness
    assert not objective.generator_loss(sample, judges, 9).terms
    losses = objective.generator_loss(sample, judges, 10)
    assert set(losses.terms) == {"perceptual"}
    losses.total.backward()
    assert restored.grad is not None
    assert restored.grad[0].abs().max() > 0
    assert restored.grad[1:].abs().max() == 0, "a quarter of the batch is judged"


def test_a_missing_judge_is_named() -> None:
    with pytest.raises(ValueError, match="ST-LPIPS"):
        SceneObjective(perceptual=1).generator_loss(Sample(_picture(0), _picture(1)), Judges(), 0)


def test_a_network_of_the_larger_size_alone_has_no_smaller_pictures_to_judge() -> None:
    sample = Sample(_picture(0, 64), _picture(1, 64), None, (), _picture(3))
    assert set(SceneObjective().generator_loss(sample, Judges(), 0).terms) == {"l1", "gradient"}


def test_the_psnr_term_counts_ratios_of_errors() -> None:
    """Halving each difference is worth as much far off as near, and clean pictures have an end."""
    true = _picture(1) * 0.5
    objective = SceneObjective(l1=0, gradient=0, psnr=1)

    def loss(apart: float) -> float:
        sample = Sample(true + apart, true)
        return float(objective.generator_loss(sample, Judges(), 0).terms["psnr"])

    assert loss(0.8) - loss(0.4) == pytest.approx(math.log(4), abs=0.02)
    assert loss(0.4) - loss(0.2) == pytest.approx(math.log(4), abs=0.1)
    assert loss(0.001) - loss(0.0) < 0.01

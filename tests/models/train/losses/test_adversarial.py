"""Adversarial terms, R1 and feature matching against values worked out by hand."""

from __future__ import annotations

from math import exp, log1p
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.models.train.losses.adversarial import (
    Adversary,
    discriminator_adversarial,
    feature_matching,
    generator_adversarial,
    r1_penalty,
)

REAL = [torch.tensor([[2.0], [0.0]])]
FAKE = [torch.tensor([[-1.0], [0.5]])]
ADVERSARIES = get_args(Adversary)


def sp(t: float) -> float:
    """log(1 + e^t)."""
    return log1p(exp(t))


GENERATOR = {
    "non_saturating": (sp(1) + sp(-0.5)) / 2,
    "least_squares": (4 + 0.25) / 2,
    # The means are 1 for the real and -0.25 for the fake.
    "relativistic_average": (sp(2.25) + sp(0.25)) / 2 + (sp(2) + sp(0.5)) / 2,
    "hinge": 0.25,
}
DISCRIMINATOR = {
    "non_saturating": (sp(-2) + sp(0)) / 2 + (sp(-1) + sp(0.5)) / 2,
    "least_squares": (1 + 1) / 2 + (1 + 0.25) / 2,
    "relativistic_average": (sp(-2.25) + sp(-0.25)) / 2 + (sp(-2) + sp(-0.5)) / 2,
    "hinge": (0 + 1) / 2 + (0 + 1.5) / 2,
}


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_the_losses_are_those_of_the_papers(adversary: Adversary) -> None:
    by_generator = generator_adversarial(adversary, FAKE, REAL)
    by_discriminator = discriminator_adversarial(adversary, REAL, FAKE)
    assert by_generator.item() == pytest.approx(GENERATOR[adversary], abs=1e-6)
    assert by_discriminator.item() == pytest.approx(DISCRIMINATOR[adversary], abs=1e-6)


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_scales_of_different_sizes_count_alike(adversary: Adversary) -> None:
    real = [REAL[0], torch.zeros(2, 1, 5, 5)]
    fake = [FAKE[0], torch.zeros(2, 1, 5, 5)]
    alone = generator_adversarial(adversary, real[1:], fake[1:])
    both = generator_adversarial(adversary, fake, real)
    assert both.item() == pytest.approx((GENERATOR[adversary] + alone.item()) / 2, abs=1e-6)
    alone = discriminator_adversarial(adversary, real[1:], fake[1:])
    both = discriminator_adversarial(adversary, real, fake)
    assert both.item() == pytest.approx((DISCRIMINATOR[adversary] + alone.item()) / 2, abs=1e-6)


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_the_generator_wants_higher_logits_and_the_discriminator_lower_ones(
    adversary: Adversary,
) -> None:
    # Between the targets of least squares and inside the margins of the hinge.
    fake = torch.tensor([[0.5], [0.25]], requires_grad=True)
    (slope,) = torch.autograd.grad(generator_adversarial(adversary, [fake], REAL), fake)
    assert (slope < 0).all()
    (slope,) = torch.autograd.grad(discriminator_adversarial(adversary, REAL, [fake]), fake)
    assert (slope > 0).all()


@given(st.floats(-1e4, 1e4))
def test_extreme_logits_give_finite_losses_and_slopes(logit: float) -> None:
    for adversary in ADVERSARIES:
        fake = torch.tensor([[logit]], requires_grad=True)
        loss = generator_adversarial(adversary, [fake], REAL)
        (slope,) = torch.autograd.grad(loss, fake)
        assert torch.isfinite(loss)
        assert torch.isfinite(slope).all()


def test_the_relativistic_generator_needs_the_real_logits() -> None:
    with pytest.raises(ValueError, match="real logits"):
        generator_adversarial("relativistic_average", FAKE)


def test_r1_of_a_linear_discriminator_is_the_length_of_its_weights_squared() -> None:
    weights = torch.tensor([[[1.0, 2.0], [0.0, -2.0]]], requires_grad=True)
    real = torch.rand(3, 1, 2, 2).requires_grad_()
    penalty = r1_penalty([(real * weights).sum((1, 2, 3))], real)
    assert penalty.item() == pytest.approx(1 + 4 + 0 + 4)
    (slope,) = torch.autograd.grad(penalty, weights)
    assert torch.allclose(slope, 2 * weights)


def test_r1_averages_over_pictures_and_adds_up_scales() -> None:
    real = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).requires_grad_()
    # Each scale says y² / 2, so together the slope is 2 y: (2² + 6²) / 2.
    half_squares = real.square().flatten(1) / 2
    assert r1_penalty([half_squares, half_squares], real).item() == pytest.approx(20)


def test_feature_matching_adds_up_layers_and_averages_scales() -> None:
    fake = [
        [torch.full((1, 2, 4, 4), 1.0), torch.full((1, 4, 2, 2), 3.0)],
        [torch.zeros(1, 1, 1, 1)],
    ]
    real = [
        [torch.full((1, 2, 4, 4), 0.5), torch.full((1, 4, 2, 2), 5.0)],
        [torch.ones(1, 1, 1, 1)],
    ]
    assert feature_matching(fake, real).item() == pytest.approx((0.5 + 2 + 1) / 2)


def test_feature_matching_moves_only_the_restored() -> None:
    fake, real = (
        torch.zeros(1, 1, 2, 2, requires_grad=True),
        torch.ones(1, 1, 2, 2, requires_grad=True),
    )
    feature_matching([[fake]], [[real]]).backward()
    assert fake.grad is not None
    assert real.grad is None


def test_features_of_other_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2"):
        feature_matching([[torch.zeros(1)]], [[torch.zeros(1)], [torch.zeros(1)]])
    with pytest.raises(ValueError, match="expected"):
        feature_matching([], [])

"""Adversarial terms on the logits of a discriminator, R1, and feature matching.

Notation: D(y) are the logits of true pictures, D(x) those of restored ones, sp(t) = log(1 + e^t),
and E the mean over a batch and all positions of a patch discriminator. A discriminator of several
scales gives several logits; their losses are averaged, as in pix2pixHD's released code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F

Adversary = Literal["non_saturating", "least_squares", "relativistic_average", "hinge"]
Logits = Sequence[torch.Tensor]


def generator_adversarial(
    adversary: Adversary, fake: Logits, real: Logits | None = None
) -> torch.Tensor:
    """What the generator minimises; a scalar.

    ``fake`` and ``real`` hold the logits of each scale, of any shape. ``real`` is only asked for
    by "relativistic_average"; raises ValueError where it is missing there.
    """
    if adversary == "relativistic_average":
        if real is None:
            raise ValueError("relativistic_average compares with real logits, which are missing")
        return _mean(_relativistic_generator(f, r) for f, r in _pairs(fake, real))
    loss = _GENERATOR[adversary]
    return _mean(loss(f.float()) for f in fake)


def discriminator_adversarial(adversary: Adversary, real: Logits, fake: Logits) -> torch.Tensor:
    """What the discriminator minimises; a scalar. Restored pictures must have been detached."""
    loss = _DISCRIMINATOR[adversary]
    return _mean(loss(r, f) for r, f in _pairs(real, fake))


def _non_saturating_generator(fake: torch.Tensor) -> torch.Tensor:
    """``E sp(-D(x))`` = -log sigmoid(D(x)). Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake).mean()


def _non_saturating(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """``E sp(-D(y)) + E sp(D(x))``: cross-entropy. Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _least_squares_generator(fake: torch.Tensor) -> torch.Tensor:
    """``E (D(x) - 1)^2``. Mao et al. 2017 (LSGAN), equation 9, without its factor of 1/2."""
    return (fake - 1).square().mean()


def _least_squares(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """``E (D(y) - 1)^2 + E D(x)^2``. Mao et al. 2017, equation 9, without its factor of 1/2.

    pix2pixHD and HiFaceGAN, whose weights are relative to this term, leave it out as well.
    """
    return (real - 1).square().mean() + fake.square().mean()


def _relativistic_generator(fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """``E sp(D(y) - E D(x)) + E sp(-(D(x) - E D(y)))``. Wang et al. 2018 (ESRGAN), equation 2."""
    return F.softplus(real - fake.mean()).mean() + F.softplus(real.mean() - fake).mean()


def _relativistic(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """``E sp(-(D(y) - E D(x))) + E sp(D(x) - E D(y))``. Wang et al. 2018, equation 1."""
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


def _hinge_generator(fake: torch.Tensor) -> torch.Tensor:
    """``-E D(x)``. Miyato et al. 2018 (SN-GAN), section 4."""
    return -fake.mean()


def _hinge(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """``E max(0, 1 - D(y)) + E max(0, 1 + D(x))``. Miyato et al. 2018, section 4."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


_GENERATOR: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "non_saturating": _non_saturating_generator,
    "least_squares": _least_squares_generator,
    "hinge": _hinge_generator,
}
_DISCRIMINATOR: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "non_saturating": _non_saturating,
    "least_squares": _least_squares,
    "relativistic_average": _relativistic,
    "hinge": _hinge,
}


def r1_penalty(real_logits: Logits, real: torch.Tensor) -> torch.Tensor:
    """``E |grad D(y)|^2``: the squared length of each picture's gradient, averaged. A scalar.

    ``real`` (N, C, H, W) must have required gradients before the discriminator saw it. The
    result can be differentiated again. The loss is this times gamma / 2.

    Source: Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?"
    (arXiv:1801.04406), equation 9.
    """
    score = torch.stack([logits.float().sum() for logits in real_logits]).sum()
    (slope,) = torch.autograd.grad(score, real, create_graph=True)
    return slope.float().square().sum((1, 2, 3)).mean()


def feature_matching(
    fake: Sequence[Sequence[torch.Tensor]], real: Sequence[Sequence[torch.Tensor]]
) -> torch.Tensor:
    """L1 between a discriminator's features of restored and of true pictures. A scalar.

    ``1/K * sum over scales k and layers i of mean |D_k^i(x) - D_k^i(y)|``; both arguments hold,
    for each of K scales, the features of its layers without the logits. The true ones are taken
    as constants.

    Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
    Conditional GANs" (pix2pixHD, arXiv:1711.11585), equation 4.
    """
    if not fake or len(fake) != len(real):
        raise ValueError(
            f"expected the features of equally many scales, got {len(fake)} and {len(real)}"
        )
    total = torch.zeros((), device=fake[0][0].device)
    for of_fake, of_real in zip(fake, real, strict=True):
        for x, y in zip(of_fake, of_real, strict=True):
            total = total + F.l1_loss(x.float(), y.detach().float())
    return total / len(fake)


def _pairs(first: Logits, second: Logits) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(a.float(), b.float()) for a, b in zip(first, second, strict=True)]


def _mean(losses: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(losses)).mean()

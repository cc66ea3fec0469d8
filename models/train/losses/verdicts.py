"""Terms that ask a judge: what discriminators, VGG, ArcFace and dlib's network say of a batch.

Each raises ValueError where its judge is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch

from restore_batch.models.train.losses.adversarial import (
    Adversary,
    discriminator_adversarial,
    generator_adversarial,
)
from restore_batch.models.train.losses.base import Judges, Losses, Objective, Sample
from restore_batch.models.train.losses.discriminators import Critique
from restore_batch.models.train.losses.likeness import dlib_distance, identity
from restore_batch.models.train.losses.perceptual import Distance, Features, perceptual
from restore_batch.models.train.losses.pixel import check_pair

MAIN = "main"
"""The discriminator of whole pictures."""


def compared_features(
    objective: Objective, sample: Sample, judges: Judges
) -> tuple[Mapping[str, float], Features, Features]:
    """The layers' weights, and the features of the restored and of the true pictures."""
    compared = objective.feature_net
    if judges.features is None or compared is None:
        raise ValueError(f"{type(objective).__name__} compares features: its judges need a VGG")
    check_pair(sample.restored, sample.target)
    with torch.no_grad():
        wanted = cast(Features, judges.features(sample.target))
    return compared.layers, cast(Features, judges.features(sample.restored)), wanted


def perceptual_term(
    objective: Objective, sample: Sample, judges: Judges, distance: Distance
) -> torch.Tensor:
    """The distance between VGG's features of the restored and of the true pictures."""
    layers, seen, wanted = compared_features(objective, sample, judges)
    return perceptual(seen, wanted, layers, distance)


def likeness_term(sample: Sample, judges: Judges) -> torch.Tensor:
    """L1 between ArcFace's vectors of the restored and of the true faces."""
    if judges.identity is None:
        raise ValueError("the objective compares identities: its judges need ArcFace")
    return identity(sample.restored, sample.target, judges.identity)


def dlib_term(sample: Sample, judges: Judges) -> torch.Tensor:
    """Distance of dlib's vectors of the restored and of the true faces."""
    if judges.identity is None:
        raise ValueError("the objective compares identities: its judges need dlib's network")
    return dlib_distance(sample.restored, sample.target, judges.identity)


def critique(judges: Judges, name: str, pictures: torch.Tensor) -> Critique:
    """What the discriminator ``name`` says of ``pictures``."""
    if name not in judges.discriminators:
        raise ValueError(f"the objective needs the discriminator {name!r}, which is not there")
    verdict: Any = judges.discriminators[name](pictures)
    return Critique(*verdict)


def fooling(judges: Judges, name: str, pictures: torch.Tensor) -> torch.Tensor:
    """``-log σ(D(x))``."""
    return generator_adversarial("non_saturating", critique(judges, name, pictures).logits)


def telling_apart(judges: Judges, sample: Sample) -> Losses:
    """``-log σ(D(y)) - log(1 - σ(D(x)))`` of whole pictures."""
    real = critique(judges, MAIN, sample.target)
    fake = critique(judges, MAIN, sample.restored.detach())
    return contest("discriminator", real, fake)


def contest(
    name: str, real: Critique, fake: Critique, adversary: Adversary = "non_saturating"
) -> Losses:
    """One discriminator's loss and, to watch who is winning, its mean logits."""
    scores = {
        f"{name}_{kind}_score": torch.stack([s.detach().float().mean() for s in c.logits]).mean()
        for kind, c in (("real", real), ("fake", fake))
    }
    return Losses({name: discriminator_adversarial(adversary, real.logits, fake.logits)}, scores)


def beside(sample: Sample, pictures: torch.Tensor) -> torch.Tensor:
    """Degraded and other picture as 6 channels, for a conditional discriminator."""
    if sample.degraded is None or sample.degraded.shape != pictures.shape:
        raise ValueError("the discriminator is conditional: it needs the degraded pictures, too")
    return torch.cat([sample.degraded, pictures], dim=1)

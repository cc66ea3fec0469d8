"""What the five systems minimise: one frozen dataclass each, with the published weights.

Notation: x is the restored picture, y the true one, z the degraded one, all RGB in [-1, 1];
D are a discriminator's logits, f the features of VGG; |.| and (.)² are means over all elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from restore_batch.models.train.losses import pixel
from restore_batch.models.train.losses.adversarial import (
    feature_matching,
    generator_adversarial,
    r1_penalty,
)
from restore_batch.models.train.losses.base import (
    Entry,
    FeatureNet,
    Judges,
    Losses,
    Objective,
    Sample,
    weighted,
)
from restore_batch.models.train.losses.damage import DamageObjective
from restore_batch.models.train.losses.discriminators import (
    ComponentDiscriminator,
    Critique,
    MultiScalePatchDiscriminator,
    SRGANDiscriminator,
    StyleGAN2Discriminator,
)
from restore_batch.models.train.losses.facial import (
    COMPONENTS_512,
    component_crops,
    component_style,
)
from restore_batch.models.train.losses.perceptual import (
    GFPGAN_LAYERS,
    GLEAN_LAYERS,
    PIX2PIXHD_LAYERS,
    SRGAN_LAYERS,
    SRGAN_RESCALING,
    perceptual,
    style,
)
from restore_batch.models.train.losses.proposals import ProposalObjective
from restore_batch.models.train.losses.scenes import SceneObjective
from restore_batch.models.train.losses.structure import ms_ssim_loss
from restore_batch.models.train.losses.verdicts import (
    MAIN,
    beside,
    compared_features,
    contest,
    critique,
    dlib_term,
    fooling,
    likeness_term,
    perceptual_term,
    telling_apart,
)
from restore_batch.models.train.recipe import ObjectiveChoice


@dataclass(frozen=True)
class FidelityObjective(Objective):
    """For small restorers: no network judges what is real, so nothing is rewarded for being
    invented.

    ``L = l1 |x - y| + l2 (x - y)² + charbonnier |√((x - y)² + ε²)|
    + gradient (|dx(x - y)| + |dy(x - y)|) + ms_ssim (1 - MS-SSIM(x, y)) + identity ‖e(x) - e(y)‖``

    The default mix is that of Zhao et al. 2017, "Loss Functions for Image Restoration with Neural
    Networks" (arXiv:1511.08861), section III-D, without its window on L1. MS-SSIM needs pictures
    of at least 176 px. e are dlib's numbers for a face: where much is lost, the other terms
    draw every face nearer to the mean of all, which e notices.
    """

    l1: float = 0.16
    l2: float = 0.0
    charbonnier: float = 0.0
    gradient: float = 0.0
    ms_ssim: float = 0.84
    identity: float = 0.0
    identity_net: ClassVar[Literal["arcface", "dlib"]] = "dlib"

    @property
    def needs_identity(self) -> bool:
        return self.identity > 0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        x, y = sample.restored, sample.target
        entries: list[Entry] = [
            ("l1", self.l1, lambda: pixel.l1(x, y)),
            ("l2", self.l2, lambda: pixel.l2(x, y)),
            ("charbonnier", self.charbonnier, lambda: pixel.charbonnier(x, y)),
            ("gradient", self.gradient, lambda: pixel.gradient(x, y)),
            ("ms_ssim", self.ms_ssim, lambda: ms_ssim_loss((x + 1) / 2, (y + 1) / 2, 1.0)),
            ("identity", self.identity, lambda: dlib_term(sample, judges)),
        ]
        return Losses(weighted(entries))


@dataclass(frozen=True)
class SRGANObjective(Objective):
    """Ledig et al. 2017 (arXiv:1609.04802), equations 3 to 6.

    ``L_G = pixel (x - y)² + content (f(x) - f(y))² / 12.75² - adversarial log σ(D(x))``
    ``L_D = -log σ(D(y)) - log(1 - σ(D(x)))``

    f is behind the last ReLU of VGG-19. The paper first trains SRResNet, on pixels alone:
    ``pixel=1, content=0, adversarial=0``.
    """

    pixel: float = 0.0
    content: float = 1.0
    adversarial: float = 1e-3
    feature_net: ClassVar[FeatureNet | None] = FeatureNet(19, SRGAN_LAYERS)

    def discriminators(self, side_px: int) -> nn.ModuleDict:
        return nn.ModuleDict({MAIN: SRGANDiscriminator(side_px)} if self.adversarial else {})

    @property
    def needs_features(self) -> bool:
        return self.content > 0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        def content() -> torch.Tensor:
            return SRGAN_RESCALING**2 * perceptual_term(self, sample, judges, "l2")

        entries: list[Entry] = [
            ("pixel", self.pixel, lambda: pixel.l2(sample.restored, sample.target)),
            ("content", self.content, content),
            ("adversarial", self.adversarial, lambda: fooling(judges, MAIN, sample.restored)),
        ]
        return Losses(weighted(entries))

    def discriminator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        return telling_apart(judges, sample) if self.adversarial else Losses({})


@dataclass(frozen=True)
class GLEANObjective(Objective):
    """Chan et al. 2021 (arXiv:2012.00739).

    ``L_G = pixel (x - y)² + perceptual (f(x) - f(y))² - adversarial log σ(D(x))``
    ``L_D = -log σ(D(y)) - log(1 - σ(D(x)))``

    f is VGG-16's, D is StyleGAN2's discriminator.
    """

    pixel: float = 1.0
    perceptual: float = 1e-2
    adversarial: float = 1e-2
    feature_net: ClassVar[FeatureNet | None] = FeatureNet(16, GLEAN_LAYERS)

    def discriminators(self, side_px: int) -> nn.ModuleDict:
        return nn.ModuleDict({MAIN: StyleGAN2Discriminator(side_px)} if self.adversarial else {})

    @property
    def needs_features(self) -> bool:
        return self.perceptual > 0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        entries: list[Entry] = [
            ("pixel", self.pixel, lambda: pixel.l2(sample.restored, sample.target)),
            ("perceptual", self.perceptual, lambda: perceptual_term(self, sample, judges, "l2")),
            ("adversarial", self.adversarial, lambda: fooling(judges, MAIN, sample.restored)),
        ]
        return Losses(weighted(entries))

    def discriminator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        return telling_apart(judges, sample) if self.adversarial else Losses({})


@dataclass(frozen=True)
class HiFaceGANObjective(Objective):
    """Yang et al. 2020 (arXiv:2005.05005), with the weights of its released code.

    ``L_G = adversarial (D(z, x) - 1)² + feature_matching 1/K Σ_k Σ_i |D_k^i(z, x) - D_k^i(z, y)|
    + perceptual Σ_l w_l |f_l(x) - f_l(y)|``
    ``L_D = (D(z, y) - 1)² + D(z, x)²``, both averaged over the K = 2 scales of D

    The discriminators see the degraded picture beside the other. As in the released code, f is
    VGG-19 fed with [-1, 1] as it is.
    """

    adversarial: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    feature_net: ClassVar[FeatureNet | None] = FeatureNet(19, PIX2PIXHD_LAYERS, "as_is")

    @property
    def _needs_discriminator(self) -> bool:
        return self.adversarial > 0 or self.feature_matching > 0

    def discriminators(self, side_px: int) -> nn.ModuleDict:
        conditional = {MAIN: MultiScalePatchDiscriminator(in_channels=6)}
        return nn.ModuleDict(conditional if self._needs_discriminator else {})

    @property
    def needs_features(self) -> bool:
        return self.perceptual > 0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        entries: list[Entry] = [
            ("perceptual", self.perceptual, lambda: perceptual_term(self, sample, judges, "l1"))
        ]
        if self._needs_discriminator:
            fake = critique(judges, MAIN, beside(sample, sample.restored))

            def fooled() -> torch.Tensor:
                return generator_adversarial("least_squares", fake.logits)

            def matched() -> torch.Tensor:
                with torch.no_grad():
                    real = critique(judges, MAIN, beside(sample, sample.target))
                return feature_matching(fake.features, real.features)

            entries += [
                ("adversarial", self.adversarial, fooled),
                ("feature_matching", self.feature_matching, matched),
            ]
        return Losses(weighted(entries))

    def discriminator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        if not self._needs_discriminator:
            return Losses({})
        real = critique(judges, MAIN, beside(sample, sample.target))
        fake = critique(judges, MAIN, beside(sample, sample.restored.detach()))
        return contest("discriminator", real, fake, "least_squares")


@dataclass(frozen=True)
class GFPGANObjective(Objective):
    """Wang et al. 2021 (arXiv:2101.04061), section "Model Objectives".

    ``L_G = pixel |x - y| + pyramid Σ_s |x_s - y_s| + perceptual Σ_l w_l |f_l(x) - f_l(y)|
    + style Σ_l w_l |Gram(f_l(x)) - Gram(f_l(y))| + adversarial sp(-D(x))
    + Σ_c (component sp(-D_c(x_c)) + component_style |Gram(d_c(x_c)) - Gram(d_c(y_c))|)
    + identity |e(x) - e(y)|``
    ``L_D = sp(-D(y)) + sp(D(x)) + r1 / 2 |grad D(y)|² + Σ_c (sp(-D_c(y_c)) + sp(D_c(x_c)))``

    with sp(t) = log(1 + e^t), x_s what the U-Net's levels show, c the eyes and the mouth, d_c
    their discriminators' features and e the identity. R1 is computed every ``r1_every`` steps,
    ``r1_every`` times as strong; the pyramid ends after ``pyramid_steps``. ``style``, the pyramid
    and R1 are in the released recipe, all other weights also in the paper.
    """

    pixel: float = 0.1
    pyramid: float = 1.0
    perceptual: float = 1.0
    style: float = 50.0
    adversarial: float = 0.1
    component: float = 1.0
    component_style: float = 200.0
    identity: float = 10.0
    r1: float = 10.0
    r1_every: int = 16
    pyramid_steps: int = 50_000
    feature_net: ClassVar[FeatureNet | None] = FeatureNet(19, GFPGAN_LAYERS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.r1_every < 1:
            raise ValueError(f"r1_every must be at least 1, got {self.r1_every}")

    @property
    def _needs_components(self) -> bool:
        return self.component > 0 or self.component_style > 0

    def discriminators(self, side_px: int) -> nn.ModuleDict:
        made: dict[str, nn.Module] = {}
        if self.adversarial:
            made[MAIN] = StyleGAN2Discriminator(side_px, channel_multiplier=1)
        if self._needs_components:
            made |= {name: ComponentDiscriminator() for name in COMPONENTS_512}
        return nn.ModuleDict(made)

    @property
    def needs_features(self) -> bool:
        return self.perceptual > 0 or self.style > 0

    @property
    def needs_identity(self) -> bool:
        return self.identity > 0

    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        x, y = sample.restored, sample.target
        pyramid_weight = self.pyramid if step < self.pyramid_steps else 0.0
        entries: list[Entry] = [
            ("pixel", self.pixel, lambda: pixel.l1(x, y)),
            ("pyramid", pyramid_weight, lambda: pixel.pyramid(sample.pyramid, y)),
        ]
        if self.needs_features:
            layers, seen, wanted = compared_features(self, sample, judges)
            entries += [
                ("perceptual", self.perceptual, lambda: perceptual(seen, wanted, layers)),
                ("style", self.style, lambda: style(seen, wanted, layers)),
            ]
        entries.append(("adversarial", self.adversarial, lambda: fooling(judges, MAIN, x)))
        if self._needs_components:
            entries += self._component_entries(sample, judges)
        entries.append(("identity", self.identity, lambda: likeness_term(sample, judges)))
        return Losses(weighted(entries))

    def _component_entries(self, sample: Sample, judges: Judges) -> list[Entry]:
        true_crops = component_crops(sample.target)
        entries: list[Entry] = []
        for name, crop in component_crops(sample.restored).items():
            fake = critique(judges, name, crop)

            def fooled(fake: Critique = fake) -> torch.Tensor:
                return generator_adversarial("non_saturating", fake.logits)

            def styled(name: str = name, fake: Critique = fake) -> torch.Tensor:
                with torch.no_grad():
                    real = critique(judges, name, true_crops[name])
                return component_style(fake.features[0], real.features[0])

            entries += [
                (f"component_{name}", self.component, fooled),
                (f"component_style_{name}", self.component_style, styled),
            ]
        return entries

    def discriminator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        terms: dict[str, torch.Tensor] = {}
        monitors: dict[str, torch.Tensor] = {}
        contests: list[Losses] = []
        if self.adversarial:
            contests.append(telling_apart(judges, sample))
            if self.r1 and step % self.r1_every == 0:
                truth = sample.target.detach().requires_grad_()
                penalty = r1_penalty(critique(judges, MAIN, truth).logits, truth)
                terms["r1"] = self.r1 / 2 * self.r1_every * penalty
        if self._needs_components:
            true_crops = component_crops(sample.target)
            for name, crop in component_crops(sample.restored.detach()).items():
                real, fake = (critique(judges, name, c) for c in (true_crops[name], crop))
                contests.append(contest(f"discriminator_{name}", real, fake))
        for fought in contests:
            terms |= fought.terms
            monitors |= fought.monitors
        return Losses(terms, monitors)


OBJECTIVES: Mapping[str, type[Objective]] = {
    "fidelity": FidelityObjective,
    "scenes": SceneObjective,
    "srgan": SRGANObjective,
    "hifacegan": HiFaceGANObjective,
    "gfpgan": GFPGANObjective,
    "glean": GLEANObjective,
    "damage": DamageObjective,
    "proposals": ProposalObjective,
}
"""What a recipe names."""


def objective_of(choice: ObjectiveChoice) -> Objective:
    """The objective that a recipe chooses, with its weights.

    Raises TypeError for a weight that it does not have, ValueError for one that it cannot take.
    """
    return OBJECTIVES[choice.name](**choice.weights)

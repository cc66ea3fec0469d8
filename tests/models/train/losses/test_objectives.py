"""The systems' objectives: totals worked out by hand, gradients, zero weights, overfitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from math import exp, log, log1p
from typing import Any

import pytest
import torch
from torch import nn

from restore_batch.models.nets.judges.stlpips import STLPIPS
from restore_batch.models.nets.judges.vgg import VGGFeatures
from restore_batch.models.train.losses.base import Judges, Losses, Objective, Sample
from restore_batch.models.train.losses.discriminators import (
    ComponentDiscriminator,
    Critique,
    MultiScalePatchDiscriminator,
    SRGANDiscriminator,
    StyleGAN2Discriminator,
)
from restore_batch.models.train.losses.facial import COMPONENTS_512
from restore_batch.models.train.losses.objectives import (
    OBJECTIVES,
    FidelityObjective,
    GFPGANObjective,
    GLEANObjective,
    HiFaceGANObjective,
    SRGANObjective,
)
from restore_batch.models.train.losses.scenes import SceneObjective

SIDE_PX = 64
ADVERSARIAL = (SRGANObjective, GLEANObjective, HiFaceGANObjective, GFPGANObjective)


def sp(t: float) -> float:
    """log(1 + e^t)."""
    return log1p(exp(t))


# -- judges whose verdicts can be worked out by hand ------------------------------------------


class Echo(nn.Module):
    """Features that are the picture itself, for every layer."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = list(layers)

    def forward(self, signed_nchw: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict.fromkeys(self.layers, signed_nchw)


class Brightness(nn.Module):
    """Logits: ``gain`` times the mean, on two scales; features: the picture, and its double."""

    def __init__(self, gain: float, scales: int = 1) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.scales = scales

    def forward(self, pictures: torch.Tensor) -> Critique:
        logits = self.gain * pictures.mean((1, 2, 3))[:, None]
        return Critique((logits,) * self.scales, ((pictures, 2 * pictures),) * self.scales)


class RedAndOne(nn.Module):
    """Embeds a face as (its red, 1)."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        red = crops[:, 0].mean((1, 2))
        return torch.stack([red, torch.ones_like(red)], dim=1)


def _plain(value: float, side_px: int = SIDE_PX) -> torch.Tensor:
    return torch.full((2, 3, side_px, side_px), value)


def _plain_sample() -> Sample:
    """Restored 0.5, true -0.25 and degraded 0, everywhere: apart by 0.75, squared 0.5625."""
    pyramid = [_plain(0.25, 8), _plain(0.75, 16)]
    return Sample(_plain(0.5), _plain(-0.25), _plain(0.0), pyramid)


def _plain_judges(objective: Objective) -> Judges:
    scales = 2 if isinstance(objective, HiFaceGANObjective) else 1
    names = ["main", *(COMPONENTS_512 if isinstance(objective, GFPGANObjective) else ())]
    gains = {name: Brightness(2.0 + i, scales) for i, name in enumerate(names)}
    net = objective.feature_net
    return Judges(nn.ModuleDict(gains), Echo(net.layers) if net else None, RedAndOne())


def _check(losses: Losses, by_hand: dict[str, float], monitors: dict[str, float]) -> None:
    assert losses.logged() == pytest.approx(
        {**by_hand, "total": sum(by_hand.values()), **monitors}, rel=1e-5
    )
    assert list(losses.terms) == list(by_hand)
    assert losses.total.ndim == 0


def test_fidelity_by_hand() -> None:
    objective = FidelityObjective(l1=0.5, l2=2, charbonnier=1, gradient=4, ms_ssim=0.1)
    side_px = 176
    sample = Sample(_plain(0.5, side_px), _plain(-0.5, side_px))
    # In [0, 1] the pictures are 0.75 and 0.25, which differ in luminance alone.
    luminance = (2 * 0.75 * 0.25 + 1e-4) / (0.75**2 + 0.25**2 + 1e-4)
    by_hand = {
        "l1": 0.5,
        "l2": 2.0,
        "charbonnier": (1 + 1e-6) ** 0.5,
        "gradient": 0.0,
        "ms_ssim": 0.1 * (1 - luminance**0.1333),
    }
    losses = objective.generator_loss(sample, Judges(), 0)
    assert losses.logged() == pytest.approx({**by_hand, "total": sum(by_hand.values())}, abs=1e-4)
    assert not objective.discriminator_loss(sample, Judges(), 0).terms
    assert objective.discriminator_loss(sample, Judges(), 0).logged() == {"total": 0.0}


class _MeanColour(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


def test_fidelitys_identity_is_the_distance_of_dlibs_vectors() -> None:
    objective = FidelityObjective(l1=0, ms_ssim=0, identity=0.01)
    sample = Sample(_plain(0.5, 256), _plain(-0.5, 256))
    losses = objective.generator_loss(sample, Judges(identity=_MeanColour()), 0)
    # From 0 to 255 the colours are (191.25,) * 3 and (63.75,) * 3.
    _check(losses, {"identity": 0.01 * 3**0.5 * 127.5}, {})
    with pytest.raises(ValueError, match="dlib"):
        objective.generator_loss(sample, Judges(), 0)


def test_srgan_by_hand() -> None:
    objective = SRGANObjective()
    sample, judges = _plain_sample(), _plain_judges(objective)
    # D says 2 * 0.5 of the restored and 2 * -0.25 of the true.
    _check(
        objective.generator_loss(sample, judges, 0),
        {"content": 0.5625 / 12.75**2, "adversarial": 1e-3 * sp(-1)},
        {},
    )
    _check(
        objective.discriminator_loss(sample, judges, 0),
        {"discriminator": sp(0.5) + sp(1)},
        {"discriminator_real_score": -0.5, "discriminator_fake_score": 1.0},
    )


def test_srresnet_is_srgan_with_pixels_alone() -> None:
    objective = SRGANObjective(pixel=1, content=0, adversarial=0)
    assert not objective.discriminators(96)
    assert not objective.needs_features
    losses = objective.generator_loss(_plain_sample(), Judges(), 0)
    _check(losses, {"pixel": 0.5625}, {})


def test_glean_by_hand() -> None:
    objective = GLEANObjective()
    sample, judges = _plain_sample(), _plain_judges(objective)
    _check(
        objective.generator_loss(sample, judges, 0),
        {"pixel": 0.5625, "perceptual": 1e-2 * 0.5625, "adversarial": 1e-2 * sp(-1)},
        {},
    )
    _check(
        objective.discriminator_loss(sample, judges, 0),
        {"discriminator": sp(0.5) + sp(1)},
        {"discriminator_real_score": -0.5, "discriminator_fake_score": 1.0},
    )


def test_hifacegan_by_hand() -> None:
    objective = HiFaceGANObjective()
    sample, judges = _plain_sample(), _plain_judges(objective)
    # Beside the degraded 0, the means are 0.25 and -0.125, so D says 0.5 and -0.25. Half of the
    # channels differ by 0.75, and by 1.5 in the doubled features.
    layers = 1 / 32 + 1 / 16 + 1 / 8 + 1 / 4 + 1
    _check(
        objective.generator_loss(sample, judges, 0),
        {
            "perceptual": 10 * layers * 0.75,
            "adversarial": 0.25,
            "feature_matching": 10 * (0.375 + 0.75),
        },
        {},
    )
    _check(
        objective.discriminator_loss(sample, judges, 0),
        {"discriminator": 1.25**2 + 0.5**2},
        {"discriminator_real_score": -0.25, "discriminator_fake_score": 0.5},
    )


def _gfpgan_by_hand() -> dict[str, float]:
    # Gram of three channels of constant c has 9 entries of c² / 3: 1/12 and 1/48.
    layers, gram = 0.1 + 0.1 + 1 + 1 + 1, 1 / 12 - 1 / 48
    components = {}
    for i, name in enumerate(COMPONENTS_512):
        components[f"component_{name}"] = sp(-(3 + i) * 0.5)
        components[f"component_style_{name}"] = 200 * (0.5 * gram + 4 * gram)
    # (0.5, 1) and (-0.25, 1), scaled to the length √2.
    x = [v * (2 / 1.25) ** 0.5 for v in (0.5, 1)]
    y = [v * (2 / 1.0625) ** 0.5 for v in (-0.25, 1)]
    return {
        "pixel": 0.1 * 0.75,
        "pyramid": 0.5 + 1.0,
        "perceptual": layers * 0.75,
        "style": 50 * layers * gram,
        "adversarial": 0.1 * sp(-1),
        **components,
        "identity": 10 * (abs(x[0] - y[0]) + abs(x[1] - y[1])) / 2,
    }


def test_gfpgan_by_hand() -> None:
    objective = GFPGANObjective()
    sample, judges = _plain_sample(), _plain_judges(objective)
    _check(objective.generator_loss(sample, judges, 0), _gfpgan_by_hand(), {})
    # The slope of D = 2 * mean is 2 / n for each of n values.
    r1 = 10 / 2 * 16 * 4 / (3 * SIDE_PX**2)
    terms = {"r1": r1, "discriminator": sp(0.5) + sp(1)}
    scores = {"discriminator_real_score": -0.5, "discriminator_fake_score": 1.0}
    for i, name in enumerate(COMPONENTS_512):
        gain = 3 + i
        terms[f"discriminator_{name}"] = sp(gain * 0.25) + sp(gain * 0.5)
        scores[f"discriminator_{name}_real_score"] = -gain * 0.25
        scores[f"discriminator_{name}_fake_score"] = gain * 0.5
    _check(objective.discriminator_loss(sample, judges, 0), terms, scores)


def test_gfpgans_pyramid_ends_and_r1_comes_at_intervals() -> None:
    objective = GFPGANObjective(pyramid_steps=100)
    sample, judges = _plain_sample(), _plain_judges(objective)
    assert "pyramid" in objective.generator_loss(sample, judges, 99).terms
    assert "pyramid" not in objective.generator_loss(sample, judges, 100).terms
    with_r1 = [
        s for s in range(48) if "r1" in objective.discriminator_loss(sample, judges, s).terms
    ]
    assert with_r1 == [0, 16, 32]


def test_the_weights_are_the_published_ones() -> None:
    assert SRGANObjective() == SRGANObjective(pixel=0, content=1, adversarial=1e-3)
    assert GLEANObjective() == GLEANObjective(pixel=1, perceptual=1e-2, adversarial=1e-2)
    assert HiFaceGANObjective() == HiFaceGANObjective(
        adversarial=1, feature_matching=10, perceptual=10
    )
    assert GFPGANObjective() == GFPGANObjective(
        pixel=0.1, pyramid=1, perceptual=1, style=50, adversarial=0.1, component=1,
        component_style=200, identity=10, r1=10, r1_every=16, pyramid_steps=50_000,
    )  # fmt: skip


# -- zero weights -----------------------------------------------------------------------------

# What is not the weight of a term of its own.
_NO_WEIGHTS = ("r1_every", "pyramid_steps", "perceptual_from_step", "same")

TERMS = [
    pytest.param(kind, field.name, id=f"{name}-{field.name}")
    for name, kind in OBJECTIVES.items()
    for field in fields(kind)
    if field.name not in _NO_WEIGHTS
]


@pytest.mark.parametrize(("kind", "weight"), TERMS)
def test_a_weight_of_zero_removes_its_term_and_leaves_the_others(
    kind: type[Objective], weight: str
) -> None:
    ones = {f.name: 1.0 for f in fields(kind) if f.name not in _NO_WEIGHTS}
    full, without = kind(**ones), kind(**{**ones, weight: 0.0})
    side_px = 176 if kind is FidelityObjective else SIDE_PX
    sample = replace(_plain_sample(), restored=_plain(0.5, side_px), target=_plain(-0.25, side_px))
    if kind is GFPGANObjective:
        sample = _plain_sample()
    judges = _plain_judges(full)
    if kind is SceneObjective:
        judges = replace(judges, likeness=STLPIPS([2, 2, 2, 2, 2]))
    kept = {**without.generator_loss(sample, judges, 0).terms}
    all_terms = {**full.generator_loss(sample, judges, 0).terms}
    if kind is GFPGANObjective or kind in ADVERSARIAL:
        all_terms |= full.discriminator_loss(sample, judges, 0).terms
        kept |= without.discriminator_loss(sample, judges, 0).terms
    gone = all_terms.keys() - kept.keys()
    assert any(name == weight or name.startswith(f"{weight}_") for name in gone)
    for name in kept:
        assert torch.equal(kept[name], all_terms[name])


@pytest.mark.parametrize(
    ("objective", "terms"),
    [
        (FidelityObjective(ms_ssim=0), {"l1"}),
        (SRGANObjective(pixel=1, content=0, adversarial=0), {"pixel"}),
        (GLEANObjective(perceptual=0, adversarial=0), {"pixel"}),
        (HiFaceGANObjective(adversarial=0, feature_matching=0, perceptual=0), set()),
        (
            GFPGANObjective(
                pyramid=0, perceptual=0, style=0, adversarial=0, component=0, component_style=0,
                identity=0,
            ),
            {"pixel"},
        ),
    ],
)  # fmt: skip
def test_without_judging_terms_no_judge_is_made_or_asked(
    objective: Objective, terms: set[str]
) -> None:
    assert not objective.discriminators(SIDE_PX)
    assert not objective.needs_features
    assert not objective.needs_identity
    sample = Sample(_plain(0.5), _plain(-0.25))
    assert set(objective.generator_loss(sample, Judges(), 0).terms) == terms
    assert not objective.discriminator_loss(sample, Judges(), 0).terms


# -- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OBJECTIVES.values())
def test_a_negative_weight_is_refused(kind: type[Objective]) -> None:
    for field in fields(kind):
        with pytest.raises(ValueError, match=f"{field.name} must not be negative"):
            kind(**{field.name: -1})


def test_r1_every_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="r1_every must be at least 1"):
        GFPGANObjective(r1_every=0)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_a_missing_judge_is_named(kind: type[Objective]) -> None:
    objective = kind()
    judges = _plain_judges(objective)
    sample = _plain_sample()
    with pytest.raises(ValueError, match="need a VGG"):
        objective.generator_loss(sample, replace(judges, features=None), 0)
    with pytest.raises(ValueError, match="discriminator 'main'"):
        objective.discriminator_loss(sample, replace(judges, discriminators=nn.ModuleDict()), 0)
    if objective.needs_identity:
        with pytest.raises(ValueError, match="need ArcFace"):
            objective.generator_loss(sample, replace(judges, identity=None), 0)


def test_a_conditional_discriminator_needs_the_degraded_picture() -> None:
    objective = HiFaceGANObjective()
    with pytest.raises(ValueError, match="needs the degraded"):
        objective.generator_loss(
            replace(_plain_sample(), degraded=None), _plain_judges(objective), 0
        )


def test_gfpgan_needs_the_pictures_of_the_pyramid() -> None:
    objective = GFPGANObjective()
    with pytest.raises(ValueError, match="pictures of the network's levels"):
        objective.generator_loss(replace(_plain_sample(), pyramid=()), _plain_judges(objective), 0)


# -- real judges, only narrow -----------------------------------------------------------------


class Gray(nn.Module):
    """A face embedder of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 16, 16)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.conv(crops).flatten(1)


_NARROW: dict[type[Objective], Callable[[], dict[str, nn.Module]]] = {
    SRGANObjective: lambda: {"main": SRGANDiscriminator(SIDE_PX, 4, 8)},
    GLEANObjective: lambda: {"main": StyleGAN2Discriminator(SIDE_PX, narrow=1 / 64)},
    HiFaceGANObjective: lambda: {"main": MultiScalePatchDiscriminator(6, 4, 4)},
    GFPGANObjective: lambda: {
        "main": StyleGAN2Discriminator(SIDE_PX, 1, 1 / 64),
        **{name: ComponentDiscriminator(4) for name in COMPONENTS_512},
    },
}


def _narrow_judges(objective: Objective) -> Judges:
    assert objective.feature_net is not None
    net = objective.feature_net
    features = VGGFeatures(net.layers, net.depth, net.preparation, widths=(8, 8, 8, 8, 8))
    for module in features.features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return Judges(
        nn.ModuleDict(_NARROW[type(objective)]()),
        features.requires_grad_(False),
        Gray().requires_grad_(False),
    )


class Restorer(nn.Module):
    """Two convolutions that also show their inner level, as GFP-GAN's U-Net does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 5, padding=2)
        self.last = nn.Conv2d(16, 3, 5, padding=2)
        self.show = nn.Conv2d(16, 3, 1)

    def forward(self, degraded: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features = nn.functional.leaky_relu(self.first(degraded), 0.2)
        inner = self.show(nn.functional.avg_pool2d(features, 4))
        return degraded + self.last(features), [inner]


def _faces() -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth true pictures, and darker, noisy ones."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 8, 8, generator=generator) * 1.6 - 0.8
    target = nn.functional.interpolate(coarse, SIDE_PX, mode="bicubic").clamp(-1, 1)
    noise = torch.randn(target.shape, generator=generator)
    return (target * 0.5 - 0.3 + 0.1 * noise).clamp(-1, 1), target


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_each_side_moves_only_its_own_weights(kind: type[Objective]) -> None:
    torch.manual_seed(0)
    objective, restorer = kind(), Restorer()
    judges = _narrow_judges(objective)
    degraded, target = _faces()
    restored, pyramid = restorer(degraded)
    sample = Sample(restored, target, degraded, pyramid)

    objective.generator_loss(sample, judges, 0).total.backward(retain_graph=True)
    for name, parameter in restorer.named_parameters():
        if kind is GFPGANObjective or not name.startswith("show"):
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for parameter in judges.discriminators.parameters())
    assert all(parameter.requires_grad for parameter in judges.discriminators.parameters())

    restorer.zero_grad()
    objective.discriminator_loss(sample, judges, 0).total.backward()
    assert all(parameter.grad is None for parameter in restorer.parameters())
    for name, parameter in judges.discriminators.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert target.grad is None
    assert not target.requires_grad


@pytest.mark.parametrize(
    "objective",
    [
        # The deepest layer of a random VGG hardly sees anything: pixels have to lead.
        SRGANObjective(pixel=1),
        GLEANObjective(),
        HiFaceGANObjective(),
        GFPGANObjective(),
    ],
    ids=lambda objective: type(objective).__name__,
)
def test_training_against_the_judges_brings_the_restored_closer(objective: Objective) -> None:
    torch.manual_seed(0)
    restorer = Restorer()
    judges = _narrow_judges(objective)
    adam_g = torch.optim.Adam(restorer.parameters(), lr=2e-3, betas=(0.5, 0.99))
    adam_d = torch.optim.Adam(judges.discriminators.parameters(), lr=1e-3, betas=(0.5, 0.99))
    degraded, target = _faces()
    without_adversary = []
    for step in range(20):
        restored, pyramid = restorer(degraded)
        sample = Sample(restored, target, degraded, pyramid)
        losses = objective.generator_loss(sample, judges, step)
        adam_g.zero_grad()
        losses.total.backward()
        adam_g.step()
        adam_d.zero_grad()
        objective.discriminator_loss(sample, judges, step).total.backward()
        adam_d.step()
        # The adversary learns, so that its own term may rise.
        fixed = [n for n in losses.terms if "adversarial" not in n and "component" not in n]
        without_adversary.append(sum(losses.logged()[name] for name in fixed))
    assert without_adversary[-1] < 0.8 * without_adversary[0]


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_under_autocast_every_term_is_finite_and_single_precision(kind: type[Objective]) -> None:
    torch.manual_seed(0)
    objective, restorer = kind(), Restorer()
    judges = _narrow_judges(objective)
    degraded, target = _faces()
    with torch.autocast("cpu", torch.bfloat16):
        restored, pyramid = restorer(degraded)
        sample = Sample(restored, target, degraded, pyramid)
        losses = [
            objective.generator_loss(sample, judges, 0),
            objective.discriminator_loss(sample, judges, 0),
        ]
    for loss in losses:
        for name, term in loss.terms.items():
            assert term.dtype == torch.float32, name
            assert torch.isfinite(term), name
        loss.total.backward()


def test_terms_are_logged_by_name_with_their_total() -> None:
    losses = Losses({"a": torch.tensor(1.0), "b": torch.tensor(2.5)}, {"score": torch.tensor(9.0)})
    assert losses.logged() == {"a": 1.0, "b": 2.5, "total": 3.5, "score": 9.0}


def test_an_untrained_discriminator_loses_two_log_two() -> None:
    objective = GLEANObjective()
    judges = Judges(nn.ModuleDict({"main": Brightness(0.0)}))
    losses = objective.discriminator_loss(_plain_sample(), judges, 0)
    assert losses.terms["discriminator"].item() == pytest.approx(2 * log(2))

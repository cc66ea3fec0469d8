"""PULSE's search: walk the latent spheres until the face, downscaled, is the one given.

Standard normal vectors in many dimensions lie near a sphere; so every latent vector, and every
noise map that is searched, keeps the radius it starts with. Candidates of one batch share no
term of the loss and no radius: each ends where it would alone.

Source: Menon et al. 2020, "PULSE: Self-Supervised Photo Upsampling via Latent Space Exploration
of Generative Models", sections 3.1 and 3.2; loss, schedules and noise types as in their code.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field, field_validator

from restore_batch.models.base import Options

if TYPE_CHECKING:
    import torch

    from restore_batch.models.nets.stylegan1 import SearchableSynthesis

LATENT_VECTORS = 18
Schedule = Literal["fixed", "linear1cycle", "linear1cycledrop"]
Optimiser = Literal["adam", "adamax", "sgd", "sgdm"]
_TERM = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*\*\s*(L1|L2|GEOCROSS)\s*")


def parse_loss(text: str) -> dict[str, float]:
    """Terms and weights of a loss such as "100*L2+0.05*GEOCROSS".

    Raises ValueError for anything but a sum of number*L1, number*L2 and number*GEOCROSS.
    """
    weights: dict[str, float] = {}
    for part in text.split("+"):
        match = _TERM.fullmatch(part)
        if match is None or match[2] in weights:
            raise ValueError(
                f"loss {text!r}: expected each of L1, L2 and GEOCROSS at most once, "
                "as in '100*L2+0.05*GEOCROSS'"
            )
        weights[match[2]] = float(match[1])
    return weights


class SearchOptions(Options):
    """How to search; the defaults are the published ones."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    loss: str = "100*L2+0.05*GEOCROSS"
    """What is made small: a sum of weighted terms."""

    eps: float = Field(default=2e-3, gt=0)
    """Mean squared difference below which a downscaled face counts as matching, and no longer
    pulls."""

    noise_type: Literal["zero", "fixed", "trainable"] = "trainable"
    """The generator's noise: none, drawn once, or searched along in the first layers."""

    trainable_noise_layers: int = Field(default=5, ge=0)
    """How many of the first layers' noise is searched along."""

    bad_noise_layers: tuple[int, ...] = (17,)
    """Layers whose noise is left at zero."""

    tile_latent: bool = False
    """One latent for all layers instead of one for each: fewer faces can be reached."""

    optimiser: Optimiser = "adam"
    """The rule by which steps follow from gradients."""

    learning_rate: float = Field(default=0.4, gt=0)
    """Length of a step at the schedule's highest point."""

    schedule: Schedule = "linear1cycledrop"
    """How the learning rate rises and falls over the steps."""

    steps: int = Field(default=100, ge=1, le=100_000)
    """Length of the schedule."""

    stop_after_steps: int | None = Field(default=None, ge=1)
    """End early, keeping the best so far; null: at the schedule's end."""

    stop_within_eps: bool = False
    """Keep a candidate as soon as it matches, and end when all do."""

    time_limit_s: float | None = Field(default=None, gt=0)
    """End early, in seconds; results then depend on the machine's speed. null: no limit."""

    @field_validator("loss")
    @classmethod
    def _loss_is_known(cls, text: str) -> str:
        parse_loss(text)
        return text


def learning_rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate of ``step`` (from 0) of ``steps`` is multiplied by.

    ``linear1cycle`` rises from 0.1 to 1 and falls back; ``linear1cycledrop`` does so over nine
    tenths of the steps, then falls to 0.001. So the first step of both takes a tenth.
    """
    if schedule == "fixed":
        return 1.0
    cycle = steps if schedule == "linear1cycle" else 0.9 * steps
    if schedule == "linear1cycledrop" and step >= cycle:
        return 0.1 + (step - cycle) / (0.1 * steps) * (0.001 - 0.1)
    return (9 * (1 - abs(step / cycle - 0.5) * 2) + 1) / 10


@dataclass(frozen=True, eq=False)
class Start:
    """Where a batch of searches starts, and which noise maps are searched along.

    ``latent``: (N, 18, 512), or (N, 1, 512) for one vector in all layers. ``noises``: one
    (N, 1, s, s) a layer. ``trainable``: how many of the first, bad layers left out, are searched.
    """

    latent: torch.Tensor
    noises: tuple[torch.Tensor, ...]
    trainable: tuple[int, ...]


def random_start(
    seeds: Sequence[int], noise_sizes_px: Sequence[int], options: SearchOptions, device: str
) -> Start:
    """A standard normal start for each seed; the same on every device and in every batch."""
    import torch

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(*shape: int) -> torch.Tensor:
        return torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device)

    latent = normal(1 if options.tile_latent else LATENT_VECTORS, 512)
    noises = tuple(
        torch.zeros(len(seeds), 1, size, size, device=device)
        if options.noise_type == "zero" or layer in options.bad_noise_layers
        else normal(1, size, size)
        for layer, size in enumerate(noise_sizes_px)
    )
    return Start(latent, noises, trainable_layers(len(noises), options))


def trainable_layers(layers: int, options: SearchOptions) -> tuple[int, ...]:
    """Indices of the noise layers that are searched along."""
    if options.noise_type != "trainable":
        return ()
    searched = range(min(options.trainable_noise_layers, layers))
    return tuple(layer for layer in searched if layer not in options.bad_noise_layers)


class SphericalOptimiser:
    """An optimiser that puts every vector back on its sphere after each step.

    All dimensions of a parameter but the first two make a vector: a latent vector, a noise map.
    """

    def __init__(self, params: list[torch.Tensor], name: Optimiser, learning_rate: float) -> None:
        import torch

        self.params = params
        self.learning_rate = learning_rate
        self._radii = [self._radius(p.detach()) for p in params]
        if name == "adam":
            self._inner: torch.optim.Optimizer = torch.optim.Adam(params, learning_rate)
        elif name == "adamax":
            self._inner = torch.optim.Adamax(params, learning_rate)
        else:
            momentum = 0.9 if name == "sgdm" else 0.0
            self._inner = torch.optim.SGD(params, learning_rate, momentum=momentum)

    @staticmethod
    def _radius(vectors: torch.Tensor) -> torch.Tensor:
        dims = tuple(range(2, vectors.ndim))
        return (vectors.square().sum(dims, keepdim=True) + 1e-9).sqrt()

    def step(self, loss: torch.Tensor, factor: float) -> None:
        """One step down the gradient of ``loss``, ``factor`` times the learning rate."""
        import torch

        self._inner.zero_grad()
        loss.backward()
        for group in self._inner.param_groups:
            group["lr"] = self.learning_rate * factor
        self._inner.step()
        with torch.no_grad():
            for param, radius in zip(self.params, self._radii, strict=True):
                param.div_(self._radius(param)).mul_(radius)


def geocross(latents: torch.Tensor) -> torch.Tensor:
    """(N, L, D) to (N,): D/8 times the mean squared angle between pairs of latent vectors."""
    import torch

    one, other = latents[:, None], latents[:, :, None]
    apart = ((one - other).square().sum(-1) + 1e-9).sqrt()
    along = ((one + other).square().sum(-1) + 1e-9).sqrt()
    angle = 2 * torch.atan2(apart, along)
    return angle.square().mean(dim=(1, 2)) * (latents.shape[-1] / 8)


@dataclass(frozen=True, eq=False)
class SearchStep:
    """One look at a search, before step ``step`` (from 0) of ``steps``. Tensors are live views.

    ``terms``: the loss terms, ``total`` their weighted sum and ``downscaling`` the mean squared
    difference of each candidate, (N,). ``latents``: (N, 18, 512) as the synthesis takes them.
    ``downscaled``: (N, 3, t, t). ``latent``, ``noises``: the state that is searched.
    """

    step: int
    steps: int
    terms: dict[str, torch.Tensor]
    total: torch.Tensor
    downscaling: torch.Tensor
    latents: torch.Tensor
    downscaled: torch.Tensor
    latent: torch.Tensor
    noises: tuple[torch.Tensor, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """The best of each candidate's steps, by total loss.

    ``rgb_nchw``: (N, 3, R, R) in [0, 1]. ``downscaling``: (N,) mean squared difference to the
    target. ``steps``: how many were looked at.
    """

    rgb_nchw: torch.Tensor
    total: torch.Tensor
    downscaling: torch.Tensor
    steps: int


def search(
    net: SearchableSynthesis,
    target: torch.Tensor,
    start: Start,
    options: SearchOptions,
    on_step: Callable[[SearchStep], None] | None = None,
) -> Found:
    """Search faces that are ``target``, (N, 3, t, t) in [0, 1], when downscaled.

    float32 throughout; deterministic unless ``time_limit_s`` is set. Raises ValueError where t
    does not divide the synthesis' size.
    """
    import torch

    weights = parse_loss(options.loss)
    shrink = _downsampler(net.resolution, target)
    limit = min(options.steps, options.stop_after_steps or options.steps)
    began_s = time.monotonic()
    # A stage may run its models in inference mode; the search needs gradients all the same.
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        best = _Best(len(target), options.eps, options.stop_within_eps)
        target = target.clone()
        latent = start.latent.clone().requires_grad_()
        noises = [noise.clone() for noise in start.noises]
        searched = [noises[layer].requires_grad_() for layer in start.trainable]
        optimiser = SphericalOptimiser(
            [latent, *searched], options.optimiser, options.learning_rate
        )
        for step in range(limit):
            latents = net.likely_latents(latent.expand(-1, LATENT_VECTORS, -1))
            rgb = (net(latents, noises) + 1) / 2
            downscaled = shrink(rgb)
            difference = downscaled - target
            downscaling = difference.square().mean(dim=(1, 2, 3))
            terms = _terms(weights, difference, downscaling, latents, options.eps)
            total = torch.stack([weights[name] * term for name, term in terms.items()]).sum(0)
            best.offer(rgb.detach(), total.detach(), downscaling.detach())
            if on_step is not None:
                on_step(
                    SearchStep(
                        step=step,
                        steps=limit,
                        terms={name: term.detach() for name, term in terms.items()},
                        total=total.detach(),
                        downscaling=downscaling.detach(),
                        latents=latents.detach(),
                        downscaled=downscaled.detach(),
                        latent=latent.detach(),
                        noises=tuple(noise.detach() for noise in noises),
                    )
                )
            late = options.time_limit_s and time.monotonic() - began_s > options.time_limit_s
            if step + 1 == limit or best.settled() or late:
                break
            factor = learning_rate_factor(options.schedule, step, options.steps)
            optimiser.step(total.sum(), factor)
        return best.found(step + 1)


def _downsampler(resolution: int, target: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    from restore_batch.models.nets.bicubic import BicubicDownsample

    height, width = target.shape[-2:]
    if height != width or resolution % height:
        raise ValueError(f"a target of {width}x{height} px does not divide {resolution} px")
    return BicubicDownsample(resolution // height)


def _terms(
    weights: dict[str, float],
    difference: torch.Tensor,
    downscaling: torch.Tensor,
    latents: torch.Tensor,
    eps: float,
) -> dict[str, torch.Tensor]:
    """The terms named in ``weights``, (N,) each. Within ``eps`` the difference has no gradient:
    from there on only the geometry of the latents matters."""
    terms = {}
    for name in weights:
        if name == "L2":
            terms[name] = downscaling.clamp(min=eps)
        elif name == "L1":
            terms[name] = 10 * difference.abs().mean(dim=(1, 2, 3)).clamp(min=eps)
        else:
            terms[name] = geocross(latents)
    return terms


class _Best:
    """The best step of each candidate so far; frozen for one that settled within eps."""

    def __init__(self, count: int, eps: float, settle: bool) -> None:
        import torch

        self._eps = eps
        self._settle = settle
        self._settled = torch.zeros(count, dtype=torch.bool)
        self._total = torch.full((count,), float("inf"))
        self._downscaling = torch.full((count,), float("inf"))
        self._rgb: torch.Tensor | None = None

    def offer(self, rgb: torch.Tensor, total: torch.Tensor, downscaling: torch.Tensor) -> None:
        total, downscaling = total.cpu(), downscaling.cpu()
        matches = downscaling <= self._eps
        better = (total < self._total) & ~self._settled
        if self._settle:
            newly = matches & ~self._settled
            better |= newly
            self._settled |= newly
        self._total[better] = total[better]
        self._downscaling[better] = downscaling[better]
        if self._rgb is None:
            self._rgb = rgb.clone()
        else:
            mask = better.to(rgb.device)
            self._rgb[mask] = rgb[mask]

    def settled(self) -> bool:
        return bool(self._settled.all())

    def found(self, steps: int) -> Found:
        assert self._rgb is not None
        return Found(self._rgb.clamp(0, 1), self._total, self._downscaling, steps)

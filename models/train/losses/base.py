"""What objectives are made of: a batch to judge, the networks that judge it, named terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

import torch
from torch import nn

from restore_batch.models.nets.judges.vgg import Preparation


@dataclass(frozen=True, eq=False)
class Sample:
    """One batch, as it came out of the restorer that is trained.

    ``restored`` and ``target``: (N, 3, H, W) RGB in [-1, 1], the first unclamped. ``degraded``:
    what went in, of the same size and range, where a discriminator is to see it as well.
    ``pyramid``: pictures of the network's inner levels, each a halving of ``target``'s size.
    ``same``: the true pictures at the size of the degraded ones, where a network restores them at
    both sizes; what it makes of them is then the pyramid's only picture.
    """

    restored: torch.Tensor
    target: torch.Tensor
    degraded: torch.Tensor | None = None
    pyramid: Sequence[torch.Tensor] = ()
    same: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Judges:
    """The networks an objective asks.

    ``discriminators`` are trained against the restorer, by name; "main" sees whole pictures.
    ``features`` (VGG), ``identity`` (ArcFace or dlib's) and ``likeness`` (ST-LPIPS) are fixed, and
    None where no term needs them.
    """

    discriminators: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    features: nn.Module | None = None
    identity: nn.Module | None = None
    likeness: nn.Module | None = None

    def to(self, device: torch.device | str) -> Judges:
        """The same networks, moved to ``device``."""
        for network in (self.discriminators, self.features, self.identity, self.likeness):
            if network is not None:
                network.to(device)
        return self


@dataclass(frozen=True, eq=False)
class Losses:
    """Named scalars. ``terms`` are weighted, so that their sum is what is minimised;
    ``monitors`` are only logged."""

    terms: Mapping[str, torch.Tensor]
    monitors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def total(self) -> torch.Tensor:
        """The sum of the terms: float32, zero where there is none."""
        if not self.terms:
            return torch.zeros(())
        return torch.stack([term.float() for term in self.terms.values()]).sum()

    def logged(self) -> dict[str, float]:
        """Every term and monitor, and "total", as numbers. Waits for the device once."""
        scalars = {**self.terms, "total": self.total, **self.monitors}
        values = torch.stack([value.detach().float().cpu() for value in scalars.values()])
        return dict(zip(scalars, values.tolist(), strict=True))


Entry = tuple[str, float, Callable[[], torch.Tensor]]


def weighted(entries: Sequence[Entry]) -> dict[str, torch.Tensor]:
    """Name, weight and term to the weighted terms. One of weight zero is not computed."""
    return {name: weight * term() for name, weight, term in entries if weight}


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Within, a network passes gradients on to its input but takes none for its weights."""
    thawed = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in thawed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)


@dataclass(frozen=True)
class FeatureNet:
    """The VGG an objective compares with: depth 16 or 19, weights by layer, and how the pictures
    enter it."""

    depth: int
    layers: Mapping[str, float]
    preparation: Preparation = "imagenet"


@dataclass(frozen=True)
class Objective(ABC):
    """What a restorer is trained to minimise. The fields of a subclass are the weights of its
    terms; raises ValueError for a negative one.

    A term whose weight is zero is not computed, and a network that only such terms need is not
    asked for.
    """

    feature_net: ClassVar[FeatureNet | None] = None
    identity_net: ClassVar[Literal["arcface", "dlib"]] = "arcface"

    def __post_init__(self) -> None:
        for weight in fields(self):
            value = getattr(self, weight.name)
            if value < 0:
                raise ValueError(f"{weight.name} must not be negative, got {value}")

    def discriminators(self, side_px: int) -> nn.ModuleDict:
        """New discriminators for pictures of ``side_px``, by name; none unless overridden."""
        return nn.ModuleDict()

    @property
    def needs_features(self) -> bool:
        """Whether a term compares the features of :attr:`feature_net`."""
        return False

    @property
    def needs_identity(self) -> bool:
        """Whether a term compares identities."""
        return False

    @property
    def needs_likeness(self) -> bool:
        """Whether a term asks how alike pictures look, which ST-LPIPS answers."""
        return False

    def generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        """What the restorer minimises at ``step``, counted from 0.

        The weights of ``judges`` get no gradient from it.
        """
        with frozen(judges.discriminators):
            return self._generator_loss(sample, judges, step)

    @abstractmethod
    def _generator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses: ...

    def discriminator_loss(self, sample: Sample, judges: Judges, step: int) -> Losses:
        """What all discriminators minimise at ``step``, together; empty where there are none.

        The restorer gets no gradient from it.
        """
        return Losses({})

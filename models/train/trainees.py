"""Families as the trainer sees them: degraded pictures in, restored ones out, all in [-1, 1].

What a family's network takes otherwise (smaller pictures, another range) and what it needs while
it learns (fresh noise, singular values that follow the weights) is dealt with here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from restore_batch.errors import UsageError
from restore_batch.models import registry
from restore_batch.models.nets.photo import cut, plain
from restore_batch.models.nets.propose import CELL_PX
from restore_batch.models.nets.spade import SpectralConv2d
from restore_batch.models.train.recipe import Network

Restored = tuple[torch.Tensor, Sequence[torch.Tensor]]


class Trainee(nn.Module):
    """A network in training, ``net``, whose input is ``1 / shrinks`` of its output's size."""

    shrinks = 1

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, degraded: torch.Tensor) -> Restored:
        """(N, 3, S / shrinks, S / shrinks) RGB in [-1, 1]: the restored pictures, (N, 3, S, S),
        unclamped, and those of the network's inner levels, halvings of S."""
        return self.net(degraded), ()

    def after_step(self) -> None:
        """What must follow a change of the weights."""

    def parts(self, state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
        """The networks that a state dict of this module is exported as, each with the family's own
        keys, by what is added to the recipe's name."""
        return {"": self.bare_keys(state)}

    def bare_keys(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A state dict of this module with the family's own keys."""
        return {key.removeprefix("net."): value for key, value in state.items()}


class SRGANTrainee(Trainee):
    """SRGAN works in [0, 1] and enlarges."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.shrinks = int(net.scale)

    def forward(self, degraded: torch.Tensor) -> Restored:
        return self.net(degraded / 2 + 0.5) * 2 - 1, ()


class GLEANTrainee(Trainee):
    """GLEAN enlarges faces."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.shrinks = int(net.out_px) // int(net.in_px)


class GFPGANTrainee(Trainee):
    """GFP-GAN shows its U-Net's pictures; its prior draws fresh noise while it learns."""

    def forward(self, degraded: torch.Tensor) -> Restored:
        image, pyramid = self.net(degraded, return_rgb=True, randomize_noise=self.training)
        return image, pyramid


class PhotoTrainee(Trainee):
    """The network of whole pictures: what it doubles and, with both heads, what it restores at the
    same size, from one pass of the trunk. They are exported as one network for each head."""

    def __init__(self, net: Any) -> None:
        super().__init__(net)
        self.shrinks = max(net.scales)

    def forward(self, degraded: torch.Tensor) -> Restored:
        # Autocast's dtype would round the picture itself.
        rgb = degraded.float() / 2 + 0.5
        made = [
            2 * (plain(rgb, scale) + change) - 1
            for scale, change in zip(self.net.scales, self.net(rgb), strict=True)
        ]
        return made[-1], made[:-1]

    def parts(self, state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
        return {f"-{scale}": cut(self.bare_keys(state), scale) for scale in self.net.scales}


class HiFaceGANTrainee(Trainee):
    """HiFaceGAN normalises each picture by itself, in training as in use: it stays in train mode.
    Its spectral norms take one power iteration a step (Miyato et al. 2018, algorithm 1)."""

    def train(self, mode: bool = True) -> HiFaceGANTrainee:
        super().train(True)
        return self

    @torch.no_grad()
    def after_step(self) -> None:
        for module in self.net.modules():
            if isinstance(module, SpectralConv2d):
                matrix = module.weight_orig.flatten(1)
                v = nn.functional.normalize(matrix.mT @ module.weight_u, dim=0, eps=1e-12)
                module.weight_v.copy_(v)
                module.weight_u.copy_(nn.functional.normalize(matrix @ v, dim=0, eps=1e-12))


class DamageTrainee(Trainee):
    """The damage network shows where it expects damage, as a grey picture."""

    def forward(self, degraded: torch.Tensor) -> Restored:
        expected = torch.sigmoid(self.net(degraded)) * 2 - 1
        return expected.repeat(1, 3, 1, 1), ()


class FillTrainee(Trainee):
    """The fill network is shown where damage is as a fourth channel, 1 there and -1 elsewhere."""

    def forward(self, degraded: torch.Tensor) -> Restored:
        filled = self.net(degraded[:, :3].float() / 2 + 0.5, degraded[:, 3:] > 0)
        return 2 * filled - 1, ()


class CascadeTrainee(Trainee):
    """Of the cascade that finds faces the proposal network alone, which is shown grey pictures:
    (N, 1, S, S). It says of their cells what it does in use; that is no picture."""

    def __init__(self, net: Any) -> None:
        super().__init__(net.propose)

    def forward(self, degraded: torch.Tensor) -> Restored:
        return self.net(nn.functional.pixel_unshuffle(degraded, CELL_PX)), ()

    def bare_keys(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {f"propose.{key}": value for key, value in super().bare_keys(state).items()}


_TRAINEES: Mapping[str, type[Trainee]] = {
    "cascade": CascadeTrainee,
    "compact": Trainee,
    "damage": DamageTrainee,
    "fill": FillTrainee,
    "gfpgan": GFPGANTrainee,
    "glean": GLEANTrainee,
    "glean-category": GLEANTrainee,
    "hifacegan": HiFaceGANTrainee,
    "photo": PhotoTrainee,
    "srgan": SRGANTrainee,
}


def trainee(chosen: Network) -> Trainee:
    """The network of a recipe, ready to be trained; with random weights unless it names others.

    Raises UsageError for a family that cannot be trained, WeightsError for weights to start from
    that do not fit.
    """
    kind = _TRAINEES.get(chosen.family)
    if kind is None:
        raise UsageError(
            f"network.family: {chosen.family!r} cannot be trained; known are {', '.join(_TRAINEES)}"
        )
    family = next(family for family in registry.families() if family.name == chosen.family)
    begun = start(chosen.start_from) if chosen.start_from else None
    net = family.network(begun, **chosen.architecture)
    made = kind(net.requires_grad_(True))
    made.train()
    return made


def start(name_or_path: str) -> dict[str, torch.Tensor]:
    """The state dict of a model by its name, or of a file by its absolute path."""
    from restore_batch.models.weights.store import Store, load_state

    if Path(name_or_path).is_absolute():
        return load_state([name_or_path])
    return load_state(Store().ensure(registry.card(name_or_path)).paths)

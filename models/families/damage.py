"""The damage network: a small network of our own, whose weights come with this package.

It says where scratches, dust, hairs, creases and small tears are; what is filled there is not its
matter. Trained with ``jobs/train/damage.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import Card, Family, NoOptions, Runtime, StateDict
from restore_batch.models.own import OUTLINES, SCENES, licence, shipped
from restore_batch.models.running.crops import mixed, to_signed
from restore_batch.models.running.pictures import PictureNetwork, repeated_to

if TYPE_CHECKING:
    import torch


CARDS = (
    Card(
        name="damage-1",
        family="damage",
        task="damage",
        title="Finds scratches, dust, hairs and creases; U-Net of 5.0 million parameters",
        paper="none; U-Net: Ronneberger et al. 2015, arXiv:1505.04597",
        licence=licence(f"trained on {SCENES}; {OUTLINES}"),
        sources=(
            (
                shipped(
                    "damage-1.safetensors",
                    "3dfd8a8caba18cd3d617914004f3dd4b36d079759b552e04cfd72e571739ad67",
                    10094688,
                ),
            ),
        ),
        architecture={"widths": [32, 64, 128, 160, 192], "blocks": [1, 1, 2, 2, 2]},
        tflop=0.1035,
        rank=10,
        limits=(
            "as the repair stage judges what it points at, at most 0.02 % of each of 24 sound"
            " photographs is masked, and 63 % of the energy of drawn scratches, hairs and dust is"
            " taken away; among fine detail it sees little"
        ),
    ),
)


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """The network with its keys loaded strictly, in eval mode.

    ``architecture``: ``widths`` and ``blocks`` of
    :class:`restore_batch.models.nets.damage.DamageNet`; what is not given is read from the keys.
    Random weights where ``state`` is None. Raises WeightsError when keys or shapes do not fit.
    """
    from restore_batch.models.nets.damage import DamageNet
    from restore_batch.models.nets.loading import load_strictly

    inferred = (recognise(state) if state is not None else None) or {}
    return load_strictly(DamageNet(**{**inferred, **architecture}), state, "damage network")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a damage network's state dict, or None."""
    if not {"fold.bias", "logit.bias", "enlarge.0.weight"} <= state.keys():
        return None
    from restore_batch.models.nets.damage import infer
    from restore_batch.models.nets.loading import inferred

    return inferred(infer, state)


class UNetDamageFinder(PictureNetwork):
    """A :class:`~restore_batch.models.base.DamageFinder` that looks twice, the second time at the
    picture upside down, and goes by the mean of the log odds (self-ensemble: Timofte et al. 2016,
    "Seven ways to improve example-based single image super resolution")."""

    reach_px = 64

    def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
        """rgb_hwc uint8 of any size; (H, W) float32 in [0, 1]."""
        import torch

        height, width = rgb_hwc.shape[:2]
        with torch.inference_mode(), mixed(self._runtime.device, self._runtime.precision):
            signed = to_signed([rgb_hwc], self._runtime.device)
            padded = repeated_to(signed, self._net.multiple_px)
            turned = self._net(padded.flip(2, 3)).flip(2, 3)
            log_odds = (self._net(padded).float() + turned.float()) / 2
            expected = torch.sigmoid(log_odds[0, 0, :height, :width])
        return np.asarray(expected.cpu().numpy())


def build(state: StateDict, card: Card, options: NoOptions, runtime: Runtime) -> UNetDamageFinder:
    """The finder, on the device of ``runtime``."""
    return UNetDamageFinder(network(state, **card.architecture), runtime)


FAMILY = Family(
    name="damage",
    task="damage",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    tiny={"widths": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]},
)

"""The fill network: a small network of our own that draws what lies under damage.

Where the damage is, the damage network says. Trained with ``jobs/train/fill.yaml``, from photo-1
on, so that its credits are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import Card, Family, NoOptions, Runtime, StateDict
from restore_batch.models.families.photo import LICENCE
from restore_batch.models.own import shipped
from restore_batch.models.running.crops import mixed
from restore_batch.models.running.pictures import PictureNetwork, repeated_to

if TYPE_CHECKING:
    import torch

CARDS = (
    Card(
        name="fill-1",
        family="fill",
        task="fill",
        title="Draws what lies under scratches and dust; U-Net of 2.0 million parameters",
        paper="none; U-Net: Ronneberger et al. 2015, arXiv:1505.04597",
        licence=LICENCE,
        sources=(
            (
                shipped(
                    "fill-1.safetensors",
                    "f17ccec1c56a531e358ec42f96032399d40d3b86d0a2aafc753b7faef1984cd5",
                    3971006,
                ),
            ),
        ),
        architecture={"widths": [32, 48, 96, 160], "blocks": [1, 1, 3]},
        tflop=0.165,
        rank=10,
        limits=(
            "what is wider than some ten pixels is drawn smoothly: it invents no texture and no"
            " detail"
        ),
    ),
)


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """The network with its keys loaded strictly, in eval mode.

    ``state`` may also be that of a network of whole pictures, which training begins with.
    ``architecture``: ``widths`` and ``blocks`` of :class:`restore_batch.models.nets.fill.FillNet`;
    what is not given is read from the keys. Weights that change nothing of what was drawn together
    where ``state`` is None. Raises WeightsError when keys or shapes do not fit.
    """
    from restore_batch.models.nets.fill import FillNet, widened
    from restore_batch.models.nets.loading import load_strictly

    if state is not None and "entry.weight" in state:
        state = widened(state)
    inferred = (recognise(state) if state is not None else None) or {}
    return load_strictly(FillNet(**{**inferred, **architecture}), state, "fill network")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a fill network's state dict, or None."""
    if not {"trunk.entry.weight", "trunk.down_eighth.weight"} <= state.keys():
        return None
    from restore_batch.models.nets.fill import infer
    from restore_batch.models.nets.loading import inferred

    return inferred(infer, state)


class UNetFiller(PictureNetwork):
    """A :class:`~restore_batch.models.base.Filler`."""

    reach_px = 64
    align_px = 64

    def __call__(self, rgb_hwc: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1] of any size and (H, W) bool; the same picture, filled
        there."""
        import torch

        height, width = rgb_hwc.shape[:2]
        planes = np.concatenate([rgb_hwc, missing[..., None]], axis=2, dtype=np.float32)
        with torch.inference_mode(), mixed(self._runtime.device, self._runtime.precision):
            nchw = torch.from_numpy(planes).to(self._runtime.device).permute(2, 0, 1)[None]
            padded = repeated_to(nchw, self.align_px)
            filled = self._net(padded[:, :3], padded[:, 3:])[0, :, :height, :width]
            return np.asarray(filled.clamp_(0, 1).permute(1, 2, 0).cpu().numpy())


def build(state: StateDict, card: Card, options: NoOptions, runtime: Runtime) -> UNetFiller:
    """The filler, on the device of ``runtime``."""
    return UNetFiller(network(state, **card.architecture), runtime)


FAMILY = Family(
    name="fill",
    task="fill",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    tiny={"widths": [4, 4, 8, 8], "blocks": [1, 1, 1]},
)

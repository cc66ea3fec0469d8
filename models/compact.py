"""The compact restorer: a small face network of our own, to be trained on an archive's own faces.

It corrects the face it is given and invents nothing: grain, blocks and scratches go, features
become firmer, but a face of few pixels stays soft where a generative restorer would draw another.

Trained with ``jobs/train/compact.yaml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import Card, Family, Runtime, StateDict
from restore_batch.models.crops import CropOptions, check_crops, run_batches

if TYPE_CHECKING:
    import torch

FACE_PX = 512


def network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """The network with its keys loaded strictly, in eval mode.

    ``architecture``: ``widths`` and ``blocks`` of
    :class:`restore_batch.models.nets.compact.CompactRestorer`; what is not given is read from the
    keys. Weights that change nothing where ``state`` is None. Raises WeightsError when keys or
    shapes do not fit.
    """
    from restore_batch.models.nets.compact import CompactRestorer
    from restore_batch.models.nets.loading import load_strictly

    inferred = (recognise(state) if state is not None else None) or {}
    return load_strictly(CompactRestorer(**{**inferred, **architecture}), state, "compact restorer")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a compact restorer's state dict, or None."""
    if not {"layout", "fold.weight", "gain.weight"} <= state.keys():
        return None
    from restore_batch.models.nets import compact

    try:
        return compact.infer({key: tensor.shape for key, tensor in state.items()})
    except (KeyError, IndexError):
        return None


class CompactFaceRestorer:
    """A :class:`~restore_batch.models.base.Restorer`. What comes in grey comes out grey."""

    def __init__(self, net: torch.nn.Module, runtime: Runtime, options: CropOptions) -> None:
        from restore_batch.models.nets.layout import channels_last

        self.face_px = FACE_PX
        self._net = channels_last(net.to(runtime.device))
        self._runtime = runtime
        self._options = options

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 of side ``face_px``; the same shape and dtype back."""
        check_crops(crops, self.face_px)
        return run_batches(crops, self._forward, self._runtime, self._options.batch_size)

    def _forward(self, signed_nchw: torch.Tensor) -> torch.Tensor:
        restored: torch.Tensor = self._net(signed_nchw)
        grey = (signed_nchw == signed_nchw[:, :1]).flatten(1).all(1)[:, None, None, None]
        return restored.where(~grey, restored.mean(1, keepdim=True))


def build(
    state: StateDict, card: Card, options: CropOptions, runtime: Runtime
) -> CompactFaceRestorer:
    """The restorer, on the device of ``runtime``."""
    return CompactFaceRestorer(network(state, **card.architecture), runtime, options)


FAMILY = Family(
    name="compact",
    task="restore",
    # A card is for published weights. Ours are not good enough yet (docs/training.md).
    cards=(),
    network=network,
    build=build,
    recognise=recognise,
    options=CropOptions,
    tiny={"widths": [8, 8, 16], "blocks": [1, 1, 1]},
)

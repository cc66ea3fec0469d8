"""The compact restorer: a small face network of our own, whose weights come with this package.

It corrects the face it is given and invents nothing: grain, blocks and scratches go, features
become firmer, but a face of few pixels stays soft where a generative restorer would draw another.

Trained with ``jobs/train/compact.yaml``; an archive can go on from there with its own faces
(docs/training.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import Card, Family, Runtime, StateDict
from restore_batch.models.own import CONGRESS, FACES, licence, shipped
from restore_batch.models.running.crops import CropOptions, check_crops, run_batches

if TYPE_CHECKING:
    import torch

FACE_PX = 512


CARDS = (
    Card(
        name="compact-1",
        family="compact",
        task="restore",
        title="Compact restorer, U-Net of 4.6 million parameters",
        paper="none; U-Net: Ronneberger et al. 2015, arXiv:1505.04597",
        licence=licence(f"trained on {FACES}, and on {CONGRESS}"),
        sources=(
            (
                shipped(
                    "compact-1.safetensors",
                    "6d6e569d35831ec09ca9e6d992241385874751d77ddd32cec1081a2db27aebf9",
                    9228862,
                ),
            ),
        ),
        architecture={"widths": [64, 128, 192], "blocks": [2, 2, 4]},
        input_px=FACE_PX,
        corrects=True,
        tflop=0.0069,
        rank=40,
        limits=(
            "works at 256 px: finer detail passes through, none is made; very blurred faces stay"
            " soft; knows frontal faces of 555 adults of our time: no children, no profiles. On 24"
            " faces of others, GFP-GAN's mixed degradation: PSNR 28.7 dB (bicubic 25.4, Real-ESRGAN"
            " 26.2), dlib distance to the truth 0.33 (0.38, 0.40; dlib also judged the training)"
        ),
    ),
)


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
    from restore_batch.models.nets.compact import infer
    from restore_batch.models.nets.loading import inferred

    return inferred(infer, state)


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
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    options=CropOptions,
    tiny={"widths": [8, 8, 16], "blocks": [1, 1, 1]},
)

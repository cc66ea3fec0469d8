"""Identity of a face as a vector: ArcFace on aligned crops.

The network is facexlib's; the cosine of two vectors says how alike two faces are.

Source: Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition"
(arXiv:1801.07698), section 3.1 for the 112 px crop and the IR-SE-50 backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict
from restore_batch.models.weights.facexlib import LICENCE_URL, loaded, plain_keys, released

if TYPE_CHECKING:
    import torch

INPUT_PX = 112
ARCFACE_TEMPLATE_112 = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
"""The landmarks of ArcFace's training crops, in the order of the restorers' template."""

ARCFACE_SCALE = 0.29209
ARCFACE_SHIFT_PX = np.array([-18.9165, -17.8714])
"""Least-squares scale and shift from the restorers' 512 px template to ArcFace's; the angle
between the two is a hundredth of a degree."""

_CROPS_A_BATCH = 64


class ArcFaceEmbedder:
    """An :class:`~restore_batch.models.base.Embedder`: unit vectors of aligned crops."""

    def __init__(self, network: torch.nn.Module, runtime: Runtime) -> None:
        import torch

        self._device = torch.device(runtime.device)
        self._dtype: torch.dtype = getattr(torch, runtime.precision)
        self._net = network.to(self._device, self._dtype).eval()

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """N crops, rgb_hwc uint8, square, aligned to the restorers' template at their size;
        (N, 512) float32 of unit length. Raises ValueError on another shape or dtype."""
        import torch

        if not crops:
            return np.zeros((0, 512), np.float32)
        inputs = np.stack([to_input(crop) for crop in crops])
        size = 1 if self._device.type == "cpu" else _CROPS_A_BATCH
        vectors = []
        with torch.inference_mode():
            for start in range(0, len(inputs), size):
                pixels = torch.from_numpy(inputs[start : start + size]).to(self._device)
                # facexlib's head flattens with view(), which needs this layout.
                signed = pixels.permute(0, 3, 1, 2).contiguous().float().div(127.5).sub(1.0)
                vector = self._net(signed.to(self._dtype)).float()
                vectors.append(torch.nn.functional.normalize(vector).cpu().numpy())
        return np.concatenate(vectors)

    def likeness(self, vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The cosines of (N, 512) and (N, 512) of unit length, pair by pair."""
        return cosines(vectors, others)


def cosines(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of (N, D) and (N, D) of unit length, pair by pair: (N,) float64 in [-1, 1]."""
    products = np.einsum("nd,nd->n", vectors.astype(np.float64), others.astype(np.float64))
    return np.asarray(np.clip(products, -1.0, 1.0))


def to_input(crop: np.ndarray) -> np.ndarray:
    """The 112 px crop of ArcFace from a square crop aligned to the restorers' template."""
    side_px = crop.shape[0]
    if crop.shape != (side_px, side_px, 3) or crop.dtype != np.uint8:
        raise ValueError(f"expected a square rgb_hwc uint8 crop, got {crop.shape} {crop.dtype}")
    scale = ARCFACE_SCALE * 512 / side_px
    shift = ARCFACE_SHIFT_PX
    if scale < 1:
        # Reduced by area first, so that fine detail does not alias.
        size = max(round(side_px * scale), 1)
        ratio = size / side_px
        crop = np.asarray(cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA))
        shift = shift + scale * (0.5 / ratio - 0.5)
        scale /= ratio
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return np.asarray(
        cv2.warpAffine(
            crop,
            matrix,
            (INPUT_PX, INPUT_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    )


def network(
    state: StateDict | None,
    num_layers: int | None = None,
    mode: str | None = None,
    drop_ratio: float = 0.6,
) -> torch.nn.Module:
    """facexlib's ArcFace backbone with ``state`` loaded, or random weights where it is None.

    ``num_layers`` (50, 100, 152) and ``mode`` (ir, ir_se) are read from the keys unless given.
    Input (N, 3, 112, 112) RGB in [-1, 1]; output (N, 512) of unit length.
    """
    from facexlib.recognition.arcface_arch import Backbone

    inferred = (recognise(state) if state is not None else None) or {}
    layers = num_layers or inferred.get("num_layers", 50)
    kind = mode or inferred.get("mode", "ir_se")
    net: torch.nn.Module = Backbone(num_layers=layers, drop_ratio=drop_ratio, mode=kind)
    return loaded(net, state, f"ArcFace {kind}-{layers}")


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> ArcFaceEmbedder:
    """The embedder, on the worker's device and in its precision."""
    return ArcFaceEmbedder(network(state, **card.architecture), runtime)


_LAYERS_OF_BLOCKS = {24: 50, 49: 100, 50: 152}


def recognise(state: StateDict) -> dict[str, Any] | None:
    """``num_layers`` by the number of residual blocks, ``mode`` by the squeeze-excitations."""
    keys = plain_keys(state)
    if "input_layer.0.weight" not in keys or "output_layer.3.weight" not in keys:
        return None
    blocks = {int(key.split(".")[1]) for key in keys if key.startswith("body.")}
    layers = _LAYERS_OF_BLOCKS.get(len(blocks))
    if layers is None:
        return None
    squeezed = "body.0.res_layer.5.fc1.weight" in keys
    return {"num_layers": layers, "mode": "ir_se" if squeezed else "ir"}


CARD = Card(
    name="arcface-ir-se50",
    family="arcface",
    task="identity",
    title="ArcFace IR-SE-50 face embedding",
    paper="Deng et al. 2019, arXiv:1801.07698",
    licence=Licence(
        key="facexlib-arcface",
        title="MIT (code); trained on MS-Celeb-1M",
        commercial=True,
        url=LICENCE_URL,
        note="MS-Celeb-1M was withdrawn by its publisher; the weights carry no further clause",
    ),
    sources=((released("v0.1.0/recognition_arcface_ir_se50.pth"),),),
    architecture={"num_layers": 50, "mode": "ir_se"},
    tflop=0.0126,
    rank=10,
    limits="weak on faces below 30 px and on heavy damage: calibrate thresholds on such",
)

FAMILY = Family(
    name="arcface",
    task="identity",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    tiny={"num_layers": 50, "mode": "ir_se"},
)

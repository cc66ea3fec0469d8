"""Identity of a face as 128 numbers: dlib's recognition network, whose weights a package ships.

Source: King 2017; the network is in :mod:`restore_batch.models.nets.judges.dlib_resnet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import (
    SAME_PERSON,
    Card,
    Family,
    Licence,
    Runtime,
    StateDict,
    WeightFile,
)
from restore_batch.models.families.identity import cosines

if TYPE_CHECKING:
    import torch

SCALE_512 = 0.432093
SHIFT_PX = (-36.2045, -57.5205)
"""Least-squares scale and shift from the restorers' 512 px template to dlib's 150 px chip with its
padding of a quarter, over the landmarks that dlib's own predictor finds in 166 aligned faces."""

SAME_PERSON_COSINE = 0.91
"""dlib's limit for one person is a distance of 0.6; its vectors are about 1.41 long (1.32 to 1.57
over 24 faces), so this is the cosine there. Different people's are high too, 0.9 for one pair in a
hundred, and what is above the limit is therefore spread over the scale of likeness."""

_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_PACKAGE = "face-recognition-models"


class DlibEmbedder:
    """A :class:`~restore_batch.models.base.Embedder`: unit vectors of aligned crops."""

    def __init__(self, network: torch.nn.Module, runtime: Runtime) -> None:
        self._net = network.to(runtime.device).eval()
        self._device = runtime.device

    def __call__(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """N crops, rgb_hwc uint8, square, aligned to the restorers' template; (N, 128) float32 of
        unit length. Raises ValueError on another shape or dtype."""
        import torch

        from restore_batch.models.nets.judges.dlib_resnet import INPUT_PX
        from restore_batch.models.nets.judges.face_chip import chip

        vectors = []
        with torch.inference_mode():
            for crop in crops:
                if crop.dtype != np.uint8 or crop.shape != (len(crop), len(crop), 3):
                    raise ValueError(
                        f"expected a square rgb_hwc uint8 crop, got {crop.shape} {crop.dtype}"
                    )
                face = torch.from_numpy(crop).to(self._device).permute(2, 0, 1)[None].float()
                vector = self._net(chip(face, SCALE_512, SHIFT_PX, INPUT_PX))
                vectors.append(torch.nn.functional.normalize(vector).cpu().numpy())
        return np.concatenate(vectors) if vectors else np.zeros((0, 128), np.float32)

    def likeness(self, vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Of (N, 128) and (N, 128) of unit length, pair by pair: (N,) in [-1, 1]; see
        :data:`SAME_PERSON_COSINE`."""
        apart = (1 - cosines(vectors, others)) / (1 - SAME_PERSON_COSINE)
        return np.asarray(np.clip(1 - (1 - SAME_PERSON) * apart, -1.0, 1.0))


def network(state: StateDict | None) -> torch.nn.Module:
    """The network with its keys loaded strictly, in eval mode; random weights where ``state`` is
    None. Raises WeightsError when keys or shapes do not fit."""
    from restore_batch.models.nets.judges.dlib_resnet import DlibFaceNet
    from restore_batch.models.nets.loading import load_strictly

    return load_strictly(DlibFaceNet(), state, "dlib face recognition network")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """No argument to infer: the architecture is one, told by its keys."""
    return {} if {"stem.scale", "blocks.13.second.shift", "head.weight"} <= state.keys() else None


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> DlibEmbedder:
    """The embedder, on the worker's device, in float32."""
    return DlibEmbedder(network(state), runtime)


CARD = Card(
    name="dlib-resnet",
    family="dlib",
    task="identity",
    title="dlib face recognition, 128 numbers",
    paper="King 2017, blog.dlib.net/2017/02",
    licence=Licence(
        "dlib-cc0",
        "CC0 1.0; trained in part on VGG-Face and FaceScrub",
        commercial=True,
        url="https://github.com/davisking/dlib-models",
    ),
    sources=(
        (
            WeightFile(
                filename=_FILE,
                sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                size_bytes=22466066,
                package=_PACKAGE,
                package_path=f"face_recognition_models/models/{_FILE}",
            ),
        ),
    ),
    tflop=0.00054,
    rank=20,
    limits="looks at 150 px of a face; heavy damage moves a face as far as another person is",
)

FAMILY = Family(
    name="dlib",
    task="identity",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
)

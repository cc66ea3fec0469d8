"""RetinaFace: a single-stage detector with five landmarks, in a small and a large form.

The networks are facexlib's; the priors, the decoding and the suppression are here, for batches.

Source: Deng et al. 2020, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild"
(arXiv:1905.00641), section 3; the single-shot decoding is that of Liu et al. 2016 (SSD),
section 2.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import (
    Card,
    DetectorTraits,
    Face,
    Family,
    Licence,
    Runtime,
    StateDict,
    WeightFile,
)
from restore_batch.models.running.batching import equal_size_batches
from restore_batch.models.weights.facexlib import LICENCE_URL, loaded, plain_keys, released

if TYPE_CHECKING:
    import torch

_STEPS_PX = (8, 16, 32)
_ANCHORS_PX = ((16, 32), (64, 128), (256, 512))
_VARIANCE = (0.1, 0.2)
_MEAN_BGR = (104.0, 117.0, 123.0)
_NMS_IOU = 0.4
_MAX_CANDIDATES = 5000
_PIXELS_A_BATCH = 16_000_000  # on a GPU: about 3 GB of activations in ResNet-50


class RetinaFaceDetector:
    """A :class:`~restore_batch.models.base.Detector`: finds faces with a RetinaFace network."""

    smallest_px = 20.0
    traits = DetectorTraits(default_score=0.8, look_px=128.0)

    def __init__(self, network: torch.nn.Module, runtime: Runtime) -> None:
        import torch

        self._device = torch.device(runtime.device)
        self._dtype: torch.dtype = getattr(torch, runtime.precision)
        self._net = network.to(self._device, self._dtype).eval()
        self._net = self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """N pictures, rgb_hwc uint8 of any size; for each its faces by falling score.

        Pictures of one size go through the network together on a GPU, one by one elsewhere.
        """
        import torch

        found: list[list[Face]] = [[] for _ in images]
        with torch.inference_mode():
            for indices in equal_size_batches(images, self._device.type, _PIXELS_A_BATCH):
                batch = np.stack([images[i] for i in indices])
                for i, faces in zip(indices, self._detect(batch, min_score), strict=True):
                    found[i] = faces
        return found

    def _detect(self, rgb_nhwc: np.ndarray, min_score: float) -> list[list[Face]]:
        import torch

        size_hw = rgb_nhwc.shape[1:3]
        pixels = torch.from_numpy(rgb_nhwc).to(self._device).permute(0, 3, 1, 2)
        mean = torch.tensor(_MEAN_BGR, device=self._device).view(1, 3, 1, 1)
        bgr_nchw = (pixels.flip(1).float() - mean).to(self._dtype)
        bgr_nchw = bgr_nchw.contiguous(memory_format=torch.channels_last)
        loc, conf, landms = (out.float() for out in self._net(bgr_nchw))
        anchors = priors(*size_hw).to(self._device)
        boxes, landmarks = decode_boxes(loc, anchors), decode_landmarks(landms, anchors)
        return [
            [
                Face(
                    box_xyxy=(row[0], row[1], row[2], row[3]),
                    landmarks_xy=np.array(row[5:], np.float32).reshape(5, 2),
                    score=row[4],
                )
                for row in select(b, s[:, 1], p, size_hw, min_score).cpu().tolist()
            ]
            for b, s, p in zip(boxes, conf, landmarks, strict=True)
        ]


def priors(height: int, width: int) -> torch.Tensor:
    """Anchors of a picture: (P, 4) float32, centre x, centre y, width, height over its size.

    In the order of the network's output: levels, rows, columns, sizes.
    """
    import torch

    levels = []
    for step, sizes in zip(_STEPS_PX, _ANCHORS_PX, strict=True):
        y = (torch.arange(-(-height // step), dtype=torch.float64) + 0.5) * step / height
        x = (torch.arange(-(-width // step), dtype=torch.float64) + 0.5) * step / width
        side = torch.tensor(sizes, dtype=torch.float64)
        cy, cx, s = torch.meshgrid(y, x, side, indexing="ij")
        levels.append(torch.stack([cx, cy, s / width, s / height], dim=-1).reshape(-1, 4))
    return torch.cat(levels).float()


def decode_boxes(loc: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """(…, P, 4) regressions to left, top, right, bottom over the picture's size."""
    import torch

    centre = anchors[:, :2] + loc[..., :2] * _VARIANCE[0] * anchors[:, 2:]
    half = anchors[:, 2:] * torch.exp(loc[..., 2:] * _VARIANCE[1]) / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def decode_landmarks(landms: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """(…, P, 10) regressions to five (x, y) pairs over the picture's size."""
    return anchors[:, :2].repeat(1, 5) + landms * _VARIANCE[0] * anchors[:, 2:].repeat(1, 5)


def select(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    landmarks: torch.Tensor,
    size_hw: tuple[int, ...],
    min_score: float,
) -> torch.Tensor:
    """Decoded (P, 4), (P,), (P, 10) of one picture to its faces: (F, 15) float32 by falling
    score, box and score and landmarks, in pixels."""
    import torch
    from torchvision.ops import nms

    height, width = size_hw
    likely = torch.nonzero(scores > min_score)[:, 0]
    order = scores[likely].argsort(descending=True, stable=True)[:_MAX_CANDIDATES]
    likely = likely[order]
    to_px = torch.tensor([width, height], dtype=boxes.dtype, device=boxes.device)
    rows = torch.cat(
        [
            boxes[likely] * to_px.repeat(2),
            scores[likely, None],
            landmarks[likely] * to_px.repeat(5),
        ],
        dim=1,
    )
    return rows[nms(rows[:, :4], rows[:, 4], _NMS_IOU)]


def network(
    state: StateDict | None, network_name: str | None = None, phase: str = "test"
) -> torch.nn.Module:
    """facexlib's RetinaFace with ``state`` loaded, or with random weights where it is None.

    ``network_name``: mobile0.25 or resnet50, read from the keys unless given. Input
    (N, 3, H, W) BGR minus (104, 117, 123); output box regressions, (background, face)
    probabilities (logits in the phase "train") and landmark regressions, one row a prior.
    Keys may start with ``module.``.
    """
    import torch
    from facexlib.detection.retinaface import RetinaFace

    inferred = (recognise(state) if state is not None else None) or {}
    variant = network_name or inferred.get("network_name", "mobile0.25")
    if variant not in _VARIANTS:
        raise ValueError(f"network_name {variant!r}: expected one of {sorted(_VARIANTS)}")
    with warnings.catch_warnings():
        # facexlib asks torchvision for an untrained ResNet in a deprecated way.
        warnings.simplefilter("ignore")
        net: torch.nn.Module = RetinaFace(variant, phase=phase, device=torch.device("cpu"))
    return loaded(net, state, f"RetinaFace {variant}")


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> RetinaFaceDetector:
    """The detector, on the worker's device and in its precision."""
    return RetinaFaceDetector(network(state, **card.architecture), runtime)


def recognise(state: StateDict) -> dict[str, Any] | None:
    """``network_name`` by the backbone's keys, with or without the prefix ``module.``."""
    keys = plain_keys(state)
    if "LandmarkHead.0.conv1x1.weight" not in keys:
        return None
    for name, key in _VARIANTS.items():
        if key in keys:
            return {"network_name": name}
    return None


_VARIANTS = {"mobile0.25": "body.stage1.0.0.weight", "resnet50": "body.layer4.0.conv1.weight"}


_LICENCE = Licence(
    key="facexlib-mit",
    title="MIT",
    commercial=True,
    url=LICENCE_URL,
    note="trained on WIDER FACE, whose pictures are for research",
)

CARDS = (
    Card(
        name="retinaface-mobilenet0.25",
        family="retinaface",
        task="detect",
        title="RetinaFace, MobileNet 0.25",
        paper="Deng et al. 2020, arXiv:1905.00641",
        licence=_LICENCE,
        sources=(
            (
                WeightFile(
                    filename="mobilenet0.25_Final.pth",
                    urls=(
                        "https://raw.githubusercontent.com/m2man/Pytorch_Retinaface/"
                        "aa00934b860abc93fcdbc3bccfa0fd4260c2fd2c/weights/mobilenet0.25_Final.pth",
                    ),
                    sha256="38ec7bb3c9cbfe2f40edabc05fab970a6d648747cbc534092be85d5eb9b37ed0",
                    size_bytes=1789735,
                ),
            ),
            (released("v0.1.0/detection_mobilenet0.25_Final.pth"),),
        ),
        architecture={"network_name": "mobile0.25"},
        tflop=0.0048,
        rank=20,
        limits="faces from 16 px of its input",
    ),
    Card(
        name="retinaface-resnet50",
        family="retinaface",
        task="detect",
        title="RetinaFace, ResNet-50",
        paper="Deng et al. 2020, arXiv:1905.00641",
        licence=_LICENCE,
        sources=(
            (
                released(
                    "v0.1.0/detection_Resnet50_Final.pth",
                    "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
                    109497761,
                ),
            ),
        ),
        architecture={"network_name": "resnet50"},
        tflop=0.216,
        rank=10,
        limits="faces from 16 px of its input; some 25 times slower than MobileNet 0.25",
    ),
)

FAMILY = Family(
    name="retinaface",
    task="detect",
    cards=CARDS,
    network=network,
    build=build,
    recognise=recognise,
    tiny={"network_name": "mobile0.25"},
)

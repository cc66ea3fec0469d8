"""MTCNN: a cascade of three small networks that finds faces and five landmarks.

Its weights come with the ``mtcnn`` package, so this detector works without any download.

Source: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (arXiv:1604.02878), section II.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Face, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.batching import equal_size_batches

if TYPE_CHECKING:
    import torch

    from restore_batch.models.nets.mtcnn import Cascade

_WINDOW_PX = 12  # the P-Net's field of view
_STRIDE_PX = 2
_PYRAMID_STEP = 0.709
_MIN_PROPOSAL = 0.6
_MIN_REFINED = 0.7
_PATCHES_A_BATCH = 1024
_PIXELS_A_BATCH = 16_000_000


class MTCNNDetector:
    """A :class:`~restore_batch.models.base.Detector`. Always in float32: the networks are tiny."""

    smallest_px = 20.0
    default_score = 0.7
    look_px = 96.0

    def __init__(self, network: Cascade, runtime: Runtime) -> None:
        import torch

        self._device = torch.device(runtime.device)
        self._nets = network.to(self._device).eval()

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """N pictures, rgb_hwc uint8 of any size; for each its faces by falling score.

        Pictures of one size go through the networks together on a GPU, one by one elsewhere.
        """
        import torch

        found: list[list[Face]] = [[] for _ in images]
        with torch.inference_mode():
            for indices in equal_size_batches(images, self._device.type, _PIXELS_A_BATCH):
                some = [images[i] for i in indices]
                for i, faces in zip(indices, self._detect(some, min_score), strict=True):
                    found[i] = faces
        return found

    def _detect(self, images: list[np.ndarray], min_score: float) -> list[list[Face]]:
        """The three steps on pictures of one size; crops of all of them share batches."""
        squares = [_square(boxes) for boxes in self._propose(images)]
        refined = self._run(self._nets.rnet, images, squares, 24)
        squares = [_square(_refine(s, *r)) for s, r in zip(squares, refined, strict=True)]
        final = self._run(self._nets.onet, images, squares, 48)
        return [_faces(min_score, s, *f) for s, f in zip(squares, final, strict=True)]

    def _propose(self, images: list[np.ndarray]) -> list[np.ndarray]:
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in images]
        for scale in _scales(images[0], _WINDOW_PX / self.smallest_px):
            level = np.stack([_resize(image, scale) for image in images])
            probability, offsets = (o.cpu().numpy() for o in self._nets.pnet(self._tensor(level)))
            for i in range(len(images)):
                boxes, scores = _windows(probability[i], offsets[i])
                found[i].append((boxes / scale, scores))
        return [_across_scales(levels) for levels in found]

    def _run(
        self,
        net: torch.nn.Module,
        images: list[np.ndarray],
        squares: list[np.ndarray],
        side_px: int,
    ) -> list[list[np.ndarray]]:
        """For each picture the network's outputs on its crops, one row a crop, float64."""
        where = [
            (image, square) for image, some in zip(images, squares, strict=True) for square in some
        ]
        rows = []
        for start in range(0, max(len(where), 1), _PATCHES_A_BATCH):
            some = where[start : start + _PATCHES_A_BATCH]
            patches = np.zeros((len(some), side_px, side_px, 3), np.uint8)
            for patch, (image, square) in zip(patches, some, strict=True):
                patch[...] = _crop(image, square, side_px)
            rows.append([out.double().cpu().numpy() for out in net(self._tensor(patches))])
        outputs = [np.concatenate(column) for column in zip(*rows, strict=True)]
        ends = np.cumsum([len(some) for some in squares])[:-1]
        return [list(each) for each in zip(*(np.split(o, ends) for o in outputs), strict=True)]

    def _tensor(self, rgb_nhwc: np.ndarray) -> torch.Tensor:
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(rgb_nhwc)).to(self._device)
        return pixels.permute(0, 3, 1, 2).float().sub_(127.5).div_(128.0)


def _scales(rgb_hwc: np.ndarray, scale: float) -> Iterator[float]:
    """The pyramid's scales, while the P-Net's window fits."""
    while min(rgb_hwc.shape[:2]) * scale >= _WINDOW_PX:
        yield scale
        scale *= _PYRAMID_STEP


def _resize(rgb_hwc: np.ndarray, scale: float) -> np.ndarray:
    height, width = rgb_hwc.shape[:2]
    size = (round(width * scale), round(height * scale))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb_hwc, size, interpolation=shrink))


def _windows(score_hw: np.ndarray, offsets_chw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likely windows of one level, moved by their offsets: boxes in its pixels, scores."""
    rows, columns = np.nonzero(score_hw > _MIN_PROPOSAL)
    corner = np.stack([columns, rows], axis=1) * float(_STRIDE_PX)
    window = np.concatenate([corner, corner + _WINDOW_PX], axis=1)
    boxes = window + offsets_chw[:, rows, columns].T * _WINDOW_PX
    scores = score_hw[rows, columns]
    kept = _suppress(boxes, scores, 0.5)
    return boxes[kept], scores[kept]


def _across_scales(levels: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    boxes = np.concatenate([np.zeros((0, 4)), *(level[0] for level in levels)])
    scores = np.concatenate([np.zeros(0), *(level[1] for level in levels)])
    return boxes[_suppress(boxes, scores, 0.7)]


def _refine(squares: np.ndarray, scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The boxes that the R-Net keeps, moved by its offsets."""
    likely = scores > _MIN_REFINED
    squares, scores = squares[likely], scores[likely]
    boxes = squares + offsets[likely] * (squares[:, 2] - squares[:, 0])[:, None]
    return boxes[_suppress(boxes, scores, 0.7)]


def _faces(
    min_score: float,
    squares: np.ndarray,
    scores: np.ndarray,
    offsets: np.ndarray,
    landmarks: np.ndarray,
) -> list[Face]:
    """The O-Net's outputs for one picture as its faces."""
    likely = scores > min_score
    squares, scores = squares[likely], scores[likely]
    side = (squares[:, 2] - squares[:, 0])[:, None]
    x = squares[:, :1] + landmarks[likely, :5] * side
    y = squares[:, 1:2] + landmarks[likely, 5:] * side
    boxes = squares + offsets[likely] * side
    return [
        Face(
            box_xyxy=(
                boxes[i, 0].item(),
                boxes[i, 1].item(),
                boxes[i, 2].item(),
                boxes[i, 3].item(),
            ),
            landmarks_xy=np.stack([x[i], y[i]], axis=1).astype(np.float32),
            score=float(scores[i]),
        )
        for i in _suppress_contained(boxes, scores, 0.7)
    ]


def _square(boxes: np.ndarray) -> np.ndarray:
    """Squares of whole pixels around the boxes: what is cropped is then exactly the box."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=2, keepdims=True), 2)
    corner = np.round(centre - side / 2)
    return np.concatenate([corner, corner + np.round(side)], axis=1)


def _crop(rgb_hwc: np.ndarray, square: np.ndarray, side_px: int) -> np.ndarray:
    """The square, mid grey outside of the picture, at the network's size."""
    height, width = rgb_hwc.shape[:2]
    left, top, right, bottom = square.astype(int).tolist()
    inside = rgb_hwc[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if inside.size == 0:
        return np.full((side_px, side_px, 3), 128, np.uint8)
    if any(missing):
        inside = cv2.copyMakeBorder(
            inside, *missing, borderType=cv2.BORDER_CONSTANT, value=(128, 128, 128)
        )
    shrink = cv2.INTER_AREA if right - left > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (side_px, side_px), interpolation=shrink))


def _suppress(boxes: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Indices of the boxes that stay, by falling score."""
    import torch
    from torchvision.ops import nms

    return np.asarray(nms(torch.from_numpy(boxes).double(), torch.from_numpy(scores).double(), iou))


def _suppress_contained(boxes: np.ndarray, scores: np.ndarray, share: float) -> list[int]:
    """Like NMS, but by the intersection's share of the smaller box."""
    kept: list[int] = []
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for i in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[kept, :2], boxes[i, :2])
        high = np.minimum(boxes[kept, 2:], boxes[i, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        if (common <= share * np.minimum(area[kept], area[i])).all():
            kept.append(i)
    return kept


def network(state: StateDict | None, **architecture: Any) -> Cascade:
    """The cascade with weights in facenet-pytorch's form (prefixes ``pnet.``, ``rnet.``,
    ``onet.``) or in Keras' (``pnet.0`` and so on), or random where ``state`` is None. It has no
    architecture to choose."""
    from restore_batch.models.nets.mtcnn import Cascade, from_keras

    if architecture:
        raise ValueError(f"MTCNN has no architecture options, got {sorted(architecture)}")
    cascade = Cascade().eval()
    if state is not None:
        try:
            cascade.load_state_dict(from_keras(state) if _is_keras(state) else dict(state))
        except RuntimeError as error:
            raise WeightsError(f"not the weights of MTCNN: {error}") from error
    return cascade


def build(state: StateDict, card: Card, options: object, runtime: Runtime) -> MTCNNDetector:
    """The detector, on the worker's device."""
    return MTCNNDetector(network(state, **card.architecture), runtime)


def recognise(state: StateDict) -> dict[str, Any] | None:
    """{} where the state dict holds all three networks, in either form."""
    wanted = ("pnet.0", "rnet.0", "onet.0") if _is_keras(state) else _KEYS
    return {} if all(key in state for key in wanted) else None


_KEYS = ("pnet.conv4_2.weight", "rnet.dense5_2.weight", "onet.dense6_3.weight")


def _is_keras(state: StateDict) -> bool:
    return "pnet.0" in state


def _packaged(filename: str, sha256: str) -> WeightFile:
    return WeightFile(
        filename=filename,
        sha256=sha256,
        package="mtcnn",
        package_path=f"mtcnn/assets/weights/{filename}",
    )


def _facenet(filename: str, sha256: str, size_bytes: int) -> WeightFile:
    return WeightFile(
        filename=filename,
        sha256=sha256,
        size_bytes=size_bytes,
        package="facenet-pytorch",
        package_path=f"facenet_pytorch/data/{filename}",
    )


CARD = Card(
    name="mtcnn",
    family="mtcnn",
    task="detect",
    title="MTCNN face detector",
    paper="Zhang et al. 2016, arXiv:1604.02878",
    licence=Licence(
        key="mtcnn-mit",
        title="MIT",
        commercial=True,
        url="https://github.com/ipazc/mtcnn/blob/master/LICENSE",
        note="trained on WIDER FACE and CelebA, whose pictures are for research",
    ),
    sources=(
        (
            _packaged(
                "pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"
            ),
            _packaged(
                "rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"
            ),
            _packaged(
                "onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"
            ),
        ),
        (
            _facenet(
                "pnet.pt",
                "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
                28570,
            ),
            _facenet(
                "rnet.pt",
                "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
                403147,
            ),
            _facenet(
                "onet.pt",
                "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
                1559269,
            ),
        ),
    ),
    # Of the P-Net on its pyramid; the other two see only what it proposes.
    tflop=0.0026,
    rank=30,
    limits="faces from 20 px of its input; loses faces turned by more than 45 degrees",
)

FAMILY = Family(
    name="mtcnn",
    task="detect",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    tiny={},
)

"""MTCNN: a cascade of three small networks that finds faces and five landmarks.

Its weights come with the ``mtcnn`` package, so this detector works without any download.

Source: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (arXiv:1604.02878), section II.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.errors import WeightsError
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.running.cascade import CascadeDetector
from restore_batch.models.running.octaves import Octaves
from restore_batch.models.running.shapes import cells_around, padded, rounded, window_tiles
from restore_batch.models.running.windows import Windows, apart_across

if TYPE_CHECKING:
    from restore_batch.models.nets.mtcnn import Cascade

_WINDOW_PX = 12  # the P-Net's field of view
_STRIDE_PX = 2
_FINEST_SCALE = 0.6
"""Of the finest level: a face of ``smallest_px`` is as large as the P-Net's window there. From 0.5
on it takes two thirds of the time, and loses a tenth of the faces of up to 1.5 times that size."""
_PYRAMID_STEP = 0.709
_MIN_PROPOSAL = 0.6
_MIN_FINEST_PROPOSAL = 0.5
"""On the finest level, whose windows alone are small enough for the smallest faces."""
_SAME_ACROSS = 0.7
"""Overlap from which of two proposals of different levels the likelier stays."""
_MOST_WINDOWS = 4000
"""Proposals of one level that are compared with each other, the likeliest: a picture of mere
texture has any number of them."""
_TILE_PX = 256
"""A CPU sees a level in tiles of this side, whose features stay in a core's cache."""
_TILE_PX_ON_GPU = 4096
_CELL_PX = 64
_CELLS_A_BATCH = 16


class MTCNNDetector(CascadeDetector):
    """The P-Net proposes, on a pyramid of levels."""

    def __init__(self, network: Cascade, runtime: Runtime) -> None:
        super().__init__(network.of_pixels(), runtime.device)
        self._tile_px = _TILE_PX if self._device.type == "cpu" else _TILE_PX_ON_GPU

    def _propose(self, pictures: list[Octaves], sizes_px: tuple[float, float]) -> list[np.ndarray]:
        scales = list(_scales(pictures[0].size_hw, sizes_px))
        found: list[list[Windows]] = [[] for _ in pictures]
        for scale in reversed(scales):
            levels = [picture.level(scale) for picture in pictures]
            least = _MIN_FINEST_PROPOSAL if scale == _FINEST_SCALE else _MIN_PROPOSAL
            if scale == _FINEST_SCALE and found[0] and max(levels[0].shape) > _TILE_PX:
                # Half of all there is to see; where it shows a face the level before may show one.
                seen = [
                    self._windows_near(level, some[-1].centres_xy * scale, least)
                    for level, some in zip(levels, found, strict=True)
                ]
            else:
                seen = self._windows(np.stack(levels), least)
            for some, windows in zip(found, seen, strict=True):
                some.append(windows.scaled(scale))
        return [
            apart_across([windows.apart(0.5, _MOST_WINDOWS) for windows in some], _SAME_ACROSS)[0]
            for some in found
        ]

    def _windows(self, level_nhwc: np.ndarray, least: float) -> list[Windows]:
        """For each picture the P-Net's windows above that score at one level, in its pixels."""
        found: list[list[Windows]] = [[] for _ in level_nhwc]
        down, across = (
            window_tiles(length, _WINDOW_PX, _STRIDE_PX, self._tile_px)
            for length in level_nhwc.shape[1:3]
        )
        for (top, tile_h, rows), (left, tile_w, columns) in product(down, across):
            tile = padded(level_nhwc[:, top : top + tile_h, left : left + tile_w], tile_h, tile_w)
            corners = [(left, top, columns, rows)] * len(level_nhwc)
            which, windows = self._seen(tile, corners, least)
            for i, some in enumerate(found):
                some.append(windows[which == i])
        return [Windows.together(some) for some in found]

    def _windows_near(self, level_hwc: np.ndarray, points_xy: np.ndarray, least: float) -> Windows:
        """The same in those cells of a level that lie around points (N, 2) of it."""
        size_hw = level_hwc.shape[:2]
        cells = cells_around(points_xy, size_hw, _WINDOW_PX, _STRIDE_PX, _CELL_PX)
        found = [Windows.together([])]
        for start in range(0, len(cells), _CELLS_A_BATCH):
            some = cells[start : start + _CELLS_A_BATCH]
            tiles = np.zeros((rounded(len(some), 4), _CELL_PX, _CELL_PX, 3), np.uint8)
            for tile, (left, top, _, _) in zip(tiles, some, strict=False):
                inside = level_hwc[top : top + _CELL_PX, left : left + _CELL_PX]
                tile[...] = padded(inside[None], _CELL_PX, _CELL_PX)[0]
            found.append(self._seen(tiles, some, least)[1])
        return Windows.together(found)

    def _seen(
        self,
        tiles_nhwc: np.ndarray,
        corners: Sequence[tuple[int, int, int, int]],
        least: float,
    ) -> tuple[np.ndarray, Windows]:
        """The windows of tiles above a score, in pixels of their level, and in which tile each is.
        ``corners``: left and top of each tile, and how many windows across and down it count; more
        tiles than that are not looked at."""
        import torch

        score, offsets = self._nets.pnet(self._tensor(tiles_nhwc))
        likely = torch.nonzero(score[: len(corners)] > least).unbind(1)
        moved = offsets.permute(0, 2, 3, 1)[likely].double().cpu().numpy() * _WINDOW_PX
        scores = score[likely].cpu().numpy()
        tile, y, x = (each.cpu().numpy() for each in likely)
        left, top, columns, rows = np.array(corners)[tile].T
        corner = np.stack([x * _STRIDE_PX + left, y * _STRIDE_PX + top], axis=1).astype(float)
        windows = Windows(corner, corner + _WINDOW_PX, moved, scores)
        own = (x < columns) & (y < rows)
        return tile[own], windows[own]


def _scales(size_hw: tuple[int, int], sizes_px: tuple[float, float]) -> Iterator[float]:
    """The pyramid's scales whose windows are of those sizes, while the P-Net's window fits."""
    scale = min(_WINDOW_PX / max(sizes_px[0], 1e-9), _FINEST_SCALE)
    while int(min(size_hw) * scale) >= _WINDOW_PX and _WINDOW_PX / scale <= sizes_px[1]:
        yield scale
        scale *= _PYRAMID_STEP


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
            cascade.load_state_dict(from_keras(state))
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


_PACKAGED = {
    "pnet": _packaged(
        "pnet.lz4", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"
    ),
    "rnet": _packaged(
        "rnet.lz4", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"
    ),
    "onet": _packaged(
        "onet.lz4", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"
    ),
}
_FACENET = {
    "pnet": _facenet(
        "pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28570
    ),
    "rnet": _facenet(
        "rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403147
    ),
    "onet": _facenet(
        "onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1559269
    ),
}
REFINERS = tuple((source["rnet"], source["onet"]) for source in (_PACKAGED, _FACENET))
"""Where the two networks are that see what another proposes, in each form."""

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
    sources=tuple(tuple(source.values()) for source in (_PACKAGED, _FACENET)),
    # Of the P-Net on its pyramid; the other two see only what it proposes.
    tflop=0.00136,
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

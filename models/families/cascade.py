"""A cascade that finds faces in a fraction of MTCNN's time: a small network of our own proposes.

It sees a grey picture in octaves, each once, where MTCNN's first network sees every level of a
colour pyramid, and proposes some hundred windows instead of thousands. What it proposes is refined
and confirmed by MTCNN's other two. Its weights come with this package, theirs with the ``mtcnn``
package. Trained with ``jobs/train/propose.yaml``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from restore_batch.models.base import Card, Family, NoOptions, Runtime, StateDict
from restore_batch.models.families import mtcnn
from restore_batch.models.own import CONGRESS, FACES, SCENES, licence, shipped
from restore_batch.models.running.cascade import CascadeDetector, FirstSeen
from restore_batch.models.running.octaves import Octaves
from restore_batch.models.running.shapes import rounded
from restore_batch.models.running.windows import apart, apart_across

if TYPE_CHECKING:
    import torch

    from restore_batch.models.nets.propose import OwnCascade

_CREDIT = (
    f"trained on {SCENES}, on {FACES}, and on {CONGRESS}; what refines is MTCNN's, MIT, trained on"
    " WIDER FACE and CelebA, whose pictures are for research"
)
_PROPOSE = shipped(
    "propose.safetensors",
    "d7396e327a64050510356b96311b6e268c8c8605344f4ad93f82b91a11ae7be9",
    65872,
)

_SCALES = ((600_000, (0.5, 0.6)), (2_000_000, (0.6,)), (math.inf, (0.5,)))
"""Of the finest levels, of pictures of up to so many pixels: a face of ``smallest_px`` has 12
pixels at 0.6. In a street full of people 0.6 shows faces that 0.5 does not, in four thirds of the
time, and both together more of those that are turned; in large pictures a half is as good."""
_SMALLEST_PX = 10.0
_LEAST_LEVEL_PX = 10
"""Shorter sides show no face that the level before does not."""
_MIN_PROPOSAL = 0.15
_SURE = 0.5
"""What is surer is looked at however many there are; of the rest the likeliest."""
_MOST_UNSURE, _MOST_UNSURE_OF_MEGAPIXEL = 60, 220
"""Proposals that are looked at, of any picture and of each megapixel of all its levels: a picture
of mere texture has any number of them."""
_WORTH_ANOTHER = 0.1
_ALSO = (0.85, 1.12)
"""Of what the R-Net takes for a face with that likelihood it is shown other sizes too, over the one
that was proposed: it moves a window less far than the proposal network's sizes are off."""
_SAME_IN_LEVEL, _SAME_ACROSS = 0.5, 0.6
"""Overlap from which of two proposals, of one level and of several, the likelier stays."""
_MOST_OF_LEVEL = 1500
"""Proposals of one level that are compared with each other, the likeliest."""
_ROWS_AT_ONCE = 128
"""Of cells, so that their features stay in a core's cache and a large scan's in memory."""
_STEP_CELLS = 8
"""Levels are as many cells wide as a multiple of it: few shapes, see ``running/shapes.py``."""


class ProposalDetector(CascadeDetector):
    """The proposal network sees a picture at a half of its size or so, a quarter, an eighth…"""

    def __init__(self, network: OwnCascade, runtime: Runtime) -> None:
        super().__init__(network.of_pixels(), runtime.device)

    def _propose(self, pictures: list[Octaves], sizes_px: tuple[float, float]) -> list[np.ndarray]:
        height, width = pictures[0].size_hw
        scales = next(scales for most_px, scales in _SCALES if height * width <= most_px)
        # Where no face is so small, all of them are the same.
        coarser = _SMALLEST_PX / max(sizes_px[0], 1e-9)
        found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in pictures]
        seen_px = 0
        for finest in sorted({min(scale, coarser) for scale in scales}):
            for scale, level_nhw in _octaves(pictures, finest, sizes_px[1]):
                seen_px += level_nhw[0].size
                for some, (boxes, scores) in zip(found, self._seen(level_nhw), strict=True):
                    some.append((boxes / scale, scores))
        most = _MOST_UNSURE + round(_MOST_UNSURE_OF_MEGAPIXEL * seen_px / 1e6)
        return [_likeliest(some, most) for some in found]

    def _first_seen(self, pictures: list[Octaves], boxes: list[np.ndarray]) -> list[FirstSeen]:
        once = super()._first_seen(pictures, boxes)
        worth = [squares[likely > _WORTH_ANOTHER] for squares, likely, _ in once]
        again = super()._first_seen(pictures, [_in_other_sizes(some) for some in worth])
        both = zip(once, again, strict=True)
        return [tuple(map(np.concatenate, zip(*some, strict=True))) for some in both]

    def _seen(self, level_nhw: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each of N grey pictures of one size, uint8, the boxes (M, 4) of what may be faces
        there, in its pixels, and how likely each is, by falling likelihood."""
        import torch

        from restore_batch.models.nets.propose import CELL_PX, USUAL_PX

        out = self._heads(level_nhw)
        likely = torch.sigmoid(out[:, 0])
        picture, row, column = torch.nonzero(likely > _MIN_PROPOSAL).unbind(1)
        scores = likely[picture, row, column].cpu().numpy()
        aside, below, size = out[picture, 1:, row, column].double().cpu().numpy().T
        middle = (CELL_PX - 1) / 2
        centre = np.stack(
            [
                (column.cpu().numpy() + aside) * CELL_PX + middle,
                (row.cpu().numpy() + below) * CELL_PX + middle,
            ],
            axis=1,
        )
        side = USUAL_PX * 2.0 ** np.clip(size, -1, 1)[:, None]
        boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
        which = picture.cpu().numpy()
        return [
            apart(boxes[which == i], scores[which == i], _SAME_IN_LEVEL, _MOST_OF_LEVEL)
            for i in range(len(level_nhw))
        ]

    def _heads(self, level_nhw: np.ndarray) -> torch.Tensor:
        """What the network says of each cell, (N, 4, h, w); cells over the edge repeat it."""
        import torch

        from restore_batch.models.nets.propose import CELL_PX

        count, height, width = level_nhw.shape
        down, across = math.ceil(height / CELL_PX), math.ceil(width / CELL_PX)
        columns = rounded(across, _STEP_CELLS)
        more = ((0, 0), (0, down * CELL_PX - height), (0, columns * CELL_PX - width))
        cells = np.pad(level_nhw, more, mode="edge")
        cells = cells.reshape(count, down, CELL_PX, columns, CELL_PX).transpose(0, 1, 3, 2, 4)
        reach, made = self._nets.propose.reach, []
        for top in range(0, down, _ROWS_AT_ONCE):
            before = min(reach, top)
            rows = cells[:, top - before : top + _ROWS_AT_ONCE + reach]
            seen = self._tensor(rows.reshape(*rows.shape[:3], CELL_PX**2))
            some = self._nets.propose(seen.div_(127.5).sub_(1))
            made.append(some[:, :, before : before + _ROWS_AT_ONCE, :across])
        return torch.cat(made, dim=2)


def _octaves(
    pictures: list[Octaves], scale: float, largest_px: float
) -> Iterator[tuple[float, np.ndarray]]:
    """The pictures in grey at that scale, at half of it and so on, (N, h, w), with each scale,
    until the network has seen faces of that size or nothing is left to see."""
    from restore_batch.models.nets.propose import SIZES_PX

    levels = [each.grey_level(scale) for each in pictures]
    while min(levels[0].shape) >= _LEAST_LEVEL_PX:
        yield scale, np.stack(levels)
        if SIZES_PX[1] / scale > largest_px:
            return
        levels = [_halved(level) for level in levels]
        scale /= 2


def _likeliest(levels: list[tuple[np.ndarray, np.ndarray]], most: int) -> np.ndarray:
    """Those of all levels that no likelier one covers: the surer ones, and as many others as make
    ``most`` with them."""
    boxes, scores = apart_across(levels, _SAME_ACROSS)
    return boxes[: max(most, int((scores > _SURE).sum()))]


def _in_other_sizes(boxes: np.ndarray) -> np.ndarray:
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([np.concatenate([middle - s * half, middle + s * half], axis=1)
                           for s in _ALSO])  # fmt: skip


def _halved(grey_hw: np.ndarray) -> np.ndarray:
    height, width = (length // 2 for length in grey_hw.shape)
    even = grey_hw[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))


def network(state: StateDict | None, **architecture: Any) -> OwnCascade:
    """The cascade, in eval mode: ``propose.`` as it is trained here, ``rnet.`` and ``onet.`` in
    either form that MTCNN's weights have. A state dict of the proposal network alone, which
    training begins with, leaves the others random, as all are where ``state`` is None.

    ``architecture``: ``width`` and ``depth`` of
    :class:`restore_batch.models.nets.propose.ProposalNet`; what is not given is read from the
    keys. Raises WeightsError when keys or shapes do not fit.
    """
    from restore_batch.models.nets.loading import load_strictly
    from restore_batch.models.nets.mtcnn import from_keras
    from restore_batch.models.nets.propose import OwnCascade

    inferred = (_own_architecture(state) if state is not None else None) or {}
    cascade = OwnCascade(**{**inferred, **architecture})
    if state is not None and all(key.startswith("propose.") for key in state):
        state = {**cascade.state_dict(), **state}
    return load_strictly(cascade, state and from_keras(state), "cascade")


def recognise(state: StateDict) -> dict[str, Any] | None:
    """The architecture of a cascade's state dict, or None."""
    if not any(key in state for key in ("rnet.0", "rnet.conv1.weight")):
        return None
    return _own_architecture(state)


def _own_architecture(state: StateDict) -> dict[str, Any] | None:
    from restore_batch.models.nets.loading import inferred
    from restore_batch.models.nets.propose import infer

    return inferred(infer, state)


def build(state: StateDict, card: Card, options: NoOptions, runtime: Runtime) -> ProposalDetector:
    """The detector, on the worker's device."""
    return ProposalDetector(network(state, **card.architecture), runtime)


CARD = Card(
    name="cascade-1",
    family="cascade",
    task="detect",
    title="Finds faces: proposals of our own, MTCNN's refinement and landmarks",
    paper="none; what refines: Zhang et al. 2016, arXiv:1604.02878",
    licence=licence(_CREDIT),
    sources=tuple((_PROPOSE, *refiners) for refiners in mtcnn.REFINERS),
    architecture={"width": 32, "depth": 3},
    # Of the proposal network in its octaves; the other two see only what it proposes.
    tflop=0.00209,
    rank=25,
    limits="faces from 20 px of its input; loses faces turned by more than 45 degrees",
)

FAMILY = Family(
    name="cascade",
    task="detect",
    cards=(CARD,),
    network=network,
    build=build,
    recognise=recognise,
    tiny={"width": 4, "depth": 1},
)

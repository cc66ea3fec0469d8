"""Windows that slide over a picture: what a network says of them, and which of them stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows that may show something: corners (N, 2) and offsets of the box (N, 4) in pixels,
    float64; scores (N,) float32."""

    left_top: np.ndarray
    right_bottom: np.ndarray
    offsets: np.ndarray
    scores: np.ndarray

    @classmethod
    def together(cls, some: Sequence[Windows]) -> Windows:
        """All of them, in their order."""
        none = (np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0, np.float32))
        arrays = [none, *((w.left_top, w.right_bottom, w.offsets, w.scores) for w in some)]
        return cls(*(np.concatenate(column) for column in zip(*arrays, strict=True)))

    def __getitem__(self, which: np.ndarray) -> Windows:
        return Windows(
            self.left_top[which], self.right_bottom[which], self.offsets[which], self.scores[which]
        )

    def scaled(self, scale: float) -> Windows:
        """From a level at ``scale`` to the picture."""
        return Windows(
            self.left_top / scale, self.right_bottom / scale, self.offsets / scale, self.scores
        )

    @property
    def centres_xy(self) -> np.ndarray:
        """(N, 2), of the windows themselves."""
        return (self.left_top + self.right_bottom) / 2

    @property
    def boxes_xyxy(self) -> np.ndarray:
        """(N, 4): the windows moved by their offsets."""
        return np.concatenate([self.left_top, self.right_bottom], axis=1) + self.offsets

    def apart(self, iou: float, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of those that no likelier one covers, see :func:`apart`."""
        return apart(self.boxes_xyxy, self.scores, iou, most)


def apart(
    boxes: np.ndarray, scores: np.ndarray, iou: float, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Those of (N, 4) boxes with their scores that no likelier one covers, by falling score; of
    more than ``most`` the likeliest are looked at."""
    if len(scores) > most:
        likeliest = np.argsort(-scores, kind="stable")[:most]
        boxes, scores = boxes[likeliest], scores[likeliest]
    kept = suppress(boxes, scores, iou)
    return boxes[kept], scores[kept]


def apart_across(
    levels: Sequence[tuple[np.ndarray, np.ndarray]], iou: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same of several levels' boxes and scores together, however many they are."""
    boxes = np.concatenate([np.zeros((0, 4)), *(boxes for boxes, _ in levels)])
    scores = np.concatenate([np.zeros(0), *(scores for _, scores in levels)])
    return apart(boxes, scores, iou, len(scores))


def suppress(boxes: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Non-maximum suppression of (N, 4) boxes: indices of those that stay, by falling score.

    To the bit what torchvision's does, whose import takes as long as that of torch.
    """
    columns = np.ascontiguousarray(boxes.astype(np.float64).T)
    rest = np.argsort(-scores.astype(np.float64), kind="stable")
    kept: list[np.ndarray] = []
    while len(rest):
        some = rest[:_ROWS_AT_ONCE]
        covers = _iou(columns[:, some], columns[:, rest]) > iou
        stays = np.ones(len(rest), bool)
        for row in range(len(some)):
            if stays[row]:
                stays[row + 1 :] &= ~covers[row, row + 1 :]
        kept.append(some[stays[: len(some)]])
        rest = rest[len(some) :][stays[len(some) :]]
    return np.concatenate([rest, *kept])


def _iou(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Columns of boxes, (4, S) and (4, N), to (S, N)."""
    left, top, right, bottom = some[:, :, None]
    width = np.minimum(right, others[2]) - np.maximum(left, others[0])
    height = np.minimum(bottom, others[3]) - np.maximum(top, others[1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    area = (right - left) * (bottom - top)
    other_area = (others[2] - others[0]) * (others[3] - others[1])
    with np.errstate(invalid="ignore", divide="ignore"):  # boxes without an area
        return np.asarray(common / (area + other_area - common))


def suppress_contained(boxes: np.ndarray, scores: np.ndarray, share: float) -> list[int]:
    """Like :func:`suppress`, but by the intersection's share of the smaller box."""
    kept: list[int] = []
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for i in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[kept, :2], boxes[i, :2])
        high = np.minimum(boxes[kept, 2:], boxes[i, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        if (common <= share * np.minimum(area[kept], area[i])).all():
            kept.append(i)
    return kept

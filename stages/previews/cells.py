"""The surroundings of faces, cut out so that the eye compares faces and not scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_batch.stages.geometry import warp
from restore_batch.stages.media import Frame

CELL_PX = 320
FACES_SHOWN = 60
"""A JPEG is at most 65 500 px high; nobody compares hundreds of faces anyway."""
CONTEXT = 1.7
"""Side of a cell over the longer side of the face's box: hair and chin show."""

Box = tuple[float, float, float, float]


def face_cells(frame: Frame, boxes: Sequence[Box], source_wh: tuple[int, int]) -> list[np.ndarray]:
    """The surroundings of each face, (CELL_PX, CELL_PX, 3) uint8.

    ``boxes``: left, top, right, bottom in pixels of the source, whose size is ``source_wh``;
    ``frame`` may be the source or a result of another size. Enlarged plainly, reduced by area. What
    lies outside of the picture is grey: mirrored, it would look like another face.
    """
    scale = frame.width / source_wh[0]
    return [warp(frame.rgb_hwc, _to_cell(box, scale), CELL_PX, border="grey") for box in boxes]


def _to_cell(box: Box, scale: float) -> np.ndarray:
    """(2, 3) matrix from pixels of a picture ``scale`` times the source to those of a cell."""
    left, top, right, bottom = box
    side = max(CONTEXT * max(right - left, bottom - top), 1.0)
    zoom = CELL_PX / (side * scale)
    x, y = (
        # Box and matrix speak of pixel centres; distances are measured from pixels' edges.
        zoom * (0.5 - ((low + high - side) / 2 + 0.5) * scale) - 0.5
        for low, high in ((left, right), (top, bottom))
    )
    return np.array([[zoom, 0, x], [0, zoom, y]])


def shown_faces(boxes: Sequence[Box]) -> list[int]:
    """Numbers of the faces that are shown, the largest where there are too many, in order."""
    by_size = sorted(range(len(boxes)), key=lambda number: -_side_px(boxes[number]))
    return sorted(by_size[:FACES_SHOWN])


def _side_px(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])

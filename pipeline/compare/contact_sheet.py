"""A contact sheet: for each face of a picture, or moment of a film, a row, the original first,
then each restorer.

All cells of a row show the same square of the picture, at one size, so that the eye compares
faces and not scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.pipeline.compare.lettering import FAINT, INK, PAPER, Lettering
from restore_batch.stages.previews.cells import CELL_PX

_GAP_PX = 8
_HEAD_PX = 62
_TEXT_PX = 18


@dataclass(frozen=True)
class Rows:
    """What a sheet shows. ``captions``: a line under each row; ``columns``: label to one cell a
    row, None where a restorer has no result."""

    captions: Sequence[str]
    columns: Mapping[str, Sequence[np.ndarray] | None]


def draw(title: str, rows: Rows) -> np.ndarray:
    """The sheet, (H, W, 3) uint8."""
    columns, captions = rows.columns, rows.captions
    step = CELL_PX + _GAP_PX
    line = step + _TEXT_PX + _GAP_PX
    width = len(columns) * step + _GAP_PX
    sheet = np.full((_HEAD_PX + len(captions) * line, width, 3), PAPER, np.uint8)
    letters = Lettering(_TEXT_PX, _GAP_PX)
    letters.write(sheet, title, (_GAP_PX, _GAP_PX), INK, width)
    for number, (label, cells) in enumerate(columns.items()):
        x = _GAP_PX + number * step
        letters.write(sheet, label, (x, _GAP_PX + _HEAD_PX // 2), INK, CELL_PX)
        for row in range(len(captions)):
            y = _HEAD_PX + row * line
            if cells is None:
                cv2.rectangle(sheet, (x, y), (x + CELL_PX - 1, y + CELL_PX - 1), FAINT)
                place = x + _GAP_PX, y + CELL_PX // 2
                letters.write(sheet, "no result", place, FAINT, CELL_PX)
            else:
                sheet[y : y + CELL_PX, x : x + CELL_PX] = cells[row]
    for row, caption in enumerate(captions):
        y = _HEAD_PX + row * line + CELL_PX + _GAP_PX // 2
        letters.write(sheet, caption, (_GAP_PX, y), FAINT, width)
    return sheet

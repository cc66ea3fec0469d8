"""A contact sheet: for each face of a picture, or moment of a film, a row, the original first,
then each restorer.

All cells of a row show the same square of the picture, at one size, so that the eye compares
faces and not scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from restore_batch.stages.geometry import warp
from restore_batch.stages.media import Frame
from restore_batch.text import legible

CELL_PX = 320
FACES_SHOWN = 60
"""A JPEG is at most 65 500 px high; nobody compares hundreds of faces anyway."""
CONTEXT = 1.7
"""Side of a cell over the longer side of the face's box: hair and chin show."""
_GAP_PX = 8
_HEAD_PX = 62
_TEXT_PX = 18
PAPER, INK, FAINT = (250, 250, 248), (20, 20, 20), (110, 110, 110)
"""Colours of sheets, RGB."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Rows:
    """What a sheet shows. ``captions``: a line under each row; ``columns``: label to one cell a
    row, None where a restorer has no result."""

    captions: Sequence[str]
    columns: Mapping[str, Sequence[np.ndarray] | None]


def face_cells(frame: Frame, boxes: Sequence[Box], source_wh: tuple[int, int]) -> list[np.ndarray]:
    """The surroundings of each face, (CELL_PX, CELL_PX, 3) uint8.

    ``boxes``: left, top, right, bottom in pixels of the source, whose size is ``source_wh``;
    ``frame`` may be the source or a result of another size. Enlarged plainly, reduced by area.
    """
    scale = frame.width / source_wh[0]
    return [warp(frame.rgb_hwc, _to_cell(box, scale), CELL_PX) for box in boxes]


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


def draw(title: str, rows: Rows) -> np.ndarray:
    """The sheet, (H, W, 3) uint8."""
    columns, captions = rows.columns, rows.captions
    step = CELL_PX + _GAP_PX
    line = step + _TEXT_PX + _GAP_PX
    size = (len(columns) * step + _GAP_PX, _HEAD_PX + len(captions) * line)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT_PX)
    pen.text((_GAP_PX, _GAP_PX), fitting(title, font, size[0]), INK, font)
    for number, (label, cells) in enumerate(columns.items()):
        x = _GAP_PX + number * step
        pen.text((x, _GAP_PX + _HEAD_PX // 2), fitting(label, font, CELL_PX), INK, font)
        for row in range(len(captions)):
            y = _HEAD_PX + row * line
            if cells is None:
                pen.rectangle((x, y, x + CELL_PX - 1, y + CELL_PX - 1), outline=FAINT)
                pen.text((x + _GAP_PX, y + CELL_PX // 2), "no result", FAINT, font)
            else:
                sheet.paste(Image.fromarray(cells[row]), (x, y))
    for row, caption in enumerate(captions):
        y = _HEAD_PX + row * line + CELL_PX + _GAP_PX // 2
        pen.text((_GAP_PX, y), fitting(caption, font, size[0]), FAINT, font)
    return np.asarray(sheet)


def fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """``text``, cut from the left where it is too long: the end of a path tells more."""
    text = legible(text)
    if font.getlength(text) <= width - 2 * _GAP_PX:
        return text
    while text and font.getlength("…" + text) > width - 2 * _GAP_PX:
        text = text[1:]
    return "…" + text

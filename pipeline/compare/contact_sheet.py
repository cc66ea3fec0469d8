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

from restore_batch.stages.previews.cells import CELL_PX
from restore_batch.text import legible

_GAP_PX = 8
_HEAD_PX = 62
_TEXT_PX = 18
PAPER, INK, FAINT = (250, 250, 248), (20, 20, 20), (110, 110, 110)
"""Colours of sheets, RGB."""


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

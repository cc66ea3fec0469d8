"""The sheet of a trial: each piece before and after, side by side, with a caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from restore_batch.errors import UsageError
from restore_batch.files import whole
from restore_batch.pipeline.begin.pieces import Piece
from restore_batch.pipeline.begin.trial import Tried
from restore_batch.pipeline.compare.lettering import FAINT, INK, PAPER, Colour, Lettering
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.photo.read import read
from restore_batch.text import plural

_CELL_PX = 480
_GAP_PX = 8
_LINE_PX = 22
_TEXT_PX = 16
_HEAD_PX = 34
_MOST_ACROSS = 3
_QUALITY = 92
_MARK = b"restore-batch preview"
"""The comment by which a sheet is known, so that the next may take its place."""


def write_sheet(tried: Tried, title: str, path: Path) -> None:
    """Draw the sheet as a JPEG at ``path``. Raises UsageError where another file is there."""
    expect_free(path)
    sheet = Image.fromarray(_drawn(tried, title))
    with whole(path) as staged:
        sheet.save(staged, format="JPEG", quality=_QUALITY, subsampling=0, comment=_MARK)


def expect_free(path: Path) -> None:
    """Raise UsageError where a file is at ``path`` that is no earlier sheet."""
    if not path.parent.is_dir():
        raise UsageError(f"{path}: its folder is not there; make it, or name another with --to")
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            if image.info.get("comment") == _MARK:
                return
    except (OSError, ValueError, Image.DecompressionBombError):
        pass
    raise UsageError(f"{path} is there and no preview; name another file with --to")


def _drawn(tried: Tried, title: str) -> np.ndarray:
    """(H, W, 3) uint8."""
    across = min(_MOST_ACROSS, max(1, math.isqrt(len(tried.pieces))))
    pair = 2 * _CELL_PX + _GAP_PX // 2
    step_x, step_y = pair + 3 * _GAP_PX, _CELL_PX + 2 * _LINE_PX + 2 * _GAP_PX
    rows = math.ceil(len(tried.pieces) / across)
    width = across * step_x + _GAP_PX
    sheet = np.full((_HEAD_PX + rows * step_y + _GAP_PX, width, 3), PAPER, np.uint8)
    letters = Lettering(_TEXT_PX, _GAP_PX)
    letters.write(sheet, title, (_GAP_PX, _GAP_PX), INK, width)
    for number, (piece, after) in enumerate(zip(tried.pieces, tried.after, strict=True)):
        x = _GAP_PX + number % across * step_x
        y = _HEAD_PX + number // across * step_y
        for half, path in enumerate((piece.path, after)):
            left = x + half * (_CELL_PX + _GAP_PX // 2)
            if path is None:
                cv2.rectangle(sheet, (left, y), (left + _CELL_PX, y + _CELL_PX), FAINT)
                place = left + _GAP_PX, y + _CELL_PX // 2
                letters.write(sheet, "no result", place, FAINT, _CELL_PX)
            else:
                cell = _cell(path)
                height, wide = cell.shape[:2]
                left += (_CELL_PX - wide) // 2
                # On the line of its caption.
                sheet[y + _CELL_PX - height : y + _CELL_PX, left : left + wide] = cell
        for line, (text, ink) in enumerate(_captions(piece)):
            place = x, y + _CELL_PX + _GAP_PX // 2 + line * _LINE_PX
            letters.write(sheet, text, place, ink, pair)
    return sheet


def _cell(path: Path) -> np.ndarray:
    """A picture as large as fits into a cell, (H, W, 3) uint8: enlarged plainly, so that a piece
    and its result show the same place at the same size."""
    frame, _, _ = read(str(path), math.inf)
    scale = _CELL_PX / max(frame.width, frame.height)
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    plain = Image.fromarray(to_uint8(frame.rgb_hwc)).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(plain)


def _captions(piece: Piece) -> Sequence[tuple[str, Colour]]:
    item, faces = piece.seen.item, len(piece.seen.faces)
    left, top, right, bottom = piece.box
    size = f"{item.facts['width']} x {item.facts['height']}"
    part = (
        "whole"
        if piece.is_whole
        else f"a piece of {right - left} x {bottom - top} at {left}, {top}"
    )
    found = plural(faces, "face")
    about = f"{size}, {part}; {found}; noise {piece.seen.noise:.1f}"
    return ((item.source.relative, INK), (about, FAINT))

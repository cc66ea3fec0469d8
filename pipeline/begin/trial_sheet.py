"""The sheet of a trial: each piece before and after, side by side, with a caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from restore_batch.errors import UsageError
from restore_batch.files import whole
from restore_batch.pipeline.begin.pieces import Piece
from restore_batch.pipeline.begin.trial import Tried
from restore_batch.pipeline.compare.contact_sheet import FAINT, INK, PAPER, fitting
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
    sheet = _drawn(tried, title)
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


def _drawn(tried: Tried, title: str) -> Image.Image:
    across = min(_MOST_ACROSS, max(1, math.isqrt(len(tried.pieces))))
    pair = 2 * _CELL_PX + _GAP_PX // 2
    step_x, step_y = pair + 3 * _GAP_PX, _CELL_PX + 2 * _LINE_PX + 2 * _GAP_PX
    rows = math.ceil(len(tried.pieces) / across)
    size = across * step_x + _GAP_PX, _HEAD_PX + rows * step_y + _GAP_PX
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT_PX)
    pen.text((_GAP_PX, _GAP_PX), fitting(title, font, size[0]), INK, font)
    for number, (piece, after) in enumerate(zip(tried.pieces, tried.after, strict=True)):
        x = _GAP_PX + number % across * step_x
        y = _HEAD_PX + number // across * step_y
        for half, path in enumerate((piece.path, after)):
            left = x + half * (_CELL_PX + _GAP_PX // 2)
            if path is None:
                pen.rectangle((left, y, left + _CELL_PX, y + _CELL_PX), outline=FAINT)
                pen.text((left + _GAP_PX, y + _CELL_PX // 2), "no result", FAINT, font)
            else:
                cell = _cell(path)
                # On the line of its caption.
                sheet.paste(cell, (left + (_CELL_PX - cell.width) // 2, y + _CELL_PX - cell.height))
        for line, (text, ink) in enumerate(_captions(piece)):
            place = x, y + _CELL_PX + _GAP_PX // 2 + line * _LINE_PX
            pen.text(place, fitting(text, font, pair), ink, font)
    return sheet


def _cell(path: Path) -> Image.Image:
    """A picture as large as fits into a cell: enlarged plainly, so that a piece and its result show
    the same place at the same size."""
    frame, _, _ = read(str(path), math.inf)
    scale = _CELL_PX / max(frame.width, frame.height)
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    return Image.fromarray(to_uint8(frame.rgb_hwc)).resize(size, Image.Resampling.LANCZOS)


def _captions(piece: Piece) -> Sequence[tuple[str, tuple[int, int, int]]]:
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

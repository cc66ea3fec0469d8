"""What a report shows of a photo: original and result reduced, a thumbnail of both, its faces.

Files are named by a key that covers the original, the result and all that is shown of them, so that
they are made once, by whoever has both at hand first.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.jobs.units import digest
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.previews.cells import CELL_PX, Box, face_cells, shown_faces
from restore_batch.stages.rows import by_rows
from restore_batch.text import legible

VERSION = 3
"""Raised whenever the same original and result give other previews, and where those that were kept
may be wrong."""
PREVIEW_PX = 1600
THUMB_PX = 288
"""Longer sides, of a preview and of one half of a thumbnail."""
FACTS = "facts.json"
_QUALITY, _THUMB_QUALITY = 85, 78
JPEG_BYTES_A_PIXEL = 0.15
"""What a JPEG of these takes: photographs and scans from 1.4 to 4 megapixels took 0.07 to 0.3."""
_BEHIND_ALPHA = 192.0
_NO_ORIGINAL = 128
_REPAIRED_RGB = (230, 60, 160)
_TAGS = {270: "description", 306: "date", 315: "artist", 33432: "copyright", 36867: "taken"}
_LONGEST_TAG = 300


def key_of(unit: str, source_sha256: str, sha256: str, mask: bool) -> str:
    """The key of an item's previews: 16 hexadecimal digits."""
    shown = {
        "version": VERSION,
        "unit": unit,
        "source": source_sha256,
        "result": sha256,
        "mask": mask,
    }
    return digest(shown)


def folder_of_key(previews: Path, key: str) -> Path:
    """The folder below ``previews`` that the files of a key lie in."""
    return previews / key[:2]


class Drawn:
    """The files of one item as they are drawn, by the end of their names."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def picture(self, ending: str, rgb: np.ndarray, quality: int = _QUALITY) -> None:
        """A JPEG of (H, W, 3) or (H, W) uint8."""
        bgr = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        coded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not coded:
            raise MediaError(f"{ending}: a preview of {rgb.shape} cannot be written")
        self.files[ending] = data.tobytes()

    def kept(self, folder: Path, key: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files; each appears whole or not at all. Returns ``facts`` with ``files``,
        bytes by the end of the name; who finds them written beside need not ask again, so they come
        last, and only when nothing is missing. Raises OSError."""
        known = {**facts, "files": {ending: len(data) for ending, data in self.files.items()}}
        folder.mkdir(parents=True, exist_ok=True)
        for ending, data in self.files.items():
            replace_with(folder / f"{key}-{ending}", data)
        if not known.get("missing"):
            replace_with(folder / f"{key}-{FACTS}", json.dumps(known).encode())
        return known


def replace_with(path: Path, data: bytes) -> None:
    """Put ``data`` into the place of ``path`` in one step, for readers; a power cut may take it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        staged.write_bytes(data)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def draw_photo(
    drawn: Drawn, before: Frame | None, after: Frame, boxes: Sequence[Box], mask: np.ndarray | None
) -> dict[str, Any]:
    """Draw a photo; what is known of it, as plain data.

    ``boxes``: its faces, in pixels of ``before``. ``mask``: (H, W) uint8, white where it was
    repaired. ``before``, ``after``: [width, height] of both; ``shown``, ``change``, ``cell_px``:
    which faces are shown, how much each has changed (the mean absolute difference of both cells in
    luma, as a share of the whole range) and the side of a cell; ``repaired``: a share of the
    picture.
    """
    facts: dict[str, Any] = {"after": [after.width, after.height]}
    late = resized(in_8_bits(after), fit(after.width, after.height, PREVIEW_PX))
    drawn.picture("after.jpg", late)
    early: np.ndarray | None = None
    if before is not None:
        facts["before"] = [before.width, before.height]
        early = resized(in_8_bits(before), fit(before.width, before.height, PREVIEW_PX))
        drawn.picture("before.jpg", early)
        if boxes:
            facts |= _faces(drawn, boxes, before, after)
    drawn.picture("thumb.jpg", thumbnail(early, late), _THUMB_QUALITY)
    if mask is not None:
        facts["repaired"] = _mask(drawn, mask, (late.shape[1], late.shape[0]))
    return facts


def rough_bytes(before_wh: tuple[int, int], after_wh: tuple[int, int], faces: float) -> float:
    """About what the files take that :func:`draw_photo` draws, of pictures of these sizes."""
    thumb = fit(*after_wh, THUMB_PX)
    shown = [fit(*before_wh, PREVIEW_PX), fit(*after_wh, PREVIEW_PX), thumb, thumb]
    pixels = sum(width * height for width, height in shown) + 2 * faces * CELL_PX**2
    return JPEG_BYTES_A_PIXEL * pixels


def fit(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """(width, height) reduced to ``longest_px``, never enlarged."""
    scale = min(1.0, longest_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def thumbnail(
    before: np.ndarray | None, after: np.ndarray, longest_px: int = THUMB_PX
) -> np.ndarray:
    """Original and result side by side, of one size; an even grey in the place of an original that
    is missing."""
    size = fit(after.shape[1], after.shape[0], longest_px)
    late = resized(after, size)
    early = np.full_like(late, _NO_ORIGINAL) if before is None else resized(before, size)
    if early.ndim != late.ndim:
        early, late = (h if h.ndim == 3 else np.dstack([h] * 3) for h in (early, late))
    return np.hstack([early, late])


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``picture`` at (width, height): by area where it becomes smaller, else by Lanczos."""
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, size, interpolation=how))


def in_8_bits(frame: Frame) -> np.ndarray:
    """(H, W, 3) uint8, over an even grey where the frame is transparent."""
    rgb = to_uint8(frame.rgb_hwc)
    if frame.alpha_hw is None:
        return rgb
    most = 65535.0 if frame.rgb_hwc.dtype == np.uint16 else 255.0
    alpha_hw = frame.alpha_hw

    def over_grey(rows: slice) -> np.ndarray:
        alpha = (alpha_hw[rows].astype(np.float32) / most)[..., None]
        return np.asarray(np.rint(rgb[rows] * alpha + _BEHIND_ALPHA * (1 - alpha)))

    return by_rows(frame.height, frame.width, over_grey, np.empty_like(rgb))


def tags_of(meta: PhotoMeta) -> dict[str, str]:
    """What the file says of itself, as text on one line each."""
    if not meta.exif:
        return {}
    exif = Image.Exif()
    try:
        exif.load(meta.exif)
        tags = {**exif, **exif.get_ifd(0x8769)}
    except Exception:  # a damaged block is no reason to show nothing
        return {}
    return {
        name: legible(str(tags[tag]).strip("\0 "))[:_LONGEST_TAG]
        for tag, name in _TAGS.items()
        if tags.get(tag)
    }


def _faces(drawn: Drawn, boxes: Sequence[Box], before: Frame, after: Frame) -> dict[str, Any]:
    """A strip of rows, each a face before and after."""
    shown = shown_faces(boxes)
    chosen = [boxes[number] for number in shown]
    size = before.width, before.height
    cells = (face_cells(Frame(in_8_bits(frame)), chosen, size) for frame in (before, after))
    rows, change = [], []
    for pair in zip(*cells, strict=True):
        rows.append(np.hstack(pair))
        lumas = [cv2.cvtColor(cell, cv2.COLOR_RGB2GRAY) for cell in pair]
        change.append(round(float(np.mean(cv2.absdiff(lumas[0], lumas[1]))) / 255, 4))
    drawn.picture("faces.jpg", np.vstack(rows))
    return {"shown": shown, "change": change, "cell_px": CELL_PX}


def _mask(drawn: Drawn, mask: np.ndarray, size: tuple[int, int]) -> float:
    """A transparent overlay of what was repaired; its share of the picture."""
    small = resized(mask, size)
    colour = np.empty((*small.shape, 4), np.uint8)
    colour[..., :3] = _REPAIRED_RGB
    colour[..., 3] = small // 2
    coded, data = cv2.imencode(".png", cv2.cvtColor(colour, cv2.COLOR_RGBA2BGRA))
    if coded:
        drawn.files["mask.png"] = data.tobytes()
    return round(float(np.mean(mask > 0)), 6)

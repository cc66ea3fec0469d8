"""Small pictures of one item, before and after: what people look at in a report.

Made in a process of its own, where a codec may crash. Files are named by a key that covers the
original, the result and all that is shown of them, so that they are made once. Whoever has original
and result at hand, such as a worker after a commit, may call :func:`make_previews` as well.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.files import sha256_of
from restore_batch.jobs.units import digest
from restore_batch.pipeline.compare.contact_sheet import CELL_PX, FACES_SHOWN, Box, face_cells
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.read import read
from restore_batch.text import legible

VERSION = 1
"""Raised whenever the same original and result give other previews."""
PREVIEW_PX = 1600
THUMB_PX = 288
"""Longer sides, of a preview and of one half of a thumbnail."""
_QUALITY, _THUMB_QUALITY = 85, 78
_BEHIND_ALPHA = 192.0
_REPAIRED_RGB = (230, 60, 160)
_TAGS = {270: "description", 306: "date", 315: "artist", 33432: "copyright", 36867: "taken"}
_LONGEST_TAG = 300


@dataclass(frozen=True)
class PreviewRequest:
    """What previews are to be made of. ``folder``: where they go; ``key``: begins their names.

    ``source``, ``result``: as they are opened. ``source_sha256``: what the file at ``source`` held
    when it was restored; "" where that is not to be compared. ``boxes``: faces of a photo, in
    pixels of the upright source. ``mask``: picture of what was repaired, white where it was; ""
    without one.
    ``is_film``, ``moment``: the frame that a film's clips are cut around, None for its middle.
    ``reading``: fields of a film's :class:`~restore_batch.stages.film.work.Reading`;
    ``frame_rate``: of numbered pictures.
    """

    folder: str
    key: str
    source: str
    result: str
    max_megapixels: float = math.inf
    source_sha256: str = ""
    boxes: tuple[Box, ...] = ()
    mask: str = ""
    is_film: bool = False
    moment: int | None = None
    reading: Mapping[str, Any] | None = None
    frame_rate: float = 24.0


class Files:
    """Writes the files of one request; each appears whole or not at all."""

    def __init__(self, folder: str, key: str) -> None:
        self._folder, self._key = Path(folder), key
        self.sizes: dict[str, int] = {}
        """Bytes of what was written, by the end of its name."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def picture(self, ending: str, rgb: np.ndarray, quality: int = _QUALITY) -> None:
        """A JPEG of (H, W, 3) or (H, W) uint8."""
        bgr = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        coded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not coded:
            raise MediaError(f"{ending}: a preview of {rgb.shape} cannot be written")
        self.put(ending, data.tobytes())

    def put(self, ending: str, data: bytes) -> None:
        """A file of these bytes."""
        path = self._folder / f"{self._key}-{ending}"
        replace_with(path, data)
        self.sizes[ending] = len(data)


def replace_with(path: Path, data: bytes) -> None:
    """Put ``data`` into the place of ``path`` in one step, for readers; a power cut may take it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        staged.write_bytes(data)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class MakePreviews:
    """:func:`make_previews` as a task for an isolated process."""

    def open(self) -> None:
        """One thread a process: there are several processes."""
        cv2.setNumThreads(1)

    def __call__(self, request: PreviewRequest) -> dict[str, Any]:
        try:
            return make_previews(request)
        except (MediaError, OSError) as error:
            return {"error": " ".join(str(error).split())}


def make_previews(request: PreviewRequest) -> dict[str, Any]:
    """Make all files of one item and return what is known of them, as plain data.

    ``files``: bytes by the end of the name; ``before``, ``after``: [width, height] of the upright
    original and of the result; ``missing``: why there is nothing of the original. The same facts
    are written last, as ``KEY-facts.json``, when nothing is missing: who finds them need not ask
    again. Raises MediaError when the result cannot be read, OSError when nothing can be written.
    """
    files = Files(request.folder, request.key)
    if request.is_film:
        from restore_batch.pipeline.report.clips import film_previews

        facts = film_previews(request, files)
    else:
        facts = _photo_previews(request, files)
    facts["files"] = dict(files.sizes)
    if not facts.get("missing"):
        files.put("facts.json", json.dumps(facts).encode())
    return facts


def expect_original(request: PreviewRequest) -> None:
    """Raise MediaError where another file has come into the place of the one that was restored:
    beside the result it would tell a lie. URLs and folders of pictures are not compared."""
    source = Path(request.source)
    if not (request.source_sha256 and source.is_file()):
        return
    try:
        found = sha256_of(source)
    except OSError as error:
        raise MediaError(f"{request.source}: cannot be read: {error.strerror}") from None
    if found != request.source_sha256:
        raise MediaError(f"{request.source}: no longer the file that was restored")


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


def shown_faces(boxes: Sequence[Box]) -> list[int]:
    """Numbers of the faces that are shown, the largest where there are too many, in order."""
    by_size = sorted(range(len(boxes)), key=lambda number: -_side_px(boxes[number]))
    return sorted(by_size[:FACES_SHOWN])


def fit(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """(width, height) reduced to ``longest_px``, never enlarged."""
    scale = min(1.0, longest_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def thumbnail(
    before: np.ndarray | None, after: np.ndarray, longest_px: int = THUMB_PX
) -> np.ndarray:
    """Original and result side by side, of one size; without an original the result twice."""
    size = fit(after.shape[1], after.shape[0], longest_px)
    halves = [resized(after if half is None else half, size) for half in (before, after)]
    if halves[0].ndim != halves[1].ndim:
        halves = [half if half.ndim == 3 else np.dstack([half] * 3) for half in halves]
    return np.hstack(halves)


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``picture`` at (width, height): by area where it becomes smaller, else by Lanczos."""
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, size, interpolation=how))


def _photo_previews(request: PreviewRequest, files: Files) -> dict[str, Any]:
    result, meta, _ = read(request.result, math.inf)
    facts: dict[str, Any] = {"after": [result.width, result.height], "text": _tags_of(meta)}
    shown = _in_8_bits(result)
    after = resized(shown, fit(result.width, result.height, PREVIEW_PX))
    files.picture("after.jpg", after)
    before: np.ndarray | None = None
    try:
        expect_original(request)
        original, _, _ = read(request.source, request.max_megapixels)
    except MediaError as error:
        facts["missing"] = str(error)
    else:
        facts["before"] = [original.width, original.height]
        before = resized(_in_8_bits(original), fit(original.width, original.height, PREVIEW_PX))
        files.picture("before.jpg", before)
        if request.boxes:
            facts |= _faces(request.boxes, original, result, files)
    files.picture("thumb.jpg", thumbnail(before, after), _THUMB_QUALITY)
    if request.mask:
        facts["repaired"] = _mask(request.mask, (after.shape[1], after.shape[0]), files)
    return facts


def _faces(boxes: Sequence[Box], original: Frame, result: Frame, files: Files) -> dict[str, Any]:
    """A strip of rows, each a face before and after; and how much each has changed: the mean
    absolute difference of both cells in luma, as a share of the whole range."""
    shown = shown_faces(boxes)
    chosen = [boxes[number] for number in shown]
    size = original.width, original.height
    cells = zip(
        face_cells(_frame_in_8_bits(original), chosen, size),
        face_cells(_frame_in_8_bits(result), chosen, size),
        strict=True,
    )
    rows, change = [], []
    for before, after in cells:
        rows.append(np.hstack([before, after]))
        lumas = [cv2.cvtColor(cell, cv2.COLOR_RGB2GRAY) for cell in (before, after)]
        change.append(round(float(np.mean(cv2.absdiff(lumas[0], lumas[1]))) / 255, 4))
    files.picture("faces.jpg", np.vstack(rows))
    return {"shown": shown, "change": change, "cell_px": CELL_PX}


def _mask(path: str, size: tuple[int, int], files: Files) -> float | None:
    """A transparent overlay of what was repaired; its share of the picture, None where the mask
    cannot be read."""
    try:
        frame, _, _ = read(path, math.inf)
    except MediaError:
        return None
    mask = _in_8_bits(frame).max(axis=2)
    share = float(np.mean(mask > 127))
    small = resized(mask, size)
    colour = np.empty((*small.shape, 4), np.uint8)
    colour[..., :3] = _REPAIRED_RGB
    colour[..., 3] = small // 2
    coded, data = cv2.imencode(".png", cv2.cvtColor(colour, cv2.COLOR_RGBA2BGRA))
    if coded:
        files.put("mask.png", data.tobytes())
    return round(share, 6)


def _frame_in_8_bits(frame: Frame) -> Frame:
    return Frame(_in_8_bits(frame))


def _in_8_bits(frame: Frame) -> np.ndarray:
    """(H, W, 3) uint8, over an even grey where the frame is transparent."""
    rgb = frame.rgb_hwc
    most = 65535.0 if rgb.dtype == np.uint16 else 255.0
    if rgb.dtype == np.uint16:
        rgb = np.asarray(cv2.convertScaleAbs(rgb, alpha=1 / 257.0))
    if frame.alpha_hw is None:
        return rgb
    alpha = (frame.alpha_hw.astype(np.float32) / most)[..., None]
    return np.asarray(np.rint(rgb * alpha + _BEHIND_ALPHA * (1 - alpha)), np.uint8)


def _tags_of(meta: PhotoMeta) -> dict[str, str]:
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


def _side_px(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])

"""Small pictures of one item, before and after: what people look at in a report.

Made in a process of its own, where a codec may crash, of what workers have left none of: what was
restored before, or by a job without a report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.files import sha256_of, version_of
from restore_batch.jobs.inputs import SourceFile
from restore_batch.stages.photo.read import read
from restore_batch.stages.previews.cells import Box
from restore_batch.stages.previews.pictures import Drawn, draw_photo, in_8_bits, tags_of


@dataclass(frozen=True)
class PreviewRequest:
    """What previews are to be made of. ``folder``: where they go; ``key``: begins their names.

    ``source``, ``result``: as they are opened. ``source_sha256``: what the file at ``source`` held
    when it was restored; "" where that is not to be compared; ``source_stamp``: the state that it
    was in then, "" where that is not known. ``boxes``: faces of a photo, in
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
    source_stamp: str = ""
    boxes: tuple[Box, ...] = ()
    mask: str = ""
    is_film: bool = False
    moment: int | None = None
    reading: Mapping[str, Any] | None = None
    frame_rate: float = 24.0


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
    original and of the result; ``missing``: why there is nothing of the original. Raises MediaError
    when the result cannot be read, OSError when nothing can be written.
    """
    drawn = Drawn()
    draw = _film_previews if request.is_film else _photo_previews
    facts = draw(request, drawn)
    return drawn.kept(Path(request.folder), request.key, facts)


def expect_original(request: PreviewRequest) -> None:
    """Raise MediaError where another file has come into the place of the one that was restored:
    beside the result it would tell a lie. Read only where its state is another. URLs and folders
    of pictures are not compared."""
    source = Path(request.source)
    if not (request.source_sha256 and source.is_file()):
        return
    try:
        status = source.stat()
        state = SourceFile(request.source, "", status.st_size, version_of(status))
        if request.source_stamp == state.stamp:
            return
        found = sha256_of(source)
    except OSError as error:
        raise MediaError(f"{request.source}: cannot be read: {error.strerror}") from None
    if found != request.source_sha256:
        raise MediaError(f"{request.source}: no longer the file that was restored")


def _photo_previews(request: PreviewRequest, drawn: Drawn) -> dict[str, Any]:
    result, meta, _ = read(request.result, math.inf)
    original, missing = None, ""
    try:
        expect_original(request)
        original, _, _ = read(request.source, request.max_megapixels)
    except MediaError as error:
        missing = str(error)
    mask = _mask(request.mask) if request.mask else None
    facts = draw_photo(drawn, original, result, request.boxes, mask)
    facts["text"] = tags_of(meta)
    if missing:
        facts["missing"] = missing
    return facts


def _film_previews(request: PreviewRequest, drawn: Drawn) -> dict[str, Any]:
    from restore_batch.stages.film.clips import ShownFilm, draw_film
    from restore_batch.stages.film.source import index_film
    from restore_batch.stages.film.work import Reading

    result = ShownFilm.result(Path(request.result), request.frame_rate)
    original: ShownFilm | None = None
    told: dict[str, Any] = {}
    try:
        expect_original(request)
        index = index_film(request.source, request.frame_rate, request.max_megapixels)
        if index.count == result.index.count:
            reading = Reading(**(request.reading or {}))
            original = ShownFilm.original(request.source, index, reading)
        else:
            told["part"] = True  # of a preview only some seconds were restored
    except MediaError as error:
        told["missing"] = str(error)
    return draw_film(drawn, original, result, request.moment) | told


def _mask(path: str) -> np.ndarray | None:
    """None where it cannot be read."""
    try:
        frame, _, _ = read(path, math.inf)
    except MediaError:
        return None
    return np.asarray(in_8_bits(frame).max(axis=2))

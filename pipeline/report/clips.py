"""Previews of a film: a strip of posters, and the same few seconds of original and result."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.pipeline.report.previews import PreviewRequest, expect_original
from restore_batch.stages.film.faces import square
from restore_batch.stages.film.frames_out import INDEX_NAME, pictures_of
from restore_batch.stages.film.source import index_film, read_film, read_frame
from restore_batch.stages.film.work import Reading
from restore_batch.stages.previews.pictures import THUMB_PX, Drawn, fit, resized, thumbnail
from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.segments import cut_segments

POSTERS = 6
_POSTER_PX = 320
_CLIP_S, _MOST_FRAMES = 3.0, 120
_CLIP_HEIGHT_PX = 480
_AS_WRITTEN = Reading(deinterlace="never")


@dataclass(frozen=True)
class _Film:
    source: str
    index: VideoIndex
    reading: Reading
    aspect: Fraction

    def frame(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8, upright, with square pixels."""
        read = read_frame(self.source, self.index, number, self.reading)
        return square(read, float(self.aspect)).rgb_hwc

    def frames(self, span: range) -> Generator[np.ndarray]:
        """All of a stretch, as :meth:`frame` gives one."""
        for part in cut_segments(self.index, 3600.0, 1 << 50, 0, span=span):
            for seen in read_film(self.source, self.index.facts, part, self.reading):
                yield square(seen.frame, float(self.aspect)).rgb_hwc


def film_previews(request: PreviewRequest, drawn: Drawn) -> dict[str, Any]:
    """Draw a film, and the facts of them: ``posters``, how many; ``clip``: first frame,
    frames and frames a second. Raises MediaError when the result cannot be read."""
    result = _result(request)
    facts: dict[str, Any] = {"frames": result.index.count}
    original: _Film | None = None
    try:
        expect_original(request)
        original = _original(request)
        if original.index.count != result.index.count:
            facts["part"] = True  # of a preview only some seconds were restored
            original = None
    except MediaError as error:
        facts["missing"] = str(error)
    numbers = _spread(result.index.count)
    rows = [
        (None if original is None else original.frame(number), result.frame(number))
        for number in numbers
    ]
    height, width = rows[0][1].shape[:2]
    facts["after"] = [width, height]
    if rows[0][0] is not None:
        facts["before"] = list(rows[0][0].shape[1::-1])
    drawn.picture("thumb.jpg", thumbnail(*rows[len(rows) // 2], longest_px=THUMB_PX), 78)
    strip = [_poster(before, after) for before, after in rows]
    drawn.picture("posters.jpg", np.vstack(strip))
    facts["posters"] = len(strip)
    span, fps = _stretch(result.index, request.moment)
    size = _clip_size(width, height)
    facts["clip"] = {"first": span.start, "frames": len(span), "fps": round(float(fps), 3)}
    drawn.files["after.mp4"] = _encoded(result, span, size, fps)
    if original is not None:
        drawn.files["before.mp4"] = _encoded(original, span, size, fps)
    return facts


def _poster(before: np.ndarray | None, after: np.ndarray) -> np.ndarray:
    """Both side by side; the result alone where there is no original to compare it with."""
    if before is None:
        return resized(after, fit(after.shape[1], after.shape[0], _POSTER_PX))
    return thumbnail(before, after, _POSTER_PX)


def _original(request: PreviewRequest) -> _Film:
    index = index_film(request.source, request.frame_rate, request.max_megapixels)
    reading = Reading(**(request.reading or {}))
    return _Film(request.source, index, reading, index.facts.upright_aspect)


def _result(request: PreviewRequest) -> _Film:
    path = Path(request.result)
    if path.name != INDEX_NAME:
        index = index_film(request.result, request.frame_rate)
        return _Film(request.result, index, _AS_WRITTEN, index.facts.upright_aspect)
    pictures = pictures_of(path)
    return _Film(pictures, index_film(pictures, request.frame_rate), _AS_WRITTEN, Fraction(1))


def _spread(count: int) -> list[int]:
    inner = np.linspace(0, count - 1, POSTERS + 2)[1:-1]
    return [int(number) for number in np.unique(inner.round().astype(int))]


def _stretch(index: VideoIndex, moment: int | None) -> tuple[range, Fraction]:
    """The frames of a clip around ``moment``, and how many of them are shown a second."""
    lasts = float(int(index.pts[-1] - index.pts[0] + index.durations[-1]) * index.facts.time_base_s)
    fps = Fraction(index.count / lasts if lasts > 0 else 24.0).limit_denominator(1001)
    fps = min(max(fps, Fraction(1)), Fraction(120))
    length = min(index.count, _MOST_FRAMES, max(1, math.ceil(_CLIP_S * fps)))
    middle = index.count // 2 if moment is None else moment
    first = min(max(0, middle - length // 2), index.count - length)
    return range(first, first + length), fps


def _clip_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a clip; H.264 in 4:2:0 takes even sizes only."""
    scale = min(1.0, _CLIP_HEIGHT_PX / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _encoded(film: _Film, span: range, size: tuple[int, int], fps: Fraction) -> bytes:
    """A stretch of a film as MP4 that every browser plays."""
    target = BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # What x264 looks ahead in threads of its own differs from time to time.
        params = "lookahead-threads=1:sync-lookahead=0:mbtree=0"
        stream.options = {"crf": "21", "preset": "veryfast", "x264-params": params}
        with closing(film.frames(span)) as frames:
            for number, rgb in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(resized(rgb, size)), format="rgb24"
                )
                picture.pts = number
                picture.time_base = 1 / fps
                container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return target.getvalue()

"""What a report shows of a film: a strip of posters, and the same few seconds of original and
result.

Drawn by the worker that joins a film, which has both at hand; by the report where they are missing.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, ClassVar

import av
import numpy as np

from restore_batch.jobs.units import Join, Unit
from restore_batch.stages.base import Pool, Stage
from restore_batch.stages.film.faces import square
from restore_batch.stages.film.frames_out import INDEX_NAME, pictures_of
from restore_batch.stages.film.source import index_film, read_film, read_frame
from restore_batch.stages.film.work import Deinterlace, JoinWork, Reading, ToneMap
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.checksum import expect_unchanged
from restore_batch.stages.previews.pictures import (
    JPEG_BYTES_A_PIXEL,
    THUMB_PX,
    Drawn,
    fit,
    folder_of_key,
    key_of,
    resized,
    thumbnail,
)
from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.segments import cut_segments, index_of

POSTERS = 6
_POSTER_PX = 320
_CLIP_S, _MOST_FRAMES = 3.0, 120
_CLIP_HEIGHT_PX = 480
_CLIP_BYTES_A_PIXEL = 0.02
"""Films of 144 to 320 lines took 0.012 to 0.022."""
_AS_WRITTEN = Reading(deinterlace="never")


class Clips(Stage):
    """Draw the previews of a film that was joined, and keep them under the key of its result, in
    the folder of its unit.

    In:  chunks with the artifact, whose unit carries a :class:`JoinWork`. Out: the same. Nothing is
    drawn unless ``wanted``, where units name no place for it, or where the original is no longer
    what was restored; a film whose previews cannot be drawn is restored all the same.

    ``frame_rate``: of numbered pictures. The other options are those of :class:`Reading`.
    """

    name: ClassVar[str] = "clips"
    after: ClassVar[str] = "join"
    reads: ClassVar[frozenset[str]] = frozenset({"artifact"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({Join})
    of_frames: ClassVar[bool] = False
    reads_source = "parts"
    pool: ClassVar[Pool] = "io"
    takes: ClassVar[Mapping[str, str]] = {
        "wanted": "report",
        "frame_rate": "video.frame_rate",
        "deinterlace": "video.deinterlace",
        "tonemap": "video.tonemap",
    }
    of_results: ClassVar[bool] = False

    def __init__(
        self,
        wanted: bool = True,
        *,
        frame_rate: float = 24.0,
        deinterlace: Deinterlace = "auto",
        tonemap: ToneMap | None = None,
    ) -> None:
        self.wanted = wanted
        self.frame_rate = frame_rate
        self.reading = Reading(deinterlace, tonemap)

    @property
    def is_idle(self) -> bool:
        """Whether no report is wanted."""
        return not self.wanted

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._kept)

    def _kept(self, chunk: Chunk) -> Chunk:
        if chunk.unit.previews_dir:
            # Of pictures to look at, whatever it is: the film is not lost for it.
            with suppress(Exception):
                self._draw(chunk)
        return chunk

    def _draw(self, chunk: Chunk) -> None:
        unit, artifact = chunk.unit, chunk.artifact
        assert isinstance(unit, Join) and isinstance(unit.work, JoinWork) and artifact is not None
        work, drawn = unit.work, Drawn()
        result = Path(artifact.staged_path)
        if PurePath(unit.output).name == INDEX_NAME:
            result = Path(work.folder) / INDEX_NAME
        segments = [frames for _, frames in work.parts]
        original = None
        if sum(frames.own_count for frames in segments) == work.facts.frame_count:
            # As it was cut: the index of a long film takes reading all of it.
            index = index_of(work.facts, segments)
            original = ShownFilm.original(unit.source, index, self.reading)
        facts = draw_film(drawn, original, ShownFilm.result(result, self.frame_rate), work.moment)
        if original is None:
            facts["part"] = True
        noted = replace(chunk, source_sha256=work.source_sha256, source_state=work.source_state)
        expect_unchanged(noted)
        key = key_of(unit.id, work.source_sha256, artifact.sha256, mask=False)
        drawn.kept(folder_of_key(Path(unit.previews_dir), key), key, facts)


@dataclass(frozen=True)
class ShownFilm:
    """A film whose frames can be asked for. ``aspect``: of its pixels."""

    source: str
    index: VideoIndex
    reading: Reading
    aspect: Fraction

    @classmethod
    def original(cls, source: str, index: VideoIndex, reading: Reading) -> ShownFilm:
        """An original, read as it was restored."""
        return cls(source, index, reading, index.facts.upright_aspect)

    @classmethod
    def result(cls, path: Path, frame_rate: float) -> ShownFilm:
        """A result: a film, or the index of numbered pictures. Raises MediaError."""
        if path.name != INDEX_NAME:
            index = index_film(str(path), frame_rate)
            return cls(str(path), index, _AS_WRITTEN, index.facts.upright_aspect)
        pictures = pictures_of(path)
        return cls(pictures, index_film(pictures, frame_rate), _AS_WRITTEN, Fraction(1))

    def frame(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8, upright, with square pixels."""
        read = read_frame(self.source, self.index, number, self.reading)
        _let_go()
        return square(read, float(self.aspect)).rgb_hwc

    def frames(self, span: range) -> Generator[np.ndarray]:
        """All of a stretch, as :meth:`frame` gives one."""
        for part in cut_segments(self.index, 3600.0, 1 << 50, 0, span=span):
            for seen in read_film(self.source, self.index.facts, part, self.reading):
                yield square(seen.frame, float(self.aspect)).rgb_hwc


def draw_film(
    drawn: Drawn, original: ShownFilm | None, result: ShownFilm, moment: int | None
) -> dict[str, Any]:
    """Draw a film, of which two frames are held at a time; what is known of it, as plain data.

    ``original``: with as many frames as ``result``, or None; ``moment``: the frame that the clips
    are cut around, None for the middle. ``frames`` of the result; ``before``, ``after``: [width,
    height] of both; ``posters``, how many; ``clip``: first frame, frames and frames a second.
    Raises MediaError when one of both cannot be read.
    """
    facts: dict[str, Any] = {"frames": result.index.count}
    numbers = _spread(result.index.count)
    strip: list[np.ndarray] = []
    for number in numbers:
        before = None if original is None else original.frame(number)
        after = result.frame(number)
        if len(strip) == len(numbers) // 2:
            drawn.picture("thumb.jpg", thumbnail(before, after, longest_px=THUMB_PX), 78)
        strip.append(_poster(before, after))
    height, width = after.shape[:2]
    facts["after"] = [width, height]
    if before is not None:
        facts["before"] = list(before.shape[1::-1])
    drawn.picture("posters.jpg", np.vstack(strip))
    facts["posters"] = len(strip)
    span, fps = _stretch(result.index, moment)
    size = _clip_size(width, height)
    facts["clip"] = {"first": span.start, "frames": len(span), "fps": round(float(fps), 3)}
    for ending, film in (("after.mp4", result), ("before.mp4", original)):
        if film is not None:
            drawn.files[ending] = _encoded(film, span, size, fps)
            _let_go()
    return facts


def rough_bytes(width: int, height: int, frames: int, fps: float) -> float:
    """About what the files take that :func:`draw_film` draws, of a result of this size."""
    poster, thumb = fit(width, height, _POSTER_PX), fit(width, height, THUMB_PX)
    stills = 2 * (min(frames, POSTERS) * poster[0] * poster[1] + thumb[0] * thumb[1])
    clip = _clip_size(width, height)
    moving = 2 * clip[0] * clip[1] * _clip_length(frames, fps)
    return JPEG_BYTES_A_PIXEL * stills + _CLIP_BYTES_A_PIXEL * moving


def _let_go() -> None:
    """Free decoders and encoders that were closed: a container and its streams refer to each other,
    so that dozens of large frames would stay until somebody looks for such circles."""
    gc.collect(1)


def _poster(before: np.ndarray | None, after: np.ndarray) -> np.ndarray:
    """Both side by side; the result alone where there is no original to compare it with."""
    if before is None:
        return resized(after, fit(after.shape[1], after.shape[0], _POSTER_PX))
    return thumbnail(before, after, _POSTER_PX)


def _spread(count: int) -> list[int]:
    inner = np.linspace(0, count - 1, POSTERS + 2)[1:-1]
    return [int(number) for number in np.unique(inner.round().astype(int))]


def _stretch(index: VideoIndex, moment: int | None) -> tuple[range, Fraction]:
    """The frames of a clip around ``moment``, and how many of them are shown a second."""
    lasts = float(int(index.pts[-1] - index.pts[0] + index.durations[-1]) * index.facts.time_base_s)
    fps = Fraction(index.count / lasts if lasts > 0 else 24.0).limit_denominator(1001)
    fps = min(max(fps, Fraction(1)), Fraction(120))
    length = _clip_length(index.count, fps)
    middle = index.count // 2 if moment is None else moment
    first = min(max(0, middle - length // 2), index.count - length)
    return range(first, first + length), fps


def _clip_length(frames: int, fps: float | Fraction) -> int:
    return min(frames, _MOST_FRAMES, max(1, math.ceil(_CLIP_S * fps)))


def _clip_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a clip; H.264 in 4:2:0 takes even sizes only."""
    scale = min(1.0, _CLIP_HEIGHT_PX / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _encoded(film: ShownFilm, span: range, size: tuple[int, int], fps: Fraction) -> bytes:
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

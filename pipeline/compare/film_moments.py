"""Moments of a film on its contact sheet: the same frames of the original and of each result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.jobs.units import FilmIndex, Segment
from restore_batch.pipeline.compare.contact_sheet import Rows
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.base import Stage
from restore_batch.stages.chain import OpenedStages
from restore_batch.stages.film.chain import FaceSearchError, FrameChain
from restore_batch.stages.film.faces import square
from restore_batch.stages.film.frames_out import INDEX_NAME, pictures_of
from restore_batch.stages.film.preview import Preview
from restore_batch.stages.film.source import index_film, read_frame
from restore_batch.stages.film.work import Reading
from restore_batch.stages.media import Chunk, Frame
from restore_batch.stages.previews.cells import CONTEXT, Box, face_cells
from restore_batch.stages.video.index import VideoIndex
from restore_batch.text import plural

MOMENTS = 8
_AS_WRITTEN = Reading(deinterlace="never")
_Place = tuple[Box, tuple[int, int]]
"""A box and the size of the frame that it lies in."""


class FilmMoments:
    """Chooses and reads them; the detector is loaded for the first film.

    ``plan``: of any of the restorers compared; films are read and searched for faces as it says.
    """

    def __init__(self, plan: Plan) -> None:
        group = next((group for group in plan.groups if Segment in group.kinds), None)
        self._stages = _needed(group.stages if group else ())
        self._opened: OpenedStages | None = None
        self._video, self._context = plan.job.video, plan.context
        self._reading = Reading(self._video.deinterlace, self._video.tonemap)

    def rows(self, source: str, results: Mapping[str, Path | None]) -> Rows:
        """A row for each of ``MOMENTS`` frames spread over the film: the surroundings of its
        largest face, or the middle of a frame without faces.

        ``results``: by column label, None where a restorer has none. Raises MediaError when the
        original or a result cannot be read, or a result has another number of frames.
        """
        if self._opened is None:
            self._opened = OpenedStages(self._stages, self._context)
        return self._rows(self._opened.stages, source, results)

    def _rows(
        self, stages: Sequence[Stage], source: str, results: Mapping[str, Path | None]
    ) -> Rows:
        whole = index_film(source, self._video.frame_rate)
        span = _restored_span(stages, source, whole)
        numbers = _spread(span)
        original = _Opened(source, whole, self._reading, whole.facts.upright_aspect)
        find = FrameChain.of([stage for stage in stages if stage.of_frames])
        seen = [_look(find, original, number) for number in numbers]
        columns: dict[str, Sequence[np.ndarray] | None] = {
            "original": [cell for cell, _, _ in seen]
        }
        for label, path in results.items():
            columns[label] = None
            if path is not None:
                result = self._open_result(path, whole, len(span))
                columns[label] = [
                    _cell(result.frame(number - span.start), *place)
                    for number, (_, place, _) in zip(numbers, seen, strict=True)
                ]
        return Rows([caption for _, _, caption in seen], columns)

    def _open_result(self, path: Path, whole: VideoIndex, count: int) -> _Opened:
        is_folder = path.name == INDEX_NAME
        source = pictures_of(path) if is_folder else str(path)
        index = index_film(source, self._video.frame_rate)
        if index.count != count:
            raise MediaError(
                f"{path}: has {plural(index.count, 'frame')}, expected {count};"
                " remove it and run again"
            )
        # Pictures cannot say that their pixels are not square.
        facts = whole.facts if is_folder else index.facts
        return _Opened(source, index, _AS_WRITTEN, facts.upright_aspect)


@dataclass(frozen=True)
class _Opened:
    """A film whose frames can be asked for. ``aspect``: of its pixels."""

    source: str
    index: VideoIndex
    reading: Reading
    aspect: Fraction

    def frame(self, number: int) -> Frame:
        """With square pixels, as it is shown."""
        read = read_frame(self.source, self.index, number, self.reading)
        return square(read, float(self.aspect))


def _needed(stages: Sequence[Stage]) -> list[Stage]:
    """Those of a film's stages that find faces, and that choose what is restored of it."""
    needed = [stage for stage in stages if isinstance(stage, Preview)]
    of_frames = [stage for stage in stages if stage.of_frames]
    finds = next((i for i, stage in enumerate(of_frames) if "faces" in stage.writes), -1)
    return [*of_frames[: finds + 1], *needed]


def _restored_span(stages: Sequence[Stage], source: str, whole: VideoIndex) -> range:
    """The frames that were restored: of a preview only some."""
    for stage in stages:
        if isinstance(stage, Preview):
            return stage.stretch(_unit(source), whole)
    return range(whole.count)


def _look(find: FrameChain, film: _Opened, number: int) -> tuple[np.ndarray, _Place, str]:
    frame = film.frame(number)
    try:
        _, faces = find.faces_of(Chunk(_unit(film.source), (frame,)))
    except FaceSearchError:
        faces = ()
    pts = film.index.pts
    caption = clock(float(int(pts[number] - pts[0]) * film.index.facts.time_base_s))
    box = _middle(frame)
    if faces:
        largest = max(faces, key=lambda face: face.side_px)
        box = largest.box_xyxy
        caption += f", face {largest.side_px:.0f} px"
    place = box, (frame.width, frame.height)
    return _cell(frame, *place), place, caption


def _unit(source: str) -> FilmIndex:
    return FilmIndex(id="moment", source=source, output="")


def _cell(frame: Frame, box: Box, source_wh: tuple[int, int]) -> np.ndarray:
    (cell,) = face_cells(frame, [box], source_wh)
    return cell


def clock(seconds: float) -> str:
    """A place in a film: 0:07.25, 1:02:03.00."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{shown}:{rest // 100:02d}.{rest % 100:02d}"


def _spread(span: range) -> list[int]:
    inner = np.linspace(span.start, span.stop - 1, MOMENTS + 2)[1:-1]
    return [int(number) for number in np.unique(inner.round().astype(int))]


def _middle(frame: Frame) -> Box:
    """A box whose surroundings, as the sheet shows them, are the middle of the whole height (or
    width, of an upright frame)."""
    half = min(frame.width, frame.height) / 2 / CONTEXT
    x, y = (frame.width - 1) / 2, (frame.height - 1) / 2
    return x - half, y - half, x + half, y + half

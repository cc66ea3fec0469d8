"""Moments of a film on its contact sheet: the same frames of the original and of each result."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.pipeline.contact_sheet import CONTEXT, Box, Rows, face_cells
from restore_batch.pipeline.plan import Plan
from restore_batch.stages.detect import Detect
from restore_batch.stages.film_frames_out import INDEX_NAME
from restore_batch.stages.film_preview import Preview
from restore_batch.stages.film_source import index_film, read_frame
from restore_batch.stages.film_work import Reading
from restore_batch.stages.media import Frame
from restore_batch.stages.video_index import VideoIndex

MOMENTS = 8
_AS_WRITTEN = Reading(deinterlace="never")


class FilmMoments:
    """Chooses and reads them, for one film at a time.

    ``plan``: of any of the restorers compared; films are read and searched for faces as it says.
    """

    def __init__(self, plan: Plan) -> None:
        stages = plan.graph.stages
        found = next((stage for stage in stages if isinstance(stage, Detect)), None)
        # A copy: the run may still hold the stage itself open.
        self._detect = copy(found) if found is not None else None
        self._video, self._context = plan.job.video, plan.context
        self._reading = Reading(self._video.deinterlace, self._video.tonemap)
        self._lock = threading.Lock()
        self._is_open = False

    def close(self) -> None:
        """Release the detector."""
        if self._detect is not None and self._is_open:
            self._detect.close()

    def rows(self, source: str, results: Mapping[str, Path | None]) -> Rows:
        """A row for each of ``MOMENTS`` frames spread over the film: the surroundings of its
        largest face, or the middle of a frame without faces.

        ``results``: by column label, None where a restorer has none. Raises MediaError when the
        original or a result cannot be read, or a result has another number of frames.
        """
        with self._lock:
            if self._detect is not None and not self._is_open:
                self._detect.open(self._context)
                self._is_open = True
            whole = index_film(source, self._video.frame_rate)
            span = self._span(source, whole)
            numbers = _spread(span)
            seen = [self._look(source, whole, number) for number in numbers]
            columns: dict[str, Sequence[np.ndarray] | None] = {
                "original": [cell for cell, _, _ in seen]
            }
            size = whole.facts.width, whole.facts.height
            boxes = [box for _, box, _ in seen]
            for label, path in results.items():
                columns[label] = self._of_result(path, numbers, span, boxes, size) if path else None
            return Rows([caption for _, _, caption in seen], columns)

    def _span(self, source: str, whole: VideoIndex) -> range:
        """The frames that were restored: of a preview only some."""
        if self._video.preview_s is None:
            return range(whole.count)
        preview = Preview(self._detect, self._reading)
        return preview.stretch(source, whole, self._video.preview_s)

    def _look(self, source: str, whole: VideoIndex, number: int) -> tuple[np.ndarray, Box, str]:
        frame = read_frame(source, whole, number, self._reading)
        faces = self._detect.find([frame])[0] if self._detect is not None else ()
        shown_s = float((int(whole.pts[number]) - int(whole.pts[0])) * whole.facts.time_base_s)
        caption = clock(shown_s)
        box = _middle(frame)
        if faces:
            largest = max(faces, key=lambda face: face.side_px)
            box = largest.box_xyxy
            caption += f", face {largest.side_px:.0f} px"
        (cell,) = face_cells(frame, [box], (frame.width, frame.height))
        return cell, box, caption

    def _of_result(
        self,
        path: Path,
        numbers: Sequence[int],
        span: range,
        boxes: Sequence[Box],
        source_wh: tuple[int, int],
    ) -> list[np.ndarray]:
        source = str(path.with_name("frame_%06d.png") if path.name == INDEX_NAME else path)
        index = index_film(source, self._video.frame_rate)
        if index.count != len(span):
            raise MediaError(
                f"{path}: has {index.count} frames, expected {len(span)}; remove it and run again"
            )
        cells = []
        for number, box in zip(numbers, boxes, strict=True):
            frame = read_frame(source, index, number - span.start, _AS_WRITTEN)
            cells += face_cells(frame, [box], source_wh)
        return cells


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

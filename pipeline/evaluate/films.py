"""Scores of a film: does it flicker, do its faces tremble, do they slide?

Of the first frames of a film, as many as were asked for; see
:mod:`restore_batch.models.metrics.steadiness` for the definitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from restore_batch.models.metrics import steadiness
from restore_batch.pipeline.evaluate.faces import CROP_PX, PlaceMetric
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.film.source import index_film, read_film
from restore_batch.stages.film.work import Reading
from restore_batch.stages.geometry import estimate_similarity, scale_of, to_uint8, warp
from restore_batch.stages.media import Frame
from restore_batch.stages.video.segments import cut_segments

if TYPE_CHECKING:
    from restore_batch.pipeline.evaluate.cases import Case

_PICTURES_A_SECOND = 24.0
_AS_WRITTEN = Reading(deinterlace="never")
_LEAST_FRAMES = 3
_SAME_FACE = 0.5

WARPING = PlaceMetric(
    "warping_error", "warping error", "lower",
    "whole frames, samples in [0, 1], along the motion of the original where it is there, without "
    "hidden pixels (Lai et al. 2018)",
)  # fmt: skip
JITTER = PlaceMetric(
    "landmark_jitter", "landmark jitter", "lower",
    "RMS second difference of the landmarks of the steadiest face, over its eye distance, without "
    "the motion of the picture",
)  # fmt: skip
SLIDE = PlaceMetric(
    "crop_slide",
    "crop slide",
    "lower",
    "RMS motion of the face within its aligned crop, over the eye distance",
)


def film_scores(case: Case, find: Detect | None, most: int) -> dict[str, Any]:
    """``scores`` of the first ``most`` frames and why others have none, ``left_out``; as
    :class:`restore_batch.pipeline.evaluate.measuring.MeasureCase` gives them of a photo. Raises
    MediaError where a film cannot be read."""
    frames = list(_frames(case.result, most))
    if len(frames) < 2:
        return {"scores": {}, "left_out": {WARPING.name: "it has a single frame"}}
    guides = _guides(case, frames, most)
    height, width = frames[0].shape[:2]
    everywhere = [(0.0, 0.0, float(width), float(height))] * len(frames)
    error = steadiness.warping_error(frames, everywhere, guides)
    scores = {WARPING.name: error} if np.isfinite(error) else {}
    left_out: dict[str, str] = {} if scores else {WARPING.name: "every pixel is hidden"}
    if find is not None:
        found = _of_faces(frames, find)
        scores |= found
        if not found:
            left_out[JITTER.name] = f"no face is found in {_LEAST_FRAMES} frames on end"
    return {"scores": scores, "left_out": left_out}


def _frames(source: str, most: int) -> Iterator[np.ndarray]:
    index = index_film(source, _PICTURES_A_SECOND)
    span = range(min(most, index.count))
    for part in cut_segments(index, 3600.0, 1 << 50, 0, span=span):
        for seen in read_film(source, index.facts, part, _AS_WRITTEN):
            yield to_uint8(seen.frame.rgb_hwc)


def _guides(case: Case, frames: list[np.ndarray], most: int) -> list[np.ndarray]:
    """The original's frames at the result's size; the result's where it has others."""
    if not case.original or case.original == case.result:
        return frames
    size = frames[0].shape[1], frames[0].shape[0]
    guides = [
        np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        for frame in _frames(case.original, most)
    ]
    return guides if len(guides) == len(frames) else frames


def _of_faces(frames: list[np.ndarray], find: Detect) -> Mapping[str, float]:
    first, points = _longest_track(frames, find)
    if len(points) < _LEAST_FRAMES:
        return {}
    shown = frames[first : first + len(points)]
    eyes = float(np.linalg.norm(points[:, 0] - points[:, 1], axis=1).mean())
    carried = steadiness.carried_by_picture(shown, points)
    matrices = [estimate_similarity(each, CROP_PX) for each in points]
    crops = [warp(f, matrix, CROP_PX) for f, matrix in zip(shown, matrices, strict=True)]
    slide = steadiness.crop_slide_px(crops, [scale_of(matrix) for matrix in matrices])
    return {
        JITTER.name: steadiness.landmark_jitter_px(points, carried) / eyes,
        SLIDE.name: slide / eyes,
    }


def _longest_track(frames: list[np.ndarray], find: Detect) -> tuple[int, np.ndarray]:
    """The longest stretch in which one face is found in every frame: its first frame, and the
    landmarks (T, 5, 2)."""
    best: tuple[int, list[np.ndarray]] = (0, [])
    current: tuple[int, list[np.ndarray]] = (0, [])
    for number, frame in enumerate(frames):
        faces = [np.asarray(f.landmarks_xy, np.float64) for f in find.find([Frame(frame)])[0]]
        track = current[1]
        near = _nearest(track[-1], faces) if track else None
        if near is not None:
            track.append(near)
        else:
            current = (number, faces[:1])
        best = max(best, current, key=lambda each: len(each[1]))
    return best[0], np.array(best[1]).reshape(-1, 5, 2)


def _nearest(last: np.ndarray, faces: list[np.ndarray]) -> np.ndarray | None:
    eyes = float(np.linalg.norm(last[0] - last[1]))
    apart = [float(np.linalg.norm(points.mean(0) - last.mean(0))) for points in faces]
    if not apart or min(apart) > _SAME_FACE * eyes:
        return None
    return faces[int(np.argmin(apart))]

"""Where the faces of pictures are, by a detector.

Two looks. The first finds candidates at a low threshold: on a pyramid of levels and tiles
(``pyramid.py``; for a detector that ``sees_any_size`` on one level as a whole), or around the faces
that are expected. The second shows each candidate to the detector alone, at the size where it works
best (its ``look_px``), and keeps those that are confirmed: a real face scores near one whatever its
size in the picture, a pattern does not. It also divides the error of RetinaFace's landmarks on a
20 px face by three. A detector without ``look_px`` gets one look, and so does a candidate above the
``certain_score`` of one that has it. A face that is expected gets the second at once, and the first
only where it is not confirmed there. What a detector says of itself for all that is its
:class:`~restore_batch.models.base.DetectorTraits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from restore_batch.models.base import Detector, Face, Looker, traits_of
from restore_batch.stages.faces.pyramid import (
    PyramidTile,
    Region,
    plan_level,
    plan_pyramid,
    plan_regions,
    render_tiles,
)
from restore_batch.stages.geometry import warp
from restore_batch.stages.media import Frame

_CANDIDATE_SCORE = 0.3
_MAX_CANDIDATES = 1000  # bounds the second look on a picture of mere texture
_LOOK_OVER_FACE = 2.5
_SAME_IOU = 0.4
_SAME_CONTAINED = 0.7
_PIXELS_A_CALL = 32_000_000
_CALL_PX = 40_000
"""Pixels that a detector sees in the time in which it begins with one more picture: MTCNN on one
core begins in 3 to 4 ms, and sees 12,000 flat pixels a millisecond. It is no measurement of the
machine at hand: what is found must not depend on that."""


@dataclass(frozen=True)
class Search:
    """``min_score`` in [0, 1]: None takes the detector's own. ``min_face_px``: the smallest face
    to search for in a frame, in its pixels; the cost grows as its inverse square on large ones."""

    detector: Detector
    min_score: float | None
    min_face_px: Callable[[Frame], float]

    def __call__(
        self, frames: Sequence[Frame], expected: Sequence[Sequence[Face]] = ()
    ) -> list[list[Face]]:
        """The faces of each frame. Frames of one size share the detector's batches.

        ``expected``: for each frame the faces that may be in it, each within its own side of its
        place; others are then not looked for.
        """
        traits = traits_of(self.detector)
        min_score = traits.default_score if self.min_score is None else self.min_score
        if traits.look_px is None:
            return self._first_look(frames, expected, min_score)
        return self._both_looks(frames, expected, traits.look_px, min_score)

    def _both_looks(
        self,
        frames: Sequence[Frame],
        expected: Sequence[Sequence[Face]],
        look_px: float,
        min_score: float,
    ) -> list[list[Face]]:
        def confirmed(candidates: Sequence[list[Face]]) -> list[list[Face | None]]:
            return [
                _second_look(self.detector, frame, some, look_px, min_score)
                for frame, some in zip(frames, candidates, strict=True)
            ]

        awaited = [without_contained(list(some)) for some in expected] or [[] for _ in frames]
        there = confirmed(awaited)
        missed = [
            [face for face, seen in zip(some, here, strict=True) if seen is None]
            for some, here in zip(awaited, there, strict=True)
        ]
        first_score = min(min_score, _CANDIDATE_SCORE)
        candidates = self._first_look(frames, missed if expected else (), first_score)
        certain_score = max(traits_of(self.detector).certain_score, min_score)
        certain = [[f for f in some if f.score > certain_score] for some in candidates]
        doubtful = [[f for f in some if f.score <= certain_score] for some in candidates]
        return [
            [face for face in (*here, *sure, *found) if face is not None]
            for here, sure, found in zip(there, certain, confirmed(doubtful), strict=True)
        ]

    def _first_look(
        self,
        frames: Sequence[Frame],
        expected: Sequence[Sequence[Face]],
        min_score: float,
    ) -> list[list[Face]]:
        seen: list[list[_Candidate]] = [[] for _ in frames]
        views = (
            (i, *view)
            for i, frame in enumerate(frames)
            for view in self._views(frame, expected[i] if expected else None)
        )
        for some in _in_batches(views):
            found = self.detector([pixels for _, _, pixels in some], min_score)
            for (i, view, _), faces in zip(some, found, strict=True):
                seen[i] += [_from_view(face, view, frames[i]) for face in faces]
        return [_merge(candidates) for candidates in seen]

    def _views(
        self, frame: Frame, expected: Sequence[Face] | None
    ) -> Iterator[tuple[_View, np.ndarray]]:
        size, min_face_px = (frame.width, frame.height), self.min_face_px(frame)
        # A strip thinner than half of the smallest face cannot show one.
        if min(size) < min_face_px / 2:
            return
        if traits_of(self.detector).sees_any_size:
            tiles = [plan_level(*size, self.detector.smallest_px, min_face_px)]
        else:
            tiles = plan_pyramid(*size, self.detector.smallest_px, min_face_px)
        if expected is not None:
            boxes = [face.box_xyxy for face in without_contained(list(expected))]
            regions = plan_regions(*size, boxes, self.detector.smallest_px)
            if _looked_at_px(regions) < _looked_at_px(tiles):
                for region in regions:
                    yield region, region.render(frame.rgb_hwc)
                return
        yield from zip(tiles, render_tiles(frame.rgb_hwc, tiles), strict=True)


@dataclass(frozen=True)
class _Candidate:
    face: Face
    cut: bool


_View = PyramidTile | Region


def _looked_at_px(views: Sequence[PyramidTile] | Sequence[Region]) -> int:
    """How long a detector takes to look at all of them, in pixels of one that it has begun with."""
    return sum(_CALL_PX + view.width * view.height for view in views)


def _from_view(face: Face, view: _View, frame: Frame) -> _Candidate:
    corners = np.array(face.box_xyxy).reshape(2, 2)
    box = view.to_source(corners, frame.width, frame.height).ravel().tolist()
    landmarks = view.to_source(face.landmarks_xy, frame.width, frame.height)
    return _Candidate(
        Face((box[0], box[1], box[2], box[3]), landmarks.astype(np.float32), face.score),
        view.cuts(face.box_xyxy),
    )


def _merge(candidates: list[_Candidate]) -> list[Face]:
    """One face for each that several levels or tiles saw; a complete box before a cut one."""
    ranked = sorted(candidates, key=lambda c: (c.cut, -c.face.score))
    kept: list[Face] = []
    for candidate in ranked:
        iou, contained = _overlaps(candidate.face, kept)
        if (iou > _SAME_IOU).any() or (candidate.cut and (contained > _SAME_CONTAINED).any()):
            continue
        kept.append(candidate.face)
    return kept[:_MAX_CANDIDATES]


def without_contained(faces: list[Face]) -> list[Face]:
    """Of two that overlap or lie one in the other, the better: a face holds no other face."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        iou, contained = _overlaps(face, kept)
        if not ((iou > _SAME_IOU) | (contained > _SAME_CONTAINED)).any():
            kept.append(face)
    return kept


def _overlaps(face: Face, others: list[Face]) -> tuple[np.ndarray, np.ndarray]:
    """Intersection with each other box: over the union, and over the smaller box."""
    boxes = np.array([other.box_xyxy for other in others], dtype=np.float64).reshape(-1, 4)
    box = np.array(face.box_xyxy)
    size = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    common = np.prod(np.maximum(size, 0), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    smaller = np.maximum(np.minimum(area, areas), 1e-9)
    return common / np.maximum(area + areas - common, 1e-9), common / smaller


def _second_look(
    detector: Detector, frame: Frame, candidates: list[Face], look_px: float, min_score: float
) -> list[Face | None]:
    """Each candidate as the detector sees it alone, or None where it does not confirm it."""
    side_px = round(_LOOK_OVER_FACE * look_px)
    # What is seen together is of one frame: its faces do not depend on another's.
    look = look_of(detector)
    seen: list[Face | None] = []
    views = ((face, *_look(frame, face, look_px, side_px)) for face in candidates)
    for some in _in_batches(views):
        found = look([pixels for _, _, pixels in some], min_score)
        for (face, scale, _), confirmed in zip(some, found, strict=True):
            back = [_from_look(f, face, scale, side_px) for f in confirmed]
            overlap, _ = _overlaps(face, back)
            same = bool(back) and overlap.max() > _SAME_IOU
            seen.append(back[int(overlap.argmax())] if same else None)
    return seen


def look_of(detector: Detector) -> Callable[[Sequence[np.ndarray], float], list[list[Face]]]:
    """How a detector is shown pictures with one face each."""
    return detector.look if isinstance(detector, Looker) else detector


def _look(frame: Frame, face: Face, look_px: float, side_px: int) -> tuple[float, np.ndarray]:
    """A square picture with the face in the middle at the size the detector likes best."""
    scale = look_px / face.side_px
    x, y = centre_xy(face)
    middle = (side_px - 1) / 2
    matrix = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])
    # A mirrored border would show half a face twice.
    return scale, warp(frame.rgb_hwc, matrix, side_px, border="grey")


def _from_look(seen: Face, face: Face, scale: float, side_px: int) -> Face:
    middle = np.array([(side_px - 1) / 2] * 2)
    corners = (np.array(seen.box_xyxy).reshape(2, 2) - middle) / scale + centre_xy(face)
    landmarks = (seen.landmarks_xy - middle) / scale + centre_xy(face)
    box = corners.ravel().tolist()
    return Face((box[0], box[1], box[2], box[3]), landmarks.astype(np.float32), seen.score)


def centre_xy(face: Face) -> np.ndarray:
    left, top, right, bottom = face.box_xyxy
    return np.array([(left + right) / 2, (top + bottom) / 2])


_V = TypeVar("_V", bound=tuple[Any, ...])


def _in_batches(views: Iterable[_V]) -> Iterator[list[_V]]:
    """Views in groups of bounded size; the last element of each is its pixels."""
    some: list[_V] = []
    pixels = 0
    for view in views:
        some.append(view)
        pixels += view[-1].shape[0] * view[-1].shape[1]
        if pixels >= _PIXELS_A_CALL:
            yield some
            some, pixels = [], 0
    if some:
        yield some

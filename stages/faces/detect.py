"""Find the faces of each frame.

Two looks. The first finds candidates at a low threshold: on a pyramid of levels and tiles
(``pyramid.py``; for a detector that ``sees_any_size`` on one level as a whole), or around the faces
that are expected, where a chunk comes with them. The second shows each candidate to the detector
alone, at the size where it works best (its ``look_px``), and keeps those that are confirmed: a real
face scores near one whatever its size in the picture, a pattern does not. It also divides the error
of RetinaFace's landmarks on a 20 px face by three. A detector without ``look_px`` gets one look,
and so does a candidate above the ``certain_score`` of one that has it. A face that is expected gets
the second at once, and the first only where it is not confirmed there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from restore_batch.models.base import Detector, Face, ModelRef
from restore_batch.stages.base import Cost, Pool, Raised, Resources, Role, Stage, WorkerContext
from restore_batch.stages.faces.pyramid import (
    PyramidTile,
    Region,
    plan_level,
    plan_pyramid,
    plan_regions,
    render_tiles,
)
from restore_batch.stages.geometry import (
    DegenerateFaceError,
    estimate_similarity,
    warp,
)
from restore_batch.stages.media import Chunk, Failure, Frame

Select = Literal["all", "largest", "center"]

_RESTORABLE_SHARE = 0.01
"""Of the shorter side, the smallest face that can be restored: a quarter of a millimetre on a 35 mm
negative, where film resolves some ten lines; what a scan shows beyond is grain."""
_RESTORABLE_PX = (16.0, 48.0)
"""Nothing can be made of a face below the first; from the second on it can be restored however
large its picture is."""
_DEFAULT_SCORE = 0.6
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


class Detect(Stage):
    """Find faces and their five landmarks.

    In: ``frames``, uint8 or uint16; ``faces`` where a chunk comes with those that are expected:
    others are then not looked for. Out: ``faces``, a tuple a frame by falling size (then from the
    top), in pixels of the frame; none at all without a ``model``.

    ``min_face_px``: smaller faces are dropped; the cost grows as its inverse square on large
    pictures. auto: :func:`smallest_restorable_px`. ``min_score`` in [0, 1]: None takes the
    detector's own. ``max_faces`` keeps the largest. ``select``: all, the largest, or the one
    nearest to the picture's centre.
    """

    name = "detect"
    after = "decode"
    pool: ClassVar[Pool] = "faces"
    needs = Resources(gpus=0.2)
    # A detector looks at levels and tiles: more than the picture. Small ones spend their time on
    # these and on candidates.
    cost = Cost(least_megapixel_s=0.3, megapixels={"model": 1.2})
    reads = frozenset({"frames"})
    writes = frozenset({"faces"})
    takes: ClassVar[Mapping[str, str]] = {
        "min_face_px": "detect.min_face_px",
        "min_score": "detect.min_score",
        "max_faces": "detect.max_faces",
        "select": "detect.select",
    }
    networks: ClassVar[Mapping[str, Role]] = {"model": "detect"}
    version = 3
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(
            "faces are found by quicker kernels, from the size on that can be restored",
            only_with="model",
            defaults={"min_face_px": ("auto", 16.0)},
        ),
        3: Raised(
            "faces are looked for on one level as a whole, and once where that is certain",
            only_with="model",
        ),
    }

    def __init__(
        self,
        model: ModelRef | None = None,
        min_face_px: float | Literal["auto"] = "auto",
        min_score: float | None = None,
        max_faces: int | None = None,
        select: Select = "all",
        detector: Detector | None = None,
    ) -> None:
        if min_face_px != "auto" and min_face_px <= 0:
            raise ValueError(f"min_face_px must be positive, got {min_face_px}")
        if min_score is not None and not 0 <= min_score <= 1:
            raise ValueError(f"min_score must be in [0, 1], got {min_score}")
        if max_faces is not None and max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, got {max_faces}")
        self.model = model
        self.min_face_px = min_face_px
        self.min_score = min_score
        self.max_faces = max_faces
        self.select = select
        self._detector = detector

    def open(self, worker: WorkerContext) -> None:
        if self.model is not None:
            from restore_batch.models import registry

            self._detector = registry.build(self.model, worker.runtime, worker.weights_dir)

    def close(self) -> None:
        if self.model is not None:
            self._detector = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        if self.model is None and self._detector is None:
            return [replace(chunk, faces=((),) * len(chunk.frames)) for chunk in batch]
        return self.each(
            batch, lambda chunk: replace(chunk, faces=self.find(chunk.frames, chunk.faces))
        )

    def find(
        self, frames: Sequence[Frame], expected: Sequence[Sequence[Face]] = ()
    ) -> tuple[tuple[Face, ...], ...]:
        """The faces of each frame. Frames of one size share the detector's batches.

        ``expected``: for each frame the faces that may be in it, each within its own side of its
        place; others are then not looked for.
        """
        detector = self._detector
        if detector is None:
            raise RuntimeError("Detect is not open")
        min_score = self.min_score
        if min_score is None:
            min_score = float(getattr(detector, "default_score", _DEFAULT_SCORE))
        look_px = getattr(detector, "look_px", None)
        if look_px is None:
            found = self._first_look(detector, frames, expected, min_score)
        else:
            found = self._both_looks(detector, frames, expected, float(look_px), min_score)
        return tuple(self._choose(frame, faces) for frame, faces in zip(frames, found, strict=True))

    def _both_looks(
        self,
        detector: Detector,
        frames: Sequence[Frame],
        expected: Sequence[Sequence[Face]],
        look_px: float,
        min_score: float,
    ) -> list[list[Face]]:
        def confirmed(candidates: Sequence[list[Face]]) -> list[list[Face | None]]:
            return [
                _second_look(detector, frame, some, look_px, min_score)
                for frame, some in zip(frames, candidates, strict=True)
            ]

        awaited = [_without_contained(list(some)) for some in expected] or [[] for _ in frames]
        there = confirmed(awaited)
        missed = [
            [face for face, seen in zip(some, here, strict=True) if seen is None]
            for some, here in zip(awaited, there, strict=True)
        ]
        first_score = min(min_score, _CANDIDATE_SCORE)
        candidates = self._first_look(detector, frames, missed if expected else (), first_score)
        certain_score = max(getattr(detector, "certain_score", math.inf), min_score)
        certain = [[f for f in some if f.score > certain_score] for some in candidates]
        doubtful = [[f for f in some if f.score <= certain_score] for some in candidates]
        return [
            [face for face in (*here, *sure, *found) if face is not None]
            for here, sure, found in zip(there, certain, confirmed(doubtful), strict=True)
        ]

    def _first_look(
        self,
        detector: Detector,
        frames: Sequence[Frame],
        expected: Sequence[Sequence[Face]],
        min_score: float,
    ) -> list[list[Face]]:
        seen: list[list[_Candidate]] = [[] for _ in frames]
        views = (
            (i, *view)
            for i, frame in enumerate(frames)
            for view in self._views(frame, detector, expected[i] if expected else None)
        )
        for some in _in_batches(views):
            found = detector([pixels for _, _, pixels in some], min_score)
            for (i, view, _), faces in zip(some, found, strict=True):
                seen[i] += [_from_view(face, view, frames[i]) for face in faces]
        return [_merge(candidates) for candidates in seen]

    def _views(
        self, frame: Frame, detector: Detector, expected: Sequence[Face] | None
    ) -> Iterator[tuple[_View, np.ndarray]]:
        size, min_face_px = (frame.width, frame.height), self._min_face_px(frame)
        # A strip thinner than half of the smallest face cannot show one.
        if min(size) < min_face_px / 2:
            return
        if getattr(detector, "sees_any_size", False):
            tiles = [plan_level(*size, detector.smallest_px, min_face_px)]
        else:
            tiles = plan_pyramid(*size, detector.smallest_px, min_face_px)
        if expected is not None:
            boxes = [face.box_xyxy for face in _without_contained(list(expected))]
            regions = plan_regions(*size, boxes, detector.smallest_px)
            if _looked_at_px(regions) < _looked_at_px(tiles):
                for region in regions:
                    yield region, region.render(frame.rgb_hwc)
                return
        yield from zip(tiles, render_tiles(frame.rgb_hwc, tiles), strict=True)

    def _min_face_px(self, frame: Frame) -> float:
        if self.min_face_px == "auto":
            return smallest_restorable_px(frame.width, frame.height)
        return float(self.min_face_px)

    def _choose(self, frame: Frame, faces: list[Face]) -> tuple[Face, ...]:
        least_px = self._min_face_px(frame)
        chosen = [f for f in faces if f.side_px >= least_px and is_plausible(f)]
        chosen = _without_contained(chosen)
        chosen.sort(key=lambda f: (-f.side_px, f.box_xyxy[1], f.box_xyxy[0]))
        if self.select == "center" and chosen:
            centre = np.array([frame.width, frame.height]) / 2
            return (min(chosen, key=lambda f: float(np.hypot(*(_centre(f) - centre)))),)
        limit = 1 if self.select == "largest" else self.max_faces
        return tuple(chosen[:limit])


def smallest_restorable_px(width: int, height: int) -> float:
    """Side of the smallest face that is worth looking for in a picture of that size, in pixels: a
    hundredth of the shorter side, at least 16 and at most 48."""
    least, most = _RESTORABLE_PX
    return min(max(_RESTORABLE_SHARE * min(width, height), least), most)


def is_plausible(face: Face) -> bool:
    """Whether box and landmarks can be those of one face, at any angle and up to a profile."""
    left, top, right, bottom = face.box_xyxy
    width, height = right - left, bottom - top
    if not (np.isfinite(face.landmarks_xy).all() and 0.4 < width / max(height, 1e-6) < 2.0):
        return False
    inside = (face.landmarks_xy - (left, top)) / (width, height)
    if ((inside < -0.2) | (inside > 1.2)).any() or np.ptp(inside, axis=0).max() < 0.2:
        return False
    eyes, mouth = face.landmarks_xy[:2], face.landmarks_xy[3:]
    across = (eyes[1] - eyes[0]) + (mouth[1] - mouth[0])
    down = mouth.mean(axis=0) - eyes.mean(axis=0)
    # Positive when the mouth is below the eyes in the face's own frame; a profile is near zero.
    turn = across[0] * down[1] - across[1] * down[0]
    if turn < -0.05 * width * height:
        return False
    try:
        estimate_similarity(face.landmarks_xy, 512)
    except DegenerateFaceError:
        return False
    return True


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


def _without_contained(faces: list[Face]) -> list[Face]:
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
    look = getattr(detector, "look", detector)
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


def _look(frame: Frame, face: Face, look_px: float, side_px: int) -> tuple[float, np.ndarray]:
    """A square picture with the face in the middle at the size the detector likes best."""
    scale = look_px / face.side_px
    x, y = _centre(face)
    middle = (side_px - 1) / 2
    matrix = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])
    # A mirrored border would show half a face twice.
    return scale, warp(frame.rgb_hwc, matrix, side_px, border="grey")


def _from_look(seen: Face, face: Face, scale: float, side_px: int) -> Face:
    middle = np.array([(side_px - 1) / 2] * 2)
    corners = (np.array(seen.box_xyxy).reshape(2, 2) - middle) / scale + _centre(face)
    landmarks = (seen.landmarks_xy - middle) / scale + _centre(face)
    box = corners.ravel().tolist()
    return Face((box[0], box[1], box[2], box[3]), landmarks.astype(np.float32), seen.score)


def _centre(face: Face) -> np.ndarray:
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

"""Find the faces of each frame, in photos also those that lie on their side or stand on their head.

Scans often lie as the print lay on the glass. A detector that has learned from upright faces finds
few of those that lie otherwise, and gives the wrong landmarks to some: a chin where the forehead
is. But it is less sure of them. So a photo in which it is sure of no face is looked at from the
other three sides too, for faces twice as large as the smallest; where it is sure of one there, and
surer than it was, all faces of that side count, and none of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from restore_batch.models.base import Detector, Face, ModelRef, traits_of
from restore_batch.stages.base import Cost, Pool, Raised, Resources, Role, Stage, WorkerContext
from restore_batch.stages.faces.search import Search, centre_xy, without_contained
from restore_batch.stages.faces.turned import Turned
from restore_batch.stages.geometry import DegenerateFaceError, estimate_similarity
from restore_batch.stages.media import Chunk, Failure, Frame

Select = Literal["all", "largest", "center"]
Faces = tuple[Face, ...]

_RESTORABLE_SHARE = 0.01
"""Of the shorter side, the smallest face that can be restored: a quarter of a millimetre on a 35 mm
negative, where film resolves some ten lines; what a scan shows beyond is grain."""
_RESTORABLE_PX = (16.0, 48.0)
"""Nothing can be made of a face below the first; from the second on it can be restored however
large its picture is."""
_FIRST_TURNED = 2.0
"""Over the smallest face: what is first looked for from other sides, at a quarter of the cost."""
_LIES = {
    1: "seems to lie on its side, by the faces in it: upright, it would be turned by 90 degrees"
    " counter-clockwise",
    2: "seems to stand on its head, by the faces in it",
    3: "seems to lie on its side, by the faces in it: upright, it would be turned by 90 degrees"
    " clockwise",
}


class Detect(Stage):
    """Find faces and their five landmarks.

    In: ``frames``, uint8 or uint16; ``faces`` where a chunk comes with those that are expected:
    others are then not looked for. Out: ``faces``, a tuple a frame by falling size (then from the
    top), in pixels of the frame; none at all without a ``model``.

    ``min_face_px``: smaller faces are dropped; the cost grows as its inverse square on large
    pictures. auto: :func:`smallest_restorable_px`. ``min_score`` in [0, 1]: None takes the
    detector's own. ``max_faces`` keeps the largest. ``select``: all, the largest, or the one
    nearest to the picture's centre. ``turned`` auto: as above, if the detector has an
    ``upright_score`` (:class:`restore_batch.models.base.DetectorTraits`); a photo whose faces were
    found so carries a warning.
    """

    name = "detect"
    after = "decode"
    pool: ClassVar[Pool] = "faces"
    needs = Resources(gpus=0.2)
    # A detector looks at levels and tiles: more than the picture. Small ones spend their time on
    # these and on candidates.
    cost = Cost(picture_s=0.02, least_megapixel_s=0.08, megapixels={"model": 1.2})
    reads = frozenset({"frames"})
    may_read = frozenset({"faces"})
    writes = frozenset({"faces"})
    takes: ClassVar[Mapping[str, str]] = {
        "min_face_px": "detect.min_face_px",
        "min_score": "detect.min_score",
        "max_faces": "detect.max_faces",
        "select": "detect.select",
        "turned": "detect.turned",
    }
    added: ClassVar[Mapping[str, object]] = {"turned": "off"}
    networks: ClassVar[Mapping[str, Role]] = {"model": "detect"}
    version = 4
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(
            4,
            "faces are found by quicker kernels, from the size on that can be restored",
            only_with="model",
            defaults={"min_face_px": ("auto", 16.0)},
        ),
        3: Raised(
            9,
            "faces are looked for on one level as a whole, and once where that is certain",
            only_with="model",
        ),
        4: Raised(
            16,
            "photos are looked at from all sides where no face stands upright for certain",
            only_with="model",
            defaults={"turned": ("auto", "off")},
        ),
    }

    def __init__(
        self,
        model: ModelRef | None = None,
        min_face_px: float | Literal["auto"] = "auto",
        min_score: float | None = None,
        max_faces: int | None = None,
        select: Select = "all",
        turned: Literal["auto", "off"] = "auto",
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
        self.turned = turned
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
        return self.each(batch, self._detect)

    def _detect(self, chunk: Chunk) -> Chunk:
        found = self._search(chunk.frames, chunk.faces)
        turns = [0] * len(found)
        if self.turned == "auto" and not chunk.unit.is_film:
            for i, frame in enumerate(chunk.frames):
                turns[i], found[i] = self.find_turned(frame, found[i])
        told = [_LIES[turn] for turn in turns if turn]
        return replace(
            chunk,
            faces=self._chosen(chunk.frames, found),
            warnings=(*chunk.warnings, *dict.fromkeys(told)),
        )

    def find(
        self, frames: Sequence[Frame], expected: Sequence[Sequence[Face]] = ()
    ) -> tuple[Faces, ...]:
        """The faces of each frame that stand upright. Frames of one size share the detector's
        batches.

        ``expected``: for each frame the faces that may be in it, each within its own side of its
        place; others are then not looked for.
        """
        return self._chosen(frames, self._search(frames, expected))

    def find_turned(self, frame: Frame, upright: Sequence[Face]) -> tuple[int, list[Face]]:
        """By how many quarter turns counter-clockwise the frame would be upright, and all its
        faces, whatever is chosen of them.

        ``upright``: those that were found in it as it is; they are returned, with no turn, where no
        other side is likelier.
        """
        traits = traits_of(self._open_detector())
        best = _best_score(upright)
        if best >= traits.upright_score:
            return 0, list(upright)
        sure = traits.upright_score if traits.turned_score is None else traits.turned_score
        enough = max(sure, best)
        sides = [(turn, self._from_side(frame, turn)) for turn in (1, 2, 3)]
        likely = [
            (turn, [*faces, *self._from_side(frame, turn, least=1)])
            for turn, faces in sides
            if _best_score(faces) > enough
        ]
        return max(likely, key=lambda each: _best_score(each[1]), default=(0, list(upright)))

    def _search(
        self, frames: Sequence[Frame], expected: Sequence[Sequence[Face]]
    ) -> list[list[Face]]:
        search = Search(self._open_detector(), self.min_score, self._min_face_px)
        return [list(filter(is_plausible, faces)) for faces in search(frames, expected)]

    def _from_side(self, frame: Frame, turn: int, least: float = _FIRST_TURNED) -> list[Face]:
        """The faces that stand upright after so many quarter turns, ``least`` times as large as
        the smallest or more."""
        search = Search(
            Turned(self._open_detector(), turn),
            self.min_score,
            lambda frame: least * self._min_face_px(frame),
        )
        return list(filter(is_plausible, search([frame])[0]))

    def _open_detector(self) -> Detector:
        if self._detector is None:
            raise RuntimeError("Detect is not open")
        return self._detector

    def _min_face_px(self, frame: Frame) -> float:
        if self.min_face_px == "auto":
            return smallest_restorable_px(frame.width, frame.height)
        return float(self.min_face_px)

    def _chosen(self, frames: Sequence[Frame], found: Sequence[list[Face]]) -> tuple[Faces, ...]:
        return tuple(self._choose(frame, faces) for frame, faces in zip(frames, found, strict=True))

    def _choose(self, frame: Frame, faces: list[Face]) -> Faces:
        least_px = self._min_face_px(frame)
        chosen = without_contained([f for f in faces if f.side_px >= least_px])
        chosen.sort(key=lambda f: (-f.side_px, f.box_xyxy[1], f.box_xyxy[0]))
        if self.select == "center" and chosen:
            centre = np.array([frame.width, frame.height]) / 2
            return (min(chosen, key=lambda f: float(np.hypot(*(centre_xy(f) - centre)))),)
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


def _best_score(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=0.0)

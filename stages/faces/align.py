"""Warp each face to the template that the restorers were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from restore_batch.models.base import ModelRef
from restore_batch.stages.base import Pool, Raised, Role, Stage
from restore_batch.stages.faces.softness import is_soft
from restore_batch.stages.geometry import DegenerateFaceError, estimate_similarity, warp
from restore_batch.stages.media import Alignment, Chunk, Face, Failure, Frame

_FACE_PX = 512
"""For restorers that take faces of any size."""


class Align(Stage):
    """Crop faces by a similarity transform of their five landmarks.

    In: ``frames`` and ``faces``. Out: ``alignments`` and ``crops``, a tuple and an array
    (F, S, S, 3) uint8 a frame, S = ``face_px``, by default what the ``restorer`` takes. A face
    whose landmarks determine no transform is left out of ``faces`` too, with a warning, so that
    the three stay parallel.

    What lies outside of the picture is its mirror image, as in the FFHQ crops that the
    restorers learned from (Karras et al. 2019, appendix A).
    """

    name = "align"
    after = "detect"
    pool: ClassVar[Pool] = "faces"
    reads = frozenset({"frames", "faces"})
    writes = frozenset({"faces", "alignments", "crops"})
    of_faces = True
    networks: ClassVar[Mapping[str, Role]] = {"restorer": "restore"}
    version = 2
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(17, "large faces of soft photos are restored", only_with="restorer")
    }

    def __init__(self, face_px: int | None = None, restorer: ModelRef | None = None) -> None:
        if face_px is None:
            card = restorer.card if restorer is not None else None
            restores = card is not None and card.task == "restore"
            face_px = (card.input_px if card and restores else None) or _FACE_PX
        if face_px < 1:
            raise ValueError(f"face_px must be positive, got {face_px}")
        self.face_px = face_px

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._align)

    def _align(self, chunk: Chunk) -> Chunk:
        kept: list[tuple[Face, ...]] = []
        alignments: list[tuple[Alignment, ...]] = []
        crops: list[np.ndarray] = []
        warnings: list[str] = []
        for index, (frame, faces) in enumerate(zip(chunk.frames, chunk.faces, strict=True)):
            aligned = []
            for face in faces:
                try:
                    matrix = _matrix(face, self.face_px, chunk.pixel_aspect)
                except DegenerateFaceError as error:
                    warnings.append(f"frame {index}: a face at {_where(face)} is left: {error}")
                else:
                    # In films it would change from frame to frame.
                    soft = not chunk.unit.is_film and is_soft(frame.rgb_hwc, matrix, self.face_px)
                    aligned.append((face, Alignment(matrix, self.face_px, soft)))
            kept.append(tuple(face for face, _ in aligned))
            alignments.append(tuple(alignment for _, alignment in aligned))
            crops.append(self._crops(frame, alignments[-1]))
        return replace(
            chunk,
            faces=tuple(kept),
            alignments=tuple(alignments),
            crops=tuple(crops),
            warnings=(*chunk.warnings, *warnings),
        )

    def _crops(self, frame: Frame, alignments: tuple[Alignment, ...]) -> np.ndarray:
        crops = np.empty((len(alignments), self.face_px, self.face_px, 3), np.uint8)
        for crop, alignment in zip(crops, alignments, strict=True):
            crop[...] = warp(frame.rgb_hwc, alignment.matrix, self.face_px)
        return crops


def _matrix(face: Face, face_px: int, pixel_aspect: float) -> np.ndarray:
    """The template knows square pixels only: a similarity there, an affine map here."""
    square = face.landmarks_xy * np.array([pixel_aspect, 1.0])
    matrix = estimate_similarity(square, face_px)
    return matrix @ np.diag([pixel_aspect, 1.0, 1.0])


def _where(face: Face) -> str:
    left, top, _, _ = face.box_xyxy
    return f"({left:.0f}, {top:.0f})"

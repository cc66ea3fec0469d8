"""Restoring aligned faces: all faces of all chunks of a batch go through the network together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.models.base import ModelRef, Restorer
from restore_batch.stages.base import Cost, Pool, Raised, Resources, Role, Stage, WorkerContext
from restore_batch.stages.faces.evidence import held_to_picture
from restore_batch.stages.faces.masks import luma
from restore_batch.stages.geometry import scale_of
from restore_batch.stages.media import Alignment, Chunk, Failure
from restore_batch.stages.specks import keep_rare_specks

_MOST_SPECKS = 8
"""Lights of eyes, teeth and jewels in a face; where there are more, some are dust."""

RunFaces = Callable[[Sequence[np.ndarray], Sequence[float]], list[np.ndarray]]


def native_px(alignment: Alignment) -> float:
    """Side of the crop in pixels of the source."""
    return alignment.face_px / scale_of(alignment.matrix)


def is_left_alone(alignment: Alignment) -> bool:
    """True where the source shows more of the face than the restorer would give back."""
    return native_px(alignment) > alignment.face_px and not alignment.soft


class Restore(Stage):
    """Run a face restorer, or an upscaler in its place, on aligned crops.

    In:  per frame (F, S, S, 3) uint8 crops, S = the restorer's ``face_px``, and their alignments.
    Out: the same shapes. Faces that are larger in the source than S, and sharp, stay as they were
    (:func:`is_left_alone`), and all do without a model. Crops of a grey frame come back grey. A
    restorer that corrects (``Card.corrects``) is held to what small faces show
    (:func:`restore_batch.stages.faces.evidence.held_to_picture`).

    On a GPU up to ``batch_faces`` faces of any frames and photos share a call, half as many when
    memory runs out; on the CPU faces go one by one. A chunk that makes the network fail is
    restored apart from the others, so that it fails alone.
    """

    name = "restore"
    after = "align"
    pool: ClassVar[Pool] = "faces"
    needs = Resources(gpus=0.5)
    cost = Cost(faces={"model": 1.0})
    reads = frozenset({"frames", "crops", "alignments"})
    writes = frozenset({"restored"})
    of_faces = True
    networks: ClassVar[Mapping[str, Role]] = {"model": "restore"}
    version = 3
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(3, "less is drawn into small faces that their picture does not show", "model"),
        3: Raised(13, "lights in eyes are not taken for dust, and grey faces stay grey", "model"),
    }

    def __init__(self, model: ModelRef | None, batch_faces: int = 16) -> None:
        if batch_faces < 1:
            raise ValueError(f"batch_faces is {batch_faces}: expected at least 1")
        self.model = model
        self.batch_faces = batch_faces
        self.run_faces: RunFaces | None = None
        self._device = "cpu"

    def open(self, worker: WorkerContext) -> None:
        """Load the network, when there is one."""
        self._device = worker.runtime.device
        if self.model is None:
            return
        from restore_batch.models import registry

        model: Any = registry.build(self.model, worker.runtime, worker.weights_dir)
        if self.model.card.task == "upscale":
            from restore_batch.models.running.face_upscaler import FaceByUpscaler

            self.run_faces = FaceByUpscaler(model)
        else:
            restorer = cast(Restorer, model)
            self.run_faces = lambda crops, native_px: restorer(crops)

    def close(self) -> None:
        """Free the network."""
        self.run_faces = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        if self._device.startswith("cuda") and len(batch) > 1:
            try:
                return list(self._restore(batch))
            except Exception:
                pass  # one of them is to blame: find it by running them apart
        return self.each(batch, lambda chunk: self._restore([chunk])[0])

    def _restore(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Restore all faces of ``chunks`` in common network calls."""
        if self.run_faces is None:
            return [replace(chunk, restored=chunk.crops) for chunk in chunks]
        done = [[crops.copy() for crops in chunk.crops] for chunk in chunks]
        where: list[tuple[int, int, int]] = []
        native: list[float] = []
        for c, chunk in enumerate(chunks):
            for f, alignments in enumerate(chunk.alignments):
                for i, alignment in enumerate(alignments):
                    if not is_left_alone(alignment):
                        where.append((c, f, i))
                        native.append(native_px(alignment))
        crops = [chunks[c].crops[f][i] for c, f, i in where]
        for (c, f, i), face in zip(where, self._in_batches(crops, native), strict=True):
            if face.shape != done[c][f][i].shape or face.dtype != np.uint8:
                raise MediaError(
                    f"the restorer returned {face.shape} {face.dtype}: "
                    f"expected {done[c][f][i].shape} uint8"
                )
            held = face
            if self.model is not None and self.model.card.corrects:
                crop, alignment = chunks[c].crops[f][i], chunks[c].alignments[f][i]
                held = held_to_picture(crop, face, native_px(alignment))
                if not chunks[c].unit.is_film:
                    held = held.copy()
                    keep_rare_specks(crop, held, _MOST_SPECKS)
            frames = chunks[c].frames
            done[c][f][i] = luma(held)[..., None] if frames and frames[f].colourless else held
        return [
            replace(chunk, restored=tuple(faces)) for chunk, faces in zip(chunks, done, strict=True)
        ]

    def _in_batches(self, crops: Sequence[np.ndarray], native: Sequence[float]) -> list[np.ndarray]:
        assert self.run_faces is not None
        size = self.batch_faces if self._device.startswith("cuda") else 1
        restored: list[np.ndarray] = []
        while len(restored) < len(crops):
            part = slice(len(restored), len(restored) + size)
            faces = self._run_or_none(crops[part], native[part])
            if faces is not None:
                restored += faces
            elif size > 1:
                size = (size + 1) // 2
            else:
                raise MediaError(
                    "not enough memory to restore a single face: "
                    "use fewer workers a GPU or a smaller restorer"
                )
        return restored

    def _run_or_none(
        self, crops: Sequence[np.ndarray], native: Sequence[float]
    ) -> list[np.ndarray] | None:
        """The restored faces, or None when memory ran out."""
        from restore_batch.stages.enlarge.tiles import memory

        assert self.run_faces is not None
        try:
            return self.run_faces(crops, native)
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
        memory.free_cached_memory(self._device)
        return None

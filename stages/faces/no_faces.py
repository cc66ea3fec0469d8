"""The stand-in for face stages in jobs that leave faces alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restore_batch.stages.base import Resources, Stage
from restore_batch.stages.media import Chunk, Failure

_NO_CROPS = np.empty((0, 512, 512, 3), np.uint8)


class NoFaces(Stage):
    """Fills the face fields with nothing.

    Out: for each frame no faces, no alignments, and arrays of no crops.
    """

    name = "no-faces"
    needs = Resources(cpus=0, memory_mb=0)
    reads = frozenset({"frames"})
    writes = frozenset({"faces", "alignments", "crops", "restored"})

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return [_without_faces(chunk) for chunk in batch]


def _without_faces(chunk: Chunk) -> Chunk:
    none, no_crops = ((),) * len(chunk.frames), (_NO_CROPS,) * len(chunk.frames)
    return replace(chunk, faces=none, alignments=none, crops=no_crops, restored=no_crops)

"""The stand-in for face stages in jobs that leave faces alone."""

from __future__ import annotations

from dataclasses import replace

from restore_batch.stages.base import Resources, Stage
from restore_batch.stages.media import Chunk, Failure


class NoFaces(Stage):
    """Fills the face fields with nothing.

    Out: for each frame no faces, no alignments, no crops. ``crops`` and ``restored`` are empty:
    later stages look at ``faces`` first.
    """

    name = "no-faces"
    needs = Resources(cpus=0, memory_mb=0)
    reads = frozenset({"frames"})
    writes = frozenset({"faces", "alignments", "crops", "restored"})

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return [replace(c, faces=((),) * len(c.frames)) for c in batch]

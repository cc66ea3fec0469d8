"""The stages of photos as a film needs them: finding faces, restoring them, finishing pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from restore_batch.models.base import Face
from restore_batch.stages.base import Stage
from restore_batch.stages.chain import run_stages
from restore_batch.stages.film.faces import square
from restore_batch.stages.media import Chunk, Failure, Frame


@dataclass(frozen=True)
class FrameChain:
    """Opened stages that work on frames, told apart by what they write.

    ``before``: what is done to a frame before faces are looked for. ``find``: the stage that looks
    for them. ``restoring``: up to the restored faces. ``finishing``: what is left.
    """

    before: tuple[Stage, ...]
    find: Stage
    restoring: tuple[Stage, ...]
    finishing: tuple[Stage, ...]

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> FrameChain:
        """Raises ValueError where none of the stages finds faces."""
        finds = next((i for i, stage in enumerate(stages) if "faces" in stage.writes), None)
        if finds is None:
            raise ValueError("no stage finds faces: a film cannot be restored by these stages")
        behind = range(finds + 1, len(stages))
        restored = max((i for i in behind if "restored" in stages[i].writes), default=finds)
        return cls(
            tuple(stages[:finds]),
            stages[finds],
            (*stages[:finds], *stages[finds + 1 : restored + 1]),
            tuple(stages[restored + 1 :]),
        )

    def faces_of(self, chunk: Chunk) -> tuple[Frame, tuple[Face, ...]]:
        """Look for faces in a chunk of one frame: the frame as they were looked for in it, in
        square pixels and uint8, and the faces in pixels of that. Raises FaceSearchError."""
        frame = self.prepared(chunk)
        return frame, self.faces_in(replace(chunk, frames=(frame,)))

    def prepared(self, chunk: Chunk) -> Frame:
        """The only frame of a chunk as faces are looked for in it. Raises FaceSearchError."""
        (reply,) = run_stages(self.before, [chunk])
        if isinstance(reply, Failure):
            raise FaceSearchError(reply.message)
        return square(reply.frames[0], chunk.pixel_aspect)

    def faces_in(self, chunk: Chunk, expected: tuple[Face, ...] | None = None) -> tuple[Face, ...]:
        """The faces of a chunk of one prepared frame: near those that are ``expected``, or
        anywhere. Raises FaceSearchError."""
        asked = chunk if expected is None else replace(chunk, faces=(expected,))
        (found,) = run_stages([self.find], [asked])
        if isinstance(found, Failure):
            raise FaceSearchError(found.message)
        return found.faces[0]


class FaceSearchError(Exception):
    """Why faces could not be looked for in a frame, in one line."""

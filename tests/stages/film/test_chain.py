"""The stages of a photo as a film uses them: which of them run when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from restore_batch.models.base import Face
from restore_batch.stages.base import Stage
from restore_batch.stages.film.chain import FaceSearchError, FrameChain
from restore_batch.stages.media import Chunk, Failure, Frame

from support.toys import unit


class Step(Stage):
    """Adds 1 to every pixel; a finder finds as many faces as the first pixel says."""

    def __init__(self, name: str, writes: Sequence[str] = ()) -> None:
        self.name = name  # type: ignore[misc] # a class variable in real stages
        self.writes = frozenset(writes)  # type: ignore[misc]

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._step)

    def _step(self, chunk: Chunk) -> Chunk:
        if self.name == "fails":
            raise ValueError("it is dark")
        if "faces" in self.writes:
            count = int(chunk.frames[0].rgb_hwc[0, 0, 0])
            face = Face((0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9)
            return replace(chunk, faces=((face,) * count,))
        frames = tuple(replace(f, rgb_hwc=f.rgb_hwc + 1) for f in chunk.frames)
        return replace(chunk, frames=frames)


def names(stages: Sequence[Stage]) -> list[str]:
    return [stage.name for stage in stages]


def chunk(width: int = 8, *, aspect: float = 1.0) -> Chunk:
    return Chunk(unit("u"), (Frame(np.zeros((8, width, 3), np.uint8)),), pixel_aspect=aspect)


def test_stages_are_told_apart_by_what_they_write() -> None:
    chain = FrameChain.of(
        (
            Step("tint"), Step("find", ["faces"]), Step("align", ["faces", "crops"]),
            Step("restore", ["restored"]), Step("enlarge"), Step("paste", ["pasted"]),
        )
    )  # fmt: skip
    assert names(chain.before) == ["tint"]
    assert chain.find.name == "find"
    assert names(chain.restoring) == ["tint", "align", "restore"]
    assert names(chain.finishing) == ["enlarge", "paste"]


def test_faces_are_looked_for_in_what_the_stages_before_make_of_a_frame() -> None:
    chain = FrameChain.of((Step("one"), Step("two"), Step("find", ["faces"])))
    frame, faces = chain.faces_of(chunk())
    assert len(faces) == 2
    assert (frame.rgb_hwc == 2).all()


def test_faces_are_looked_for_in_square_pixels() -> None:
    chain = FrameChain.of((Step("find", ["faces"]),))
    frame, _ = chain.faces_of(chunk(aspect=2.0))
    assert (frame.width, frame.height) == (16, 8)


def test_a_frame_in_which_faces_cannot_be_looked_for_says_why() -> None:
    for stages in (
        (Step("fails"), Step("find", ["faces"])),
        (Step("one"), Step("fails", ["faces"])),
    ):
        with pytest.raises(FaceSearchError, match="ValueError: it is dark"):
            FrameChain.of(stages).faces_of(chunk())


def test_stages_that_find_no_faces_are_no_chain() -> None:
    with pytest.raises(ValueError, match="no stage finds faces"):
        FrameChain.of((Step("enlarge"),))

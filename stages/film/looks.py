"""Which frames of a film are searched for faces as a whole, and where the others are.

A whole look costs many times what a look at a known face does, and faces do not come and go
within a fifth of a second. So every :data:`LOOK_FRAMES`-th frame of the film is searched as a
whole, and so are both frames at a cut and the film's last; a frame between two of these only
around the faces of both, behind it and ahead. A face that comes in between is found from the frame
ahead, and one that leaves from the frame behind. What is looked for in a frame depends on the
:data:`LOOK_REACH` frames around it alone, so it is the same in whatever segment the frame is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.cuts import Signature, frame_signature, is_cut
from restore_batch.stages.media import Frame
from restore_batch.stages.parallel import ordered_map
from restore_batch.stages.video.types import VideoFrame

LOOK_FRAMES = 5
"""From one frame that is searched as a whole to the next, counted from the film's first."""

LOOK_REACH = LOOK_FRAMES - 1
"""How many frames before and after a frame have a part in where faces are looked for in it."""

Prepare = Callable[[Frame], Frame]
"""A decoded frame as faces are looked for in it: in square pixels and uint8."""

Look = Callable[[Frame, tuple[Face, ...] | None], tuple[Face, ...]]
"""The faces of a prepared frame: near those that are expected, or anywhere where that is None."""

Fallback = Callable[[Frame], Frame]

Measure = Callable[[Face, Frame], Face]
"""A face with what else is known of it, from the decoded frame that it is in."""


@dataclass(frozen=True, eq=False)
class SearchedFrame:
    """A frame and what was found in it.

    ``rgb_hwc``: (H, W, 3) uint8 in square pixels. ``cut``: it begins a new shot. ``fault``: why
    faces could not be looked for in it, or "".
    """

    rgb_hwc: np.ndarray
    faces: tuple[Face, ...]
    cut: bool
    fault: str


@dataclass(frozen=True, eq=False)
class _Begun:
    decoded: Frame
    frame: Frame
    signature: Signature
    faces: tuple[Face, ...] | None = None
    cut: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Search:
    """How the frames of a segment are searched; ``fallback`` stands in for a failed ``prepare``.

    ``sparse``: as this module says; without it every frame is searched as a whole. ``measure``:
    done to every face that is found.
    """

    prepare: Prepare
    look: Look
    fallback: Fallback
    sparse: bool
    measure: Measure | None = None

    def frames(
        self, frames: Iterable[VideoFrame], first: int, pool: Executor, ahead: int
    ) -> Iterator[SearchedFrame]:
        """Search consecutive frames in order; ``first``: the number in the film of the first.

        ``ahead`` of them are worked on side by side, and some :data:`LOOK_FRAMES` more wait.
        """
        if not self.sparse:
            first, every = 0, 1
        else:
            every = LOOK_FRAMES
        numbered = enumerate(frames, first)
        begun = ordered_map(
            pool, lambda one: self._begin(one[1], one[0] % every == 0), numbered, ahead + every
        )
        searched = ordered_map(
            pool, lambda one: self._finish(*one), self._between(self._whole(begun)), ahead
        )
        for one in searched:
            yield SearchedFrame(one.frame.rgb_hwc, one.faces or (), one.cut, one.fault)

    def _begin(self, video_frame: VideoFrame, whole: bool) -> _Begun:
        try:
            frame = self.prepare(video_frame.frame)
        except Exception as error:  # one frame must not cost a film its result
            frame = self.fallback(video_frame.frame)
            signature = frame_signature(frame.rgb_hwc)
            return _Begun(video_frame.frame, frame, signature, (), fault=_why(error))
        begun = _Begun(video_frame.frame, frame, frame_signature(frame.rgb_hwc))
        return self._searched(begun, None) if whole else begun

    def _whole(self, begun: Iterable[_Begun]) -> Iterator[_Begun]:
        """The frames with their cuts; the first and last of every shot searched as a whole."""
        before: _Begun | None = None
        for one in begun:
            if before is None:
                before = self._looked_at(one)
                continue
            cut = is_cut(before.signature, one.signature)
            yield self._looked_at(before) if cut else before
            before = self._looked_at(replace(one, cut=True)) if cut else one
        if before is not None:
            yield self._looked_at(before)

    def _between(self, frames: Iterable[_Begun]) -> Iterator[tuple[_Begun, tuple[Face, ...]]]:
        """Each frame, and the faces of the frames around it that were searched as a whole."""
        behind: tuple[Face, ...] = ()
        waiting: list[_Begun] = []
        for one in frames:
            if one.faces is None:
                waiting.append(one)
                continue
            for each in waiting:
                yield each, (*behind, *one.faces)
            waiting.clear()
            yield one, ()
            behind = one.faces

    def _looked_at(self, one: _Begun) -> _Begun:
        return self._searched(one, None) if one.faces is None else one

    def _finish(self, one: _Begun, expected: tuple[Face, ...]) -> _Begun:
        if one.faces is not None:
            return one
        return self._searched(one, expected) if expected else replace(one, faces=())

    def _searched(self, one: _Begun, expected: tuple[Face, ...] | None) -> _Begun:
        try:
            faces = self.look(one.frame, expected)
            if self.measure is not None:
                faces = tuple(self.measure(face, one.decoded) for face in faces)
            return replace(one, faces=faces)
        except Exception as error:
            return replace(one, faces=(), fault=_why(error))


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__

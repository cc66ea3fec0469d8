"""The frames of films, read whole or segment by segment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import VideoFrame

from support.clips import frame_number

__all__ = ["SEGMENTATIONS", "numbers", "read", "same", "whole"]

SEGMENTATIONS = ((0.2, 2), (0.35, 0), (0.04, 1), (0.6, 5))
"""Seconds of a segment, and frames of context, in which a film has to be the same."""


def read(
    path: Path, index: VideoIndex, segment_s: float, context: int, **how: Any
) -> list[VideoFrame]:
    """All frames of a film, read segment by segment."""
    frames: list[VideoFrame] = []
    for segment in cut_segments(index, segment_s, 1 << 40, context):
        some = list(FrameRangeReader(str(path), index.facts, segment, **how))
        assert [frame.pts for frame in some] == list(segment.pts)
        assert [frame.duration for frame in some] == list(segment.durations)
        frames += some[segment.before : len(some) - segment.after]
    return frames


def whole(path: Path, index: VideoIndex, **how: Any) -> list[VideoFrame]:
    return read(path, index, 1e6, 0, **how)


def same(one: Sequence[VideoFrame], other: Sequence[VideoFrame]) -> bool:
    return len(one) == len(other) and all(
        a.pts == b.pts and a.fault == b.fault and np.array_equal(a.frame.rgb_hwc, b.frame.rgb_hwc)
        for a, b in zip(one, other, strict=True)
    )


def numbers(frames: Iterable[VideoFrame]) -> list[int]:
    return [frame_number(frame.frame.rgb_hwc) for frame in frames]

"""Cutting a film into segments: ranges of frames that are restored and committed together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.types import FrameRange, UntimedRange, VideoFacts


def cut_segments(
    index: VideoIndex,
    segment_s: float,
    max_bytes: int,
    context: int,
    *,
    span: range | None = None,
) -> tuple[FrameRange, ...]:
    """Cut a film at keyframes about every ``segment_s`` seconds.

    Own frames of the segments are a partition of the film. A segment lasts between half and twice
    ``segment_s`` (the last one may be shorter, one long frame longer) and, with ``context``
    frames on each side, takes at most ``max_bytes`` of decoded RGB, but always has a frame of its
    own. Where no keyframe is in reach the cut is made between keyframes, and decoding begins at
    the one before. ``span``: cut only these frames, as if nothing else were wanted. Raises
    ValueError for a length or context that makes no sense.
    """
    if segment_s <= 0 or context < 0:
        raise ValueError(f"expected segment_s > 0 and context ≥ 0, got {segment_s} and {context}")
    most = max(1, max_bytes // frame_bytes(index.facts) - 2 * context)
    segments: list[FrameRange] = []
    first, end = (0, index.count) if span is None else (span.start, span.stop)
    while first < end:
        stop = min(end, _stop(index, first, segment_s / float(index.facts.time_base_s), most))
        segments.append(_frame_range(index, len(segments), first, stop, context))
        first = stop
    return tuple(segments)


def frame_bytes(facts: VideoFacts) -> int:
    """Bytes of one decoded frame: three components, of two bytes if deeper than 8 bits."""
    return facts.width * facts.height * 3 * (1 if facts.bits <= 8 else 2)


def _stop(index: VideoIndex, first: int, length: float, most: int) -> int:
    """Where the segment that begins at ``first`` ends; ``length`` in units of the time base."""
    start = int(index.pts[first])
    end = int(index.pts[-1] + index.durations[-1])
    if index.count - first <= most and end - start <= 1.5 * length:
        return index.count  # the rest is no longer than a segment and a half
    edges = index.pts[first + 1 : first + most + 1] - start
    reach = first + int(np.searchsorted(edges, 2 * length, side="right"))
    low, high = np.searchsorted(index.keyframes, (first + 1, reach + 1))
    keyframes = index.keyframes[low:high]
    lengths = index.pts[keyframes] - start
    keyframes, lengths = keyframes[lengths >= length / 2], lengths[lengths >= length / 2]
    if len(keyframes):
        return int(keyframes[np.argmin(np.abs(lengths - length))])
    full = first + int(np.searchsorted(edges, length, side="left")) + 1
    return min(full, first + most, index.count)


def _frame_range(index: VideoIndex, number: int, first: int, stop: int, context: int) -> FrameRange:
    begin, end = max(0, first - context), min(index.count, stop + context)
    place = int(np.searchsorted(index.keyframes, begin, side="right")) - 1
    keyframe = int(index.keyframes[place]) if place >= 0 else 0
    # The first frame needs no seek, and a broken index of the file cannot get in its way.
    frames = FrameRange(
        number=number,
        first=first,
        pts=tuple(index.pts[begin:end].tolist()),
        durations=tuple(index.durations[begin:end].tolist()),
        before=first - begin,
        after=end - stop,
        seek_pts=int(index.pts[keyframe]) if keyframe else None,
    )
    if index.packets is None:
        return frames
    return UntimedRange(
        **{**vars(frames), "seek_pts": None},
        packets=tuple(index.packets[begin:end].tolist()),
        start_packet=int(index.packets[keyframe]) if keyframe else 0,
    )


def index_of(facts: VideoFacts, segments: Sequence[FrameRange]) -> VideoIndex:
    """The frames of a film, by the segments that all of it was cut into; its keyframes are those
    that the segments are decoded from."""

    def owned(name: str) -> np.ndarray:
        own = (getattr(each, name)[each.before :][: each.own_count] for each in segments)
        return np.array(list(chain.from_iterable(own)), np.int64)

    pts, durations = owned("pts"), owned("durations")
    starts = [each.start_packet for each in segments if isinstance(each, UntimedRange)]
    if starts:
        packets = owned("packets")
        keyframes = np.flatnonzero(np.isin(packets, [each for each in starts if each]))
        return VideoIndex(facts, pts, durations, keyframes, packets)
    seeks = [each.seek_pts for each in segments if each.seek_pts is not None]
    return VideoIndex(facts, pts, durations, np.flatnonzero(np.isin(pts, seeks)))

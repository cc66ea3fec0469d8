"""Segments are a partition of the film, cut where decoding can begin."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.segments import cut_segments, frame_bytes, index_of
from restore_batch.stages.video.types import ColourTags, VideoFacts

FRAME_BYTES = 64 * 48 * 3
ROOMY = 10**9


def _facts(count: int, tick_s: Fraction = Fraction(1, 100), bits: int = 8) -> VideoFacts:
    return VideoFacts(
        container="mkv",
        codec="h264",
        pix_fmt="yuv420p",
        width=64,
        height=48,
        rotation_deg=0,
        sample_aspect=Fraction(1),
        bits=bits,
        field_order="progressive",
        colour=ColourTags(),
        time_base_s=tick_s,
        frame_count=count,
        duration_s=1.0,
        mean_fps=25.0,
        streams=(),
        video_stream=0,
    )


def _index(steps: list[int], keyframes: list[int], start: int = 0) -> VideoIndex:
    """A film whose frame i lasts ``steps[i]`` hundredths of a second."""
    durations = np.array(steps, np.int64)
    pts = start + np.cumsum(durations) - durations
    return VideoIndex(_facts(len(steps)), pts, durations, np.array(sorted(keyframes), np.int64))


@st.composite
def _films(draw: st.DrawFn) -> VideoIndex:
    steps = draw(st.lists(st.sampled_from([1, 3, 4, 4, 4, 4, 50, 700]), min_size=1, max_size=300))
    numbers = st.integers(0, len(steps) - 1)
    keyframes = draw(st.one_of(st.sets(numbers, max_size=20), st.just(set(range(len(steps))))))
    return _index(steps, list(keyframes), draw(st.sampled_from([-300, 0, 10**6])))


@given(
    _films(),
    st.floats(0.02, 20),
    st.integers(1, 60).map(lambda frames: frames * FRAME_BYTES),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_own_frames_are_a_partition_and_context_is_what_lies_around_them(
    index: VideoIndex, segment_s: float, max_bytes: int, context: int
) -> None:
    segments = cut_segments(index, segment_s, max_bytes, context)
    reached = 0
    for number, segment in enumerate(segments):
        assert segment.number == number
        assert segment.first == reached
        assert segment.own_count >= 1
        stop = segment.first + segment.own_count
        assert segment.before == min(context, segment.first)
        assert segment.after == min(context, index.count - stop)
        span = slice(segment.first - segment.before, stop + segment.after)
        assert segment.pts == tuple(index.pts[span])
        assert segment.durations == tuple(index.durations[span])
        reached = stop
    assert reached == index.count


@given(_films(), st.floats(0.02, 20), st.integers(1, 60), st.integers(0, 5))
@settings(deadline=None)
def test_segments_are_neither_too_long_nor_too_large(
    index: VideoIndex, segment_s: float, frames: int, context: int
) -> None:
    for segment in cut_segments(index, segment_s, frames * FRAME_BYTES, context):
        assert segment.own_count == 1 or len(segment.pts) <= frames
        own = segment.pts[segment.before : segment.before + segment.own_count]
        assert (own[-1] - own[0]) / 100 <= 2 * segment_s


@given(_films(), st.floats(0.02, 20), st.integers(0, 5))
@settings(deadline=None)
def test_decoding_begins_at_the_last_keyframe_before_the_first_frame_that_is_read(
    index: VideoIndex, segment_s: float, context: int
) -> None:
    times = index.pts[index.keyframes]
    for segment in cut_segments(index, segment_s, ROOMY, context):
        before = times[times <= segment.pts[0]]
        if len(before) == 0 or before[-1] == index.pts[0]:
            assert segment.seek_pts is None
        else:
            assert segment.seek_pts == before[-1]


@given(st.integers(1, 40), st.integers(2, 60))
def test_segments_begin_at_keyframes_where_the_film_has_some_in_reach(
    gop: int, groups: int
) -> None:
    index = _index([4] * (gop * groups), list(range(0, gop * groups, gop)))
    group_s = gop * 0.04
    segments = cut_segments(index, 1.5, ROOMY, 0)
    # A keyframe lies between half and twice the length if groups are no longer than that.
    assert group_s <= 3
    for segment in segments:
        assert segment.first % gop == 0
    for segment in segments[:-1]:
        assert 0.75 <= segment.own_count * 0.04 <= 3
        assert abs(segment.own_count * 0.04 - 1.5) <= max(group_s / 2, 0.04) + 1e-9 or group_s > 1.5


def test_long_groups_are_cut_inside_and_short_rests_are_not_left_over() -> None:
    index = _index([4] * 250, [0])  # ten seconds, one keyframe
    assert [s.own_count for s in cut_segments(index, 4, ROOMY, 2)] == [100, 150]
    assert [s.seek_pts for s in cut_segments(index, 4, ROOMY, 2)] == [None, None]
    assert [s.own_count for s in cut_segments(index, 100, ROOMY, 2)] == [250]
    assert len(cut_segments(index, 100, 25 * FRAME_BYTES, 0)) == 10


def test_deep_frames_count_twice() -> None:
    assert frame_bytes(_facts(1, bits=10)) == 2 * frame_bytes(_facts(1)) == 2 * FRAME_BYTES


@pytest.mark.parametrize(("segment_s", "context"), [(0, 1), (-1, 1), (1, -1)])
def test_lengths_that_make_no_sense_are_refused(segment_s: float, context: int) -> None:
    with pytest.raises(ValueError, match="expected segment_s > 0"):
        cut_segments(_index([4], [0]), segment_s, ROOMY, context)


@given(_films(), st.booleans(), st.floats(0.02, 20), st.integers(0, 5))
@settings(deadline=None)
def test_a_film_is_known_again_by_its_segments_and_decoded_from_where_they_are(
    index: VideoIndex, untimed: bool, segment_s: float, context: int
) -> None:
    if untimed:
        index = replace(index, packets=np.arange(index.count)[::-1] + 1)
    segments = cut_segments(index, segment_s, ROOMY, context)
    again = index_of(index.facts, segments)
    assert np.array_equal(again.pts, index.pts)
    assert np.array_equal(again.durations, index.durations)
    assert set(again.keyframes) <= set(index.keyframes)
    assert (again.packets is None) is not untimed
    for segment in segments:
        own = range(segment.first, segment.first + segment.own_count)
        (same,) = cut_segments(again, 1e9, ROOMY, context, span=own)
        assert replace(same, number=segment.number) == segment

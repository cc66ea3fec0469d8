"""The packets of a range of frames give the pictures of a full decode, in every container."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest

from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.packets import range_packets
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import FrameRange, UntimedRange

from support import data
from support.clips import clip
from support.field_pictures import field_clip
from support.remux import copied

ROOMY = 10**9


def _decoded(path: Path, segment: FrameRange | None = None) -> dict[int, bytes]:
    """Content of the frames of a segment (of the film) by time, stepping over what is damaged."""
    frames: dict[int, bytes] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if segment is None:
            packets = (packet for packet in container.demux(stream) if packet.size)
        else:
            packets = range_packets(container, stream, segment)
        for packet in [*packets, None]:
            try:
                shown = stream.decode(packet)
            except av.error.FFmpegError:
                continue
            for frame in shown:
                if segment is None or frame.pts in segment.pts:
                    assert frame.pts not in frames
                    frames[frame.pts] = frame.to_ndarray().tobytes()
    return frames


def _first_time(path: Path, segment: FrameRange) -> int | None:
    """Time of the packet at which decoding begins, None for the first of the file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        first = next(range_packets(container, stream, segment))
    with av.open(str(path)) as container:
        start = next(container.demux(video=0))
        return None if (first.pts, first.size) == (start.pts, start.size) else first.pts


def _assert_segments_decode_alike(path: Path, segment_s: float, context: int) -> None:
    index = index_video(str(path))
    whole = _decoded(path)
    assert sorted(whole) == index.pts.tolist()
    segments = cut_segments(index, segment_s, ROOMY, context)
    assert len(segments) > 1
    for segment in segments:
        assert _first_time(path, segment) == segment.seek_pts
        shown = _decoded(path, segment)
        assert tuple(shown) == segment.pts
        assert all(shown[pts] == whole[pts] for pts in segment.pts)


OPEN = {"x264-params": "open-gop=1"}
FILMS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"b_frames": 2},
    "h264.mkv": {"b_frames": 2},
    "h264.ts": {"b_frames": 2},
    "h264.flv": {"b_frames": 2},
    "open.mp4": {"b_frames": 2, "options": OPEN},
    "open.mkv": {"b_frames": 2, "options": OPEN},
    "open.ts": {"b_frames": 2, "options": OPEN},
    "refresh.mp4": {"options": {"x264-params": "intra-refresh=1"}},
    "refresh.ts": {"options": {"x264-params": "intra-refresh=1"}},
    "interlaced.ts": {"b_frames": 2, "interlaced": True},
    "hevc.mp4": {"codec": "libx265", "b_frames": 3},
    "hevc.mkv": {"codec": "libx265", "b_frames": 3, "pix_fmt": "yuv420p10le"},
    "hevc.ts": {"codec": "libx265", "b_frames": 3},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mkv": {"codec": "libsvtav1"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.vob": {"codec": "mpeg2video", "b_frames": 2, "interlaced": True},
    "mpeg2.ts": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.mkv": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg"},
    "prores.mov": {"codec": "prores_ks"},
    "ffv1.mkv": {"codec": "ffv1"},
}


@pytest.mark.parametrize("name", FILMS)
def test_every_segment_has_the_pictures_of_a_full_decode(name: str, tmp_path: Path) -> None:
    path = clip(tmp_path / name, **{"frames": 50, "gop": 10, **FILMS[name]})
    _assert_segments_decode_alike(path, 0.4, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_segments_of_a_variable_rate_film_decode_alike(suffix: str, tmp_path: Path) -> None:
    steps = np.random.default_rng(5).choice([2, 3, 4, 10, 40], 50)
    path = clip(
        tmp_path / f"a{suffix}",
        time_base=Fraction(1, 100),
        pts=(500 + np.cumsum(steps)).tolist(),
        gop=8,
        b_frames=2,
        options=OPEN,
    )
    _assert_segments_decode_alike(path, 0.6, 4)


def test_segments_of_a_film_in_field_packets_decode_alike(tmp_path: Path) -> None:
    _assert_segments_decode_alike(field_clip(tmp_path / "a.ts", frames=20), 0.2, 2)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_segments_of_a_film_cut_at_an_open_group_decode_alike(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    options = OPEN if codec == "libx264" else {}
    source = clip(tmp_path / "a.ts", codec=codec, frames=60, gop=10, b_frames=2, options=options)
    _assert_segments_decode_alike(copied(source, tmp_path / f"b{suffix}", from_keyframe=1), 0.4, 3)


def test_an_index_that_is_missing_only_costs_time(tmp_path: Path) -> None:
    whole = clip(tmp_path / "a.mkv", frames=60, gop=10, b_frames=2)
    content = whole.read_bytes()
    bare = tmp_path / "bare.mkv"
    bare.write_bytes(content[: content.rindex(bytes.fromhex("1c53bb6b"))])  # the Cues element
    _assert_segments_decode_alike(bare, 0.4, 3)


@pytest.mark.parametrize("codec", ["msmpeg4", "wmv2", "flv"])
def test_segments_of_an_avi_without_its_index_decode_alike(codec: str, tmp_path: Path) -> None:
    whole = clip(tmp_path / "a.avi", codec=codec, frames=50, gop=10)
    content = whole.read_bytes()
    bare = tmp_path / "bare.avi"
    bare.write_bytes(content[: content.rindex(b"idx1")])
    _assert_segments_decode_alike(bare, 0.4, 3)


@pytest.mark.parametrize("name", ["b.avi", "b.h264"])
def test_segments_of_frames_without_true_times_are_told_apart_by_counting(
    name: str, tmp_path: Path
) -> None:
    path = clip(tmp_path / "b.avi", frames=50, gop=10, b_frames=2)
    good = clip(tmp_path / "good.mkv", frames=50, gop=10, b_frames=2)
    if name == "b.h264":
        path = copied(clip(tmp_path / "b.ts", frames=50, gop=10, b_frames=2), tmp_path / name)
    whole = list(_decoded(good).values())
    segments = cut_segments(index_video(str(path)), 0.4, ROOMY, 3)
    assert len(segments) == 5
    for segment in segments:
        assert isinstance(segment, UntimedRange)
        assert pickle.loads(pickle.dumps(segment)) == segment
        assert segment.start_packet == (segment.first - segment.before) // 10 * 10
        shown = _decoded(path, segment)
        assert tuple(shown) == segment.pts
        first = segment.first - segment.before
        assert list(shown.values()) == whole[first : first + len(segment.pts)]


def _real_films() -> list[str]:
    try:
        folder = data.folder("RESTORE_BATCH_VIDEO", "video")
    except pytest.skip.Exception:
        return ["(no test data)"]
    return sorted(
        p.name
        for p in folder.glob("*.m*")
        if p.name not in ("one_frame.mp4", "truncated_no_index.mp4")
    )


@pytest.mark.parametrize("name", _real_films())
def test_segments_of_real_films_decode_alike(name: str) -> None:
    _assert_segments_decode_alike(data.folder("RESTORE_BATCH_VIDEO", "video") / name, 1, 5)

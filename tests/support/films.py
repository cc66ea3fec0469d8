"""Small films of every codec and container, and what must hold for the index of any film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from restore_batch.stages.video.index import VideoIndex, index_video

from support.clips import decoded

__all__ = ["ALTREF", "DV", "KINDS", "checked_index", "times"]

DV: dict[str, Any] = {"codec": "dvvideo", "size": (720, 576), "frames": 4}
OPEN_X264: dict[str, Any] = {"b_frames": 2, "options": {"x264-params": "open-gop=1"}}
ALTREF = {"auto-alt-ref": "1", "lag-in-frames": "12", "deadline": "good"}
# Name of the file → how it is made; the suffix chooses the container.
KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"b_frames": 2},
    "h264.mov": {"b_frames": 2},
    "h264.mkv": {"b_frames": 2},
    "h264.ts": {"b_frames": 2},
    "h264.flv": {"b_frames": 2},
    "h264.avi": {},
    "h264_no_b.ts": {},
    "h264_open.mp4": OPEN_X264,
    "h264_open.mkv": OPEN_X264,
    "h264_open.ts": OPEN_X264,
    "h264_interlaced.ts": {"b_frames": 2, "interlaced": True},
    "h264_odd.mp4": {"size": (65, 49), "pix_fmt": "yuv444p"},
    "hevc.mp4": {"codec": "libx265", "b_frames": 3},
    "hevc.mkv": {"codec": "libx265", "b_frames": 3},
    "hevc.ts": {"codec": "libx265", "b_frames": 3},
    "hevc10.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "vp8.webm": {"codec": "libvpx", "options": ALTREF},
    "vp9.webm": {"codec": "libvpx-vp9", "options": ALTREF},
    "vp9.mp4": {"codec": "libvpx-vp9"},
    "av1.mkv": {"codec": "libsvtav1"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.vob": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.ts": {"codec": "mpeg2video", "b_frames": 2, "interlaced": True},
    "mpeg2.mkv": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4", "b_frames": 1},
    "mjpeg.avi": {"codec": "mjpeg"},
    "mjpeg.mov": {"codec": "mjpeg"},
    "prores.mov": {"codec": "prores_ks"},
    "ffv1.mkv": {"codec": "ffv1"},
    "ffv1.avi": {"codec": "ffv1"},
    "dv.avi": DV,
    "dv.dv": DV,
    "dv.mov": DV,
}


def times(path: Path) -> list[int]:
    """When the frames of a full decode are shown."""
    return [pts for pts, _ in decoded(path)]


def checked_index(path: Path) -> VideoIndex:
    """The index of a file, after a look at what must hold for any."""
    index = index_video(str(path))
    assert index.count == index.facts.frame_count == len(index.durations)
    assert index.pts.dtype == index.durations.dtype == index.keyframes.dtype == np.int64
    assert np.all(np.diff(index.pts) > 0)
    assert np.all(index.durations > 0)
    assert np.all(np.diff(index.keyframes) > 0)
    assert np.array_equal(index.pts[1:], (index.pts + index.durations)[:-1])
    return index

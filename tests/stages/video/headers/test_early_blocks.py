"""Matroska's times below zero: the picture's and the sound's are what the file says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from restore_batch.stages.video.headers.early_blocks import _early_times, with_early_times
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments

from support.clips import clip, frame_number
from support.data import field
from support.film_parts import in_parts, packet_times, shown_numbers
from support.films import checked_index

# 0.2 s below zero and uneven, in milliseconds.
PTS = [-200, -100, 0, 33, 100, 167, 200, 300, 333, 400, 500, 533, 600, 640, 700, 733]
KINDS: dict[str, dict[str, Any]] = {
    "h264.mkv": {},
    "h264_b.mkv": {"b_frames": 2},
    "hevc.mkv": {"codec": "libx265", "b_frames": 2},
    "mpeg4.mkv": {"codec": "mpeg4"},
    "ffv1.mkv": {"codec": "ffv1"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
}


def _early(path: Path, **options: Any) -> Path:
    """A film whose first two frames are below zero."""
    kept = {"avoid_negative_ts": "disabled"}
    base = Fraction(1, 1000)
    return clip(path, pts=PTS, frames=len(PTS), gop=8, time_base=base, mux_options=kept, **options)


@pytest.mark.parametrize("name", KINDS)
def test_frames_below_zero_keep_their_distances(name: str, tmp_path: Path) -> None:
    path = _early(tmp_path / name, **KINDS[name])
    index = checked_index(path)
    assert index.pts.tolist() == PTS
    assert (index.packets, index.facts.warnings) == (None, ())
    film = in_parts(path, tmp_path / "parts", 3)
    result = tmp_path / "result.mkv"
    film.joined(result)
    assert shown_numbers(result) == list(range(len(PTS)))
    shown = sorted(time.pts_s for time in packet_times(result))
    assert shown == [Fraction(pts + 200, 1000) for pts in PTS]


def test_sound_below_zero_stays_beside_the_picture(tmp_path: Path) -> None:
    path = _early(tmp_path / "a.mkv", audio=["pcm_s16le"], audio_delay_s=-0.05)
    film = in_parts(path, tmp_path / "parts", 2)
    result = tmp_path / "result.mkv"
    film.joined(result)
    times: dict[str, list[float]] = {"audio": [], "video": []}
    with av.open(str(result)) as container:
        for packet in container.demux():
            if packet.pts is not None:
                times[packet.stream.type].append(float(packet.pts * packet.time_base))
    assert min(times["audio"]) == 0
    assert min(times["video"]) == pytest.approx(0.05, abs=0.001)
    steps = {round(b - a, 3) for a, b in zip(times["audio"], times["audio"][1:], strict=False)}
    assert steps <= {0.021, 0.022}, "every packet follows the one before"


def test_every_range_of_a_film_that_begins_below_zero_is_read(tmp_path: Path) -> None:
    path = _early(tmp_path / "a.mkv", b_frames=2)
    index = checked_index(path)
    seen = []
    for segment in cut_segments(index, 0.2, 1 << 30, 1):
        frames = list(FrameRangeReader(str(path), index.facts, segment))
        own = frames[segment.before : len(frames) - segment.after]
        assert not any(frame.fault for frame in own)
        seen += [frame_number(frame.frame.rgb_hwc) for frame in own]
    assert seen == list(range(len(PTS)))


@pytest.mark.parametrize("name", KINDS)
def test_packets_below_zero_have_their_times(name: str, tmp_path: Path) -> None:
    path = _early(tmp_path / name, **KINDS[name])
    with av.open(str(path)) as container:
        packets = with_early_times(container, container.demux(video=0))
        assert sorted(packet.pts or 0 for packet in packets if packet.size) == PTS


def test_a_number_of_absurd_length_takes_no_memory(tmp_path: Path) -> None:
    data = _early(tmp_path / "a.mkv").read_bytes()
    # The scale of times, said to be as long as a size of eight bytes can say.
    scale = data.index(bytes.fromhex("2ad7b1"))
    damaged = tmp_path / "b.mkv"
    longest = b"\x01" + b"\xff" * 6 + b"\xfe"
    damaged.write_bytes(data[: scale + 3] + longest + data[scale + 4 :])
    assert _early_times(damaged) == {}


def test_no_first_byte_of_a_length_ends_the_search(tmp_path: Path) -> None:
    data = _early(tmp_path / "a.mkv").read_bytes()
    scale = data.index(bytes.fromhex("2ad7b1"))
    for first in range(256):
        damaged = tmp_path / "b.mkv"
        damaged.write_bytes(data[: scale + 3] + bytes([first]))
        assert _early_times(damaged) == {}


def test_a_capture_from_the_field(tmp_path: Path) -> None:
    index = checked_index(field() / "vfr_neg.mkv")
    assert index.pts[:6].tolist() == [-200, -100, 0, 33, 100, 200]
    assert index.facts.warnings == ()

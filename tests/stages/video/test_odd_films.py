"""Packets that are no frames, and films that are cut, damaged or put together badly."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition

from restore_batch.errors import MediaError
from restore_batch.stages.video.packets import presentation_order, range_packets
from restore_batch.stages.video.segments import cut_segments

from support import ffprobe
from support.clips import clip, decoded, frame_number
from support.edit_lists import edited
from support.field_pictures import field_clip
from support.films import KINDS, checked_index, times
from support.reading import SEGMENTATIONS, numbers, read, same, whole
from support.remux import copied, decodable_times


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_leading_pictures_at_the_start_of_a_cut_film_are_no_frames(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    options = {"libx264": {"x264-params": "open-gop=1"}}.get(codec, {})
    source = clip(
        tmp_path / f"a{'.mkv' if codec == 'libx265' else '.ts'}",
        codec=codec,
        frames=40,
        gop=12,
        b_frames=2,
        options=options,
    )
    cut = copied(source, tmp_path / f"cut{suffix}", from_keyframe=1)
    index = checked_index(cut)
    shown = decoded(cut)
    assert index.pts.tolist() == [pts for pts, _ in shown]
    assert frame_number(shown[0][1]) == 12
    assert index.count == 28
    assert index.keyframes.tolist() == [0, 12, 24]
    assert index.facts.warnings == ()


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_leading_pictures_at_the_start_are_not_missed_where_frames_are_counted(
    codec: str, tmp_path: Path
) -> None:
    options = {"libx264": {"x264-params": "open-gop=1"}}.get(codec, {})
    source = clip(tmp_path / "a.ts", codec=codec, frames=40, b_frames=2, options=options)
    times: list[int] = []

    def twin(packet: av.Packet) -> None:
        times.append(packet.pts)
        if len(times) == 20:
            packet.pts = times[-2]

    cut = copied(source, tmp_path / "cut.ts", from_keyframe=1, change=twin)
    index = checked_index(cut)
    assert index.count == 28
    (warning,) = index.facts.warnings
    assert "decoded once" in warning


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_recording_that_starts_between_keyframes_says_what_it_lost(
    codec: str, tmp_path: Path
) -> None:
    source = clip(tmp_path / "a.ts", codec=codec, frames=40, gop=12)
    late = copied(source, tmp_path / "late.ts", from_packet=5)
    index = checked_index(late)
    assert index.pts.tolist() == decodable_times(late)
    assert frame_number(decoded(late)[0][1]) == 12
    assert index.count == 28
    assert index.facts.warnings == ("its first 7 pictures cannot be decoded and are left out",)


def test_packets_that_an_edit_list_discards_are_no_frames(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", frames=40, gop=12, b_frames=2)

    def earlier(packet: av.Packet) -> None:
        five_frames = round(5 / 25 / packet.time_base)
        packet.pts -= five_frames
        packet.dts -= five_frames

    trimmed = copied(source, tmp_path / "trimmed.mp4", change=earlier)
    index = checked_index(trimmed)
    shown = decoded(trimmed)
    assert index.pts.tolist() == [pts for pts, _ in shown]
    assert [frame_number(rgb) for _, rgb in shown] == list(range(5, 40))
    assert index.pts[0] == 0
    assert index.keyframes.tolist() == [7, 19, 31]


EDITS: dict[str, list[tuple[float, float]]] = {
    "two": [(1, 0), (1, 2)],
    "between keyframes": [(1.2, 0.2), (0.8, 2.2)],
    "in another order": [(1, 2), (1, 0)],
    "twice": [(0.6, 1.2), (0.6, 1.2)],
    "a part twice": [(0.4, 0), (0.4, 0.52), (0.6, 0.52)],
}


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("name", EDITS)
def test_a_film_of_several_edits_has_the_frames_that_are_shown(
    name: str, b_frames: int, tmp_path: Path
) -> None:
    film = clip(tmp_path / "film.mp4", frames=100, gop=10, b_frames=b_frames)
    shown = decoded(edited(film, EDITS[name]))
    assert abs(len(shown) - 25 * sum(lasts_s for lasts_s, _ in EDITS[name])) <= 1
    index = checked_index(film)
    assert index.pts.tolist() == [pts for pts, _ in shown]
    assert index.facts.warnings == ()
    frames = whole(film, index)
    assert not any(frame.fault for frame in frames)
    assert numbers(frames) == [frame_number(rgb) for _, rgb in shown]
    assert all(same(frames, read(film, index, *cut)) for cut in SEGMENTATIONS)
    for segment in cut_segments(index, 0.2, 1 << 40, 0):
        with av.open(str(film)) as container:
            first = next(range_packets(container, container.streams.video[0], segment))
            assert segment.seek_pts in (None, first.pts)
            assert segment.seek_pts is None or not first.is_discard


def test_two_fields_in_packets_of_their_own_are_one_frame(tmp_path: Path) -> None:
    path = field_clip(tmp_path / "fields.ts", frames=8)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 16
    index = checked_index(path)
    assert index.pts.tolist() == times(path)
    assert index.count == 8
    assert index.keyframes.tolist() == [0, 4]
    assert set(index.durations.tolist()) == {3600}
    assert index.facts.field_order == "top-first"


def _with_hidden_pictures(path: Path, codec: str) -> Path:
    """60 frames of VP8 or VP9 in two passes, which alone use alternate references."""
    source = clip(path.with_suffix(".mkv"), codec="ffv1", frames=60)
    options = f"-c:v {codec} -b:v 150k -auto-alt-ref 1 -lag-in-frames 16 -g 60 -threads 1".split()
    for number in ("1", "2"):
        command = [ffprobe.program("ffmpeg"), "-v", "error", "-y", "-i", str(source), *options]
        log = ["-pass", number, "-passlogfile", str(path.with_suffix(".log"))]
        subprocess.run([*command, *log, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def _packet_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def test_hidden_pictures_of_vp8_are_no_frames(tmp_path: Path) -> None:
    path = _with_hidden_pictures(tmp_path / "a.webm", "libvpx")
    assert _packet_count(path) > 60
    index = checked_index(path)
    assert index.pts.tolist() == times(path)
    assert (index.count, index.packets, index.facts.warnings) == (60, None, ())


def test_hidden_pictures_of_vp9_are_no_frames(tmp_path: Path) -> None:
    whole = _with_hidden_pictures(tmp_path / "whole.webm", "libvpx-vp9")
    assert _packet_count(whole) == checked_index(whole).count == 60
    path = tmp_path / "split.webm"
    # Without its bitstream filters: the muxer would put the pictures together again.
    as_they_are = {"fflags": "-autobsf"}
    with av.open(str(whole)) as old, av.open(str(path), "w", options=as_they_are) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        split = BitStreamFilterContext("vp9_superframe_split", old.streams.video[0])
        for packet in old.demux(video=0):
            for part in split.filter(packet if packet.size else None):
                part.stream = stream
                new.mux(part)
    assert _packet_count(path) > 60
    index = checked_index(path)
    assert index.pts.tolist() == times(path)
    assert (index.count, index.packets, index.facts.warnings) == (60, None, ())


def test_cover_art_is_not_the_film(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", frames=10)
    path = tmp_path / "cover.mp4"
    with av.open(str(film)) as source, av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        copy = output.add_stream_from_template(source.streams.video[0])
        output.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")) + cover.encode(None))
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    index = checked_index(path)
    assert index.count == 10
    assert (index.facts.width, index.facts.codec) == (64, "h264")
    assert index.facts.warnings == ()
    assert len(index.facts.streams) == 2


# -- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_film_that_is_cut_off_says_when(name: str, tmp_path: Path) -> None:
    options = {"movflags": "faststart"} if name.endswith(".mp4") else None
    codec = "mpeg4" if name.endswith(".avi") else "libx264"
    whole = clip(
        tmp_path / name,
        codec=codec,
        frames=100,
        mux_options=options,
        audio=["pcm_s16le"] if name.endswith(".avi") else ["aac"],
    )
    before = checked_index(whole)
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    index = checked_index(cut)
    assert 20 < index.count < 80
    assert index.pts.tolist() == before.pts[: index.count].tolist()
    assert index.pts.tolist() == decodable_times(cut)[: index.count]
    (warning,) = index.facts.warnings
    assert warning.startswith(f"it is cut off: 0:00:0{index.facts.duration_s:.3f} of 0:00:0")
    assert before.facts.warnings == ()


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_what_is_left_of_a_stream_is_read(suffix: str, tmp_path: Path) -> None:
    whole = clip(tmp_path / f"a{suffix}", codec="mpeg2video", frames=60, b_frames=2)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    index = checked_index(cut)
    assert 10 < index.count < 50
    assert index.pts.tolist() == decodable_times(cut)


def test_a_stream_that_turns_up_late_is_no_obstacle(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (240, 320, 3), np.uint8)
    making: dict[str, Any] = {"codec": "mpeg2video", "size": (320, 240), "picture": lambda i: noise}
    # FFmpeg looks for streams in the first five megabytes, and for the duration at the end.
    parts = [
        clip(tmp_path / "1.ts", pts=list(range(90)), frames=90, gop=1, **making),
        clip(tmp_path / "2.ts", pts=list(range(95, 105)), frames=10, audio=["mp2"], **making),
        clip(tmp_path / "3.ts", pts=list(range(110, 200)), frames=90, gop=1, **making),
    ]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(path)) as container:
        assert len(container.streams) == 1
    assert checked_index(path).count == 190


def test_holes_in_a_film_are_stepped_over(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", frames=100, gop=10)
    whole = checked_index(path).pts.tolist()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content)
    index = checked_index(path)
    assert set(index.pts.tolist()) <= set(whole)
    assert index.count >= 80
    assert index.pts[-1] == whole[-1]


def test_pictures_lost_at_the_start_are_said_to_be(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.ts", frames=40, gop=10)

    def spoil(packet: av.Packet) -> bytes | None:
        return b"\0\0\0\1\x65" + bytes(80) if packet.is_keyframe and packet.pts < 9000 else None

    bad = copied(path, tmp_path / "bad.ts", replace=spoil)
    index = checked_index(bad)
    assert index.pts.tolist() == decodable_times(bad)
    assert index.count == 30
    assert index.facts.warnings == ("its first 10 pictures cannot be decoded and are left out",)


@pytest.mark.parametrize(
    ("codecs", "of_first", "lost", "since"),
    [
        (("libx264", "mpeg2video"), 60, 30, "0:00:02.280"),
        (("libx264", "mpeg2video"), 20, 20, "0:00:00.000"),  # too few for FFmpeg to see them first
    ],
)
def test_pictures_of_another_codec_are_left_out_and_said_to_be(
    codecs: tuple[str, str], of_first: int, lost: int, since: str, tmp_path: Path
) -> None:
    film = tmp_path / "film.ts"
    spans = range(of_first), range(of_first - 1, of_first + 29)
    for codec, pts in zip(codecs, spans, strict=True):
        making: dict[str, Any] = {"codec": codec, "size": (160, 120), "b_frames": 2}
        part = clip(tmp_path / "part.ts", frames=len(pts), pts=pts, **making)
        with film.open("ab") as file:
            file.write(part.read_bytes())
    index = checked_index(film)
    counted, left_out = index.facts.warnings
    assert "decoded once" in counted
    said = re.fullmatch(
        r"(\d+) of its (\d+) pictures cannot be decoded and are left out, the first after (.*)",
        left_out,
    )
    assert said is not None
    assert index.count == int(said[2]) - int(said[1])
    assert abs(int(said[1]) - lost) <= 1
    assert said[3] == since
    with av.open(str(film)) as container:
        order, _ = presentation_order(container, container.streams.video[0], one_thread=True)
        assert index.count == len(order)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "mpeg2.ts", "mpeg4.avi", "vp9.webm"])
def test_whatever_is_wrong_with_a_file_it_is_indexed_or_refused(name: str, tmp_path: Path) -> None:
    options = {"movflags": "faststart"} if name.endswith(".mp4") else None
    content = clip(tmp_path / name, **KINDS[name], mux_options=options).read_bytes()
    path = tmp_path / f"bad{Path(name).suffix}"
    random = np.random.default_rng(7)
    outcomes = set()
    for trial in range(24):
        bad = np.frombuffer(content, np.uint8).copy()
        places = random.integers(0, len(bad), random.integers(0, 20))
        bad[places] = random.integers(0, 256, len(places))
        length = random.integers(1, len(bad)) if trial % 2 else len(bad)
        path.write_bytes(bad[:length].tobytes())
        try:
            outcomes.add(checked_index(path).count > 0)
        except MediaError as error:
            assert str(error).startswith(f"{path}: ")
    assert True in outcomes

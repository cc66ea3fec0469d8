"""Frames of a segment: all that were promised, upright, and the same in whatever segment."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.stages.video.colour.convert import FrameConverter
from restore_batch.stages.video.index import VideoIndex, index_video
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import ColourTags, UntimedRange, VideoFrame

from support.clips import CODECS, clip, decoded, frame_number
from support.data import folder

SEGMENTATIONS = ((0.2, 2), (0.35, 0), (0.04, 1), (0.6, 5))
LOST = "cannot be decoded; its neighbour stands in"


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


# -- every frame, in order, whatever the segments ---------------------------------------------

FILMS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264": (".mp4", {"b_frames": 2}),
    "h264 open": (".mkv", {"b_frames": 3, "options": {"x264-params": "open-gop=1"}}),
    "h264 ts": (".ts", {"b_frames": 2}),
    "hevc open": (
        ".mkv",
        {"codec": "libx265", "b_frames": 3, "options": {"x265-params": "open-gop=1"}},
    ),
    "hevc 10 bit": (".mp4", {"codec": "libx265", "pix_fmt": "yuv420p10le"}),
    "vp9": (".webm", {"codec": "libvpx-vp9"}),
    "av1": (".mp4", {"codec": "libsvtav1"}),
    "mpeg2": (".mpg", {"codec": "mpeg2video", "b_frames": 2}),
    "mpeg4 avi": (".avi", {"codec": "mpeg4", "b_frames": 2}),
    "mjpeg": (".avi", {"codec": "mjpeg"}),
    "prores": (".mov", {"codec": "prores_ks"}),
    "ffv1": (".mkv", {"codec": "ffv1"}),
    "fields": (".mp4", {"interlaced": True, "b_frames": 2}),
    "mpeg2 fields": (".ts", {"codec": "mpeg2video", "interlaced": True, "b_frames": 2}),
    "turned": (".mp4", {"rotation_deg": 90, "b_frames": 1}),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_frame_is_the_same_to_the_bit_in_whatever_segment_it_is_read(
    tmp_path: Path, name: str
) -> None:
    suffix, options = FILMS[name]
    film = clip(tmp_path / f"film{suffix}", frames=30, gop=8, **options)
    index = index_video(str(film))
    frames = whole(film, index)
    assert numbers(frames) == list(range(30))
    assert not any(frame.fault for frame in frames)
    assert all(same(frames, read(film, index, *cut)) for cut in SEGMENTATIONS)


@pytest.mark.parametrize("suffix", [".avi", ".h264"])
def test_frames_without_times_of_their_own_are_found_by_counting(
    tmp_path: Path, suffix: str
) -> None:
    film = clip(tmp_path / f"film{suffix}", b_frames=2, frames=20, gop=8)
    index = index_video(str(film))
    segments = cut_segments(index, 0.2, 1 << 40, 1)
    assert all(isinstance(segment, UntimedRange) for segment in segments)
    frames = read(film, index, 0.2, 1)
    assert numbers(frames) == list(range(20))
    assert same(frames, whole(film, index))


@pytest.mark.parametrize("name", ["h264", "hevc 10 bit", "mpeg2", "mjpeg", "turned"])
def test_frames_agree_with_a_plain_decode(tmp_path: Path, name: str) -> None:
    suffix, options = FILMS[name]
    film = clip(tmp_path / f"film{suffix}", frames=6, **options)
    frames = whole(film, index_video(str(film)))
    for frame, (pts, rgb_hwc) in zip(frames, decoded(film), strict=True):
        assert frame.pts == pts and frame.frame.rgb_hwc.dtype == rgb_hwc.dtype
        # The witness's deep white is 65280, not 65535: FFmpeg's own conversion.
        off = np.abs(frame.frame.rgb_hwc.astype(int) - rgb_hwc.astype(int))
        assert off.max() <= (1 if rgb_hwc.dtype == np.uint8 else 260)


def test_uneven_times_are_carried(tmp_path: Path) -> None:
    pts = [0, 40, 55, 55 + 300, 360, 900, 901, 902, 1500, 1533]
    film = clip(
        tmp_path / "vfr.mkv", frames=10, pts=pts, time_base=Fraction(1, 1000), gop=4, b_frames=1
    )
    index = index_video(str(film))
    frames = read(film, index, 0.3, 1)
    assert [frame.pts for frame in frames] == pts
    assert [frame.duration for frame in frames[:-1]] == np.diff(pts).tolist()
    assert numbers(frames) == list(range(10))


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_frames_are_turned_upright_once(tmp_path: Path, rotation_deg: int) -> None:
    film = clip(tmp_path / "film.mp4", frames=3, size=(96, 48), rotation_deg=rotation_deg)
    index = index_video(str(film))
    frames = whole(film, index)
    assert numbers(frames) == [0, 1, 2]
    for frame in frames:
        assert (frame.frame.width, frame.frame.height) == index.facts.upright_size
        assert frame.frame.rgb_hwc.flags.c_contiguous


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "dtype"),
    [
        ("yuv420p", "libx264", np.uint8),
        ("yuv420p10le", "libx264", np.uint16),
        ("gray", "ffv1", np.uint8),
        ("bgr0", "ffv1", np.uint8),
        ("gbrp10le", "ffv1", np.uint16),
        ("yuv444p12le", "ffv1", np.uint16),
    ],
)
def test_depth_and_greyness_are_those_of_the_source(
    tmp_path: Path, pix_fmt: str, codec: str, dtype: type[np.generic]
) -> None:
    film = clip(tmp_path / "film.mkv", codec=codec, frames=2, pix_fmt=pix_fmt)
    for frame in whole(film, index_video(str(film))):
        assert frame.frame.rgb_hwc.dtype == dtype
        assert frame.frame.grey == (pix_fmt == "gray")


def test_real_films_are_read_alike_in_any_segments() -> None:
    for name in ("carphone_aac.mp4", "vfr.mp4", "hevc_10bit.mp4", "rotated_meta.mp4"):
        film = folder("RESTORE_BATCH_VIDEO", "video") / name
        index = index_video(str(film))
        index = replace(index, pts=index.pts[:45], durations=index.durations[:45])
        index = replace(index, keyframes=index.keyframes[index.keyframes < 45])
        assert same(whole(film, index), read(film, index, 0.5, 3))


# -- interlaced films -------------------------------------------------------------------------


def combing(rgb_hwc: np.ndarray) -> float:
    """How a line differs from its neighbours, over what those do: above 1 where fields mix."""
    luma = rgb_hwc.astype(float).mean(axis=2)
    apart = np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean()
    return float(apart / (np.abs(luma[2:] - luma[:-2]).mean() + 0.1))


def moving_edge(i: float) -> np.ndarray:
    picture = np.full((48, 64, 3), 40, np.uint8)
    for line in range(48):
        left = int(8 + 6 * (i + 0.5 * (line % 2)))
        picture[line, left : left + 12] = 220
    return picture


def test_fields_are_woven_where_the_film_says_it_is_interlaced(tmp_path: Path) -> None:
    film = clip(tmp_path / "i.mp4", frames=6, interlaced=True, picture=moving_edge)
    index = index_video(str(film))
    assert index.facts.field_order == "top-first"
    woven, raw = whole(film, index), whole(film, index, deinterlace="never")
    assert len(woven) == len(raw) == 6
    assert all(combing(frame.frame.rgb_hwc) > 1 for frame in raw)
    assert all(combing(frame.frame.rgb_hwc) < 0.5 for frame in woven)


def test_progressive_films_are_woven_only_on_request(tmp_path: Path) -> None:
    film = clip(tmp_path / "p.mp4", frames=6, picture=moving_edge)
    index = index_video(str(film))
    raw = whole(film, index, deinterlace="never")
    assert same(whole(film, index), raw)
    woven = whole(film, index, deinterlace="always")
    assert all(combing(frame.frame.rgb_hwc) < 0.5 < combing(old.frame.rgb_hwc)
               for frame, old in zip(woven, raw, strict=True))  # fmt: skip
    assert same(woven, read(film, index, 0.1, 1, deinterlace="always"))


@pytest.mark.parametrize("order", ["top-first", "bottom-first"])
def test_unmarked_pictures_are_woven_by_the_order_the_film_states(
    tmp_path: Path, order: str
) -> None:
    film = clip(tmp_path / "m.avi", codec="mjpeg", frames=5, picture=moving_edge)
    index = index_video(str(film))
    said = replace(index, facts=replace(index.facts, field_order=order))
    frames = read(film, said, 0.1, 1)
    assert same(frames, woven_by_ffmpeg(film, {"top-first": "tff", "bottom-first": "bff"}[order]))


def woven_by_ffmpeg(film: Path, parity: str) -> list[VideoFrame]:
    """The whole film through one filter, as a witness for what segments give."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream, time_base=stream.time_base),
            graph.add("bwdif", f"mode=send_frame:parity={parity}:deint=all"),
            graph.add("buffersink"),
        ).configure()
        convert = FrameConverter(ColourTags(), stream.codec_context.name)
        pictures = []
        for picture in [*container.decode(stream), None]:
            graph.vpush(picture)
            while True:
                try:
                    pictures.append(graph.vpull())
                except (BlockingIOError, EOFError):
                    break
        return [VideoFrame(convert(picture), n, 1) for n, picture in enumerate(pictures)]


# -- damaged films ----------------------------------------------------------------------------


def erase(film: Path, packets: Iterable[int]) -> None:
    """Overwrite packets (by number in file order) with zeros, which no decoder takes."""
    with av.open(str(film)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(film.read_bytes())
    for number in packets:
        start, size = places[number]
        content[start + 4 : start + size] = bytes(size - 4)
    film.write_bytes(content)


@pytest.mark.parametrize(
    ("lost", "stand_ins"),
    [
        ([5], [4]),
        ([5, 6], [4, 4]),
        ([0], [1]),
        ([0, 1, 2], [3, 3, 3]),
        ([11], [10]),
        ([10, 11], [9, 9]),
    ],
)
def test_a_neighbour_stands_in_for_a_frame_that_cannot_be_decoded(
    tmp_path: Path, lost: list[int], stand_ins: list[int]
) -> None:
    film = clip(tmp_path / "film.avi", codec="mjpeg", frames=12)
    index = index_video(str(film))
    intact = whole(film, index)
    erase(film, lost)
    frames = whole(film, index)
    expected = list(range(12))
    for number, stand_in in zip(lost, stand_ins, strict=True):
        expected[number] = stand_in
    assert numbers(frames) == expected
    assert [n for n, frame in enumerate(frames) if frame.fault == LOST] == lost
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.frame.rgb_hwc, intact[expected[number]].frame.rgb_hwc)
    assert all(same(frames, read(film, index, *cut)) for cut in SEGMENTATIONS)


@pytest.mark.parametrize("name", ["h264", "hevc 10 bit", "av1", "fields"])
def test_a_lost_keyframe_costs_its_group_and_no_other(tmp_path: Path, name: str) -> None:
    suffix, options = FILMS[name]
    film = clip(tmp_path / f"film{suffix}", frames=30, gop=8, **options)
    index = index_video(str(film))
    erase(film, [8])
    frames = whole(film, index)
    good = [number for number, frame in enumerate(frames) if not frame.fault]
    # Pictures of the group before may be stored behind the keyframe, and build on it.
    assert {*range(5), *range(16, 30)} <= set(good) <= {*range(8), *range(16, 30)}
    assert [frame_number(frames[number].frame.rgb_hwc) for number in good] == good
    lost = [number for number, frame in enumerate(frames) if frame.fault == LOST]
    assert 8 in lost
    for number in lost:
        assert np.array_equal(frames[number].frame.rgb_hwc, frames[number - 1].frame.rgb_hwc)
    assert all(same(frames, read(film, index, *cut)) for cut in SEGMENTATIONS)


def test_a_film_cut_off_behind_its_index_goes_on_with_its_last_frame(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", frames=24, gop=6, mux_options={"movflags": "+faststart"})
    index = index_video(str(film))
    content = film.read_bytes()
    film.write_bytes(content[: len(content) * 3 // 5])
    frames = whole(film, index)
    faults = [bool(frame.fault) for frame in frames]
    end = faults.index(True)
    assert 6 < end < 24 and all(faults[end:])
    assert numbers(frames)[:end] == list(range(end))
    assert frames[-1].fault == LOST
    assert same(frames[-8:], read(film, index, 0.2, 1)[-8:])


def test_a_film_without_a_single_good_picture_is_an_error(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.avi", codec="mjpeg", frames=5)
    index = index_video(str(film))
    erase(film, range(5))
    for segment in cut_segments(index, 0.1, 1 << 40, 1):
        with pytest.raises(MediaError, match=r"film\.avi: none of its pictures can be decoded"):
            list(FrameRangeReader(str(film), index.facts, segment))


def test_damaged_pictures_are_used_and_say_so(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mov", codec="prores_ks", frames=6, size=(160, 120))
    index = index_video(str(film))
    intact = whole(film, index)
    with av.open(str(film)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = places[3]
    content = bytearray(film.read_bytes())
    kept = size * 3 // 4
    content[start + kept : start + size] = np.random.default_rng(1).bytes(size - kept)
    film.write_bytes(content)
    frames = whole(film, index)
    assert numbers(frames) == list(range(6))
    assert frames[3].fault == "is damaged; shown as far as it could be decoded"
    assert same(frames[:3] + frames[4:], intact[:3] + intact[4:])
    assert not np.array_equal(frames[3].frame.rgb_hwc, intact[3].frame.rgb_hwc)
    assert same(frames, whole(film, index))


def test_pictures_of_another_size_are_scaled_to_the_first_one_and_say_so(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    sizes = [(64, 48)] * 3 + [(96, 80)] * 2 + [(32, 24), (64, 48)]
    with av.open(str(film), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number, size in enumerate(sizes):
            one = clip(tmp_path / "one.avi", codec="mjpeg", frames=number + 1, size=size)
            with av.open(str(one)) as source:
                packet = [p for p in source.demux(video=0) if p.size][-1]
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                packet.pts = packet.dts = number
                output.mux(packet)
    index = index_video(str(film))
    frames = whole(film, index)
    assert numbers(frames) == list(range(7))
    assert {frame.frame.rgb_hwc.shape for frame in frames} == {(48, 64, 3)}
    assert [frame.fault for frame in frames[2:]] == [
        "",
        "is 96x80, not 64x48: scaled",
        "is 96x80, not 64x48: scaled",
        "is 32x24, not 64x48: scaled",
        "",
    ]
    assert same(frames, read(film, index, 0.08, 1))


# -- high dynamic range -----------------------------------------------------------------------


def test_hdr_is_refused_or_brought_to_standard_range(tmp_path: Path) -> None:
    colour = ColourTags(9, 16, 9, False)
    film = clip(
        tmp_path / "hdr.mkv", codec="libx265", pix_fmt="yuv420p10le", frames=2, colour=colour
    )
    index = index_video(str(film))
    assert index.facts.colour == colour
    (segment,) = cut_segments(index, 9, 1 << 40, 0)
    with pytest.raises(MediaError, match=r"hdr\.mkv: .*PQ.*video\.tonemap"):
        FrameRangeReader(str(film), index.facts, segment)
    raw_index = replace(index, facts=replace(index.facts, colour=replace(colour, transfer=1)))
    mapped, raw = whole(film, index, tonemap="hable"), whole(film, raw_index)
    for one, other in zip(mapped, raw, strict=True):
        assert one.frame.rgb_hwc.dtype == np.uint16
        # PQ holds 10000 cd/m²: shown as standard range, everything was too pale.
        assert one.frame.rgb_hwc.max() > other.frame.rgb_hwc.max()
        assert one.frame.rgb_hwc.min() <= other.frame.rgb_hwc.min()


# -- resources --------------------------------------------------------------------------------


def test_no_more_than_a_few_frames_are_held(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", frames=60, gop=60, b_frames=2)
    index = index_video(str(film))
    (segment,) = cut_segments(index, 1e6, 1 << 40, 0)
    alive: list[weakref.ref[np.ndarray]] = []
    for frame in FrameRangeReader(str(film), index.facts, segment):
        alive.append(weakref.ref(frame.frame.rgb_hwc))
        assert sum(ref() is not None for ref in alive) <= 3
    assert len(alive) == 60


def test_a_reader_left_early_closes_its_file_and_can_be_read_again(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", frames=12)
    index = index_video(str(film))
    (segment,) = cut_segments(index, 1e6, 1 << 40, 0)
    reader = FrameRangeReader(str(film), index.facts, segment)
    frames = iter(reader)
    assert numbers(islice(frames, 3)) == [0, 1, 2]
    assert film in _open_files()
    frames.close()  # type: ignore[attr-defined]
    assert film not in _open_files()
    assert numbers(reader) == numbers(reader) == list(range(12))
    assert film not in _open_files()


def _open_files() -> set[Path]:
    links = Path("/proc/self/fd")
    if not links.is_dir():
        pytest.skip("this system does not list open files")
    return {link.readlink() for link in links.iterdir() if link.is_symlink()}


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.mp4", frames=3)
    index = index_video(str(film))
    (segment,) = cut_segments(index, 1e6, 1 << 40, 0)
    film.unlink()
    with pytest.raises(MediaError, match=r"film\.mp4: cannot be opened"):
        list(FrameRangeReader(str(film), index.facts, segment))


def test_every_codec_of_the_test_clips_is_read() -> None:
    read_here = {options.get("codec", "libx264") for _, options in FILMS.values()}
    assert set(CODECS) - read_here <= {"libvpx", "dvvideo"}

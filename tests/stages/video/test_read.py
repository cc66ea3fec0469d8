"""Frames of a segment: all that were promised, upright, and the same in whatever segment."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import ColourTags, UntimedRange

from support import ffprobe
from support.clips import CODECS, clip, decoded, frame_number
from support.data import folder
from support.reading import SEGMENTATIONS, numbers, read, same, whole

LOST = "cannot be decoded; its neighbour stands in"

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


def joined(film: Path, **parts: dict[str, Any]) -> Path:
    """Recordings of 20 frames, one behind the other in one stream; ``parts``: how each is made."""
    with film.open("wb") as file:
        for number, making in enumerate(parts.values()):
            pts = range(number * 30, number * 30 + 20)
            part = clip(film.with_name(f"part{film.suffix}"), frames=20, pts=pts, **making)
            file.write(part.read_bytes())
    return film


DV: dict[str, Any] = {"codec": "dvvideo", "size": (720, 576)}
WIDER = "has pixels of 64:45, not 16:15: shown squeezed"


@pytest.mark.parametrize(
    ("suffix", "making"),
    [
        (".dv", DV),
        (".ts", {"b_frames": 2}),
        (".ts", {"codec": "libx265", "b_frames": 2}),
        (".mpg", {"codec": "mpeg4", "b_frames": 2}),
    ],
)
def test_pictures_with_other_pixels_than_the_first_say_so(
    suffix: str, making: dict[str, Any], tmp_path: Path
) -> None:
    narrow, wide = ({**making, "sample_aspect": Fraction(*a)} for a in ((16, 15), (64, 45)))
    film = joined(tmp_path / f"film{suffix}", a=narrow, b=wide, c=narrow)
    index = index_video(str(film))
    assert index.facts.sample_aspect == Fraction(16, 15)
    frames = whole(film, index)
    assert [frame.fault for frame in frames] == [""] * 20 + [WIDER] * 20 + [""] * 20
    assert numbers(frames) == [*range(20)] * 3
    assert same(frames, read(film, index, 0.3, 1))
    other = joined(tmp_path / f"other{suffix}", a=wide, b=narrow)
    turned = whole(other, index_video(str(other)))
    assert {frame.fault for frame in turned[20:]} == {
        "has pixels of 16:15, not 64:45: shown stretched"
    }


def test_pictures_of_another_size_have_the_pixels_that_give_them_their_shape(
    tmp_path: Path,
) -> None:
    film = joined(
        tmp_path / "film.ts",
        a={"size": (72, 48), "sample_aspect": Fraction(16, 15)},
        b={"size": (96, 48), "sample_aspect": Fraction(4, 5)},
    )
    frames = whole(film, index_video(str(film)))
    assert {frame.fault for frame in frames[20:]} == {"is 96x48, not 72x48: scaled"}


def test_a_container_may_say_of_all_pictures_what_none_of_them_says(tmp_path: Path) -> None:
    said = clip(tmp_path / "said.mp4", frames=5, sample_aspect=Fraction(16, 15))
    film = tmp_path / "film.mkv"
    ffprobe.ffmpeg("-i", said, "-c", "copy", "-aspect", "16:9", film)
    index = index_video(str(film))
    assert index.facts.sample_aspect == Fraction(4, 3)
    assert not any(frame.fault for frame in whole(film, index))


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

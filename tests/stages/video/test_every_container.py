"""Every container and codec that can be written here: a film of it is indexed, read and joined."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import pytest

from restore_batch.stages.video.format import VideoWish

from support.clips import clip
from support.film_parts import CutFilm, in_parts, packet_times, shown_numbers

FRAMES = 6

_ALL = (
    "libx264 libvpx libvpx-vp9 libsvtav1 mpeg1video mpeg2video mpeg4 msmpeg4v2 msmpeg4 wmv1 wmv2 "
    "flv h263 h263p h261 mjpeg ljpeg huffyuv ffvhuff ffv1 utvideo cfhd dvvideo rawvideo v210 "
    "cinepak svq1 snow rpza flashsv asv1 asv2 amv speedhq png jpeg2000 magicyuv yuv4 v308 v408 "
    "r210 r10k v410 y41p jpegls msvideo1"
)
_TS = "libx264 libx265 mpeg1video mpeg2video mpeg4"
# Suffix of the container → the encoders whose pictures it holds and gives back.
CODECS: Mapping[str, str] = {
    ".mp4": "libx264 libx265 libvpx-vp9 libsvtav1 mpeg1video mpeg2video mpeg4 mjpeg ffv1 png "
    "jpeg2000",
    ".m4v": "libx264 mpeg4",
    ".f4v": "libx264",
    ".3gp": "libx264 mpeg4 h263",
    ".mov": "libx264 libx265 mpeg1video mpeg2video mpeg4 msmpeg4 h263 mjpeg prores_ks cfhd dvvideo "
    "v210 cinepak svq1 qtrle rpza png tiff jpeg2000 magicyuv yuv4 v308 v408 r210 r10k v410 y41p",
    ".mkv": "libx264 libx265 libvpx libvpx-vp9 libsvtav1 mpeg1video mpeg2video mpeg4 msmpeg4 mjpeg "
    "ffv1 prores_ks rawvideo snow jpeg2000",
    ".webm": "libvpx libvpx-vp9 libsvtav1",
    ".avi": _ALL,
    ".wmv": _ALL,
    ".nut": f"{_ALL} libx265",
    ".ts": _TS,
    ".m2ts": _TS,
    ".mpg": "libx264 libx265 mpeg1video mpeg2video mpeg4",
    ".vob": "libx264 libx265 mpeg1video mpeg2video mpeg4",
    ".flv": "libx264 libx265 libvpx-vp9 libsvtav1 flv flashsv flashsv2",
    ".mxf": "libx264 mpeg2video ffv1 prores_ks dvvideo jpeg2000",
    ".ogv": "libvpx",
    ".rm": "rv10 rv20",
    ".dv": "dvvideo",
    ".m1v": "mpeg1video",
    ".m2v": "mpeg2video",
    ".h264": "libx264",
    ".hevc": "libx265",
    ".ivf": "libvpx libvpx-vp9 libsvtav1",
    ".obu": "libsvtav1",
    ".y4m": "rawvideo",
    ".mjpeg": "mjpeg",
}
# The sound that such files usually have.
SOUND: Mapping[str, str] = {
    **dict.fromkeys((".mp4", ".m4v", ".f4v", ".3gp", ".flv"), "aac"),
    **dict.fromkeys((".mov", ".avi", ".nut", ".mxf"), "pcm_s16le"),
    **dict.fromkeys((".webm", ".ogv"), "libopus"),
    **dict.fromkeys((".ts", ".mpg"), "mp2"),
    **dict.fromkeys((".m2ts", ".vob", ".rm"), "ac3"),
    ".mkv": "flac",
    ".wmv": "libmp3lame",
}
# Timed streams that are neither picture nor sound, and whether they are subtitles.
BESIDE: Mapping[str, str] = {
    ".mp4": "mov_text dvd_subtitle bin_data",
    ".3gp": "mov_text",
    ".mov": "mov_text eia_608",
    ".mkv": "subrip ass webvtt dvb_subtitle dvd_subtitle text",
    ".webm": "webvtt",
    ".nut": "ass dvb_subtitle dvb_teletext dvd_subtitle text",
    ".ts": "dvb_subtitle dvb_teletext klv timed_id3 smpte_2038 bin_data",
    ".m2ts": "hdmv_pgs_subtitle",
}
# A text with its length before it; and a picture of nothing, which ends.
_CONTENT = {"mov_text": b"\0\5hello", "hdmv_pgs_subtitle": b"\x80\0\0"}
_SIZES = {"h261": (176, 144), "h263": (128, 96), "dvvideo": (720, 576)}
_PIXELS = {"mjpeg": None, "ljpeg": "yuvj420p", "prores_ks": None, "tiff": "rgb24"}


def _pixels(codec: str) -> str | None:
    if codec in _PIXELS:
        return _PIXELS[codec]
    known = [each.name for each in av.Codec(codec, "w").video_formats or ()]
    return "yuv420p" if "yuv420p" in known or not known else known[0]


def _film(path: Path, codec: str, **more: object) -> CutFilm:
    """A clip of six numbered pictures, restored without networks, in two parts."""
    size = _SIZES.get(codec, (64, 48))
    clip(path, codec=codec, frames=FRAMES, size=size, pix_fmt=_pixels(codec), **more)  # type: ignore[arg-type]
    return in_parts(path, path.parent / "parts", 2, VideoWish(preset="ultrafast"))


def _check_pictures(result: Path, film: CutFilm) -> None:
    assert shown_numbers(result) == list(range(FRAMES))
    shown = sorted(time.pts_s for time in packet_times(result))
    tick = Fraction(1, 1000)  # Matroska's
    for found, expected in zip(shown, film.times_s, strict=True):
        assert abs((found - shown[0]) - (expected - film.times_s[0])) <= tick


def _lead_s(path: Path) -> Fraction:
    """How long before the picture the stream beside it begins."""
    begins: dict[bool, Fraction] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                time_s, is_picture = packet.pts * packet.time_base, packet.stream.type == "video"
                begins[is_picture] = min(time_s, begins.get(is_picture, time_s))
    return begins[True] - begins[False]


_PAIRS = [(suffix, codec) for suffix, codecs in CODECS.items() for codec in codecs.split()]


@pytest.mark.parametrize(("suffix", "codec"), _PAIRS)
def test_a_film_without_sound_is_joined(suffix: str, codec: str, tmp_path: Path) -> None:
    film = _film(tmp_path / f"silent{suffix}", codec)
    result = tmp_path / f"result.{film.format.container}"
    report = film.joined(result)
    assert (report.frames, report.warnings) == (FRAMES, ())
    _check_pictures(result, film)


@pytest.mark.parametrize(("suffix", "codec"), [pair for pair in _PAIRS if pair[0] in SOUND])
def test_a_film_with_sound_is_joined(suffix: str, codec: str, tmp_path: Path) -> None:
    film = _film(tmp_path / f"sound{suffix}", codec, audio=[SOUND[suffix]])
    result = tmp_path / f"result.{film.format.container}"
    report = film.joined(result)
    assert (report.frames, report.warnings) == (FRAMES, ())
    _check_pictures(result, film)
    assert abs(_lead_s(result) - _lead_s(film.source)) <= Fraction(2, 1000)


def _with_stream(film: Path, beside: str) -> Path:
    """``film``, 0.2 s later, with a stream of three packets that begins before it."""
    path = film.with_name(f"beside{film.suffix}")
    with av.open(str(film)) as old, av.open(str(path), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0])
        stream = new.add_mux_stream(beside, time_base=Fraction(1, 1000))
        packets = []
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = picture
                packet.pts, packet.dts = (
                    time + round(Fraction(1, 5) / packet.time_base)
                    for time in (packet.pts, packet.dts)
                )
                packets.append(packet)
        for number in range(3):
            packet = av.Packet(_CONTENT.get(beside, b"hello"))
            packet.pts = packet.dts = number * 100
            packet.duration, packet.time_base = 40, Fraction(1, 1000)
            packet.stream, packet.is_keyframe = stream, True
            packets.append(packet)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            new.mux(packet)
    return path


@pytest.mark.parametrize(
    ("suffix", "beside"),
    [(suffix, beside) for suffix, every in BESIDE.items() for beside in every.split()],
)
def test_a_film_without_sound_but_with_another_stream_is_joined(
    suffix: str, beside: str, tmp_path: Path
) -> None:
    codec = CODECS[suffix].split()[0]
    silent = clip(tmp_path / f"silent{suffix}", codec=codec, frames=FRAMES)
    film = in_parts(_with_stream(silent, beside), tmp_path / "parts", 2)
    result = tmp_path / f"result.{film.format.container}"
    report = film.joined(result)
    _check_pictures(result, film)
    with av.open(str(result)) as container:
        kept = len(container.streams) == 2
    if kept:
        assert abs(_lead_s(result) - _lead_s(film.source)) <= Fraction(2, 1000)
    else:
        (warning,) = report.warnings
        assert "left out" in warning


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("suffix", [".ts", ".m2ts", ".mp4", ".mov", ".mkv", ".avi", ".flv"])
def test_sound_that_is_announced_and_does_not_come_is_no_obstacle(
    suffix: str, container: str, tmp_path: Path
) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    silent = clip(tmp_path / f"silent{suffix}", codec=codec, frames=FRAMES)
    path = tmp_path / f"announced{suffix}"
    with av.open(str(silent)) as old, av.open(str(path), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0])
        new.add_stream(SOUND[suffix], rate=48000, layout="stereo")
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = picture
                new.mux(packet)
    film = in_parts(path, tmp_path / "parts", 2, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    report = film.joined(result)
    _check_pictures(result, film)
    broadcast = suffix in (".ts", ".m2ts")
    assert any("announced but holds no sound" in each for each in report.warnings) == broadcast

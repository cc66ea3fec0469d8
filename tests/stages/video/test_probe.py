"""What a video file is by its header, and what is refused as no video at all."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.probe import VIDEO_SUFFIXES, is_video, probe_video
from restore_batch.stages.video.types import ColourTags

from support.clips import clip, decoded
from support.films import DV, KINDS


def _refused(path: Path | str) -> str:
    for function in (index_video, probe_video):
        with pytest.raises(MediaError) as caught:
            function(str(path))
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
    return message


def test_what_is_no_film_is_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("für Elise\n" * 600)
    assert "text" in _refused(text)
    subtitles = tmp_path / "a.avi"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 9)
    assert "text" in _refused(subtitles)
    empty = tmp_path / "empty.mkv"
    empty.touch()
    assert "empty" in _refused(empty)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(1).bytes(20000))
    assert "not a video" in _refused(noise)
    assert "No such file" in _refused(tmp_path / "absent.mp4")
    assert "it is a folder" in _refused(tmp_path)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".ts"])
@pytest.mark.parametrize(
    "kind", ["jpeg", "png", "tiff", "gif", "bmp", "webp", "ppm", "jpeg2000", "avif"]
)
def test_a_picture_under_the_name_of_a_film_is_called_a_picture(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (64, 48), (200, 30, 40)).save(path, format=kind)
    message = _refused(path)
    assert "not a video but a picture (" in message
    assert "rename it to a." in message


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("kind", ["mpo", "avif", "gif", "webp", "png"])
def test_several_pictures_under_the_name_of_a_film_are_no_film(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    pictures = [Image.new("RGB", (64, 48), (shade, 30, 40)) for shade in (200, 90)]
    pictures[0].save(path, format=kind, save_all=True, append_images=pictures[1:])
    assert "not a video but a picture (" in _refused(path)


def test_a_short_film_of_bare_jpegs_is_a_film(tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg"
    content = io.BytesIO()
    for shade in (200, 120, 40):
        Image.new("RGB", (64, 48), (shade, 30, 40)).save(content, format="jpeg")
    path.write_bytes(content.getvalue())
    assert index_video(str(path)).count == 3


def test_a_file_of_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        stream.layout = "mono"
        output.mux(stream.encode(frame) + stream.encode(None))
    assert "only audio" in _refused(path)


def test_a_playlist_that_names_other_files_is_not_followed(tmp_path: Path) -> None:
    film = clip(tmp_path / "film.ts", frames=5)
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\n{film}\n#EXT-X-ENDLIST\n")
    assert "text" in _refused(playlist)


def test_a_url_is_to_be_copied_first() -> None:
    assert "copy it to a local disk" in _refused("s3://bucket/film.mp4")


def test_a_name_with_a_colon_or_an_unknown_suffix_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "a.mp4", frames=3).rename(tmp_path / "tape 3: 1999 %d.bin")
    assert index_video("tape 3: 1999 %d.bin").count == 3


# -- facts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_the_turn_that_shows_the_film_upright_is_known(rotation_deg: int, tmp_path: Path) -> None:
    facts = probe_video(str(clip(tmp_path / "a.mp4", frames=2, rotation_deg=rotation_deg)))
    assert facts.rotation_deg == rotation_deg
    assert (facts.width, facts.height) == (64, 48)
    assert facts.upright_size == ((48, 64) if rotation_deg in (90, 270) else (64, 48))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_mirrored_film_is_turned_but_not_mirrored(turn: int, tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", frames=2)
    upright = decoded(film)[0][1]
    # What a player shows: the picture mirrored left to right, then turned clockwise.
    cos, sin = round(np.cos(np.radians(turn))), round(np.sin(np.radians(turn)))
    matrix = [-cos, -sin, 0, -sin, cos, 0, 0, 0, 1]
    content = bytearray(film.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    fixed = [value * (1 << (30 if i == 8 else 16)) for i, value in enumerate(matrix)]
    content[place : place + 36] = struct.pack(">9i", *fixed)
    film.write_bytes(content)
    facts = probe_video(str(film))
    assert facts.rotation_deg == turn
    assert "mirrored" in facts.warnings[0]
    assert upright.shape == (48, 64, 3)


def test_an_interlaced_film_says_which_field_is_first(tmp_path: Path) -> None:
    orders = {
        name: probe_video(str(clip(tmp_path / name, **{"frames": 3, **options}))).field_order
        for name, options in {
            "h264.ts": {"interlaced": True},
            "progressive.mp4": {},
            "mpeg2.mp4": {"codec": "mpeg2video", "interlaced": True},
            "mpeg4.avi": {"codec": "mpeg4", "interlaced": True},
            "dv.avi": DV,
        }.items()
    }
    assert orders == {
        "h264.ts": "top-first",
        "progressive.mp4": "progressive",
        "mpeg2.mp4": "top-first",
        "mpeg4.avi": "top-first",
        "dv.avi": "bottom-first",
    }


@pytest.mark.parametrize(
    "tags", [ColourTags(), ColourTags(1, 1, 1, False), ColourTags(9, 16, 9, True)]
)
def test_colour_depth_and_aspect_are_those_of_the_source(tags: ColourTags, tmp_path: Path) -> None:
    path = clip(
        tmp_path / "a.mp4",
        codec="libx265",
        frames=2,
        pix_fmt="yuv420p10le",
        colour=tags,
        sample_aspect=Fraction(16, 11),
    )
    facts = probe_video(str(path))
    found = facts.colour
    assert (found.primaries, found.transfer, found.matrix) == (
        tags.primaries,
        tags.transfer,
        tags.matrix,
    )
    assert found.full_range is tags.full_range or not (found.full_range or tags.full_range)
    assert (facts.bits, facts.pix_fmt) == (10, "yuv420p10le")
    assert facts.sample_aspect == Fraction(16, 11)


def test_all_streams_chapters_and_the_container_are_told(tmp_path: Path) -> None:
    path = clip(
        tmp_path / "a.mkv", frames=25, audio=["aac", "flac"], subtitles=1, chapters=3, attachments=1
    )
    facts = probe_video(str(path))
    assert [(s.kind, s.codec, s.language) for s in facts.streams if s.kind != "attachment"] == [
        ("video", "h264", ""),
        ("audio", "aac", "eng"),
        ("audio", "flac", "deu"),
        ("subtitle", "subrip", "eng"),
    ]
    assert [s.kind for s in facts.streams].count("attachment") == 1
    assert facts.streams[facts.video_stream].kind == "video"
    assert facts.chapters == 3
    assert facts.container == "mkv"


@pytest.mark.parametrize(
    ("name", "container"),
    [
        ("a.mp4", "mp4"),
        ("a.mov", "mov"),
        ("a.mkv", "mkv"),
        ("a.ts", "mpegts"),
        ("a.avi", "avi"),
        ("a.flv", "flv"),
    ],
)
def test_the_content_names_the_container(name: str, container: str, tmp_path: Path) -> None:
    path = clip(tmp_path / name, frames=2).rename(tmp_path / "film.dat")
    assert probe_video(str(path)).container == container


def test_webm_and_mpeg_are_told_from_their_relatives(tmp_path: Path) -> None:
    webm = clip(tmp_path / "a.webm", codec="libvpx-vp9", frames=2).rename(tmp_path / "a.mkv")
    mpeg = clip(tmp_path / "a.mpg", codec="mpeg2video", frames=2)
    assert probe_video(str(webm)).container == "webm"
    assert probe_video(str(mpeg)).container == "mpeg"


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
@pytest.mark.parametrize(("codec", "name"), [("libvpx", "vp8"), ("libvpx-vp9", "vp9")])
@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_transparency_that_a_decoder_does_not_see_is_said_to_be_lost(
    codec: str, name: str, suffix: str, size: tuple[int, int], tmp_path: Path
) -> None:
    making: dict[str, Any] = {"codec": codec, "size": size, "frames": 5}
    making["options"] = {"auto-alt-ref": "0"}
    film = clip(tmp_path / f"alpha{suffix}", pix_fmt="yuva420p", **making)
    plain = clip(tmp_path / f"plain{suffix}", **making)
    # Old writers have no word for it in the track.
    unsaid = tmp_path / f"unsaid{suffix}"
    unsaid.write_bytes(film.read_bytes().replace(b"\x53\xc0\x81\1", b"\x53\xc0\x81\0"))
    assert unsaid.read_bytes() != film.read_bytes()
    lost = f"its transparency (alpha of {name}) is not kept"
    for path in (film, unsaid):
        assert index_video(str(path)).facts.warnings == (lost,)
        assert probe_video(str(path)).warnings == (lost,)
    assert probe_video(str(plain)).warnings == ()


def test_of_two_films_in_one_file_the_first_is_taken_and_said(tmp_path: Path) -> None:
    one, two = clip(tmp_path / "1.mp4", frames=5), clip(tmp_path / "2.mp4", frames=7, size=(32, 32))
    path = tmp_path / "both.mkv"
    with av.open(str(one)) as a, av.open(str(two)) as b, av.open(str(path), "w") as output:
        streams = [output.add_stream_from_template(c.streams.video[0]) for c in (a, b)]
        for container, stream in zip((a, b), streams, strict=True):
            for packet in container.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    index = index_video(str(path))
    assert (index.count, index.facts.width) == (5, 64)
    assert index.facts.warnings == ("it has 2 video streams; stream 0 is restored",)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "mpeg2.ts", "mjpeg.avi"])
def test_the_quick_probe_agrees_with_the_index(name: str, tmp_path: Path) -> None:
    path = clip(tmp_path / name, **{**KINDS[name], "frames": 50})
    quick, full = probe_video(str(path)), index_video(str(path)).facts
    assert quick.frame_count == full.frame_count
    assert quick.duration_s == pytest.approx(full.duration_s, abs=0.001)
    assert quick.warnings == full.warnings
    assert (quick.codec, quick.time_base_s, quick.streams) == (
        full.codec,
        full.time_base_s,
        full.streams,
    )


def test_names_of_videos_are_known_by_their_suffix() -> None:
    assert is_video("/films/Tape 1.MP4")
    assert is_video("a.m2ts")
    assert not is_video("photo.jpg")
    assert not is_video("mp4")
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in VIDEO_SUFFIXES)

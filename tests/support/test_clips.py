"""The makers of test data, tested: what they claim of a clip is what other programs see."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.video.types import ColourTags

from support.clips import CODECS, attachment, clip, decoded, frame_number, numbered_picture
from support.ffprobe import audio_sha256, probe

CASES = [
    ("libx264", ".mp4"),
    ("libx264", ".avi"),
    ("libx264", ".ts"),
    ("libx265", ".mov"),
    ("libx265", ".mkv"),
    ("libsvtav1", ".mp4"),
    ("libsvtav1", ".webm"),
    ("libvpx-vp9", ".webm"),
    ("libvpx", ".webm"),
    ("mpeg2video", ".mpg"),
    ("mpeg2video", ".ts"),
    ("mpeg4", ".avi"),
    ("mjpeg", ".avi"),
    ("mjpeg", ".mov"),
    ("prores_ks", ".mov"),
    ("ffv1", ".mkv"),
    ("dvvideo", ".avi"),
    ("dvvideo", ".mov"),
]
_LUMA = np.array([0.299, 0.587, 0.114])


def _numbers(path: Path) -> list[int]:
    return [frame_number(rgb) for _, rgb in decoded(path)]


def _video(path: Path) -> dict:
    return next(s for s in probe(path)["streams"] if s.get("codec_type") == "video")


def test_every_codec_has_a_case() -> None:
    assert {codec for codec, _ in CASES} == set(CODECS)


@pytest.mark.parametrize(("codec", "suffix"), CASES)
def test_every_frame_comes_out_once_and_in_order(codec: str, suffix: str, tmp_path: Path) -> None:
    # DV knows only the sizes of television.
    size, frames = ((720, 576), 3) if codec == "dvvideo" else ((64, 48), 26)
    path = clip(tmp_path / f"clip{suffix}", codec=codec, frames=frames, size=size)
    assert _numbers(path) == list(range(frames))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "mpeg4"])
def test_b_frames_are_really_there(codec: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mkv", codec=codec, b_frames=2)
    types = [frame["pict_type"] for frame in probe(path)["frames"]]
    assert types.count("B") >= 12
    assert _numbers(path) == list(range(24))


@pytest.mark.parametrize(("codec", "key"), [("libx264", "x264"), ("libx265", "x265")])
@pytest.mark.parametrize("is_open", [0, 1])
def test_an_open_gop_has_leading_pictures_that_need_the_gop_before(
    codec: str, key: str, is_open: int, tmp_path: Path
) -> None:
    options = {f"{key}-params": f"open-gop={is_open}"}
    path = clip(tmp_path / "clip.mkv", codec=codec, b_frames=2, options=options)
    types = [frame["pict_type"] for frame in probe(path)["frames"]]
    assert types[12] == "I"
    assert types[11] == ("B" if is_open else "P")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("b_frames", [0, 1])
def test_timestamps_are_those_asked_for(suffix: str, b_frames: int, tmp_path: Path) -> None:
    wanted_ms = [40, 73, 200, 233, 900]
    path = clip(
        tmp_path / f"clip{suffix}", pts=wanted_ms, time_base=Fraction(1, 1000), b_frames=b_frames
    )
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        packets = [p for p in container.demux(video=0) if p.pts is not None]
    packets.sort(key=lambda packet: packet.pts)
    assert [packet.pts * base * 1000 for packet in packets] == wanted_ms
    if b_frames == 0:  # QuickTime files have durations in decoding order only
        assert [p.duration * base * 1000 for p in packets] == [33, 127, 33, 667, 40]
    assert _numbers(path) == list(range(5))


@pytest.mark.parametrize("codec", ["ffv1", "libvpx-vp9"])
def test_odd_sizes_are_kept(codec: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mkv", codec=codec, size=(63, 47), frames=4)
    assert [rgb.shape for _, rgb in decoded(path)] == [(47, 63, 3)] * 4
    assert _numbers(path) == list(range(4))


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "prores_ks"])
def test_fields_are_flagged_and_lie_half_a_frame_apart(codec: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mov", codec=codec, interlaced=True, frames=6)
    frames = probe(path)["frames"]
    assert all(frame["interlaced_frame"] and frame["top_field_first"] for frame in frames)
    assert _numbers(path) == list(range(6))
    for number, (_, rgb) in enumerate(decoded(path)):
        scale = np.iinfo(rgb.dtype).max / 255
        # Luma alone: 4:2:0 chroma here is that of both fields mixed.
        bottom = rgb[17::2] @ _LUMA / scale
        error = {
            half: np.abs(bottom - numbered_picture((64, 48))(number + half)[17::2] @ _LUMA)
            for half in (0, 0.5)
        }
        assert error[0.5].mean() < 0.5 * error[0].mean()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_shape_of_a_pixel_is_written(suffix: str, tmp_path: Path) -> None:
    path = clip(tmp_path / f"clip{suffix}", sample_aspect=Fraction(16, 15), frames=2)
    assert _video(path)["sample_aspect_ratio"] == "16:15"


def test_an_aspect_that_would_be_lost_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="aspect"):
        clip(tmp_path / "clip.webm", codec="libvpx-vp9", sample_aspect=Fraction(2))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_turned_clip_is_stored_turned_and_shown_upright(
    turn_deg: int, suffix: str, tmp_path: Path
) -> None:
    path = clip(tmp_path / f"clip{suffix}", rotation_deg=turn_deg, frames=3)
    video = _video(path)
    assert (video["width"], video["height"]) == (64, 48)
    # ffprobe counts anticlockwise.
    assert (video["side_data_list"][0]["rotation"] + turn_deg) % 360 == 0
    shape = (48, 64, 3) if turn_deg == 180 else (64, 48, 3)
    assert [rgb.shape for _, rgb in decoded(path)] == [shape] * 3
    assert _numbers(path) == [0, 1, 2]


@pytest.mark.parametrize(
    ("colour", "words"),
    [
        (ColourTags(1, 1, 1, False), ("bt709", "bt709", "bt709", "tv")),
        (ColourTags(6, 6, 6, True), ("smpte170m", "smpte170m", "smpte170m", "pc")),
        (ColourTags(9, 16, 9, False), ("bt2020", "smpte2084", "bt2020nc", "tv")),
        (ColourTags(9, 18, 9, False), ("bt2020", "arib-std-b67", "bt2020nc", "tv")),
    ],
)
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_colours_are_tagged_and_computed_as_tagged(
    codec: str, colour: ColourTags, words: tuple[str, ...], tmp_path: Path
) -> None:
    pix_fmt = "yuv420p10le" if colour.hdr else "yuv420p"
    path = clip(tmp_path / "clip.mp4", codec=codec, colour=colour, pix_fmt=pix_fmt, frames=3)
    video = _video(path)
    keys = ("color_primaries", "color_transfer", "color_space", "color_range")
    assert tuple(video[key] for key in keys) == words
    for number, (_, rgb) in enumerate(decoded(path)):
        drawn = numbered_picture((64, 48), deep=colour.hdr)(number)
        assert rgb.dtype == drawn.dtype
        # The pattern's lower part is smooth: what is left is the codec's error, while a wrong
        # matrix shifts it by ten levels and a wrong range by more.
        shift = (rgb[17:].astype(float) - drawn[17:]).mean(axis=(0, 1))
        assert np.abs(shift).max() < 2.5 * np.iinfo(rgb.dtype).max / 255


def test_streams_and_labels_of_a_matroska_film_are_all_there(tmp_path: Path) -> None:
    path = clip(
        tmp_path / "clip.mkv",
        frames=50,
        audio=["aac", "vorbis", "flac", "pcm_s16le"],
        subtitles=2,
        chapters=3,
        attachments=1,
        metadata={"title": "A film", "artist": "Nobody"},
    )
    facts = probe(path)
    assert facts["format"]["tags"]["title"] == "A film"
    assert [chapter["tags"]["title"] for chapter in facts["chapters"]] == [
        "Chapter 1",
        "Chapter 2",
        "Chapter 3",
    ]
    sound = [s for s in facts["streams"] if s.get("codec_type") == "audio"]
    assert [s["codec_name"] for s in sound] == ["aac", "vorbis", "flac", "pcm_s16le"]
    assert [s["tags"]["language"] for s in sound] == ["eng", "deu", "fra", "jpn"]
    assert [s["disposition"]["default"] for s in sound] == [1, 0, 0, 0]
    text = [s for s in facts["streams"] if s.get("codec_type") == "subtitle"]
    assert [s["tags"]["title"] for s in text] == ["Text 1", "Text 2"]
    with av.open(str(path)) as container:
        assert [s.data for s in container.streams.attachments] == [attachment(0)]
        lines = [bytes(p).decode() for p in container.demux(subtitles=1) if p.size]
    assert lines == [f"Line {number} of deu" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_subtitles_of_quicktime_can_be_decoded(suffix: str, tmp_path: Path) -> None:
    path = clip(tmp_path / f"clip{suffix}", frames=50, subtitles=1)
    with av.open(str(path)) as container:
        events = list(container.decode(subtitles=0))
    assert [event.dialogue for event in events] == [
        f"Line {number} of eng".encode() for number in (1, 2, 3, 4)
    ]


def test_the_beat_of_the_sound_is_every_half_second_and_can_be_late(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.2):
        path = clip(tmp_path / "clip.mov", frames=50, audio=["pcm_s16le"], audio_delay_s=delay_s)
        with av.open(str(path)) as container:
            blocks = list(container.decode(audio=0))
        begin_s = float(blocks[0].pts * blocks[0].time_base)
        samples = np.concatenate([block.to_ndarray()[0] for block in blocks]) / 32768.0
        loud = np.flatnonzero(np.abs(samples) > 0.3) / 48000
        beats_s = begin_s + loud[np.insert(np.diff(loud) > 0.1, 0, True)]
        assert np.abs(beats_s - delay_s - [0.0, 0.5, 1.0, 1.5]).max() < 0.005


def test_streams_of_sound_differ_and_silence_is_silent(tmp_path: Path) -> None:
    path = clip(tmp_path / "tones.mkv", audio=["flac", "flac"])
    assert audio_sha256(path, 0) != audio_sha256(path, 1)
    silent = clip(tmp_path / "silent.mkv", audio=["flac"], tones=False)
    with av.open(str(silent)) as container:
        assert not any(block.to_ndarray().any() for block in container.decode(audio=0))


def test_a_clip_is_made_again_the_same(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".ts"):
        made = [
            clip(tmp_path / f"{name}{suffix}", b_frames=2, audio=["mp2"]).read_bytes()
            for name in ("one", "two")
        ]
        assert made[0] == made[1], suffix


@given(
    number=st.integers(0, 16383),
    size=st.tuples(st.integers(32, 400), st.integers(32, 300)),
    gain=st.floats(0.3, 1.0),
    deep=st.booleans(),
)
def test_a_number_is_read_back_at_every_size_and_tone(
    number: int, size: tuple[int, int], gain: float, deep: bool
) -> None:
    rgb = numbered_picture(size, deep=deep)(number)
    assert rgb.shape == (size[1], size[0], 3)
    faded = (rgb * gain).astype(rgb.dtype)
    assert frame_number(faded) == number


def test_a_picture_without_a_number_is_not_read_as_one() -> None:
    with pytest.raises(ValueError, match="no readable number"):
        frame_number(np.full((48, 64, 3), 128, np.uint8))

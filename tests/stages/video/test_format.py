"""Every wish leads to an encoding that exists, or to one line that says why not."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.geometry import output_size
from restore_batch.stages.video.encoders import encoder_of, nvenc_available
from restore_batch.stages.video.format import (
    FormatError,
    VideoWish,
    nominal_rate,
    output_suffix,
    resolve_format,
)
from restore_batch.stages.video.streams.choice import FORMATS
from restore_batch.stages.video.types import ColourTags, VideoFacts, VideoFormat

from support.film_parts import CODECS, FACTS


def resolved(wish: VideoWish, facts: VideoFacts = FACTS, scale: float = 1) -> VideoFormat:
    return resolve_format(wish, facts, scale, "a.mp4")[0]


def warned(wish: VideoWish, facts: VideoFacts = FACTS, scale: float = 1) -> str:
    return "\n".join(resolve_format(wish, facts, scale, "a.mp4")[1])


def test_the_usual_film_is_h264_in_its_own_container_without_a_warning() -> None:
    format, warnings = resolve_format(VideoWish(), FACTS, 2, "a.mp4")
    assert (format.codec, format.encoder, format.container) == ("h264", "libx264", "mp4")
    assert (format.width, format.height, format.pix_fmt) == (128, 96, "yuv420p")
    assert format.sample_aspect == Fraction(16, 15)
    assert warnings == ()


def test_a_keyframe_comes_every_two_seconds() -> None:
    assert dict(resolved(VideoWish(), replace(FACTS, mean_fps=29.97)).options)["g"] == "60"
    assert dict(resolved(VideoWish(), replace(FACTS, mean_fps=0.2)).options)["g"] == "2"


def test_auto_is_hevc_for_ten_bits() -> None:
    format = resolved(VideoWish(), replace(FACTS, bits=10, pix_fmt="yuv420p10le"))
    assert (format.codec, format.pix_fmt, format.bits) == ("hevc", "yuv420p10le", 10)


def test_h264_with_ten_bits_is_written_when_asked_for_and_says_what_plays_it() -> None:
    deep = replace(FACTS, bits=10, pix_fmt="yuv420p10le")
    assert resolved(VideoWish("h264"), deep).pix_fmt == "yuv420p10le"
    assert "10-bit H.264" in warned(VideoWish("h264"), deep)
    assert resolved(VideoWish("h264", bit_depth=8), deep).pix_fmt == "yuv420p"


def test_twelve_bits_become_ten_with_a_warning_and_stay_twelve_in_ffv1() -> None:
    deep = replace(FACTS, bits=12, pix_fmt="yuv422p12le")
    assert "at most 10 bits" in warned(VideoWish("hevc"), deep)
    assert resolved(VideoWish("ffv1"), deep).pix_fmt == "gbrp12le"


@pytest.mark.parametrize(
    ("container", "codec", "expected"),
    [
        ("mp4", "h264", "mp4"),
        ("mov", "hevc", "mov"),
        ("mkv", "av1", "mkv"),
        ("webm", "h264", "mkv"),
        ("avi", "h264", "mkv"),
        ("mpegts", "h264", "mkv"),
        ("mp4", "prores", "mov"),
        ("mp4", "ffv1", "mkv"),
        ("mov", "ffv1", "mkv"),
        ("mkv", "prores", "mkv"),
    ],
)
def test_the_container_is_kept_where_it_takes_the_codec(
    container: str, codec: str, expected: str
) -> None:
    wish = VideoWish(codec)  # type: ignore[arg-type]
    facts = replace(FACTS, container=container)
    assert resolved(wish, facts).container == expected
    assert ("result is" in warned(wish, facts)) == (container != expected)
    assert output_suffix(wish, facts, "film.xyz") == f".{expected}"


def test_a_suffix_of_the_same_container_is_kept() -> None:
    assert output_suffix(VideoWish(), FACTS, "Film.M4V") == ".M4V"
    assert output_suffix(VideoWish(container="mkv"), FACTS, "Film.M4V") == ".mkv"
    assert output_suffix(VideoWish(), replace(FACTS, container="mov"), "a.qt") == ".qt"
    assert output_suffix(VideoWish(), replace(FACTS, container="mov"), "a.mp4") == ".mov"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_a_container_is_refused_only_where_ffmpeg_or_its_players_refuse_it(
    codec: str, container: str
) -> None:
    wish = VideoWish(codec, container)  # type: ignore[arg-type]
    with av.open(io.BytesIO(), "w", format=FORMATS[container]) as output:
        can = codec in output.supported_codecs
    if (codec, container) in (("ffv1", "mp4"), ("av1", "mov")):
        can = False  # nothing else reads the first; FFmpeg itself refuses the second, but later
    if can:
        assert resolved(wish).container == container
        return
    with pytest.raises(ValueError, match=rf"a\.mp4: {container} does not take {codec}.*choose"):
        resolved(wish)


@pytest.mark.parametrize(
    ("wish", "pattern"),
    [
        (VideoWish("ffv1", crf=3), "ffv1 has no crf"),
        (VideoWish("prores", crf=3), "prores has no crf"),
        (VideoWish("h264", crf=52), "0 .* to 51"),
        (VideoWish("av1", crf=64), "0 .* to 63"),
        (VideoWish("h264", preset="quick"), "ultrafast, .*placebo"),
        (VideoWish("ffv1", preset="medium"), "knows none"),
        (VideoWish("prores", preset="best"), "proxy"),
        (VideoWish("h264", pixel_format="bgr0"), "libx264 does not take bgr0; it takes yuv420p"),
        (VideoWish("h264", pixel_format="yuvj420p"), "does not take yuvj420p"),
        (VideoWish("prores", encoder="nvenc"), "NVENC cannot write prores"),
        (VideoWish("vp9", "mkv"), "expected one of auto, h264"),  # type: ignore[arg-type]
        (VideoWish("h264", "avi"), "in one of keep, mp4"),  # type: ignore[arg-type]
    ],
)
def test_an_impossible_wish_is_one_line_that_names_the_file(wish: VideoWish, pattern: str) -> None:
    with pytest.raises(FormatError, match=pattern) as caught:
        resolved(wish, replace(FACTS, width=640, height=480, container="mkv"))
    assert str(caught.value).startswith("a.mp4: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_an_odd_size_is_kept_by_full_chroma_and_said(codec: str) -> None:
    odd = replace(FACTS, width=65, height=48)
    wish = VideoWish(codec)  # type: ignore[arg-type]
    assert resolved(wish, odd).pix_fmt == "yuv444p"
    assert resolved(wish, odd).width == 65
    assert "65x48 is odd: written as yuv444p" in warned(wish, odd)
    with pytest.raises(ValueError, match="choose a 4:4:4"):
        resolved(replace(wish, pixel_format="yuv420p"), odd)
    assert resolved(wish, odd, 2).pix_fmt == "yuv420p"


@pytest.mark.parametrize("codec", ["av1", "ffv1", "prores"])
def test_codecs_that_hold_odd_sizes_keep_their_pixel_format(codec: str) -> None:
    wish = VideoWish(codec)  # type: ignore[arg-type]
    odd = replace(FACTS, width=65, height=47)
    assert resolved(wish, odd).pix_fmt == resolved(wish).pix_fmt
    assert "odd" not in warned(wish, odd)


def test_sizes_beyond_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"12x10 cannot be written by libx265 .16 to"):
        resolved(VideoWish("hevc"), replace(FACTS, width=12, height=10))
    with pytest.raises(ValueError, match="another scale or codec"):
        resolved(VideoWish(), replace(FACTS, width=8000, height=4000), 4)


def test_chroma_that_is_thrown_away_is_told_unless_the_film_is_enlarged() -> None:
    studio = replace(FACTS, pix_fmt="yuv422p")
    assert "4:2:2 chroma is written as 4:2:0" in warned(VideoWish(), studio)
    assert "4:1:1" in warned(VideoWish(), replace(FACTS, pix_fmt="yuv411p"))
    assert warned(VideoWish(), studio, 2) == ""
    assert warned(VideoWish("prores", "mov"), studio) == ""
    assert warned(VideoWish(), replace(FACTS, pix_fmt="gray")) == ""


def test_matrix_and_range_are_always_said_and_the_rest_stays_as_it_was() -> None:
    assert resolved(VideoWish()).colour == ColourTags(2, 2, 6, False)
    assert resolved(VideoWish(), scale=20).colour.matrix == 6, "the source is small"
    assert resolved(VideoWish(), replace(FACTS, height=720)).colour.matrix == 1
    pal = replace(FACTS, colour=ColourTags(5, 6, 5, True))
    assert resolved(VideoWish(), pal).colour == ColourTags(5, 6, 5, True)
    assert resolved(VideoWish("prores"), pal).colour == ColourTags(5, 6, 5, False)
    jpeg = replace(FACTS, pix_fmt="yuvj420p")
    assert resolved(VideoWish(), jpeg).colour.full_range is True
    wide = replace(FACTS, colour=ColourTags(9, 1, 10, False))
    assert resolved(VideoWish(), wide).colour == ColourTags(9, 1, 9, False)


def test_rgb_becomes_yuv_by_the_size_of_the_result_and_stays_rgb_in_ffv1() -> None:
    rgb = replace(FACTS, pix_fmt="gbrp", colour=ColourTags(1, 13, 0, True))
    assert resolved(VideoWish(), rgb).colour == ColourTags(1, 13, 6, False)
    assert resolved(VideoWish(), rgb, 16).colour == ColourTags(1, 13, 1, False)
    assert resolved(VideoWish("ffv1"), rgb).colour == ColourTags(1, 13, 0, True)


def test_a_tone_mapped_film_is_tagged_bt_709() -> None:
    hdr = replace(FACTS, bits=10, colour=ColourTags(9, 16, 9, False))
    assert resolved(VideoWish(), hdr).colour == ColourTags(1, 1, 1, False)
    assert resolved(VideoWish("ffv1"), hdr).colour == ColourTags(1, 1, 0, True)


def test_a_turned_film_swaps_its_sides_and_its_pixel_aspect() -> None:
    turned = resolved(VideoWish(), replace(FACTS, rotation_deg=90), 2)
    assert (turned.width, turned.height, turned.sample_aspect) == (96, 128, Fraction(15, 16))


def test_prores_takes_its_profile_from_the_preset_or_the_chroma() -> None:
    assert dict(resolved(VideoWish("prores")).options)["profile"] == "hq"
    assert dict(resolved(VideoWish("prores", preset="lt")).options)["profile"] == "lt"
    full = VideoWish("prores", pixel_format="yuv444p10le")
    assert dict(resolved(full).options)["profile"] == "4444"


@pytest.mark.parametrize("codec", CODECS)
def test_the_defaults_of_every_encoder_are_among_what_it_takes(codec: str) -> None:
    encoder = encoder_of(codec)
    assert set(encoder.pixel_formats.values()) <= set(encoder.every_pixel_format())
    for depth, name in encoder.pixel_formats.items():
        assert av.VideoFormat(name).components[0].bits == depth


def test_nvenc_is_used_only_when_asked_for() -> None:
    large = replace(FACTS, width=640, height=480)
    auto = VideoWish(encoder="auto")
    there = resolve_format(auto, large, 1, "a.mp4", nvenc=lambda codec: True)[0]
    absent = resolve_format(auto, large, 1, "a.mp4", nvenc=lambda codec: False)[0]
    asked = resolve_format(VideoWish("hevc", encoder="nvenc", crf=23), large, 1, "a.mp4")[0]
    assert (there.encoder, absent.encoder, asked.encoder) == (
        "h264_nvenc",
        "libx264",
        "hevc_nvenc",
    )
    assert dict(asked.options)["cq"] == "23"


def test_asking_for_nvenc_of_a_codec_without_one_says_no() -> None:
    assert not nvenc_available("prores")


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (29.97, Fraction(30000, 1001)),
        (30.0, Fraction(30)),
        (23.976, Fraction(24000, 1001)),
        (24.0, Fraction(24)),
        (59.94006, Fraction(60000, 1001)),
        (25.0001, Fraction(25)),
        (16.667, Fraction(50, 3)),
        (0.0, Fraction(25)),
        (float("nan"), Fraction(25)),
        (0.01, Fraction(1)),
        (1000.0, Fraction(240)),
    ],
)
def test_rates_snap_to_the_standard_ones(measured: float, expected: Fraction) -> None:
    assert float(nominal_rate(measured)) == pytest.approx(float(expected), rel=1e-4)
    if expected.denominator in (1, 1001):
        assert nominal_rate(measured) == expected


@given(
    codec=st.sampled_from(CODECS),
    container=st.sampled_from(["keep", "mkv"]),
    width=st.integers(16, 400),
    height=st.integers(16, 400),
    bits=st.integers(8, 16),
    rotation=st.sampled_from([0, 90, 180, 270]),
    scale=st.sampled_from([1, 1.5, 2, 4]),
)
def test_the_size_of_the_result_is_never_changed(
    codec: str, container: str, width: int, height: int, bits: int, rotation: int, scale: float
) -> None:
    facts = replace(FACTS, width=width, height=height, bits=bits, rotation_deg=rotation)
    wish = VideoWish(codec, container)  # type: ignore[arg-type]
    format = resolved(wish, facts, scale)
    assert (format.width, format.height) == output_size(*facts.upright_size, scale)
    layout = av.VideoFormat(format.pix_fmt)
    assert format.bits == layout.components[0].bits
    assert (format.colour.matrix == 0) == layout.is_rgb
    if codec in ("h264", "hevc") and (format.width % 2 or format.height % 2):
        assert layout.chroma_width(4) == layout.chroma_height(4) == 4

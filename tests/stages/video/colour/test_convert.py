"""Y'CbCr to R'G'B' and back: by the equations of H.273, at every depth, range and sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Interpolation
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame
from restore_batch.stages.video.colour.convert import (
    FrameConverter,
    colour_warnings,
    refuse_hdr,
    to_av_frame,
)
from restore_batch.stages.video.probe import probe_video
from restore_batch.stages.video.types import ColourTags

from support.clips import clip

UNSAID = ColourTags()
LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
CORNERS = [(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)]
SUBSAMPLED = ["yuv420p", "yuv422p", "yuv440p", "yuv411p", "yuvj420p", "yuvj422p", "nv12"]
SUBSAMPLED += ["yuyv422", "yuv420p10le", "yuv422p10le", "yuv422p12le", "p010le", "yuv420p10be"]
DEPTHS = {"yuv444p": 8, "yuv444p10le": 10, "yuv444p12le": 12}


def tags(matrix: int, full: bool | None) -> ColourTags:
    return ColourTags(1, 1, matrix, full)


def equations(rgb: Sequence[float], matrix: int, full: bool, bits: int) -> list[float]:
    """H.273 equations 20 to 25, 29 to 31 and 38 to 40, not yet rounded; rgb in [0, 1]."""
    k_r, k_b = LUMA[matrix]
    red, green, blue = rgb
    luma = k_r * red + (1 - k_r - k_b) * green + k_b * blue
    cb, cr = 0.5 * (blue - luma) / (1 - k_b), 0.5 * (red - luma) / (1 - k_r)
    scale = 2 ** (bits - 8)
    if full:
        peak = 2**bits - 1
        return [peak * luma, peak * cb + 128 * scale, peak * cr + 128 * scale]
    return [scale * (219 * luma + 16), scale * (224 * cb + 128), scale * (224 * cr + 128)]


def planes(picture: av.VideoFrame) -> list[np.ndarray]:
    """Samples of a planar picture, a copy."""
    dtype = np.uint16 if picture.format.components[0].bits > 8 else np.uint8
    return [
        np.frombuffer(memoryview(plane), dtype)
        .reshape(-1, plane.line_size // np.dtype(dtype).itemsize)[: plane.height, : plane.width]
        .copy()
        for plane in picture.planes
    ]


def picture_of(
    samples: Sequence[np.ndarray], pix_fmt: str, matrix: int = 2, full: bool | None = None
) -> av.VideoFrame:
    height, width = samples[0].shape
    picture = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(picture.planes, samples, strict=True):
        dtype = np.uint16 if picture.format.components[0].bits > 8 else np.uint8
        rows = np.frombuffer(memoryview(plane), dtype)
        rows = rows.reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
        rows[: plane.height, : plane.width] = values
    picture.colorspace = matrix
    picture.color_range = 0 if full is None else ColorRange.JPEG if full else ColorRange.MPEG
    return picture


def corners(deep: bool) -> np.ndarray:
    """Black, primaries, secondaries and white, one pixel each, (1, 8, 3)."""
    most, dtype = (65535, np.uint16) if deep else (255, np.uint8)
    return (np.array([CORNERS]) * most).astype(dtype)


def noise(height: int, width: int, *, deep: bool = False, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    most, dtype = (65536, np.uint16) if deep else (256, np.uint8)
    return rng.integers(0, most, (height, width, 3)).astype(dtype)


def worst(one: np.ndarray, other: np.ndarray) -> int:
    assert one.dtype == other.dtype and one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
@pytest.mark.parametrize("pix_fmt", DEPTHS)
def test_primaries_and_secondaries_are_written_by_the_equations(
    pix_fmt: str, matrix: int, full: bool
) -> None:
    bits = DEPTHS[pix_fmt]
    written = planes(to_av_frame(Frame(corners(bits > 8)), pix_fmt, tags(matrix, full)))
    for place, rgb in enumerate(CORNERS):
        expected = equations(rgb, matrix, full, bits)
        found = [int(plane[0, place]) for plane in written]
        # Rounded twice. Chroma of full range ends half a step above the highest value.
        assert found == pytest.approx(np.minimum(expected, 2**bits - 1), abs=0.54)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
@pytest.mark.parametrize("pix_fmt", DEPTHS)
def test_primaries_and_secondaries_are_read_by_the_equations(
    pix_fmt: str, matrix: int, full: bool
) -> None:
    bits = DEPTHS[pix_fmt]
    exact = np.array([equations(rgb, matrix, full, bits) for rgb in CORNERS])
    samples = np.clip(np.rint(exact), 0, 2**bits - 1)
    read = FrameConverter(UNSAID)(
        picture_of([samples[None, :, n] for n in range(3)], pix_fmt, matrix, full)
    )
    # Rounding to whole samples moves a colour by at most 1.4 of them (2020's blue is steepest).
    assert worst(read.rgb_hwc, corners(bits > 8)) <= (2 if bits == 8 else 2 * 65535 / 2**bits)


def test_known_values_of_red_and_white_are_written() -> None:
    red_and_white = Frame(np.array([[(255, 0, 0), (255, 255, 255)]], np.uint8))
    for matrix, pix_fmt, expected in (
        (6, "yuv444p", [(81, 90, 240), (235, 128, 128)]),
        (1, "yuv444p", [(63, 102, 240), (235, 128, 128)]),
        (9, "yuv444p10le", [(294, 387, 960), (940, 512, 512)]),
    ):
        written = planes(to_av_frame(red_and_white, pix_fmt, tags(matrix, False)))
        assert [tuple(int(plane[0, i]) for plane in written) for i in (0, 1)] == expected


@given(
    st.sampled_from([1, 4, 5, 6, 7, 8, 9]),
    st.booleans(),
    st.sampled_from(["yuv444p", "yuv444p10le", "yuv444p12le", "yuvj444p"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**31),
)
def test_rgb_survives_full_chroma_within_two_levels(
    matrix: int, full: bool, pix_fmt: str, height: int, width: int, seed: int
) -> None:
    bits = DEPTHS.get(pix_fmt, 8)
    rgb_hwc = noise(height, width, deep=bits > 8, seed=seed)
    written = to_av_frame(Frame(rgb_hwc), pix_fmt, tags(matrix, full))
    read = FrameConverter(UNSAID)(written)
    assert worst(read.rgb_hwc, rgb_hwc) <= 2 * (1 if bits == 8 else 65535 / (2**bits - 1))
    assert (written.colorspace, read.grey, read.alpha_hw) == (matrix, False, None)


@given(
    st.sampled_from(SUBSAMPLED),
    st.sampled_from([1, 6, 8, 9]),
    st.sampled_from([None, False, True]),
    st.integers(1, 7),
    st.integers(1, 7),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_a_flat_colour_survives_any_sampling_and_odd_size_within_two_levels(
    pix_fmt: str,
    matrix: int,
    full: bool | None,
    height: int,
    width: int,
    rgb: tuple[int, int, int],
) -> None:
    bits = av.VideoFormat(pix_fmt).components[0].bits
    width *= 2 if pix_fmt in ("nv12", "p010le", "yuyv422") else 1
    flat = np.broadcast_to(np.array(rgb), (height, width, 3))
    flat = (flat * 257).astype(np.uint16) if bits > 8 else flat.astype(np.uint8)
    read = FrameConverter(UNSAID)(to_av_frame(Frame(flat), pix_fmt, tags(matrix, full)))
    assert worst(read.rgb_hwc, flat) <= 2 * (1 if bits == 8 else 65535 / (2**bits - 1))


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gbrp", "bgr0", "bgr24"])
def test_8_bit_rgb_survives_exactly(pix_fmt: str) -> None:
    rgb_hwc = noise(5, 7)
    picture = to_av_frame(Frame(rgb_hwc), pix_fmt, tags(6, False))
    assert picture.format.name == pix_fmt
    assert np.array_equal(FrameConverter(UNSAID)(picture).rgb_hwc, rgb_hwc)


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gbrp10le", 10), ("gbrp12le", 12), ("rgb48le", 16)])
def test_deep_rgb_survives_within_half_a_level_and_white_is_white(pix_fmt: str, bits: int) -> None:
    rgb_hwc = noise(5, 7, deep=True)
    rgb_hwc[0, 0], rgb_hwc[0, 1] = 65535, 0
    read = FrameConverter(UNSAID)(to_av_frame(Frame(rgb_hwc), pix_fmt, UNSAID)).rgb_hwc
    assert worst(read, rgb_hwc) <= (0 if bits == 16 else 0.51 * 65535 / (2**bits - 1))
    assert np.array_equal(read[0, :2], rgb_hwc[0, :2])


def test_white_of_10_bits_is_full_white_of_16() -> None:
    for full, luma in ((False, 940), (True, 1023)):
        grey = np.full((2, 2), luma)
        chroma = np.full((1, 1), 512)
        picture = picture_of([grey, chroma, chroma], "yuv420p10le", 1, full)
        assert np.all(FrameConverter(UNSAID)(picture).rgb_hwc == 65535)


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p", "yuv444p"])
def test_every_grey_of_full_range_is_read_as_itself(pix_fmt: str) -> None:
    greys = np.broadcast_to(np.arange(256), (4, 256))
    layout = av.VideoFormat(pix_fmt, 256, 4)
    chroma = np.full((layout.chroma_height(4), layout.chroma_width(256)), 128)
    rgb_hwc = FrameConverter(UNSAID)(picture_of([greys, chroma, chroma], pix_fmt, 6, True)).rgb_hwc
    assert np.array_equal(rgb_hwc, np.repeat(greys[..., None], 3, axis=2))


def test_8_bits_agree_with_ffmpegs_own_conversion() -> None:
    rng = np.random.default_rng(5)
    samples = [rng.integers(16, 236, (40, 56)).astype(np.uint8) for _ in range(3)]
    for matrix in (1, 6, 9):
        picture = picture_of(samples, "yuv444p", matrix, False)
        exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
        theirs = picture.reformat(format="rgb24", interpolation=exact, threads=1).to_ndarray()
        assert worst(FrameConverter(UNSAID)(picture).rgb_hwc, theirs) <= 1


def test_what_a_picture_does_not_say_is_taken_from_the_film_and_then_from_its_size() -> None:
    def read(height: int, film: ColourTags, matrix: int = 2, full: bool | None = None) -> list[int]:
        samples = [np.full((height, 8), level) for level in (81, 90, 240)]  # red, by BT.601
        return (
            FrameConverter(film)(picture_of(samples, "yuv444p", matrix, full))
            .rgb_hwc[0, 0]
            .tolist()
        )

    red, as_hd = [254, 0, 0], [255, 24, 0]
    assert read(576, UNSAID) == red
    assert read(720, UNSAID) == as_hd
    assert read(720, tags(6, False)) == red
    assert read(720, tags(1, False), matrix=6) == red
    assert read(576, tags(2, True)) == read(576, UNSAID, full=True) != red


def test_matrix_and_range_are_written_even_where_they_are_not_said() -> None:
    for height, matrix in ((719, 6), (720, 1)):
        picture = to_av_frame(Frame(np.zeros((height, 8, 3), np.uint8)), "yuv444p", UNSAID)
        assert (picture.colorspace, int(picture.color_range)) == (matrix, ColorRange.MPEG)
        assert (picture.color_primaries, picture.color_trc) == (2, 2)
    said = ColourTags(9, 14, 9, True)
    picture = to_av_frame(Frame(np.zeros((8, 8, 3), np.uint8)), "yuv420p", said)
    assert (picture.color_primaries, picture.color_trc) == (9, 14)
    assert (picture.colorspace, int(picture.color_range)) == (9, ColorRange.JPEG)


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "gray12le"])
@pytest.mark.parametrize("full", [None, False, True])
def test_grey_stays_grey_whatever_its_range(pix_fmt: str, full: bool | None) -> None:
    bits = av.VideoFormat(pix_fmt).components[0].bits
    ramp = np.linspace(0, 255 if bits == 8 else 65535, 64).astype(np.uint8 if bits == 8 else "u2")
    frame = Frame(np.repeat(ramp[None, :, None], 3, axis=2), grey=True)
    written = to_av_frame(frame, pix_fmt, tags(1, full))
    read = FrameConverter(UNSAID)(written)
    assert read.grey
    assert worst(read.rgb_hwc, frame.rgb_hwc) <= (1 if bits == 8 else 65535 / (2**bits - 1))
    black, white = planes(written)[0][0, [0, -1]]
    unit = 2 ** (bits - 8)
    limits = (16 * unit, 235 * unit) if full is False else (0, 2**bits - 1)
    assert (black, white) == limits


def test_alpha_is_dropped_and_the_plan_says_so(tmp_path: Path) -> None:
    opaque = to_av_frame(Frame(noise(4, 6)), "yuv444p", tags(6, False))
    half = picture_of([*planes(opaque), np.full((4, 6), 128)], "yuva444p", 6, False)
    read, alone = FrameConverter(UNSAID)(half), FrameConverter(UNSAID)(opaque)
    assert read.alpha_hw is None and np.array_equal(read.rgb_hwc, alone.rgb_hwc)
    film = clip(tmp_path / "a.mov", codec="prores_ks", pix_fmt="yuva444p10le", frames=2)
    facts = probe_video(str(film))
    assert facts.pix_fmt.startswith("yuva")
    assert colour_warnings(facts) == (f"its transparency ({facts.pix_fmt}) is not kept",)
    assert colour_warnings(replace(facts, pix_fmt="yuv420p")) == ()


def test_unknown_matrices_and_float_samples_are_refused() -> None:
    samples = [np.full((4, 4), 128)] * 3
    with pytest.raises(MediaError, match=r"14 of H\.273 \(ICtCp\)"):
        FrameConverter(UNSAID)(picture_of(samples, "yuv444p", 14))
    with pytest.raises(MediaError, match="gbrpf32le"):
        FrameConverter(UNSAID)(av.VideoFrame(4, 4, "gbrpf32le"))


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "pal8", "bayer_rggb8", "monob", "gbrpf32le"])
def test_no_film_is_written_with_alpha_palettes_or_floats(pix_fmt: str) -> None:
    with pytest.raises(ValueError, match=pix_fmt):
        to_av_frame(Frame(noise(4, 4)), pix_fmt, UNSAID)


def test_semi_planar_pictures_of_odd_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 pixels wide"):
        to_av_frame(Frame(noise(4, 5)), "p010le", UNSAID)


def test_the_same_picture_gives_the_same_bits_whatever_came_before() -> None:
    pictures = [
        to_av_frame(Frame(noise(34, 50, seed=seed)), "yuv420p", tags(6, False)) for seed in range(3)
    ]
    fresh = [FrameConverter(UNSAID)(picture).rgb_hwc for picture in pictures]
    used = FrameConverter(UNSAID)
    used(to_av_frame(Frame(noise(20, 30)), "yuv422p", tags(6, False)))
    for picture, expected in zip(reversed(pictures), reversed(fresh), strict=True):
        assert np.array_equal(used(picture).rgb_hwc, expected)


# -- where chroma lies ------------------------------------------------------------------------

LOSSLESS = {
    "libx264": {"qp": "0"},
    "libvpx-vp9": {"lossless": "1"},
    "ffv1": {},
    "mjpeg": {"qmin": "1", "qmax": "1", "q": "1"},
    "mpeg2video": {"qmin": "1", "qmax": "1"},
}
LEFT, TOP_LEFT, CENTRE = (0.0, 0.5), (0.0, 0.0), (0.5, 0.5)


def stored(path: Path, codec: str, picture: av.VideoFrame, **options: str) -> av.VideoFrame:
    """One picture, encoded without loss (or nearly so) and decoded."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=Fraction(25), options={**LOSSLESS[codec], **options})
        stream.width, stream.height = picture.width, picture.height
        stream.pix_fmt = picture.format.name
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        output.mux([*stream.encode(picture), *stream.encode(None)])
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize(
    ("codec", "options", "place_xy"),
    [
        ("libx264", {}, LEFT),
        ("libx264", {"chroma_sample_location": "left"}, LEFT),
        ("libx264", {"chroma_sample_location": "topleft"}, TOP_LEFT),
        ("libx264", {"chroma_sample_location": "center"}, CENTRE),
        ("mpeg2video", {}, LEFT),
        ("libvpx-vp9", {}, LEFT),
        ("ffv1", {}, LEFT),
        ("mjpeg", {}, CENTRE),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_chroma_is_brought_to_the_pixels_it_was_taken_from(
    tmp_path: Path, codec: str, options: dict[str, str], place_xy: tuple[float, float], axis: int
) -> None:
    size, slope, grey = 32, 6.0, 128.0
    offset = place_xy[1 - axis]
    ramp = 32 + slope * (2 * np.arange(size // 2) + offset)  # Cb of chroma sample i
    cb = np.broadcast_to(ramp, (size // 2, size // 2))
    cb = np.rint(cb.T if axis == 0 else cb)
    cr = np.full_like(cb, 128)
    jpeg = codec == "mjpeg"
    pix_fmt = "yuvj420p" if jpeg else "yuv420p"
    picture = picture_of([np.full((size, size), grey), cb, cr], pix_fmt, 6, full=jpeg)
    decoded = stored(tmp_path / "c.mkv", codec, picture, **options)
    name = {"libx264": "h264", "libvpx-vp9": "vp9"}.get(codec, codec)
    rgb_hwc = FrameConverter(tags(6, jpeg), name)(decoded).rgb_hwc.astype(float)
    luma, unit = (grey, 255.0) if jpeg else ((grey - 16) * 255 / 219, 224.0)
    pixels = np.arange(size)
    blue = luma + 1.772 * (32 + slope * pixels - 128) * 255 / unit
    found = rgb_hwc[size // 2, :, 2] if axis == 1 else rgb_hwc[:, size // 2, 2]
    inner = slice(4, -4)
    expected = np.clip(blue, 0, 255)[inner]
    # Half a pixel would be five levels.
    assert np.abs(found[inner] - expected).max() <= 2.5


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv411p", "yuv420p10le"])
def test_smooth_colours_survive_reduced_chroma_without_a_shift(
    tmp_path: Path, pix_fmt: str
) -> None:
    deep = av.VideoFormat(pix_fmt).components[0].bits > 8
    y, x = np.mgrid[0:48, 0:64]
    rgb = np.stack([40 + 2.5 * x, 200 - 3 * y, 60 + x + 1.5 * y], axis=-1)
    rgb_hwc = np.rint(rgb * 257).astype(np.uint16) if deep else np.rint(rgb).astype(np.uint8)
    picture = to_av_frame(Frame(rgb_hwc), pix_fmt, tags(6, False))
    decoded = stored(tmp_path / "s.mkv", "ffv1", picture)
    read = FrameConverter(UNSAID, "ffv1")(decoded).rgb_hwc
    inner = np.s_[6:-6, 8:-8]
    assert worst(read[inner], rgb_hwc[inner]) <= 2.5 * (65535 / 1023 if deep else 1)


def test_sharp_colour_edges_stay_within_the_range_of_bytes() -> None:
    rgb_hwc = np.zeros((16, 16, 3), np.uint8)
    rgb_hwc[:, 8:] = (255, 0, 255)
    rgb_hwc[8:] = 255 - rgb_hwc[8:]
    read = FrameConverter(UNSAID)(to_av_frame(Frame(rgb_hwc), "yuvj420p", tags(1, True))).rgb_hwc
    # Away from the edges nothing of them is left; an overflow would turn up as its opposite.
    for part in np.s_[:4, :4], np.s_[:4, 12:], np.s_[12:, :4], np.s_[12:, 12:]:
        assert worst(read[part], rgb_hwc[part]) <= 6


# -- high dynamic range -----------------------------------------------------------------------


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_unless_a_tone_curve_is_chosen(
    tmp_path: Path, transfer: int, name: str
) -> None:
    film = clip(tmp_path / "sdr.mp4", frames=1)
    facts = probe_video(str(film))
    hdr = replace(facts, colour=ColourTags(9, transfer, 9, False))
    with pytest.raises(MediaError, match=rf"film\.mp4: .*{name}.*video\.tonemap to hable"):
        refuse_hdr(hdr, None, "film.mp4")
    refuse_hdr(hdr, "hable", "film.mp4")
    refuse_hdr(facts, None, "film.mp4")

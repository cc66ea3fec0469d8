"""What goes in comes out: pixels bit for bit where nothing changed, colours, and every word
that a photo says beside its pixels. ExifTool, OpenCV and tifffile bear witness."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from restore_batch.stages import colour, jpeg_segments, tiff_tags
from restore_batch.stages import exif as exif_block
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo_read import read
from restore_batch.stages.photo_write import write
from restore_batch.stages.tiff_tags import Tag, Tree

COMMON = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def frames(draw: st.DrawFn, *, deep: bool = True) -> Frame:
    """Frames of any depth, grey or colour, with or without alpha, from 1x1 and 1xN on."""
    height, width = draw(st.sampled_from([(1, 1), (1, 37), (41, 1), (2, 3), (19, 23), (64, 50)]))
    dtype = np.dtype(draw(st.sampled_from(["u1", "u2"] if deep else ["u1"])))
    grey, alpha = draw(st.booleans()), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = int(np.iinfo(dtype).max) + 1
    rgb = rng.integers(0, top, (height, width, 3)).astype(dtype)
    if grey:
        rgb = rgb[..., :1].repeat(3, axis=2)
    cover = rng.integers(0, top, (height, width)).astype(dtype) if alpha else None
    return Frame(rgb, cover, grey)


def _bits(frame: Frame) -> int:
    return frame.rgb_hwc.dtype.itemsize * 8


def _assert_same(found: Frame, frame: Frame) -> None:
    assert found.rgb_hwc.dtype == frame.rgb_hwc.dtype
    assert np.array_equal(found.rgb_hwc, frame.rgb_hwc)
    assert (found.alpha_hw is None) == (frame.alpha_hw is None)
    if found.alpha_hw is not None and frame.alpha_hw is not None:
        assert found.alpha_hw.dtype == frame.alpha_hw.dtype
        assert np.array_equal(found.alpha_hw, frame.alpha_hw)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@COMMON
@given(frame=frames())
def test_a_lossless_round_trip_is_bit_exact(frame: Frame, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / ("a" + suffix)
    assert write(frame, PhotoMeta("png", bits=_bits(frame)), path) == ()
    found, meta, warnings = read(str(path), 1)
    assert warnings == ()
    assert meta.bits == _bits(frame)
    assert found.grey == frame.grey
    _assert_same(found, frame)


@COMMON
@given(frame=frames(deep=False))
def test_a_lossless_webp_round_trip_is_bit_exact(frame: Frame, tmp_path: Path) -> None:
    meta = PhotoMeta("webp", quality_hint={"lossless": True})
    write(frame, meta, tmp_path / "a.webp")
    _assert_same(read(str(tmp_path / "a.webp"), 1)[0], frame)


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@COMMON
@given(frame=frames())
def test_every_tiff_compression_is_read_alike_by_tifffile(
    frame: Frame, compression: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    hint = {"tiff_compression": compression}
    write(frame, PhotoMeta("tiff", bits=_bits(frame), quality_hint=hint), path)
    found = np.atleast_3d(tifffile.imread(path).reshape(frame.height, frame.width, -1))
    colours = 1 if frame.grey else 3
    assert np.array_equal(found[..., :colours], frame.rgb_hwc[..., :colours])
    if frame.alpha_hw is not None:
        assert np.array_equal(found[..., -1], frame.alpha_hw)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opencv_reads_what_was_written(suffix: str, dtype: type, tmp_path: Path) -> None:
    top = int(np.iinfo(dtype).max) + 1
    rgb = np.random.default_rng(0).integers(0, top, (7, 5, 3)).astype(dtype)
    path = tmp_path / ("a" + suffix)
    write(Frame(rgb), PhotoMeta("png", bits=8 * rgb.dtype.itemsize), path)
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.array_equal(found[..., ::-1], rgb)


# Metadata

XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' xmlns:exif="http://ns.adobe.com/exif/1.0/" tiff:Orientation="6" exif:PixelXDimension="9"'
    b' dc:source="box 7, negative 12"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x05\x00\x07Wedding" + b"\x1c\x02\x74\x00\x0bGrandmother"
MAKER_NOTE = b"TestMaker\x00\x01\x02\x03" + bytes(range(64))


def _text(value: str) -> Tag:
    return tiff_tags.raw(value.encode() + b"\x00", 2)


def _rationals(*values: int) -> Tag:
    packed = struct.pack(f"<{2 * len(values)}I", *[n for v in values for n in (v, 1)])
    return Tag(tiff_tags.RATIONAL, len(values), packed)


def _tree() -> Tree:
    return Tree(
        main={270: _text("Wedding of 1912"), 271: _text("Testcam"), 315: _text("A. Nonymous")},
        exif={
            36867: _text("1999:12:31 23:59:58"),
            40962: tiff_tags.short(1234),
            40963: tiff_tags.short(777),
            tiff_tags.MAKER_NOTE: tiff_tags.raw(MAKER_NOTE),
        },
        gps={
            1: _text("N"),
            2: _rationals(52, 31, 12),
            3: _text("E"),
            4: _rationals(13, 24, 18),
        },
        interop={1: _text("R98")},
    )


def _exif(orientation: int = 1) -> bytes:
    return tiff_tags.block(_tree(), {tiff_tags.ORIENTATION: tiff_tags.short(orientation)})


def _rich(orientation: int = 1) -> PhotoMeta:
    return PhotoMeta(
        "jpeg",
        exif=_exif(orientation),
        xmp=XMP,
        iptc=IPTC,
        icc=colour.srgb_profile(),
        dpi=(300.0, 300.0),
        text={"Comment": "from the attic"},
    )


def _rgb(height: int = 30, width: int = 50) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _exiftool(path: Path) -> dict[str, Any]:
    """What ExifTool finds, and that it finds nothing wrong."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed")
    done = subprocess.run(
        [tool, "-json", "-n", "-G1", "-warning", "-error", "-all", str(path)],
        capture_output=True,
        check=True,
    )
    (found,) = json.loads(done.stdout)
    faults = {k: v for k, v in found.items() if k.endswith((":Warning", ":Error"))}
    # The maker note of these tests is of no maker.
    assert not {k: v for k, v in faults.items() if "aker" not in str(v)}
    return dict(found)


HOLDS_ALL = [".jpg", ".png", ".tif", ".jp2"]


@pytest.mark.parametrize("suffix", [*HOLDS_ALL, ".webp", ".avif", ".heic"])
def test_exiftool_finds_every_field_in_the_output(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / ("a" + suffix)
    try:
        write(Frame(_rgb()), _rich(), path)
    except Exception as error:
        if suffix == ".heic":
            pytest.skip(f"no HEIF encoder: {error}")
        raise
    found = _exiftool(path)
    assert found["IFD0:ImageDescription"] == "Wedding of 1912"
    assert found["IFD0:Make"] == "Testcam"
    assert found["ExifIFD:DateTimeOriginal"] == "1999:12:31 23:59:58"
    assert found["ExifIFD:ExifImageWidth"] == 50
    assert found["ExifIFD:ExifImageHeight"] == 30
    assert found["GPS:GPSLatitude"] == pytest.approx(52.52)
    assert found["InteropIFD:InteropIndex"] == "R98"
    assert found.get("IFD0:Orientation", 1) == 1
    assert found["XMP-dc:Source"] == "box 7, negative 12"
    assert found["XMP-exif:ExifImageWidth"] == 50
    assert found["ICC-header:ColorSpaceData"] == "RGB "
    if suffix in HOLDS_ALL:
        assert found["IPTC:ObjectName"] == "Wedding"
    assert MAKER_NOTE in path.read_bytes()


@pytest.mark.parametrize("suffix", HOLDS_ALL)
def test_metadata_survives_a_round_trip_through_every_rich_container(
    suffix: str, tmp_path: Path
) -> None:
    write(Frame(_rgb()), _rich(), tmp_path / ("a" + suffix))
    frame, meta, warnings = read(str(tmp_path / ("a" + suffix)), 1)
    assert warnings == ()
    assert meta.dpi == (300.0, 300.0)
    assert meta.iptc == IPTC
    assert meta.icc == colour.srgb_profile()
    assert meta.xmp is not None
    assert b"box 7, negative 12" in meta.xmp
    assert meta.exif is not None
    tree = tiff_tags.tree(io.BytesIO(meta.exif))
    assert tree.gps == _tree().gps
    assert tree.interop == _tree().interop
    assert tree.exif[tiff_tags.MAKER_NOTE].data == MAKER_NOTE
    assert tree.main[270] == _tree().main[270]
    if suffix in {".jpg", ".png"}:
        assert meta.text == {"Comment": "from the attic"}
    # A second generation says exactly what the first said.
    write(frame, meta, tmp_path / ("b" + suffix))
    again = read(str(tmp_path / ("b" + suffix)), 1)[1]
    assert again == meta


@pytest.mark.parametrize("source", HOLDS_ALL)
@pytest.mark.parametrize("target", HOLDS_ALL)
def test_metadata_survives_a_change_of_container(source: str, target: str, tmp_path: Path) -> None:
    write(Frame(_rgb()), _rich(), tmp_path / ("a" + source))
    frame, meta, _ = read(str(tmp_path / ("a" + source)), 1)
    write(frame, meta, tmp_path / ("b" + target))
    found = _exiftool(tmp_path / ("b" + target))
    assert found["IFD0:Artist"] == "A. Nonymous"
    assert found["GPS:GPSLongitude"] == pytest.approx(13.405)
    assert found["IPTC:ObjectName"] == "Wedding"
    assert found["XMP-dc:Source"] == "box 7, negative 12"
    assert found["ICC-header:ColorSpaceData"] == "RGB "
    assert read(str(tmp_path / ("b" + target)), 1)[1].dpi == (300.0, 300.0)


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".bmp"])
def test_what_a_container_cannot_hold_is_said(suffix: str, tmp_path: Path) -> None:
    (warning,) = write(Frame(_rgb()), _rich(), tmp_path / ("a" + suffix))
    assert "IPTC" in warning
    assert "Comment" in warning
    assert ("EXIF" in warning) is (suffix == ".bmp")


def test_the_resolution_goes_into_exif_where_there_is_no_other_place(tmp_path: Path) -> None:
    meta = PhotoMeta("png", dpi=(240.0, 240.0))
    assert write(Frame(_rgb()), meta, tmp_path / "a.webp") == ()
    assert read(str(tmp_path / "a.webp"), 1)[1].dpi == (240.0, 240.0)


@COMMON
@given(
    text=st.dictionaries(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=3000),
        max_size=4,
    ),
    dpi=st.one_of(st.none(), st.integers(1, 9600).map(float)),
    iptc=st.one_of(st.none(), st.binary(max_size=70_000).map(lambda b: b"\x1c" + b)),
    xmp=st.one_of(st.none(), st.just(XMP.replace(b'"6"', b'"1"').replace(b'"9"', b'"8"'))),
)
def test_any_text_resolution_and_records_survive_in_png(
    text: dict[str, str],
    dpi: float | None,
    iptc: bytes | None,
    xmp: bytes | None,
    tmp_path: Path,
) -> None:
    resolution = (dpi, dpi) if dpi is not None else None
    meta = PhotoMeta("png", text=text, dpi=resolution, iptc=iptc, xmp=xmp)
    write(Frame(np.zeros((1, 8, 3), np.uint8)), meta, tmp_path / "a.png")
    found = read(str(tmp_path / "a.png"), 1)[1]
    assert found.text == text
    assert found.iptc == iptc
    assert found.xmp == xmp
    assert found.dpi == pytest.approx(resolution, abs=0.02) if resolution else found.dpi is None


def _is_plain(text: str) -> bool:
    return text.rstrip("\x00") == text and text.isprintable()


@COMMON
@given(
    iptc=st.one_of(st.none(), st.binary(max_size=200_000).map(lambda b: b"\x1c" + b)),
    comment=st.one_of(st.none(), st.text(min_size=1, max_size=500).filter(_is_plain)),
    dpi=st.one_of(st.none(), st.integers(1, 9600).map(float)),
)
def test_any_records_comment_and_resolution_survive_in_jpeg(
    iptc: bytes | None, comment: str | None, dpi: float | None, tmp_path: Path
) -> None:
    text = {"Comment": comment} if comment is not None else {}
    resolution = (dpi, dpi) if dpi is not None else None
    meta = PhotoMeta("jpeg", text=text, iptc=iptc, dpi=resolution)
    write(Frame(np.zeros((8, 8, 3), np.uint8)), meta, tmp_path / "a.jpg")
    found = read(str(tmp_path / "a.jpg"), 1)[1]
    assert found.iptc == iptc
    assert found.dpi == resolution
    assert found.text == text


def test_an_xmp_packet_too_long_for_a_jpeg_segment_survives(tmp_path: Path) -> None:
    words = b" ".join(b"word%d" % n for n in range(20_000))
    long_xmp = XMP.replace(b"box 7, negative 12", words).replace(b'"6"', b'"1"')
    write(Frame(_rgb()), PhotoMeta("png", xmp=long_xmp), tmp_path / "a.jpg")
    found = _exiftool(tmp_path / "a.jpg")
    assert found["XMP-dc:Source"] == words.decode()
    meta = read(str(tmp_path / "a.jpg"), 1)[1]
    assert meta.xmp is not None
    assert words in meta.xmp
    assert b"HasExtendedXMP" not in meta.xmp


def test_a_jpeg_keeps_the_exif_offsets_of_its_maker_note(tmp_path: Path) -> None:
    """The block is patched in place: everything but the patched values is where it was."""
    write(Frame(_rgb()), PhotoMeta("jpeg", exif=_exif()), tmp_path / "a.jpg")
    meta = read(str(tmp_path / "a.jpg"), 1)[1]
    assert meta.exif is not None
    assert meta.exif.index(MAKER_NOTE) == _exif().index(MAKER_NOTE)
    assert len(meta.exif) == len(_exif())


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_of_the_unrestored_picture_is_dropped(order: str, tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    Image.fromarray(_rgb()).resize((16, 10)).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif.endian = order
    exif[274] = 6
    exif[315] = "somebody"
    exif.get_ifd(0x8769)[40962] = 50
    block = exif.tobytes()[6:]
    link = struct.unpack_from(order + "I", block, 4)[0]
    count = struct.unpack_from(order + "H", block, link)[0]
    ifd1 = len(block) + len(block) % 2
    place = ifd1 + 2 + 24 + 4
    second = struct.pack(order + "HHHIIHHIII", 2, 513, 4, 1, place, 514, 4, 1, 0, 0)
    second = bytearray(second)
    struct.pack_into(order + "I", second, 22, len(thumbnail.getvalue()))
    linked = bytearray(block.ljust(ifd1, b"\x00") + second + thumbnail.getvalue())
    struct.pack_into(order + "I", linked, link + 2 + 12 * count, ifd1)
    source = tmp_path / "a.jpg"
    plain = io.BytesIO()
    Image.fromarray(_rgb()).save(plain, "JPEG")
    segments = {"xmp": None, "iptc": None, "icc": None, "comment": None, "dpi": None}
    source.write_bytes(
        jpeg_segments.with_metadata(plain.getvalue(), exif=bytes(linked), **segments)
    )
    assert _exiftool(source)["IFD1:ThumbnailLength"] == len(thumbnail.getvalue())
    frame, meta, _ = read(str(source), 1)
    assert (frame.width, frame.height) == (30, 50)
    write(frame, meta, tmp_path / "b.jpg")
    found = _exiftool(tmp_path / "b.jpg")
    assert not [key for key in found if key.startswith("IFD1")]
    assert found["IFD0:Artist"] == "somebody"
    assert found["IFD0:Orientation"] == 1
    assert found["ExifIFD:ExifImageWidth"] == 30
    assert thumbnail.getvalue()[-200:] not in (tmp_path / "b.jpg").read_bytes()


@COMMON
@given(data=st.binary(max_size=300), head=st.sampled_from([b"", b"II*\x00\x08\x00\x00\x00"]))
def test_a_damaged_exif_block_never_costs_the_photo(
    data: bytes, head: bytes, tmp_path: Path
) -> None:
    plain = io.BytesIO()
    Image.fromarray(_rgb()).save(plain, "JPEG")
    segments = {"xmp": None, "iptc": None, "icc": None, "comment": None, "dpi": None}
    jpeg = jpeg_segments.with_metadata(plain.getvalue(), exif=head + data, **segments)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    frame, meta, _ = read(str(tmp_path / "a.jpg"), 1)
    write(frame, meta, tmp_path / "b.jpg")
    write(frame, meta, tmp_path / "b.tif")
    assert frame.width * frame.height == 1500


@COMMON
@given(flips=st.lists(st.integers(8, len(_exif()) - 1), min_size=1, max_size=6))
def test_a_bit_flipped_in_exif_never_costs_the_photo(flips: list[int], tmp_path: Path) -> None:
    block = bytearray(_exif())
    for at in flips:
        block[at] ^= 0x81
    meta = PhotoMeta("png", exif=bytes(block))
    try:
        upright = exif_block.upright(meta.exif or b"")
    except tiff_tags.TagError:
        return
    for name in ("b.jpg", "b.tif", "b.png"):
        write(Frame(_rgb()), PhotoMeta("png", exif=upright), tmp_path / name)


def test_a_tiff_carries_its_own_tags_to_its_output_and_to_jpeg(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    tifffile.imwrite(
        source,
        _rgb(),
        photometric="rgb",
        metadata=None,
        software="Scanner 9",
        description="glass plate",
        resolution=(600, 600),
        resolutionunit="INCH",
        extratags=[(33432, 2, 0, "nobody", True), (65000, 2, 0, "shelf 12", True)],
    )
    frame, meta, _ = read(str(source), 1)
    assert meta.dpi == (600.0, 600.0)
    for name in ("b.tif", "b.jpg"):
        write(frame, meta, tmp_path / name)
        found = _exiftool(tmp_path / name)
        assert found["IFD0:Software"] == "Scanner 9"
        assert found["IFD0:ImageDescription"] == "glass plate"
        assert found["IFD0:Copyright"] == "nobody"
        assert found["IFD0:XResolution"] == 600
        assert b"shelf 12" in (tmp_path / name).read_bytes()
    assert "IFD0:StripOffsets" not in _exiftool(tmp_path / "b.jpg")


# Colour


def _profile(name: str) -> bytes:
    """A profile of every kind that archives have, made on the spot."""
    white = (0.3127, 0.3290, 1.0)
    if name == "adobergb":
        return bytes(imagecodecs.cms_profile("adobergb"))
    if name == "grey gamma 2.2":
        return bytes(imagecodecs.cms_profile("gray", whitepoint=white, gamma=2.2))
    if name == "grey gamma 1.8":
        return bytes(imagecodecs.cms_profile("gray", whitepoint=white, gamma=1.8))
    primaries = [0.68, 0.32, 1.0, 0.265, 0.69, 1.0, 0.15, 0.06, 1.0]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=2.2))


def _muted(height: int = 60, width: int = 80) -> np.ndarray:
    """Every lightness, with colours that sRGB has too."""
    y, x = np.mgrid[0:height, 0:width]
    light = x * 255 / width
    tint = (y / height - 0.5) * 40 * np.minimum(light, 255 - light) / 128
    return np.stack([light + tint, light, light - tint], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@pytest.mark.parametrize("name", ["adobergb", "wide rgb"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_profiled_picture_comes_back_in_its_own_profile(
    suffix: str, name: str, bits: int, tmp_path: Path
) -> None:
    icc = _profile(name)
    stored = _muted() if bits == 8 else _muted().astype(np.uint16) * 257
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, stored, photometric="rgb", iccprofile=icc, metadata=None)
    frame, meta, warnings = read(str(source), 1)
    assert warnings == ()
    assert meta.icc == icc
    expected = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(_muted()),
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    )
    assert np.abs(frame.rgb_hwc / 257 - expected).max() <= 1.5
    assert np.abs(frame.rgb_hwc / 257 - _muted()).max() > 4
    output = tmp_path / ("b" + suffix)
    assert write(frame, meta, output) == ()
    if suffix == ".jp2":
        # Without its boxes: the decoder would apply the profile.
        coded = output.read_bytes()
        raw = np.asarray(imagecodecs.jpeg2k_decode(coded[coded.index(b"\xff\x4f\xff\x51") :]))
    else:
        raw = np.asarray(imagecodecs.imread(str(output)))
    assert raw.dtype == stored.dtype
    difference = np.abs(raw.astype(int) - stored)
    assert difference.max() <= (0 if bits == 8 else 24)
    assert read(str(output), 1)[1].icc == icc


@pytest.mark.parametrize("name", ["grey gamma 2.2", "grey gamma 1.8"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_grey_profile_is_applied_kept_and_undone(name: str, suffix: str, tmp_path: Path) -> None:
    icc = _profile(name)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(16, axis=0)
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, ramp, photometric="minisblack", iccprofile=icc, metadata=None)
    frame, meta, warnings = read(str(source), 1)
    assert warnings == ()
    assert frame.grey
    assert (np.ptp(frame.rgb_hwc, axis=2) == 0).all()
    assert np.abs(frame.rgb_hwc[..., 0] / 257 - ramp).max() > 2
    output = tmp_path / ("b" + suffix)
    write(frame, meta, output, quality=100 if suffix == ".jpg" else None)
    raw = np.asarray(imagecodecs.imread(str(output)))
    assert raw.ndim == 2
    assert np.abs(raw.astype(int) - ramp).max() <= (1 if suffix == ".jpg" else 0)
    assert read(str(output), 1)[1].icc == icc


def test_an_srgb_profile_leaves_every_pixel_untouched(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    other = bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for icc in (colour.srgb_profile(), other):
        assert colour.is_srgb(icc)
        Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=icc)
        frame, meta, _ = read(str(tmp_path / "a.png"), 1)
        assert np.array_equal(frame.rgb_hwc, rgb)
        write(frame, meta, tmp_path / "b.png")
        assert read(str(tmp_path / "b.png"), 1)[1].icc == icc
    assert not colour.is_srgb(_profile("adobergb"))


@pytest.mark.parametrize(
    "icc",
    [
        b"not a profile at all",
        colour.srgb_profile()[:200],
        colour.srgb_profile()[:16] + b"CMYK" + colour.srgb_profile()[20:],
    ],
)
def test_a_broken_profile_costs_a_warning_and_is_not_kept(icc: bytes, tmp_path: Path) -> None:
    Image.fromarray(_rgb()).save(tmp_path / "a.png", icc_profile=icc)
    frame, meta, warnings = read(str(tmp_path / "a.png"), 1)
    assert any("colour profile" in warning for warning in warnings)
    assert meta.icc is None
    assert np.array_equal(frame.rgb_hwc, _rgb())


def test_colours_beyond_srgb_are_announced(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=_profile("wide rgb"))
    (warning,) = read(str(tmp_path / "a.png"), 1)[2]
    assert "outside sRGB" in warning


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_cmyk_tiff_has_natural_colours_and_leaves_as_srgb(dtype: type, tmp_path: Path) -> None:
    top = np.iinfo(dtype).max
    inks = np.array([[[0, 0, 0, 0], [top, 0, 0, 0], [0, top, top, 0], [0, 0, 0, top]]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", metadata=None)
    frame, meta, _ = read(str(tmp_path / "a.tif"), 1)
    white, cyan, red, black = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]]) * top
    assert np.array_equal(frame.rgb_hwc[0], [white, cyan, red, black])
    assert meta.icc is not None
    assert colour.is_srgb(meta.icc)
    write(frame, meta, tmp_path / "b.tif")
    assert read(str(tmp_path / "b.tif"), 1)[1].icc == meta.icc


def test_an_adobe_cmyk_jpeg_is_not_a_negative(tmp_path: Path) -> None:
    """Pillow writes CMYK as Adobe does, inverted; the reader must undo just that."""
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    white.save(tmp_path / "a.jpg", quality=95)
    assert read(str(tmp_path / "a.jpg"), 1)[0].rgb_hwc.min() > 250


@pytest.mark.slow
def test_a_100_megapixel_tiff_takes_less_than_two_copies_of_memory(tmp_path: Path) -> None:
    """Peak memory of a fresh process, in copies of the 303 MB picture beyond its imports."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (8700 // 100, 11600, 3), dtype=np.uint8)
    picture = np.tile(tile, (100, 1, 1))
    source = tmp_path / "large.tif"
    tifffile.imwrite(source, picture, photometric="rgb", compression="zlib", rowsperstrip=64)
    script = """
import resource, sys
from pathlib import Path
from restore_batch.stages.photo_read import read
from restore_batch.stages.photo_write import write
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
frame, meta, _ = read(sys.argv[1], 200)
write(frame, meta, Path(sys.argv[2]))
print((peak() - before) / frame.nbytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(tmp_path / "out.tif")],
        capture_output=True,
        check=True,
        text=True,
    )
    assert float(done.stdout) < 2
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), picture)

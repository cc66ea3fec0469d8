"""Every word that a photo says beside its pixels survives; ExifTool bears witness."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo import colour
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import jpeg_segments, tiff_tags
from restore_batch.stages.photo.metadata.tiff_tags import Tag, Tree
from restore_batch.stages.photo.read import read
from restore_batch.stages.photo.write import write

COMMON = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


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
    size = len(thumbnail.getvalue())
    second = struct.pack(order + "HHHIIHHIII", 2, 513, 4, 1, place, 514, 4, 1, size, 0)
    linked = bytearray(block.ljust(ifd1, b"\x00") + second + thumbnail.getvalue())
    struct.pack_into(order + "I", linked, link + 2 + 12 * count, ifd1)
    source = tmp_path / "a.jpg"
    plain = io.BytesIO()
    Image.fromarray(_rgb()).save(plain, "JPEG")
    segments = {"xmp": None, "iptc": None, "icc": None, "comment": None, "dpi": None}
    pieces = jpeg_segments.with_metadata(plain.getvalue(), exif=bytes(linked), **segments)
    source.write_bytes(b"".join(pieces))
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
    pieces = jpeg_segments.with_metadata(plain.getvalue(), exif=head + data, **segments)
    (tmp_path / "a.jpg").write_bytes(b"".join(pieces))
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

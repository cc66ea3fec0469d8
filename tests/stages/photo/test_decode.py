"""Decoding: every kind of file to upright sRGB, item by item."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from restore_batch.jobs.units import Photo
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.read import probe, read

from support.photo_files import LIMIT, encoded, file, photo, refused


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000"])
def test_a_colour_picture_is_read_from_every_container(container: str, tmp_path: Path) -> None:
    options = {"quality": 95} if container in {"JPEG", "WEBP", "AVIF"} else {}
    # The name says nothing: content decides.
    source = file(tmp_path, "photo.xyz", encoded(Image.fromarray(photo()), container, **options))
    frame, meta, warnings = read(source, LIMIT)
    assert meta.container == container.lower()
    assert not warnings
    assert not frame.grey
    assert frame.alpha_hw is None
    assert frame.rgb_hwc.shape == (40, 60, 3)
    assert np.abs(frame.rgb_hwc.astype(int) - photo()).mean() < 3
    found = probe(source)
    assert (found.width, found.height, found.bits, found.channels) == (60, 40, 8, 3)
    assert found.size_bytes == Path(source).stat().st_size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_orientation_is_applied_and_reset(
    orientation: int, container: str, tmp_path: Path
) -> None:
    stored = Image.fromarray(photo())
    exif = stored.getexif()
    exif[274], exif[315] = orientation, "somebody"
    options = {"quality": 100, "subsampling": 0} if container == "JPEG" else {}
    options |= {"lossless": True} if container == "WEBP" else {}
    source = file(tmp_path, "photo", encoded(stored, container, exif=exif, **options))
    frame, meta, _ = read(source, LIMIT)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(source)).convert("RGB"))
    assert frame.rgb_hwc.shape == expected.shape
    assert np.abs(frame.rgb_hwc.astype(int) - expected).max() <= 1
    assert meta.exif is not None
    kept = Image.Exif()
    kept.load(b"Exif\x00\x00" + meta.exif)
    assert kept[274] == 1
    found = probe(source)
    assert (found.height, found.width) == frame.rgb_hwc.shape[:2]


def test_an_orientation_in_xmp_alone_is_applied_and_reset(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    source = file(tmp_path, "a.webp", encoded(Image.fromarray(photo()), "WEBP", xmp=xmp))
    frame, meta, _ = read(source, LIMIT)
    assert (frame.width, frame.height) == (40, 60)
    assert meta.xmp == xmp.replace(b'"6"', b'"1"')


@pytest.mark.parametrize(
    ("mode", "grey", "alpha"),
    [
        ("1", True, False),
        ("L", True, False),
        ("LA", True, True),
        ("P", False, False),
        ("RGB", False, False),
        ("RGBA", False, True),
    ],
)
@pytest.mark.parametrize("container", ["PNG", "TIFF"])
def test_every_pillow_mode_reads_as_pillow_reads_it(
    mode: str, grey: bool, alpha: bool, container: str, tmp_path: Path
) -> None:
    picture = Image.fromarray(photo()).convert("L" if mode == "LA" else "RGB")
    if "A" in mode:
        picture.putalpha(Image.fromarray(photo()[..., 0]))
    picture = picture.convert(mode)
    frame, _, _ = read(file(tmp_path, "a", encoded(picture, container)), LIMIT)
    expected = np.asarray(picture.convert("RGBA"))
    assert np.array_equal(frame.rgb_hwc, expected[..., :3])
    assert frame.grey is grey
    assert (frame.alpha_hw is not None) is alpha
    if frame.alpha_hw is not None:
        assert np.array_equal(frame.alpha_hw, expected[..., 3])


def test_a_grey_palette_is_a_grey_picture(tmp_path: Path) -> None:
    ramp = Image.fromarray(photo()[..., 0]).convert("P")
    assert read(file(tmp_path, "a.gif", encoded(ramp, "GIF")), LIMIT)[0].grey


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("container", ["png", "tiff", "jp2"])
def test_16_bits_stay_16_bits(channels: int, container: str, tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (9, 13, channels), dtype=np.uint16)
    array = deep[..., 0] if channels == 1 else deep
    if container == "png":
        data = bytes(imagecodecs.png_encode(array))
    elif container == "jp2":
        data = bytes(imagecodecs.jpeg2k_encode(array, level=0, reversible=True, codecformat="jp2"))
    else:
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            array,
            photometric="minisblack" if channels < 3 else "rgb",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in {2, 4} else None,
        )
        data = buffer.getvalue()
    frame, meta, _ = read(file(tmp_path, "a", data), LIMIT)
    assert meta.bits == 16
    colours = 1 if channels < 3 else 3
    assert np.array_equal(frame.rgb_hwc[..., :colours], deep[..., :colours])
    assert frame.grey is (colours == 1)
    if channels in {2, 4}:
        assert frame.alpha_hw is not None
        assert np.array_equal(frame.alpha_hw, deep[..., -1])


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_more_than_8_bits_fills_the_16_bit_range(bits: int, tmp_path: Path) -> None:
    top = (1 << bits) - 1
    deep = np.linspace(0, top, 64 * 64).astype(np.uint16).reshape(64, 64, 1).repeat(3, axis=2)
    data = bytes(imagecodecs.avif_encode(deep, level=100, bitspersample=bits))
    frame, meta, _ = read(file(tmp_path, "a.avif", data), LIMIT)
    assert meta.bits == bits
    assert probe(str(tmp_path / "a.avif")).bits == bits
    assert frame.rgb_hwc.dtype == np.uint16
    assert frame.rgb_hwc.max() == 65535
    assert np.abs(frame.rgb_hwc / 65535 - deep / top).max() < 2 / top


def test_heif_of_10_bits_fills_the_16_bit_range(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    if not pillow_heif.libheif_info()["HEIF"]:
        pytest.skip("no HEIF encoder in pillow-heif")
    white = np.full((64, 64, 3), 65535, np.uint16)
    buffer = io.BytesIO()
    pillow_heif.encode("RGB;16", (64, 64), white.tobytes(), buffer, quality=95)
    frame, meta, _ = read(file(tmp_path, "a.heic", buffer.getvalue()), LIMIT)
    assert meta.bits == 10
    assert frame.rgb_hwc.dtype == np.uint16
    assert frame.rgb_hwc.min() > 65000


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "jpeg"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_tiff_compressions_read_alike(
    compression: str | None, tile: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, photo(), photometric="rgb", compression=compression, tile=tile)
    frame, _, _ = read(str(path), LIMIT)
    limit = 3.0 if compression == "jpeg" else 0.0
    assert np.abs(frame.rgb_hwc.astype(int) - photo()).mean() <= limit


def test_tiff_variants_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    grey = photo()[..., 0]
    tifffile.imwrite(path, 255 - grey, photometric="miniswhite")
    assert np.array_equal(read(str(path), LIMIT)[0].rgb_hwc[..., 0], grey)
    tifffile.imwrite(path, np.moveaxis(photo(), -1, 0), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read(str(path), LIMIT)[0].rgb_hwc, photo())
    tifffile.imwrite(path, photo(), photometric="rgb", bigtiff=True, byteorder=">")
    assert np.array_equal(read(str(path), LIMIT)[0].rgb_hwc, photo())
    fax = Image.fromarray(grey).convert("1")
    fax.save(path, compression="group4")
    assert np.array_equal(read(str(path), LIMIT)[0].rgb_hwc[..., 0], np.asarray(fax) * 255)


def test_a_premultiplied_tiff_gets_its_colours_back(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = np.full((4, 4, 4), 100, np.uint8)
    stored[..., 3] = 200
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])
    assert (read(str(path), LIMIT)[0].rgb_hwc == 128).all()


def test_an_old_ycbcr_tiff_is_read_by_libtiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(photo()).convert("YCbCr").save(path)
    frame, _, _ = read(str(path), LIMIT)
    assert np.abs(frame.rgb_hwc.astype(int) - photo()).mean() < 2


@pytest.mark.parametrize("bits", [8, 16])
def test_a_lab_tiff_has_the_colours_of_its_rgb(bits: int, tmp_path: Path) -> None:
    color = pytest.importorskip("skimage.color")
    lab = color.rgb2lab(photo(), illuminant="D65")
    scale, kind, signed = (255, np.uint8, np.int8) if bits == 8 else (65535, np.uint16, np.int16)
    light = np.round(lab[..., :1] / 100 * scale).astype(kind)
    chroma = np.round(lab[..., 1:] * (1 if bits == 8 else 256)).clip(-128 * 256, 32767)
    stored = np.concatenate([light, chroma.astype(signed).view(kind)], axis=2)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="cielab")
    frame, meta, _ = read(str(path), LIMIT)
    assert meta.icc is not None
    # skimage's white is D65 and ICC's D50, but a neutral is a neutral in both.
    assert np.abs(frame.rgb_hwc / 257 - photo()).mean() < 2.5


def test_a_12_bit_jpeg_fills_the_16_bit_range(tmp_path: Path) -> None:
    deep = np.linspace(0, 4095, 64 * 64).astype(np.uint16).reshape(64, 64)
    data = bytes(imagecodecs.jpeg8_encode(deep, level=100, bitspersample=12))
    frame, meta, _ = read(file(tmp_path, "a.jpg", data), LIMIT)
    assert meta.bits == 12
    assert frame.grey
    assert frame.rgb_hwc.max() > 65000


def test_a_file_of_several_pages_is_refused_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "book.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            tiff.write(photo(), photometric="rgb", metadata=None)
    assert probe(str(path)).pages == 3
    refused(str(path), "holds 3 pages")


def test_a_thumbnail_in_a_tiff_is_not_a_page(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(photo(), photometric="rgb", metadata=None)
        tiff.write(photo()[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
    assert probe(str(path)).pages == 1
    assert read(str(path), LIMIT)[0].rgb_hwc.shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["float32", "uint32", "int16"])
def test_a_tiff_that_is_no_photo_is_refused_by_its_samples(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), kind), photometric="minisblack")
    refused(str(path), "bit .*samples")


def _dng(path: Path, orientation: int = 1) -> None:
    """A minimal raw file: a grey card under a Bayer filter."""
    sensor = np.full((96, 128), 6000, np.uint16)
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    tifffile.imwrite(
        path,
        sensor,
        photometric="cfa",
        metadata=None,
        extratags=[
            (271, 2, 0, "Testcam", True),
            (272, 2, 0, "Testcam 1", True),
            (274, 3, 1, orientation, True),
            (33421, 3, 2, (2, 2), True),
            (33422, 1, 4, b"\x00\x01\x01\x02", True),
            (50706, 1, 4, b"\x01\x04\x00\x00", True),
            (50708, 2, 0, "Testcam 1", True),
            (50717, 4, 1, 16383, True),
            (50721, 10, 9, identity, True),
            (50728, 5, 3, [1, 1, 1, 1, 1, 1], True),
            (50778, 3, 1, 21, True),
        ],
    )


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_camera_raw_is_developed_to_16_bits_and_upright(orientation: int, tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    _dng(tmp_path / "a.dng", orientation)
    source = str(tmp_path / "a.dng")
    found = probe(source)
    frame, meta, warnings = read(source, LIMIT)
    assert found.container == meta.container == "raw"
    assert (frame.width, frame.height) == (found.width, found.height)
    assert (frame.height > frame.width) is (orientation == 6)
    assert frame.rgb_hwc.dtype == np.uint16
    assert meta.exif is not None
    assert b"Testcam 1" in meta.exif
    assert any("developed" in warning for warning in warnings)
    middle = frame.rgb_hwc[20:-20, 20:-20].astype(int)
    assert np.ptp(middle, axis=(0, 1)).max() < 700
    assert 10_000 < middle.mean() < 60_000


def test_the_stage_keeps_order_and_fails_item_by_item(tmp_path: Path) -> None:
    good = file(tmp_path, "good.png", encoded(Image.fromarray(photo()), "PNG"))
    bad = file(tmp_path, "bad.png", b"nothing")
    units = [
        Photo(id=str(index), source=source, output="out.png", staging_dir=str(tmp_path))
        for index, source in enumerate((good, bad, good))
    ]
    first, second, third = Decode(LIMIT)([Chunk(unit) for unit in units])
    assert isinstance(first, Chunk)
    assert isinstance(third, Chunk)
    assert isinstance(second, Failure)
    assert second.unit.id == "1"
    assert second.stage == "decode"
    assert first.meta is not None
    assert Decode.writes == {"frames", "originals", "meta", "sidecars"}


def test_reading_changes_neither_the_file_nor_its_time(tmp_path: Path) -> None:
    source = file(tmp_path, "a.png", encoded(Image.fromarray(photo()), "PNG"))
    Path(source).chmod(0o444)
    before = Path(source).stat()
    read(source, LIMIT)
    probe(source)
    after = Path(source).stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)

"""What cannot be read faithfully is refused in one line: cut off, damaged, absurd, unknown."""

from __future__ import annotations

import io
import logging
import struct
import sys
import zlib
from pathlib import Path

import fsspec
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.photo.metadata.png_chunks import SIGNATURE, chunk
from restore_batch.stages.photo.read import probe, read

from support.photo_files import LIMIT, encoded, file, photo, refused

CONTAINERS = ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000", "GIF"]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_that_is_cut_off_is_an_error(container: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), container)
    refused(file(tmp_path, "cut.bin", data[: int(len(data) * share)]), "cut.bin")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_pixels_is_an_error(progressive: bool, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(photo()), "JPEG", progressive=progressive)
    for missing in (3, 20, 200):
        refused(file(tmp_path, "cut.jpg", data[:-missing]), "cut off")


def test_a_compressed_tiff_cut_in_its_last_strip_is_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo(400, 400), photometric="rgb", compression="zlib")
    data = buffer.getvalue()
    for missing in (5, 500):
        refused(file(tmp_path, "cut.tif", data[:-missing]), "cut off")


def _png(header: bytes, *others: tuple[bytes, bytes]) -> bytes:
    return SIGNATURE + b"".join(chunk(*c) for c in ((b"IHDR", header), *others, (b"IEND", b"")))


def test_a_png_without_enough_data_is_an_error(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0)
    half = zlib.compress(bytes(20 * (1 + 60 * 3)))
    refused(file(tmp_path, "short.png", _png(header, (b"IDAT", half))), "PNG")


def test_one_wrong_bit_anywhere_in_a_png_is_an_error(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(photo()), "PNG")
    for at in range(12, len(data), 37):
        broken = bytearray(data)
        broken[at] ^= 1
        refused(file(tmp_path, "bit.png", bytes(broken)), "bit.png")


def test_absurd_sizes_are_refused_from_the_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    refused(file(tmp_path, "a.png", _png(header)), "megapixels")
    refused(file(tmp_path, "b.png", _png(struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0))), "header")
    jpeg = bytearray(encoded(Image.fromarray(photo()), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65535, 65535)
    refused(file(tmp_path, "c.jpg", bytes(jpeg)), "4294.84 megapixels")
    bmp = bytearray(encoded(Image.fromarray(photo()), "BMP"))
    bmp[18:26] = struct.pack("<ii", 100_000, 100_000)
    refused(file(tmp_path, "d.bmp", bytes(bmp)), "megapixels")
    gif = bytearray(encoded(Image.fromarray(photo()), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    refused(file(tmp_path, "e.gif", bytes(gif)), "megapixels")


def test_the_limit_is_the_jobs_and_not_pillows(tmp_path: Path) -> None:
    """200 megapixels are beyond the limit Pillow has for the process, which stays as it was."""
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None
    large = imagecodecs.png_encode(np.zeros((10_000, 20_000), np.uint8), level=1)
    source = file(tmp_path, "large.png", bytes(large))
    assert 2 * before < 10_000 * 20_000
    refused(source, "megapixels", limit=199)
    assert read(source, 200)[0].width == 20_000
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (b"", "empty"),
        (b"Dear diary, today\n" * 20, "text"),
        (bytes(range(256)), "unknown data"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(40), "not a picture"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"II*\x00", "TIFF"),
        (b"II*\x00\x08\x00\x00\x00\xff\xff", "TIFF"),
        (b"RIFF\x00\x00\x00\x00WEBP", "WebP"),
        (SIGNATURE, "PNG"),
    ],
)
def test_what_is_no_picture_is_refused_by_what_it_is(
    data: bytes, pattern: str, tmp_path: Path
) -> None:
    source = file(tmp_path, "strange.jpg", data)
    refused(source, pattern)
    with pytest.raises(MediaError, match=r"strange\.jpg"):
        probe(source)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    refused(str(tmp_path / "gone.jpg"), "cannot be opened: No such file")


def test_a_url_is_read_through_fsspec() -> None:
    data = encoded(Image.fromarray(photo()), "PNG")
    with fsspec.open("memory://album/a.png", "wb") as file:
        file.write(data)
    assert probe("memory://album/a.png").width == 60
    assert np.array_equal(read("memory://album/a.png", LIMIT)[0].rgb_hwc, photo())
    refused("memory://album/gone.png", "cannot be opened")


@pytest.mark.parametrize(
    ("module", "extra", "data"),
    [
        ("pillow_heif", "heif", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(40)),
        ("rawpy", "raw", b"FUJIFILMCCD-RAW " + bytes(100)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    module: str, extra: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    refused(file(tmp_path, "a", data), rf'pip install "restore-batch\[{extra}\]"')


def test_s3_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    # fsspec remembers what it has opened before.
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    refused("s3://bucket/a.jpg", r"restore-batch\[s3\]")


def test_a_refusal_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = encoded(Image.fromarray(photo()), "TIFF")
    with caplog.at_level(logging.WARNING):
        refused(file(tmp_path, "a.tif", data[: len(data) // 2]), "a.tif")
    out, err = capfd.readouterr()
    assert out == err == ""

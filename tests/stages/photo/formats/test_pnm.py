"""PNM: black and white, grey and colour, as numbers or bytes, with any white."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for, write

from support.photo_files import LIMIT, encoded, file, photo, refused

GREY = np.array([[0, 128], [255, 7]], np.uint8)


def _grey(data: bytes, folder: Path) -> list[list[int]]:
    frame, meta, warnings = read(file(folder, "a.bin", data), LIMIT)
    assert frame.grey
    assert meta.container == "pnm"
    assert warnings == ()
    return frame.rgb_hwc[..., 0].tolist()


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_file_of_pillow_is_read_as_pillow_reads_it(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(photo(41, 59)).convert(mode)
    frame, _, _ = read(file(tmp_path, "a.ppm", encoded(picture, "PPM")), LIMIT)
    assert np.array_equal(frame.rgb_hwc, np.asarray(picture.convert("RGB")))
    assert frame.grey is (mode != "RGB")


@pytest.mark.parametrize(
    "data",
    [
        b"P2\n2 2\n255\n0 128\n255 7\n",
        b"P2 # grey\n# size:\n2 2 255 0 128 # white:\n 255 7",
        b"P2#x\r\n2\t2\v255\f0 128 255\n\n7",
        b"P5 2 2 255\n\x00\x80\xff\x07",
        b"P5\n2 2\n255#to the end of the line\n\x00\x80\xff\x07",
    ],
)
def test_the_same_grey_picture_however_it_is_written(data: bytes, tmp_path: Path) -> None:
    found = read(file(tmp_path, "a.pgm", data), LIMIT)[0].rgb_hwc[..., 0]
    assert np.array_equal(found, GREY)


@pytest.mark.parametrize("data", [b"P1\n3 2\n101\n0 1 0", b"P4\n3 2\n\xa0\x40"])
def test_a_one_is_black_where_there_are_no_greys(data: bytes, tmp_path: Path) -> None:
    assert _grey(data, tmp_path) == [[0, 255, 0], [255, 0, 255]]
    assert probe(str(tmp_path / "a.bin")).bits == 1


@pytest.mark.parametrize(
    ("white", "samples", "expected"),
    [
        (100, b"\x00\x32\x64", [0, 128, 255]),
        (1023, b"\x00\x00\x01\xff\x03\xff", [0, 32735, 65535]),
        (65535, b"\x00\x00\x01\x02\xff\xff", [0, 258, 65535]),
    ],
)
def test_white_is_white_whatever_its_number(
    white: int, samples: bytes, expected: list[int], tmp_path: Path
) -> None:
    assert _grey(b"P5 3 1 %d\n" % white + samples, tmp_path) == [expected]
    assert probe(str(tmp_path / "a.bin")).bits == white.bit_length()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_what_is_written_is_read_alike_here_and_by_opencv(
    grey: bool, dtype: type, tmp_path: Path
) -> None:
    top = int(np.iinfo(dtype).max)
    rgb = np.random.default_rng(3).integers(0, top + 1, (30, 50, 3), dtype=dtype)
    rgb = rgb[..., :1].repeat(3, axis=2) if grey else rgb
    path = tmp_path / "a.pnm"
    meta = PhotoMeta("png", bits=8 * rgb.itemsize, text={"Comment": "Ada,\n1950"})
    assert write(Frame(rgb, grey=grey), meta, path) == ()
    frame, found, _ = read(str(path), LIMIT)
    assert np.array_equal(frame.rgb_hwc, rgb)
    assert frame.grey is grey
    assert found.text == meta.text
    other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(other, rgb[..., 0] if grey else rgb[..., ::-1])


def test_what_it_cannot_hold_is_said(tmp_path: Path) -> None:
    meta = PhotoMeta("png", xmp=b"<x/>", dpi=(300.0, 300.0), text={"Title": "Ada"})
    alpha = np.full((40, 60), 128, np.uint8)
    assert write(Frame(photo(), alpha), meta, tmp_path / "a.ppm") == (
        "PNM cannot hold XMP, text entry 'Title', resolution: not kept",
        "PNM cannot hold transparency: flattened over white",
    )
    long = PhotoMeta("png", text={"Comment": "x" * 40_000})
    assert write(Frame(photo()), long, tmp_path / "b.ppm") == (
        "its comment is too long for PNM: not kept",
    )
    assert read(str(tmp_path / "b.ppm"), LIMIT)[0].width == 60


def test_a_restored_picture_in_black_and_white_has_greys_and_says_so_by_its_suffix() -> None:
    kept = [suffix_for("pnm", "keep", suffix) for suffix in (".ppm", ".PGM", ".pnm", ".pbm", ".x")]
    assert kept == [".ppm", ".PGM", ".pnm", ".pnm", ".pnm"]


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    refused(file(tmp_path, "a.ppm", b"P6 100000 100000 255\n"), "10000 megapixels")
    refused(file(tmp_path, "b.pgm", b"P2 100000 100000 255\n1 2 3"), "10000 megapixels")


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (b"P6 2 2 255\n" + bytes(11), "cut off: its samples should reach byte 23"),
        (b"P4 9 2\n" + bytes(3), "cut off"),
        (b"P2 2 2 255\n1 2 3", "cut off: 4 samples expected, 3 found"),
        (b"P1 2 2\n011", "cut off"),
        (b"P3 1 1 255\n1 2 -3", "no number"),
        (b"P1 2 1\n02", "no number"),
        (b"P2 1 1 255\n256", "a sample of 256, where white is 255"),
        (b"P5 1 1 1023\n\x04\x00", "a sample of 1024"),
        (b"P2 1 1 255\n99999999999999999999", "a sample of"),
        (b"P5 0 2 255\n", "0x2"),
        (b"P5 2 2 65536\n", "white of 65536"),
        (b"P5 2\n", "no height"),
        (b"P5 2 99999999999 255\n", "no height"),
        (b"P5 #" + bytes(1 << 17), "no width"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    data: bytes, pattern: str, tmp_path: Path
) -> None:
    refused(file(tmp_path, "a.pnm", data), pattern)


def test_a_second_picture_in_the_file_is_said_to_be_lost(tmp_path: Path) -> None:
    one = b"P5 2 1 255\n\x01\x02"
    assert read(file(tmp_path, "a.pgm", one + b"\n"), LIMIT)[2] == ()
    frame, _, warnings = read(file(tmp_path, "b.pgm", one + one), LIMIT)
    assert frame.rgb_hwc[0, :, 0].tolist() == [1, 2]
    assert warnings == ("what follows the first picture in the file is not kept",)

"""JPEG XL is read by its own header and imagecodecs' pixels; what is not sRGB is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from restore_batch.stages.photo.metadata.jxl_header import CONTAINER
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for

from support import data
from support.photo_files import LIMIT, file, photo, refused


def jxl(samples: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(samples, lossless=True, **options))


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


@pytest.mark.parametrize("size", [(1, 1), (40, 60), (64, 64), (300, 200), (256, 8), (8, 600)])
def test_the_header_gives_the_size_of_the_decoded_picture(
    size: tuple[int, int], tmp_path: Path
) -> None:
    source = file(tmp_path, "a.jxl", jxl(photo(*size)))
    frame, _, warnings = read(source, LIMIT)
    found = probe(source)
    assert (found.height, found.width) == size == frame.rgb_hwc.shape[:2]
    assert warnings == ()
    assert np.array_equal(frame.rgb_hwc, photo(*size))


def _as_shown(samples: np.ndarray, bits: int) -> np.ndarray:
    """What the encoder takes samples of more than 8 bits for: light, here as sRGB of 16 bits."""
    light = samples / ((1 << bits) - 1)
    return 65535 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("container", [False, True])
def test_depths_grey_and_transparency_are_kept(
    channels: int, bits: int, container: bool, tmp_path: Path
) -> None:
    eight = np.concatenate([photo(), photo()[..., :1]], axis=2)[..., :channels]
    low = (1 << (bits - 8)) - 1
    samples = eight if bits == 8 else (eight.astype(np.uint16) << (bits - 8)) | low
    content = jxl(np.ascontiguousarray(samples), bitspersample=bits, usecontainer=container)
    source = file(tmp_path, "a.jxl", content)
    frame, meta, _ = read(source, LIMIT)
    found = probe(source)
    assert (found.bits, found.channels) == (bits, 1 if channels < 3 else 3)
    assert found.has_alpha == (frame.alpha_hw is not None) == (channels in {2, 4})
    assert frame.grey == (channels < 3)
    assert meta.bits == bits
    expected = samples if bits == 8 else _as_shown(samples, bits)
    # A step of the steepest part of the curve, where samples were rounded before it.
    assert np.abs(frame.rgb_hwc[..., 0] - expected[..., 0]).max() <= (0 if bits == 8 else 8)
    assert suffix_for(found.container, "keep", ".jxl") == ".png"


def test_a_lossy_picture_is_read_as_what_it_looks_like(tmp_path: Path) -> None:
    source = file(tmp_path, "a.jxl", bytes(imagecodecs.jpegxl_encode(photo(), level=95)))
    assert np.abs(read(source, LIMIT)[0].rgb_hwc.astype(int) - photo()).mean() < 3


def test_exif_and_xmp_are_found_in_their_boxes_packed_or_not(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    coded = _box(b"jxlp", b"\x80\0\0\0" + jxl(photo()))
    plain = _box(b"xml ", xmp)
    packed = _box(b"brob", b"xml " + bytes(imagecodecs.brotli_encode(xmp)))
    start = CONTAINER + _box(b"ftyp", b"jxl \0\0\0\0jxl ")
    for box in (plain, packed):
        _, meta, _ = read(file(tmp_path, "a.jxl", start + box + coded), LIMIT)
        assert meta.xmp == xmp


def test_an_animation_becomes_its_first_frame_and_is_noted(tmp_path: Path) -> None:
    frames = np.stack([photo(), photo()[::-1], photo()[:, ::-1]])
    source = file(tmp_path, "a.jxl", jxl(frames))
    frame, _, warnings = read(source, LIMIT)
    assert np.array_equal(frame.rgb_hwc, photo())
    assert warnings == probe(source).notes
    assert "first of its frames" in warnings[0]


def test_floating_point_samples_are_refused(tmp_path: Path) -> None:
    samples = photo().astype(np.float32) / 255
    refused(file(tmp_path, "a.jxl", jxl(samples)), "floating-point|other colours")


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    content = jxl(photo())
    for size in range(2, len(content), 41):
        refused(file(tmp_path, "cut.jxl", content[:size]), "cut.jxl")


def test_the_file_from_the_field_is_read() -> None:
    frame, _, _ = read(str(data.field() / "x.jxl"), LIMIT)
    assert (frame.width, frame.height) == (96, 64)

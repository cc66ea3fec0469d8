"""Photoshop files: the flattened picture is read as it is, and what lies beside it is said."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import PsdImagePlugin

from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for, write

from support import data
from support.photo_files import LIMIT, file, photo, refused

GREY, RGB, CMYK, LAB = 1, 3, 4, 9


def _resource(kind: int, content: bytes) -> bytes:
    padded = content + b"\0" * (len(content) % 2)
    return b"8BIM" + struct.pack(">HHI", kind, 0, len(content)) + padded


def psd(
    samples: np.ndarray,
    mode: int,
    *,
    packed: bool = False,
    large: bool = False,
    resources: bytes = b"",
    layers: int = 0,
) -> bytes:
    """A file of (H, W, C) uint8 or uint16 ``samples``, as stored."""
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8
    head = struct.pack(
        ">4sH6xHIIHH", b"8BPS", 2 if large else 1, channels, height, width, bits, mode
    )
    wide = ">Q" if large else ">I"
    info = struct.pack(wide, 2) + struct.pack(">h", layers) if layers else b""
    planes = np.moveaxis(samples, -1, 0).astype(samples.dtype.newbyteorder(">"))
    if packed:
        rows = [bytes(imagecodecs.packbits_encode(r.tobytes())) for p in planes for r in p]
        counts = np.array([len(row) for row in rows], ">u4" if large else ">u2").tobytes()
        body = b"\0\1" + counts + b"".join(rows)
    else:
        body = b"\0\0" + planes.tobytes()
    sections = struct.pack(">II", 0, len(resources)) + resources
    return head + sections + struct.pack(wide, len(info)) + info + body


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", [GREY, RGB])
def test_the_flattened_picture_is_read_bit_for_bit(
    mode: int, dtype: type, packed: bool, large: bool, tmp_path: Path
) -> None:
    samples = photo().astype(dtype) * (1 if dtype is np.uint8 else 257)
    stored = samples[..., :1] if mode == GREY else samples
    source = file(tmp_path, "scan.psd", psd(stored, mode, packed=packed, large=large))
    frame, meta, warnings = read(source, LIMIT)
    assert warnings == ()
    assert frame.grey == (mode == GREY)
    assert np.array_equal(frame.rgb_hwc, np.broadcast_to(stored, samples.shape))
    assert meta.bits == samples.dtype.itemsize * 8
    found = probe(source)
    assert (found.width, found.height, found.bits) == (60, 40, meta.bits)
    assert suffix_for(found.container, "keep", ".psd") == ".tif"


def test_the_reader_of_a_library_sees_the_same_picture(tmp_path: Path) -> None:
    content = psd(photo(), RGB, packed=True)
    expected = np.asarray(PsdImagePlugin.PsdImageFile(io.BytesIO(content)))
    frame, _, _ = read(file(tmp_path, "scan.psd", content), LIMIT)
    assert np.array_equal(frame.rgb_hwc, expected)


def test_cmyk_is_stored_inverted(tmp_path: Path) -> None:
    ink = np.concatenate([photo(), photo()[..., :1] // 2], axis=2)
    tifffile.imwrite(tmp_path / "scan.tif", ink, photometric="separated", metadata=None)
    expected, _, _ = read(str(tmp_path / "scan.tif"), LIMIT)
    frame, _, _ = read(file(tmp_path, "scan.psd", psd(255 - ink, CMYK)), LIMIT)
    assert np.array_equal(frame.rgb_hwc, expected.rgb_hwc)


def test_metadata_is_found_in_the_resources(tmp_path: Path) -> None:
    resolution = struct.pack(">IHHIHH", 300 << 16, 1, 1, 600 << 16, 1, 1)
    iptc = b"\x1c\x02\x78\x00\x06Mother"
    resources = (
        _resource(1005, resolution) + _resource(1028, iptc) + _resource(1060, b"<x:xmpmeta/>")
    )
    _, meta, _ = read(file(tmp_path, "a.psd", psd(photo(), RGB, resources=resources)), LIMIT)
    assert (meta.dpi, meta.iptc, meta.xmp) == ((300, 600), iptc, b"<x:xmpmeta/>")


def test_layers_and_further_channels_are_noted_by_the_header_and_the_reader(tmp_path: Path) -> None:
    samples = np.concatenate([photo(), photo()[..., :1]], axis=2)
    source = file(tmp_path, "a.psd", psd(samples, RGB, layers=-2))
    frame, _, warnings = read(source, LIMIT)
    assert np.array_equal(frame.rgb_hwc, photo())
    assert warnings == probe(source).notes
    assert [word in " ".join(warnings) for word in ("layers", "transparency")] == [True, True]


def test_what_holds_no_flattened_picture_is_refused(tmp_path: Path) -> None:
    alone = psd(photo(), RGB, resources=_resource(1057, b"\0\0\0\1\0" + bytes(8)))
    refused(file(tmp_path, "layers.psd", alone), "layers alone")
    refused(file(tmp_path, "lab.psd", psd(photo(), LAB)), "mode 9")


@pytest.mark.parametrize("packed", [False, True])
def test_a_photoshop_file_cut_off_anywhere_is_refused(packed: bool, tmp_path: Path) -> None:
    content = psd(photo(), RGB, packed=packed)
    for size in range(6, len(content), 97):
        refused(file(tmp_path, "cut.psd", content[:size]), "cut.psd")


def test_the_photoshop_file_from_the_field_is_read() -> None:
    frame, _, _ = read(str(data.field() / "x.psd"), LIMIT)
    assert (frame.width, frame.height) == (96, 64)


def test_what_its_resources_say_is_kept_and_thumbnails_are_said(tmp_path: Path) -> None:
    path, flag, layers = bytes(26), b"\1", b"\0\0"
    resources = _resource(2000, path) + _resource(1034, flag) + _resource(1026, layers)
    resources += _resource(1036, bytes(40))
    source = file(tmp_path, "a.psd", psd(photo(), RGB, resources=resources))
    frame, meta, warnings = read(source, LIMIT)
    assert warnings == ("not kept: Photoshop resource 1036 (thumbnail): of the picture as it was",)
    assert probe(source).notes == warnings
    assert write(frame, meta, tmp_path / "a.tif") == ()
    again = read(str(tmp_path / "a.tif"), LIMIT)[1]
    assert [extra.kind for extra in again.extras] == [b"\x07\xd0", b"\x04\x0a"]

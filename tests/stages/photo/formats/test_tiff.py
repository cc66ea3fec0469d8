"""TIFF: uncompressed YCbCr with less chroma than luma, as scanners and fax programs stored it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from restore_batch.stages.photo.read import probe, read

from support import data
from support.photo_files import file, photo, refused


def ycbcr_tiff(
    samples: np.ndarray, across: int, down: int, *, rows_a_strip: int | None = None
) -> bytes:
    """Rec. 601 over the full range in strips of data units: lumas of a block, then Cb and Cr."""
    height, width = samples.shape[:2]
    rows = rows_a_strip or height
    red, green, blue = np.moveaxis(samples.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = np.stack([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], axis=-1)
    strips = [_units(planes[top : top + rows], across, down) for top in range(0, height, rows)]
    offsets = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    body = b"".join(strips)
    body += bytes(len(body) % 2)
    tags = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [1]), (262, 3, [6]),
        (273, 4, offsets), (277, 3, [3]), (278, 4, [rows]), (279, 4, [len(s) for s in strips]),
        (284, 3, [1]), (530, 3, [across, down]), (531, 3, [1]),
        (532, 5, [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1]),
    ]  # fmt: skip
    values_at = 8 + len(body) + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for code, kind, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        count = len(numbers) // (2 if kind == 5 else 1)
        if len(packed) > 4:
            field = struct.pack("<I", values_at + len(values))
            values += packed
        else:
            field = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", code, kind, count) + field
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + directory + values


def _units(planes: np.ndarray, across: int, down: int) -> bytes:
    height, width = planes.shape[:2]
    padded = np.pad(planes, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across, 3)
    blocks = blocks.transpose(0, 2, 1, 3, 4).reshape(-1, down * across, 3)
    units = np.concatenate([blocks[..., 0], blocks[..., 1:].mean(axis=1)], axis=1)
    return np.rint(units).clip(0, 255).astype(np.uint8).tobytes()


@pytest.mark.parametrize("rows_a_strip", [None, 16])
@pytest.mark.parametrize("size", [(40, 60), (41, 59)])
@pytest.mark.parametrize("chroma", [(1, 1), (2, 1), (2, 2), (4, 2)])
def test_uncompressed_ycbcr_is_read_whatever_its_chroma(
    chroma: tuple[int, int], size: tuple[int, int], rows_a_strip: int | None, tmp_path: Path
) -> None:
    picture = photo(*size)
    source = file(tmp_path, "a.tif", ycbcr_tiff(picture, *chroma, rows_a_strip=rows_a_strip))
    assert (probe(source).height, probe(source).width) == size
    frame, _, warnings = read(source, 1)
    assert warnings == ()
    assert np.abs(frame.rgb_hwc.astype(int) - picture).mean() < 4


def test_uncompressed_ycbcr_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = ycbcr_tiff(photo(), 2, 2)
    strip_at = whole.index(struct.pack("<HHII", 273, 4, 1, 8)) + 8
    beyond = whole[:strip_at] + struct.pack("<I", len(whole) - 500) + whole[strip_at + 4 :]
    refused(file(tmp_path, "a.tif", beyond), "cut off|damaged")


def test_the_ycbcr_field_picture_is_restored() -> None:
    frame, _, warnings = read(str(data.field() / "ycbcr420_none.tif"), 1)
    assert frame.rgb_hwc.shape == (64, 96, 3)
    assert np.abs(frame.rgb_hwc[2, 2].astype(int) - (230, 20, 31)).max() <= 2
    assert warnings == ()

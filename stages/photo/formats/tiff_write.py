"""Writing TIFF files strip by strip, with every tag of the source that still holds.

Neither Pillow (no 16-bit RGB) nor tifffile (no EXIF directory) writes what an archive needs. A
baseline file is a header, strips and a table of tags, so it is written here; memory is that of
one strip, whatever the size of the picture.

Source: TIFF revision 6.0, sections 8, 13 (LZW), 14 (predictor); technical note on Deflate.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np

from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.metadata.tiff_tags import Directory, long, rational, raw, short

Compression = Literal["none", "lzw", "deflate"]

_STRIP_BYTES = 1 << 20
_BIG_FROM_BYTES = 4_000_000_000
_CODES: dict[Compression, int] = {"none": 1, "lzw": 5, "deflate": 8}
_DEFLATE_LEVEL = 6
_HORIZONTAL_DIFFERENCE = 2
_BLACK_IS_ZERO, _RGB = 1, 2
_UNASSOCIATED_ALPHA = 2
_INCH = 2


def _packed(block: np.ndarray, compression: Compression) -> bytes:
    little = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
    if compression == "none":
        return little.tobytes()
    differences = imagecodecs.delta_encode(little, axis=1)
    raw_bytes = np.asarray(differences).tobytes()
    if compression == "lzw":
        return bytes(imagecodecs.lzw_encode(raw_bytes))
    return bytes(imagecodecs.zlib_encode(raw_bytes, level=_DEFLATE_LEVEL))


def write(
    path: Path,
    rows: Callable[[slice], np.ndarray],
    *,
    width: int,
    height: int,
    channels: int,
    bits: int,
    has_alpha: bool,
    compression: Compression,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
) -> None:
    """Write ``path``; ``rows(block)`` gives (h, W, channels) uint8 or uint16, alpha last.

    BigTIFF where the picture could pass 4 GB. ``exif`` is a readable EXIF block.
    """
    row_bytes = width * channels * bits // 8
    strip_rows = min(max(_STRIP_BYTES // row_bytes, 1), height)
    big = row_bytes * height > _BIG_FROM_BYTES
    offsets, counts = [], []
    with path.open("wb") as file:
        file.write(bytes(16 if big else 8))
        for top in range(0, height, strip_rows):
            data = _packed(rows(slice(top, min(top + strip_rows, height))), compression)
            offsets.append(file.tell())
            counts.append(len(data))
            file.write(data)
            file.write(b"\x00" * (len(data) % 2))
        tags: Directory = {
            256: long(width),
            257: long(height),
            258: short(*[bits] * channels),
            259: short(_CODES[compression]),
            262: short(_BLACK_IS_ZERO if channels - has_alpha == 1 else _RGB),
            273: long(*offsets, big=big),
            274: short(1),
            277: short(channels),
            278: long(strip_rows),
            279: long(*counts, big=big),
            284: short(1),
        }
        if compression != "none":
            tags[317] = short(_HORIZONTAL_DIFFERENCE)
        if has_alpha:
            tags[338] = short(_UNASSOCIATED_ALPHA)
        tags |= _beside(xmp=xmp, iptc=iptc, icc=icc, dpi=dpi)
        described = tiff_tags.tree(io.BytesIO(exif)) if exif else tiff_tags.Tree({}, {}, {}, {})
        body, main_at = tiff_tags.serialise_tree(described, file.tell(), tags, big=big)
        file.write(body)
        file.seek(0)
        if big:
            file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, main_at))
        else:
            file.write(struct.pack("<2sHI", b"II", 42, main_at))


def _beside(
    *,
    xmp: bytes | None,
    iptc: bytes | None,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
) -> Directory:
    tags: Directory = {}
    if dpi:
        tags[tiff_tags.X_RESOLUTION] = rational(dpi[0])
        tags[tiff_tags.Y_RESOLUTION] = rational(dpi[1])
        tags[tiff_tags.RESOLUTION_UNIT] = short(_INCH)
    if xmp:
        tags[tiff_tags.XMP] = raw(xmp, tiff_tags.BYTE)
    if iptc:
        tags[tiff_tags.IPTC] = raw(iptc)
    if icc:
        tags[tiff_tags.ICC] = raw(icc)
    return tags


def exif_with_resolution(dpi: tuple[float, float]) -> bytes:
    """An EXIF block that says nothing but the resolution."""
    return tiff_tags.block(
        tiff_tags.Tree({}, {}, {}, {}), _beside(xmp=None, iptc=None, icc=None, dpi=dpi)
    )

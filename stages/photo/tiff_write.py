"""Writing TIFF files strip by strip, with every tag of the source that still holds.

Neither Pillow (no 16-bit RGB) nor tifffile (no EXIF directory) writes what an archive needs. A
baseline file is a header, strips and a table of tags, so it is written here; memory is that of
one strip, whatever the size of the picture.

Source: TIFF revision 6.0, sections 8, 13 (LZW), 14 (predictor); technical note on Deflate.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from pathlib import Path

import imagecodecs
import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.metadata import photoshop, tiff_tags
from restore_batch.stages.photo.metadata.tiff_tags import Directory, long, raw, short
from restore_batch.stages.photo.raster import Picture

_STRIP_BYTES = 1 << 20
_BIG_FROM_BYTES = 4_000_000_000
_CODES: Mapping[str, int] = {"none": 1, "lzw": 5, "deflate": 8}
_DEFLATE_LEVEL = 6
_HORIZONTAL_DIFFERENCE = 2
_BLACK_IS_ZERO, _RGB = 1, 2
_UNASSOCIATED_ALPHA = 2


def _packed(block: np.ndarray, compression: str) -> bytes:
    little = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
    if compression == "none":
        return little.tobytes()
    differences = imagecodecs.delta_encode(little, axis=1)
    raw_bytes = np.asarray(differences).tobytes()
    if compression == "lzw":
        return bytes(imagecodecs.lzw_encode(raw_bytes))
    return bytes(imagecodecs.zlib_encode(raw_bytes, level=_DEFLATE_LEVEL))


def write(path: Path, picture: Picture, meta: PhotoMeta) -> None:
    """Write ``path``, compressed as its source was where that was lossless.

    BigTIFF where the picture could pass 4 GB. ``meta.exif`` is a readable EXIF block.
    """
    compression = str(meta.quality_hint.get("tiff_compression", "deflate"))
    channels, bits, height = picture.channels, picture.bits, picture.height
    row_bytes = picture.width * channels * bits // 8
    strip_rows = min(max(_STRIP_BYTES // row_bytes, 1), height)
    big = row_bytes * height > _BIG_FROM_BYTES
    offsets, counts = [], []
    with path.open("wb") as file:
        file.write(bytes(16 if big else 8))
        for top in range(0, height, strip_rows):
            data = _packed(picture.rows(slice(top, min(top + strip_rows, height))), compression)
            offsets.append(file.tell())
            counts.append(len(data))
            file.write(data)
            file.write(b"\x00" * (len(data) % 2))
        tags: Directory = {
            256: long(picture.width),
            257: long(height),
            258: short(*[bits] * channels),
            259: short(_CODES[compression]),
            262: short(_BLACK_IS_ZERO if channels - picture.has_alpha == 1 else _RGB),
            273: long(*offsets, big=big),
            274: short(1),
            277: short(channels),
            278: long(strip_rows),
            279: long(*counts, big=big),
            284: short(1),
        }
        if compression != "none":
            tags[317] = short(_HORIZONTAL_DIFFERENCE)
        if picture.has_alpha:
            tags[338] = short(_UNASSOCIATED_ALPHA)
        tags |= _beside(meta, picture.icc)
        described = (
            tiff_tags.tree(io.BytesIO(meta.exif)) if meta.exif else tiff_tags.Tree({}, {}, {}, {})
        )
        body, main_at = tiff_tags.serialise_tree(described, file.tell(), tags, big=big)
        file.write(body)
        file.seek(0)
        if big:
            file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, main_at))
        else:
            file.write(struct.pack("<2sHI", b"II", 42, main_at))


def _beside(meta: PhotoMeta, icc: bytes | None) -> Directory:
    tags: Directory = tiff_tags.resolution_tags(meta.dpi) if meta.dpi else {}
    if meta.xmp:
        tags[tiff_tags.XMP] = raw(meta.xmp, tiff_tags.BYTE)
    if meta.iptc:
        tags[tiff_tags.IPTC] = raw(meta.iptc)
    if resources := photoshop.section(None, meta.extras):
        tags[tiff_tags.PHOTOSHOP] = raw(resources, tiff_tags.BYTE)
    if icc:
        tags[tiff_tags.ICC] = raw(icc)
    return tags

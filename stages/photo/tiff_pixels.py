"""The pixels of a TIFF page, by tifffile, strip by strip.

tifffile keeps 16 bits where Pillow does not, and reads straight into one array. Pillow (libtiff)
stands in for the two old ways of storing YCbCr that tifffile does not know. Both see nothing but
the tags that say how pixels are stored, and nothing is unpacked that is larger than the picture.

Source: TIFF revision 6.0; TIFF technical note 2 (JPEG in TIFF).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import ImageFile, TiffImagePlugin

from restore_batch.errors import MediaError
from restore_batch.stages.photo import jpeg_damage
from restore_batch.stages.photo.formats.pillow import plain
from restore_batch.stages.photo.metadata import jpeg_segments
from restore_batch.stages.photo.metadata.tiff_page import one_page
from restore_batch.stages.photo.source import size_of

if TYPE_CHECKING:
    from tifffile import TiffPage

_JPEG = 7
# Strips and tiles that are pictures themselves, with sizes of their own.
_PICTURES_INSIDE = frozenset(
    {_JPEG, 33003, 33004, 33005, 33007, 34712, 34892, 34933, 50001, 50002, 52546}
)
NOT_READ = {22610: "JPEG XR", 34887: "LERC", 34934: "JPEG XR"}
"""The same, of kinds whose sizes nothing here reads."""

_READ_AHEAD_BYTES = 16 << 20
_SHARED_TIMES = 4
"""How often parts of a picture may together hold the bytes of the file: blank tiles are stored
once."""

_LARGEST_TILE_PX = 1 << 24


def by_tifffile(file: BinaryIO, at: int, source: str) -> tuple[np.ndarray, str]:
    """(H, W, C) samples of the page whose directory is at ``at``, and what of them is missing or
    wrong. Raises ValueError for one that is stored in an absurd way."""
    import tifffile  # its import is slow, and headers are read without it

    size = size_of(file)
    with tifffile.TiffFile(one_page(file, at)) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        end = max((offset + count for offset, count in places), default=0)
        if end > size:
            raise MediaError(
                f"{source}: cut off: its pixels should reach byte {end}, the file has {size}"
            )
        missing = sum(not offset or not count for offset, count in places)
        if missing == len(places):
            raise MediaError(f"{source}: damaged: there is no place of its pixels in the file")
        _refuse_absurd(page, sum(count for _, count in places), size)
        damaged = 0
        if page.compression in _PICTURES_INSIDE:
            damaged = _damaged_parts(file, page, places)
        # Reading ahead, tifffile takes the bytes of the next strip for those of a missing one.
        ahead_bytes = 1 if missing else _READ_AHEAD_BYTES
        pixels = np.asarray(page.asarray(maxworkers=1, buffersize=ahead_bytes))
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
        if page.bitspersample == 1:
            pixels = pixels.astype(np.uint8)
    parts = len(places)
    said = [f"{missing} of {parts} parts of the picture are missing"] * bool(missing)
    said += [f"{damaged} of {parts} parts of the picture are damaged"] * bool(damaged)
    return pixels.reshape(pixels.shape[0], pixels.shape[1], -1), ", ".join(said)


def _refuse_absurd(page: TiffPage, stored_bytes: int, file_bytes: int) -> None:
    """Raise ValueError for parts that together are larger than the picture, or than the file."""
    if stored_bytes > _SHARED_TIMES * file_bytes + _READ_AHEAD_BYTES:
        raise ValueError(f"its parts have {stored_bytes:,} bytes, the file {file_bytes:,}")
    area = page.imagewidth * page.imagelength
    if page.is_tiled and page.tilewidth * page.tilelength > 4 * area + _LARGEST_TILE_PX:
        raise ValueError(f"tiles of {page.tilewidth}x{page.tilelength} pixels")


def _damaged_parts(file: BinaryIO, page: TiffPage, places: Sequence[tuple[int, int]]) -> int:
    """How many of the pictures at these (offset, length), each a strip or tile, have lost data;
    known of JPEG alone. Raises ValueError for one that is larger than its part."""
    from restore_batch.stages.photo.formats import catalogue  # which knows all of them

    found, tables = 0, page.jpegtables
    width, height = (
        (page.tilewidth, page.tilelength)
        if page.is_tiled
        else (page.imagewidth, min(page.rowsperstrip, page.imagelength))
    )
    for offset, count in places:
        file.seek(offset)
        data = file.read(count)
        if not data:
            continue
        inside = io.BytesIO(data)
        coded = catalogue.of_head(inside, "a part of it").header(inside, "a part of it")
        if coded.width > 2 * width + 64 or coded.height > 2 * height + 64:
            raise ValueError(
                f"a part of {width}x{height} pixels holds a picture of {coded.width}x{coded.height}"
            )
        if page.compression != _JPEG:
            continue
        if tables:
            data = tables.removesuffix(jpeg_damage.END) + data[2:]
        if not data.endswith(jpeg_damage.END):
            data += jpeg_damage.END
        head = jpeg_segments.head(io.BytesIO(data))
        if head.lossless and not jpeg_damage.has_huffman_tables(data):
            # The decoder that tifffile turns to where libjpeg gives up would crash.
            raise ValueError("a part is a lossless JPEG without Huffman tables")
        found += bool(jpeg_damage.damage(data, head))
    return found


def by_libtiff(file: BinaryIO, at: int) -> np.ndarray:
    """(H, W, 3) uint8 of the page whose directory is at ``at``."""
    picture = _LibtiffFile(io.BytesIO(one_page(file, at).read()))
    return plain(picture.convert("RGB"))


class _LibtiffFile(TiffImagePlugin.TiffImageFile):
    """Uncompressed YCbCr by libtiff too: Pillow's own reader knows no smaller chroma."""

    def _setup(self) -> None:
        super()._setup()
        if self._compression == "raw":
            self._mode = "RGB"
            self.use_load_libtiff = True
            arguments = ("RGBX", False, self.tag_v2.offset)
            self.tile = [ImageFile._Tile("libtiff", (0, 0, *self._tile_size), 0, arguments)]

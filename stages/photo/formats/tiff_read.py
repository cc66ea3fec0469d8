"""TIFF files: the tags by our own reader, the pixels by tifffile, strip by strip.

tifffile keeps 16 bits where Pillow does not, and reads straight into one array. Pillow (libtiff)
stands in for the two old ways of storing YCbCr that tifffile does not know.

Source: TIFF revision 6.0; Adobe Photoshop TIFF technical notes (Lab, ICC, image resources).
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import numpy as np
from PIL import ImageFile, TiffImagePlugin

from restore_batch.errors import MediaError
from restore_batch.stages.media import Extra, PhotoMeta
from restore_batch.stages.photo import icc, jpeg_damage
from restore_batch.stages.photo.colour import Space, by_rows, lab_under_d50
from restore_batch.stages.photo.metadata import jpeg_segments, photoshop, promises, tiff_tags
from restore_batch.stages.photo.metadata.extras import left_out
from restore_batch.stages.photo.metadata.tiff_left_out import tags_left_out
from restore_batch.stages.photo.metadata.tiff_tags import Directory
from restore_batch.stages.photo.raster import Header, Raster, full_range

_SUBFILE, _OLD_SUBFILE = 254, 255
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES_PER_PIXEL, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _DEPTH = 277, 338, 339, 32997
_KINDS = frozenset({_SUBFILE, _OLD_SUBFILE})
_WHITE_POINT, _SAME_WHITE = 318, 0.002
_PHOTOSHOP_LAYERS, _PRINT_MATCHING = 37724, 50341
_READ_AHEAD_BYTES = 16 << 20
_ASSOCIATED, _UNASSOCIATED = 1, 2

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CIELAB, _ICCLAB = 8, 9
_COLOURS = {
    _WHITE_IS_ZERO: 1,
    _BLACK_IS_ZERO: 1,
    _RGB: 3,
    _PALETTE: 1,
    _CMYK: 4,
    _YCBCR: 3,
    _CIELAB: 3,
    _ICCLAB: 3,
}
_OLD_JPEG, _JPEG = 6, 7
_LOSSY = frozenset({_OLD_JPEG, _JPEG, 33003, 33004, 33005, 34712, 34892, 50001})
_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate"}


def _first(page: Directory, code: int, default: int) -> int:
    values = page[code].integers() if code in page else ()
    return values[0] if values else default


def _is_page(directory: Directory) -> bool:
    """Whether a directory is a page, and no thumbnail and no mask."""
    if _SUBFILE in directory:
        return not _first(directory, _SUBFILE, 0) & 0b101
    return _first(directory, _OLD_SUBFILE, 1) != 2


def _main_page(file: BinaryIO) -> tuple[int, Directory, int]:
    """Index in the chain and tags of the first page, and how many pages there are."""
    every = list(tiff_tags.directories(file, _KINDS))
    if not every:
        raise tiff_tags.TagError("no page in the file")
    pages = [index for index, kind in enumerate(every) if _is_page(kind)] or [0]
    page = next(itertools.islice(tiff_tags.directories(file), pages[0], None))
    return pages[0], page, len(pages)


def header(file: BinaryIO) -> Header:
    """Read the tags. Raises TagError."""
    _, page, pages = _main_page(file)
    width, height = _first(page, _WIDTH, 0), _first(page, _LENGTH, 0)
    if not width or not height:
        raise tiff_tags.TagError("no picture size in the tags")
    photometric = _first(page, _PHOTOMETRIC, _BLACK_IS_ZERO)
    channels = {_PALETTE: 3}.get(photometric, _COLOURS.get(photometric, 1))
    bits = 8 if photometric == _PALETTE else _first(page, _BITS, 1)
    return Header(
        width,
        height,
        bits,
        channels,
        has_alpha=_alpha_channel(page) is not None,
        pages=pages,
        orientation=_orientation(page),
        refusal=_refusal(page, pages),
        notes=_notes(file, page),
    )


def described(file: BinaryIO) -> PhotoMeta:
    """What the tags say that a note may be about. Raises TagError."""
    _, page, _ = _main_page(file)
    return PhotoMeta("tiff", xmp=_bytes(page, tiff_tags.XMP), extras=_extras(file, page))


def _orientation(page: Directory) -> int:
    value = _first(page, tiff_tags.ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _alpha_channel(page: Directory) -> int | None:
    extra = page[_EXTRA_SAMPLES].integers() if _EXTRA_SAMPLES in page else ()
    for index, kind in enumerate(extra):
        if kind in {_ASSOCIATED, _UNASSOCIATED}:
            return _COLOURS.get(_first(page, _PHOTOMETRIC, _BLACK_IS_ZERO), 3) + index
    return None


def decode(file: BinaryIO, source: str) -> Raster:
    """Decode the only page of a file that its header does not refuse."""
    index, page, _ = _main_page(file)
    damage = ""
    photometric = _first(page, _PHOTOMETRIC, _BLACK_IS_ZERO)
    compression = _first(page, _COMPRESSION, 1)
    if compression == _OLD_JPEG or (photometric == _YCBCR and compression != _JPEG):
        pixels, photometric = _by_libtiff(file), _RGB
    else:
        pixels, damage = _by_tifffile(file, index, source)
    colours = _COLOURS[photometric]
    alpha_at = _alpha_channel(page)
    bits = _first(page, _BITS, 1) if pixels.dtype != np.uint8 or photometric != _RGB else 8
    alpha = None
    if alpha_at is not None and alpha_at < pixels.shape[2]:
        alpha = full_range(np.ascontiguousarray(pixels[..., alpha_at]), bits)
    samples = pixels[..., :colours] if pixels.shape[2] > colours else pixels
    samples, space = _colours(samples, photometric, bits, page)
    if alpha is not None and page[_EXTRA_SAMPLES].integers()[alpha_at - colours] == _ASSOCIATED:  # type: ignore[operator]
        samples = _unmultiplied(samples, alpha)
    meta = _meta(file, page, 8 if photometric == _PALETTE else bits, compression)
    return Raster(samples, space, meta, alpha, _orientation(page), damage=damage)


def _codes(file: BinaryIO) -> tuple[int, ...]:
    layout, at = tiff_tags.layout_of(file)
    return tuple(entry.code for entry in tiff_tags.entries_of(file, layout, at)[0])


def _notes(file: BinaryIO, page: Directory) -> tuple[str, ...]:
    notes = []
    if _PHOTOSHOP_LAYERS in _codes(file):
        notes.append("its Photoshop layers are not kept, only the flattened picture")
    colours = _COLOURS.get(_first(page, _PHOTOMETRIC, _BLACK_IS_ZERO), 1)
    kept = colours + (_alpha_channel(page) is not None)
    if _first(page, _SAMPLES_PER_PIXEL, 1) > kept:
        notes.append("a channel that is neither colour nor transparency is not kept")
    return tuple(notes)


def _refusal(page: Directory, pages: int) -> str:
    """Why the page cannot be kept faithfully, or ""."""
    if pages > 1:
        return f"holds {pages} pages; split it into one file a page (for example with tiffsplit)"
    if _first(page, _DEPTH, 1) > 1:
        return f"holds a volume of {_first(page, _DEPTH, 1)} layers, and no photo"
    return _refusal_of_samples(page)


def _refusal_of_samples(page: Directory) -> str:
    photometric = _first(page, _PHOTOMETRIC, _BLACK_IS_ZERO)
    if photometric not in _COLOURS:
        return f"TIFF photometric interpretation {photometric} is not supported"
    bits = page[_BITS].integers() if _BITS in page else (1,)
    formats = page[_SAMPLE_FORMAT].integers() if _SAMPLE_FORMAT in page else (1,)
    if len(set(bits)) != 1 or bits[0] > 16 or set(formats) - {1, 4}:
        kind = {2: "signed", 3: "floating-point"}.get(formats[0], "")
        described = f"{'/'.join(map(str, bits))}-bit {kind}".strip()
        return f"TIFF with {described} samples; expected unsigned integers of 1 to 16 bits"
    if photometric in {_CIELAB, _ICCLAB} and bits[0] not in {8, 16}:
        return f"Lab TIFF with {bits[0]} bits; expected 8 or 16"
    channels, colours = _first(page, _SAMPLES_PER_PIXEL, 1), _COLOURS[photometric]
    if channels < colours:
        return f"has {channels} channels, expected {colours}"
    return ""


def _by_tifffile(file: BinaryIO, index: int, source: str) -> tuple[np.ndarray, str]:
    """(H, W, C) samples, and what of them is missing or wrong."""
    import tifffile  # its import is slow, and headers are read without it

    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[index]
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
        damaged = _damaged_jpegs(file, page.jpegtables, places) if page.compression == _JPEG else 0
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


def _damaged_jpegs(file: BinaryIO, tables: bytes | None, places: Sequence[tuple[int, int]]) -> int:
    """How many of the JPEG streams at these (offset, length) have lost data."""
    found = 0
    for offset, count in places:
        file.seek(offset)
        data = file.read(count)
        if not data:
            continue
        if tables:
            data = tables.removesuffix(jpeg_damage.END) + data[2:]
        if not data.endswith(jpeg_damage.END):
            data += jpeg_damage.END
        found += bool(jpeg_damage.damage(data, jpeg_segments.head(io.BytesIO(data))))
    return found


def _by_libtiff(file: BinaryIO) -> np.ndarray:
    picture = _LibtiffFile(io.BytesIO(_all_of(file)))
    return np.asarray(picture.convert("RGB"))


class _LibtiffFile(TiffImagePlugin.TiffImageFile):
    """Uncompressed YCbCr by libtiff too: Pillow's own reader knows no smaller chroma."""

    def _setup(self) -> None:
        super()._setup()
        if self._compression == "raw":
            self._mode = "RGB"
            self.use_load_libtiff = True
            arguments = ("RGBX", False, self.tag_v2.offset)
            self.tile = [ImageFile._Tile("libtiff", (0, 0, *self._tile_size), 0, arguments)]


def _all_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _colours(
    samples: np.ndarray, photometric: int, bits: int, page: Directory
) -> tuple[np.ndarray, Space]:
    if photometric == _PALETTE:
        table = np.array(page[320].integers(), np.uint16).reshape(3, -1).T
        # Files with 8-bit entries exist, and files with 8 bits shifted up: both end at 8 bits.
        entries = (table if table.max(initial=0) < 256 else table >> 8).astype(np.uint8)
        return entries[np.minimum(samples[..., 0], len(entries) - 1)], "rgb"
    if photometric in {_CIELAB, _ICCLAB}:
        lab = _icc_lab(samples, signed=photometric == _CIELAB)
        white = _white_point(page) if photometric == _CIELAB else None
        return (lab if white is None else lab_under_d50(lab, white)), "lab"
    samples = full_range(samples, bits)
    if photometric == _WHITE_IS_ZERO:
        samples = np.iinfo(samples.dtype).max - samples
    return samples, {1: "grey", 3: "rgb", 4: "cmyk"}[_COLOURS[photometric]]  # type: ignore[return-value]


def _white_point(page: Directory) -> np.ndarray | None:
    """XYZ of the white that Lab values refer to; None for D50, or where nothing is said."""
    tag = page.get(_WHITE_POINT)
    if tag is None or tag.field_type != tiff_tags.RATIONAL or tag.count != 2:
        return None
    above_x, below_x, above_y, below_y = struct.unpack("<4I", tag.data)
    if not (below_x and below_y and above_y):
        return None
    white = icc.white_xyz(above_x / below_x, above_y / below_y)
    return None if np.abs(white - icc.D50).max() < _SAME_WHITE else white


def _icc_lab(samples: np.ndarray, *, signed: bool) -> np.ndarray:
    """TIFF's Lab to ICC's 16-bit encoding; ``signed``: a* and b* are two's complement."""
    wide = samples.dtype == np.uint16
    out = np.empty(samples.shape, np.uint16)
    half = np.array(1 << (15 if wide else 7), samples.dtype)

    def step(rows: slice) -> np.ndarray:
        light = samples[rows, :, :1].astype(np.uint32)
        chroma = samples[rows, :, 1:] ^ half if signed else samples[rows, :, 1:]
        # 16-bit chroma counts in 1/256, ICC's version 4 in 1/257.
        steps = chroma.astype(np.uint32) * 257 // (256 if wide else 1)
        light = light if wide else light * 257
        return np.minimum(np.concatenate([light, steps], axis=2), 65535).astype(np.uint16)

    return by_rows(samples.shape[0], samples.shape[1], step, out)


def _unmultiplied(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours of a picture that was stored multiplied by its transparency."""
    top = int(np.iinfo(samples.dtype).max)

    def step(rows: slice) -> np.ndarray:
        cover = alpha[rows, :, None].astype(np.uint64)
        colour = samples[rows].astype(np.uint64) * top + cover // 2
        return np.minimum(colour // np.maximum(cover, 1), top).astype(samples.dtype)

    return by_rows(samples.shape[0], samples.shape[1], step, np.empty_like(samples))


def _bytes(page: Mapping[int, tiff_tags.Tag], code: int) -> bytes | None:
    return page[code].data or None if code in page else None


def _iptc(page: Directory) -> bytes | None:
    records = _bytes(page, tiff_tags.IPTC)
    if records is None and tiff_tags.PHOTOSHOP in page:
        return photoshop.iptc_of(page[tiff_tags.PHOTOSHOP].data)
    # Written as 32-bit words by some programs: swapped back where the start is not the mark.
    if records and records[:1] != b"\x1c" and records[3:4] == b"\x1c":
        records = np.frombuffer(records[: len(records) // 4 * 4], "u4").byteswap().tobytes()
    return records


def _meta(file: BinaryIO, page: Directory, bits: int, compression: int) -> PhotoMeta:
    described = tiff_tags.tree(file)
    dpi = tiff_tags.resolution_of(page)
    codes = {tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION, tiff_tags.RESOLUTION_UNIT}
    extra = {code: page[code] for code in codes & page.keys() if dpi is not None}
    if tiff_tags.ORIENTATION in page:
        extra[tiff_tags.ORIENTATION] = tiff_tags.short(1)
    hint: dict[str, object] = {"lossless": compression not in _LOSSY}
    if compression in _COMPRESSIONS:
        hint["tiff_compression"] = _COMPRESSIONS[compression]
    return PhotoMeta(
        container="tiff",
        bits=bits,
        exif=tiff_tags.block(described, extra) if described else None,
        xmp=_bytes(page, tiff_tags.XMP),
        iptc=_iptc(page),
        icc=_bytes(page, tiff_tags.ICC),
        dpi=dpi,
        quality_hint=hint,
        extras=_extras(file, page),
    )


def _extras(file: BinaryIO, page: Directory) -> tuple[Extra, ...]:
    found = photoshop.extras_of(_bytes(page, tiff_tags.PHOTOSHOP) or b"")
    if tiff_tags.CREDENTIALS in page:
        found += (left_out(promises.CREDENTIALS),)
    if _PRINT_MATCHING in _codes(file):
        found += (Extra("print settings (PrintIM)", left_out="of the picture as it was"),)
    smaller = sum(not _is_page(each) for each in tiff_tags.directories(file, _KINDS))
    if smaller or tiff_tags.SUB_IFDS in page:
        what = f"{smaller or len(page[tiff_tags.SUB_IFDS].integers())} smaller pictures or masks"
        found += (Extra(what, left_out="of the picture as it was"),)
    return (*found, *tags_left_out(_codes(file)))

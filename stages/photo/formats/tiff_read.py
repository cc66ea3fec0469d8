"""TIFF files: the tags by our own reader, the pixels by :mod:`tiff_pixels`.

Source: TIFF revision 6.0; Adobe Photoshop TIFF technical notes (Lab, ICC, image resources).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from restore_batch.stages.media import Extra, PhotoMeta
from restore_batch.stages.photo import icc, tiff_pages, tiff_pixels
from restore_batch.stages.photo.colour import Space, lab_under_d50
from restore_batch.stages.photo.metadata import photoshop, promises, tiff_tags
from restore_batch.stages.photo.metadata.extras import left_out
from restore_batch.stages.photo.metadata.tiff_left_out import tags_left_out
from restore_batch.stages.photo.metadata.tiff_tags import Directory
from restore_batch.stages.photo.raster import Header, Raster, full_range
from restore_batch.stages.photo.tiff_pages import Pages, first, pages_of
from restore_batch.stages.rows import by_rows

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES_PER_PIXEL, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _DEPTH = 277, 338, 339, 32997
_WHITE_POINT, _SAME_WHITE = 318, 0.002
_PHOTOSHOP_LAYERS, _PRINT_MATCHING = 37724, 50341
_MAX_CHANNELS = 64
_USUAL_CHANNELS, _MAX_SAMPLES = 5, 5 * 250_000_000
_COLOUR_MAP = 320
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


def header(file: BinaryIO) -> Header:
    """Read the tags. Raises TagError."""
    found = pages_of(file)
    page = found.tags
    width, height = first(page, _WIDTH, 0), first(page, _LENGTH, 0)
    if not width or not height:
        raise tiff_tags.TagError("no picture size in the tags")
    photometric = first(page, _PHOTOMETRIC, _BLACK_IS_ZERO)
    channels = {_PALETTE: 3}.get(photometric, _COLOURS.get(photometric, 1))
    bits = 8 if photometric == _PALETTE else first(page, _BITS, 1)
    return Header(
        width,
        height,
        bits,
        channels,
        has_alpha=_alpha_channel(page) is not None,
        pages=found.count,
        orientation=_orientation(page),
        refusal=_refusal(page, found.count, found.in_branches),
        notes=_notes(found),
    )


def described(file: BinaryIO) -> PhotoMeta:
    """What the tags say that a note may be about. Raises TagError."""
    found = pages_of(file)
    return PhotoMeta("tiff", xmp=_bytes(found.tags, tiff_tags.XMP), extras=_extras(found))


def _orientation(page: Directory) -> int:
    value = first(page, tiff_tags.ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _alpha_channel(page: Directory) -> int | None:
    for index, kind in enumerate(_several(page, _EXTRA_SAMPLES, ())):
        if kind in {_ASSOCIATED, _UNASSOCIATED}:
            return _COLOURS.get(first(page, _PHOTOMETRIC, _BLACK_IS_ZERO), 3) + index
    return None


def _several(page: Directory, code: int, default: tuple[int, ...]) -> tuple[int, ...]:
    """The values of a tag with one for each channel."""
    return page[code].integers(_MAX_CHANNELS) if code in page else default


def decode(file: BinaryIO, source: str) -> Raster:
    """Decode the only page of a file that its header does not refuse."""
    found = pages_of(file)
    page = found.tags
    damage = ""
    photometric = first(page, _PHOTOMETRIC, _BLACK_IS_ZERO)
    compression = first(page, _COMPRESSION, 1)
    if compression == _OLD_JPEG or (photometric == _YCBCR and compression != _JPEG):
        pixels, photometric = tiff_pixels.by_libtiff(file, found.at), _RGB
    else:
        pixels, damage = tiff_pixels.by_tifffile(file, found.at, source)
    colours = _COLOURS[photometric]
    alpha_at = _alpha_channel(page)
    bits = first(page, _BITS, 1) if pixels.dtype != np.uint8 or photometric != _RGB else 8
    alpha = None
    if alpha_at is not None and alpha_at < pixels.shape[2]:
        alpha = full_range(np.ascontiguousarray(pixels[..., alpha_at]), bits)
    samples = pixels[..., :colours] if pixels.shape[2] > colours else pixels
    samples, space = _colours(samples, photometric, bits, page)
    if alpha is not None and _is_associated(page, alpha_at, colours):
        samples = _unmultiplied(samples, alpha)
    meta = _meta(file, found, 8 if photometric == _PALETTE else bits, compression)
    return Raster(samples, space, meta, alpha, _orientation(page), damage=damage)


def _is_associated(page: Directory, alpha_at: int | None, colours: int) -> bool:
    """Whether colours were stored multiplied by the transparency."""
    extra = _several(page, _EXTRA_SAMPLES, ())
    return alpha_at is not None and extra[alpha_at - colours] == _ASSOCIATED


def _notes(pages: Pages) -> tuple[str, ...]:
    page, notes = pages.tags, []
    if _PHOTOSHOP_LAYERS in pages.codes_of_file:
        notes.append("its Photoshop layers are not kept, only the flattened picture")
    colours = _COLOURS.get(first(page, _PHOTOMETRIC, _BLACK_IS_ZERO), 1)
    kept = colours + (_alpha_channel(page) is not None)
    if first(page, _SAMPLES_PER_PIXEL, 1) > kept:
        notes.append("a channel that is neither colour nor transparency is not kept")
    return tuple(notes)


def _refusal(page: Directory, pages: int, in_branches: int) -> str:
    """Why the page cannot be kept faithfully, or ""."""
    if pages > 1 and in_branches:
        return (
            f"holds {pages} pictures of which none is marked as a copy, {in_branches} of them in"
            " SubIFDs; save the one to restore as a file of its own"
        )
    if pages > 1:
        return f"holds {pages} pages; split it into one file a page (for example with tiffsplit)"
    if first(page, _DEPTH, 1) > 1:
        return f"holds a volume of {first(page, _DEPTH, 1)} layers, and no photo"
    if inside := tiff_pixels.NOT_READ.get(first(page, _COMPRESSION, 1)):
        return f"TIFF with {inside} inside is not read; save it with another compression"
    return _refusal_of_samples(page)


def _refusal_of_samples(page: Directory) -> str:
    photometric = first(page, _PHOTOMETRIC, _BLACK_IS_ZERO)
    if photometric not in _COLOURS:
        return f"TIFF photometric interpretation {photometric} is not supported"
    bits = _several(page, _BITS, (1,))
    formats = _several(page, _SAMPLE_FORMAT, (1,))
    if len(set(bits)) != 1 or bits[0] > 16 or set(formats) - {1, 4}:
        kind = {2: "signed", 3: "floating-point"}.get(formats[0], "")
        described = f"{'/'.join(map(str, bits))}-bit {kind}".strip()
        return f"TIFF with {described} samples; expected unsigned integers of 1 to 16 bits"
    if photometric in {_CIELAB, _ICCLAB} and bits[0] not in {8, 16}:
        return f"Lab TIFF with {bits[0]} bits; expected 8 or 16"
    channels, colours = first(page, _SAMPLES_PER_PIXEL, 1), _COLOURS[photometric]
    width, height = first(page, _WIDTH, 0), first(page, _LENGTH, 0)
    if channels > _USUAL_CHANNELS and width * height * channels > _MAX_SAMPLES:
        return f"{width}x{height} pixels of {channels} channels are too many"
    if channels < colours:
        return f"has {channels} channels, expected {colours}"
    return ""


def _colours(
    samples: np.ndarray, photometric: int, bits: int, page: Directory
) -> tuple[np.ndarray, Space]:
    if photometric == _PALETTE:
        table = np.array(page[_COLOUR_MAP].integers(), np.uint16).reshape(3, -1).T
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


def _meta(file: BinaryIO, found: Pages, bits: int, compression: int) -> PhotoMeta:
    page = found.tags
    described = tiff_pages.described(file, found.at)
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
        extras=_extras(found),
    )


def _extras(pages: Pages) -> tuple[Extra, ...]:
    page = pages.tags
    found = photoshop.extras_of(_bytes(page, tiff_tags.PHOTOSHOP) or b"")
    if tiff_tags.CREDENTIALS in page:
        found += (left_out(promises.CREDENTIALS),)
    if _PRINT_MATCHING in pages.codes_of_file:
        found += (Extra("print settings (PrintIM)", left_out="of the picture as it was"),)
    tags = tags_left_out(pages.codes, page)
    return (*found, *pages.others, *tags, *pages.allowance.left_out)

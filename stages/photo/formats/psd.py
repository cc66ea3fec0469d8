"""Photoshop files (PSD, PSB): only read, and of them the flattened picture that they hold beside
their layers.

Source: Adobe Photoshop File Formats Specification (2019).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import imagecodecs
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.stages.media import Extra, PhotoMeta
from restore_batch.stages.photo.colour import Space
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import photoshop
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.metadata.extras import header_notes
from restore_batch.stages.photo.raster import Header, Raster, grey_if_neutral
from restore_batch.stages.photo.source import size_of

_GREY, _INDEXED, _RGB, _CMYK = 1, 2, 3, 4
_COLOURS = {_GREY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4}
_SPACES: dict[int, Space] = {_GREY: "grey", _RGB: "rgb", _CMYK: "cmyk"}
_RAW, _PACKBITS = 0, 1
_RESOLUTION, _IPTC, _ICC, _VERSION, _EXIF, _XMP = 1005, 1028, 1039, 1057, 1058, 1060
_KEPT_APART = frozenset({_IPTC, _ICC, _EXIF, _XMP})
_READ = _KEPT_APART | {_RESOLUTION, _VERSION}
# State and names of layers and of further channels, which are not kept.
_OF_LAYERS = frozenset({1006, 1007, 1024, 1026, 1045, 1053, 1065, 1067, 1069, 1072, 1077})
_PALETTE_BYTES = 768


@dataclass(frozen=True)
class _Head:
    is_large: bool
    channels: int
    height: int
    width: int
    bits: int
    mode: int
    palette: bytes
    resources: dict[int, bytes]
    extras: tuple[Extra, ...]
    layers: int
    data_at: int

    @property
    def colours(self) -> int:
        return _COLOURS.get(self.mode, 0)


def _exactly(file: BinaryIO, size: int) -> bytes:
    if size > _rest_of(file):  # asked for too many, reading would set memory aside first
        raise ValueError("cut off")
    data = file.read(size)
    if len(data) != size:
        raise ValueError("cut off")
    return data


def _rest_of(file: BinaryIO) -> int:
    at = file.tell()
    rest = size_of(file) - at
    file.seek(at)
    return rest


def _number(file: BinaryIO, size: int) -> int:
    return int.from_bytes(_exactly(file, size), "big")


def _head(file: BinaryIO) -> _Head:
    file.seek(4)
    version, channels, height, width, bits, mode = struct.unpack(">H6xHIIHH", _exactly(file, 22))
    if version not in {1, 2} or not width or not height:
        raise ValueError(f"impossible header: version {version}, {width}x{height}")
    size = _number(file, 4)
    palette = _exactly(file, size)[:_PALETTE_BYTES]
    resources, extras = _resources(file, _number(file, 4))
    wide = 8 if version == 2 else 4
    size = _number(file, wide)
    after = file.tell() + size
    layers = 0
    if size > wide and _number(file, wide):
        # Negative where the first further channel is the transparency of the whole.
        layers = abs(struct.unpack(">h", _exactly(file, 2))[0])
    return _Head(
        *(version == 2, channels, height, width, bits, mode, palette, resources, extras),
        *(layers, after),
    )


def _resources(file: BinaryIO, size: int) -> tuple[dict[int, bytes], tuple[Extra, ...]]:
    """The resources that are read, by their number, and what the others are."""
    found: dict[int, bytes] = {}
    allowance = Allowance()
    extras: tuple[Extra, ...] = ()
    start = file.tell()
    if size > _rest_of(file):
        raise ValueError("cut off")
    if allowance.takes(size, "Photoshop resources"):
        block = _exactly(file, size)
        for each in photoshop.resources(block):
            if each.number in _READ:
                found.setdefault(each.number, each.data)
        extras = photoshop.extras_of(block, without=_KEPT_APART | _OF_LAYERS)
    file.seek(start + size)
    return found, (*extras, *allowance.left_out)


def _refusal(head: _Head) -> str:
    depths = (8,) if head.mode == _INDEXED else (8, 16)
    if not head.colours or head.bits not in depths or head.channels < head.colours:
        return (
            f"Photoshop file of mode {head.mode} with {head.bits} bits a channel; expected grey,"
            " RGB or CMYK with 8 or 16, or 8-bit palette colours"
        )
    if head.resources.get(_VERSION, b"\0\0\0\0\1")[4:5] == b"\0":
        return "holds layers alone: save it in Photoshop with maximum compatibility"
    return ""


def _notes(head: _Head) -> tuple[str, ...]:
    notes = []
    if head.layers:
        notes.append("its Photoshop layers are not kept, only the flattened picture")
    if head.channels > head.colours:
        notes.append("its transparency and further channels are not kept")
    return tuple(notes)


class Psd(Format):
    name = "psd"
    title = "Photoshop"
    suffixes = (".psd", ".psb")
    magic = (b"8BPS\x00\x01", b"8BPS\x00\x02")
    kept_as = "tiff"
    converted = (
        "CMYK becomes sRGB",
        "palettes become colours or grey",
    )
    left_out = (
        "layers, transparency, further channels",
        "thumbnails",
    )
    refused = (
        "layers alone",
        "32 bits, Lab and other modes",
    )

    def header(self, file: BinaryIO, source: str) -> Header:
        head = _head(file)
        return Header(
            head.width,
            head.height,
            head.bits,
            1 if head.mode == _GREY else 3,
            orientation=exif_block.stated_orientation(head.resources.get(_EXIF)),
            refusal=_refusal(head),
            notes=_notes(head),
        )

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        head = _head(file)
        exif, xmp = head.resources.get(_EXIF), head.resources.get(_XMP)
        return header_notes(PhotoMeta(self.name, exif=exif, xmp=xmp, extras=head.extras))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        head = _head(file)
        samples = _samples(file, head, source)
        space = _SPACES.get(head.mode, "rgb")
        if head.mode == _INDEXED:
            table = np.frombuffer(head.palette, np.uint8).reshape(3, -1).T
            samples, space = grey_if_neutral(table[np.minimum(samples[..., 0], len(table) - 1)])
        elif space == "cmyk":  # stored as the light that is left
            samples = np.iinfo(samples.dtype).max - samples
        said = head.resources
        meta = PhotoMeta(
            container=self.name,
            bits=head.bits,
            exif=said.get(_EXIF),
            xmp=said.get(_XMP),
            iptc=said.get(_IPTC),
            icc=said.get(_ICC),
            dpi=_dpi(said.get(_RESOLUTION)),
            quality_hint={"lossless": True},
            extras=head.extras,
        )
        return Raster(samples, space, meta)


def _dpi(resolution: bytes | None) -> tuple[float, float] | None:
    """Dots an inch, which are stored as fixed-point numbers of 16 and 16 bits."""
    if resolution is None or len(resolution) < 12:
        return None
    across, down = struct.unpack(">I4xI", resolution[:12])
    return (across / 65536, down / 65536) if across and down else None


def _samples(file: BinaryIO, head: _Head, source: str) -> np.ndarray:
    """(H, W, C) of the colours, which are stored one after the other."""
    file.seek(head.data_at)
    compression = _number(file, 2)
    if compression not in {_RAW, _PACKBITS}:
        raise MediaError(f"{source}: Photoshop compression {compression} is not supported")
    stored = np.dtype(">u2" if head.bits == 16 else np.uint8)
    row_bytes, rows = head.width * stored.itemsize, head.height * head.colours
    if compression == _RAW:
        lengths = np.full(rows, row_bytes, np.uint32)
    else:
        count = np.dtype(">u4" if head.is_large else ">u2")
        table = _exactly(file, head.height * head.channels * count.itemsize)
        lengths = np.frombuffer(table, count)[:rows]
        # Rows that do not pack grow by one byte in 128.
        if lengths.max(initial=0) > row_bytes + row_bytes // 64 + 64:
            raise ValueError("packed rows that are longer than unpacked ones")
    if int(lengths.sum(dtype=np.uint64)) > _rest_of(file):
        raise ValueError("cut off")
    samples = np.empty((head.height, head.width, head.colours), stored.newbyteorder("="))
    for index, length in enumerate(lengths.tolist()):
        row = file.read(length)
        if compression == _PACKBITS:
            row = bytes(imagecodecs.packbits_decode(row, out=row_bytes))
        if len(row) != row_bytes:
            raise ValueError("rows of a wrong length")
        channel, y = divmod(index, head.height)
        samples[y, :, channel] = np.frombuffer(row, stored)
    return samples


FORMAT = Psd()

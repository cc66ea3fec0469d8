"""JPEG XL, by imagecodecs: only read, and only in sRGB, because its colour profiles are not handed
over."""

from __future__ import annotations

from typing import BinaryIO

import imagecodecs
import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colour import full_depth
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.metadata import jxl_header
from restore_batch.stages.photo.raster import Header, Raster, full_range, split_alpha
from restore_batch.stages.photo.source import in_memory

_MOST_OTHERS = 4
"""Each takes four bytes a pixel of memory, though nothing of it is kept."""


class JpegXl(Format):
    name = "jpegxl"
    title = "JPEG XL"
    suffixes = (".jxl",)
    magic = (jxl_header.CODESTREAM, jxl_header.CONTAINER)
    kept_as = "png"
    converted = (
        "linear light becomes sRGB",
        "turns and mirrors are applied",
    )
    left_out = (
        "further frames",
        "further channels",
    )
    refused = (
        "other colours than sRGB",
        "floating-point samples",
    )

    def header(self, file: BinaryIO, source: str) -> Header:
        head = jxl_header.head(file)
        return Header(
            head.width,
            head.height,
            head.bits,
            head.channels,
            head.has_alpha,
            orientation=head.orientation,
            refusal=_refusal(head),
            notes=_notes(head),
        )

    def decode(self, file: BinaryIO, source: str) -> Raster:
        """The first picture, turned and mirrored by libjxl as the file asks."""
        head = jxl_header.head(file)
        pixels = np.asarray(
            imagecodecs.jpegxl_decode(in_memory(file), index=0 if head.is_animated else None)
        )
        samples, space, alpha = split_alpha(full_range(pixels, head.bits))
        if head.curve == "linear":
            samples = _encoded(samples)
            alpha = None if alpha is None else full_depth(alpha)
        meta = PhotoMeta(
            container=self.name,
            bits=head.bits,
            exif=head.exif,
            xmp=head.xmp,
            quality_hint={"lossless": True},
            extras=head.left_out,
        )
        return Raster(samples, space, meta, alpha, orientation=1)


def _encoded(linear: np.ndarray) -> np.ndarray:
    """Light to uint16 sRGB samples (IEC 61966-2-1)."""
    light = np.linspace(0, 1, int(np.iinfo(linear.dtype).max) + 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(curve * 65535).astype(np.uint16)[linear]


def _refusal(head: jxl_header.JxlHead) -> str:
    if head.is_float or head.bits > 16:
        kind = "floating-point samples" if head.is_float else "samples"
        return f"JPEG XL with {head.bits}-bit {kind}; expected unsigned integers of 1 to 16 bits"
    if head.other_channels > _MOST_OTHERS:
        return f"JPEG XL with {head.other_channels} channels beside colours and transparency"
    if head.curve == "other":
        return "JPEG XL in other colours than sRGB; convert it (djxl turns it into PNG)"
    return ""


def _notes(head: jxl_header.JxlHead) -> tuple[str, ...]:
    notes = []
    if head.is_animated:
        notes.append("animated: only the first of its frames is kept")
    if head.other_channels:
        notes.append("a channel that is neither colour nor transparency is not kept")
    return tuple(notes)


FORMAT = JpegXl()

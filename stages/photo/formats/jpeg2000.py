"""JPEG 2000, by imagecodecs: JP2 files are read and written; JPX files and bare codestreams only
read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import jp2_boxes, photoshop
from restore_batch.stages.photo.metadata.extras import header_notes
from restore_batch.stages.photo.raster import Header, Picture, Raster, full_range, split_alpha
from restore_batch.stages.photo.source import in_memory, size_of

_MAX_COMPONENTS = 5
"""Four of colour and transparency. Each takes four bytes a pixel of memory, whatever its depth."""


class Jpeg2000(WrittenFormat):
    name = "jpeg2000"
    title = "JPEG 2000"
    suffixes = (".jp2", ".j2k", ".jpx", ".jpf")
    read_only_suffixes = frozenset({".j2k", ".jpx", ".jpf"})
    magic = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
    max_side_px = 2**31 - 1
    bit_depths = (8, 16)
    holds_alpha = True
    carries = frozenset({"exif", "xmp", "iptc", "icc", "dpi"})
    stores_extras = frozenset({jp2_boxes.STORED_AS, photoshop.STORED_AS})
    takes_quality = True
    bytes_a_pixel = 1.5
    converted = ("CMYK becomes sRGB",)
    left_out = (
        "content credentials",
        "boxes that nothing here knows",
    )
    refused = (
        "signed samples, more than 16 bits",
        "files that are cut off",
    )

    def header(self, file: BinaryIO, source: str) -> Header:
        head = jp2_boxes.head(file, size_of(file))
        has_alpha = head.alpha_channel is not None
        return Header(
            head.width,
            head.height,
            head.bits,
            head.components - has_alpha,
            has_alpha,
            orientation=exif_block.stated_orientation(head.exif),
            refusal=_refusal(head),
        )

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data = in_memory(file)
        head = jp2_boxes.head(io.BytesIO(data), len(data))
        damage = _damage(data, head.codestream_at)
        # Given the whole file the decoder would apply the profile, and round to its own depth.
        coded = data[head.codestream_at :] if head.icc else data
        pixels = np.asarray(imagecodecs.jpeg2k_decode(coded))
        pixels = full_range(pixels, head.bits)
        meta = PhotoMeta(
            container=self.name,
            bits=head.bits,
            exif=head.exif,
            xmp=head.xmp,
            iptc=head.iptc,
            icc=head.icc,
            dpi=head.dpi,
            quality_hint={"lossless": head.reversible},
            extras=tuple(head.extras),
        )
        if head.is_cmyk and pixels.ndim == 3 and pixels.shape[2] >= 4:
            return Raster(pixels[..., :4], "cmyk", meta, damage=damage)
        samples, space, alpha = split_alpha(pixels)
        return Raster(samples, space, meta, alpha, damage=damage)

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        head = jp2_boxes.head(file, size_of(file))
        found = tuple(head.extras)
        return header_notes(PhotoMeta(self.name, exif=head.exif, xmp=head.xmp, extras=found))

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        """Reversible unless a quality is asked for, which then is 25 to 55 dB."""
        options: dict[str, Any] = {"level": 0, "reversible": True}
        if quality is not None:
            options = {"level": 25 + 0.3 * quality, "reversible": False}
        codestream = bytes(imagecodecs.jpeg2k_encode(picture.whole(), codecformat="j2k", **options))
        path.write_bytes(
            jp2_boxes.with_metadata(
                codestream,
                width=picture.width,
                height=picture.height,
                channels=picture.channels,
                bits=picture.bits,
                has_alpha=picture.has_alpha,
                exif=meta.exif,
                xmp=meta.xmp,
                iptc=meta.iptc,
                icc=picture.icc,
                dpi=meta.dpi,
                extras=meta.extras,
            )
        )
        return ()


def _refusal(head: jp2_boxes.Jp2Head) -> str:
    if head.components > _MAX_COMPONENTS:
        return f"JPEG 2000 with {head.components} channels; expected at most {_MAX_COMPONENTS}"
    if head.bits <= 16 and not head.signed:
        return ""
    kind = "signed samples" if head.signed else "samples"
    return f"JPEG 2000 with {head.bits}-bit {kind}; expected unsigned integers of 1 to 16 bits"


_SOC, _SOT, _EOC = b"\xff\x4f", b"\xff\x90", b"\xff\xd9"


def _damage(data: bytes, at: int) -> str:
    """What of a codestream is missing by the lengths of its tile-parts (ISO 15444-1, A.4.2).

    OpenJPEG decodes what there is without a word. No checksum guards the rest.
    """
    at += len(_SOC)
    while data[at : at + 2] not in {_SOT, b""}:
        at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    while data[at : at + 2] == _SOT:
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if not length:  # up to the end
            return ""
        lacking = at + length - len(data)
        if lacking > 0:
            share = max(100 * lacking / length, 1)
            return f"about {share:.0f} % of the data of a tile is missing, and with it detail"
        at += length
    if data[at : at + 2] == _EOC:
        return ""
    if at >= len(data):
        return "its end marker is missing; all of its pixels are there"
    return "a tile does not end where it should; some of its data is missing or wrong"


FORMAT = Jpeg2000()

"""One encoder for every container that is written, with the defaults of an archive.

Lossless containers stay lossless; a JPEG is written at quality 95 or the source's own where that
was higher, with full colour resolution.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import AvifImagePlugin, BmpImagePlugin, Image, WebPImagePlugin

from restore_batch.errors import MediaError
from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colour import by_rows
from restore_batch.stages.photo.formats import tiff_write
from restore_batch.stages.photo.metadata import jp2_boxes, jpeg_segments, png_chunks, tiff_tags

# Their import registers the plugins that Image.save looks up.
_PLUGINS = (AvifImagePlugin, BmpImagePlugin, WebPImagePlugin)

_JPEG_QUALITY = 95
_WEBP_QUALITY = 92
_AVIF_QUALITY = 90
_HEIF_QUALITY = 90
_PNG_LEVEL = 6


@dataclass(frozen=True)
class Picture:
    """Finished samples on demand: ``rows(block)`` is (h, W, channels) uint8 or uint16."""

    rows: Callable[[slice], np.ndarray]
    width: int
    height: int
    channels: int
    bits: int
    has_alpha: bool
    icc: bytes | None

    def whole(self, *, bgr: bool = False) -> np.ndarray:
        """(H, W) for one channel, else (H, W, channels); ``bgr``: in OpenCV's order."""
        dtype = np.uint16 if self.bits == 16 else np.uint8
        out = np.empty((self.height, self.width, self.channels), dtype)
        by_rows(self.height, self.width, self.rows, out[..., ::-1] if bgr else out)
        return out[..., 0] if self.channels == 1 else out


def _saved(picture: Picture, container: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    array = picture.whole()
    if picture.channels == 2:
        array = np.concatenate([np.repeat(array[..., :1], 3, axis=2), array[..., 1:]], axis=2)
    Image.fromarray(array).save(buffer, container, **options)
    return buffer.getvalue()


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def jpeg(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    hint = meta.quality_hint.get("jpeg_quality")
    estimated = hint if isinstance(hint, int) else 0
    # OpenCV and not Pillow, whose buffer for optimised tables is too short for grainy pictures.
    written, data = cv2.imencode(
        ".jpg",
        picture.whole(bgr=True),
        [
            *(cv2.IMWRITE_JPEG_QUALITY, quality or max(_JPEG_QUALITY, estimated)),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
            *(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
            *(cv2.IMWRITE_JPEG_PROGRESSIVE, int(bool(meta.quality_hint.get("progressive")))),
        ],
    )
    if not written:
        raise MediaError(f"{path.name}: cannot be written as JPEG")
    exif, warnings = _short_enough(meta.exif)
    comment = meta.text.get("Comment")
    path.write_bytes(
        jpeg_segments.with_metadata(
            data.tobytes(),
            exif=exif,
            xmp=meta.xmp,
            iptc=meta.iptc,
            icc=picture.icc,
            comment=comment,
            dpi=meta.dpi,
        )
    )
    return warnings


def _short_enough(exif: bytes | None) -> tuple[bytes | None, list[str]]:
    """An EXIF block that fits into a JPEG segment: without its maker note, or none at all."""
    if exif is None or len(exif) <= jpeg_segments.EXIF_MAX:
        return exif, []
    described = tiff_tags.tree(io.BytesIO(exif))
    rest = {code: tag for code, tag in described.exif.items() if code != tiff_tags.MAKER_NOTE}
    shorter = tiff_tags.block(
        tiff_tags.Tree(described.main, rest, described.gps, described.interop)
    )
    if len(shorter) <= jpeg_segments.EXIF_MAX:
        return shorter, ["its EXIF block is too long for JPEG: the maker note is not kept"]
    return None, ["its EXIF block is too long for JPEG: not kept"]


def png(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    data = bytes(imagecodecs.png_encode(picture.whole(), level=_PNG_LEVEL))
    chunks = meta.quality_hint.get("png_colour")
    path.write_bytes(
        png_chunks.with_metadata(
            data,
            exif=meta.exif,
            xmp=meta.xmp,
            iptc=meta.iptc,
            icc=picture.icc,
            dpi=meta.dpi,
            text=meta.text,
            colour_chunks=chunks if isinstance(chunks, dict) else {},
        )
    )
    return []


def tiff(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    compression = meta.quality_hint.get("tiff_compression", "deflate")
    assert compression in {"none", "lzw", "deflate"}
    tiff_write.write(
        path,
        picture.rows,
        width=picture.width,
        height=picture.height,
        channels=picture.channels,
        bits=picture.bits,
        has_alpha=picture.has_alpha,
        compression=compression,  # type: ignore[arg-type]
        exif=meta.exif,
        xmp=meta.xmp,
        iptc=meta.iptc,
        icc=picture.icc,
        dpi=meta.dpi,
    )
    return []


def webp(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    lossless = quality is None and bool(meta.quality_hint.get("lossless"))
    path.write_bytes(
        _saved(
            picture,
            "WEBP",
            lossless=lossless,
            # For lossless pictures Pillow reads quality as effort, 80 being a sound middle.
            quality=80 if lossless else quality or _WEBP_QUALITY,
            exact=True,
            **_given(icc_profile=picture.icc, exif=meta.exif, xmp=meta.xmp),
        )
    )
    return []


def avif(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    exif = meta.exif
    if exif is not None:
        # The container says how the picture is turned; Pillow rebuilds a block that does too.
        exif = tiff_tags.block(tiff_tags.tree(io.BytesIO(exif)), _resolution_tags(exif))
    path.write_bytes(
        _saved(
            picture,
            "AVIF",
            quality=quality or _AVIF_QUALITY,
            subsampling="4:0:0" if picture.channels == 1 else "4:4:4",
            **_given(icc_profile=picture.icc, exif=exif, xmp=meta.xmp),
        )
    )
    return []


def _resolution_tags(exif: bytes) -> tiff_tags.Directory:
    file = io.BytesIO(exif)
    main = next(iter(tiff_tags.directories(file)))
    wanted = (tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION, tiff_tags.RESOLUTION_UNIT)
    return {code: main[code] for code in wanted if code in main}


def jp2(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
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
        )
    )
    return []


def bmp(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    path.write_bytes(_saved(picture, "BMP", **_given(dpi=meta.dpi)))
    return []


@functools.cache
def heif_can_write() -> bool:
    """Whether pillow-heif is installed and was built with an HEVC encoder."""
    try:
        import pillow_heif
    except ImportError:
        return False
    return bool(pillow_heif.libheif_info()["HEIF"])


def heif(picture: Picture, meta: PhotoMeta, path: Path, quality: int | None) -> list[str]:
    """8 or, from deeper sources, 10 bits; 4:4:4."""
    import pillow_heif

    array = picture.whole()
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[picture.channels]
    buffer = io.BytesIO()
    pillow_heif.encode(
        mode + (";16" if picture.bits == 16 else ""),
        (picture.width, picture.height),
        array.tobytes(),
        buffer,
        quality=quality or _HEIF_QUALITY,
        chroma="444",
        **_given(icc_profile=picture.icc, exif=meta.exif, xmp=meta.xmp),
    )
    path.write_bytes(buffer.getvalue())
    return ["HEIF holds 10 bits here: rounded from 16"] if picture.bits == 16 > meta.bits else []


Encoder = Callable[[Picture, PhotoMeta, Path, int | None], list[str]]

ENCODERS: dict[str, Encoder] = {
    "jpeg": jpeg,
    "png": png,
    "tiff": tiff,
    "webp": webp,
    "avif": avif,
    "jpeg2000": jp2,
    "bmp": bmp,
    "heif": heif,
}

"""What a photo says beside its pixels, apart from EXIF and IPTC: XMP packets, text, resolution.

XMP is changed by its text, not rebuilt: an archive's packet keeps its order and its padding.

Source: XMP specification part 3 (storage in files); Photo Sphere XMP Metadata (GPano).
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

_ORIENTATION: Final = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|\s*>\s*))([1-8])(?=\s*[\"'<])")
_SIZES: Final = tuple(
    (
        axis,
        re.compile(
            rb"((?:exif:Pixel" + dimension + rb"Dimension|tiff:Image" + length + rb")"
            rb"(?:\s*=\s*[\"']|\s*>\s*))(\d+)(?=\s*[\"'<])"
        ),
    )
    for axis, dimension, length in ((0, b"X", b"Width"), (1, b"Y", b"Length"))
)

_PANORAMA: Final = tuple(
    (
        axis,
        re.compile(
            rb"(GPano:(?:FullPano"
            + size
            + rb"|CroppedAreaImage"
            + size
            + rb"|CroppedArea"
            + edge
            + rb")Pixels(?:\s*=\s*[\"']|\s*>\s*))(\d{1,9})(?=\s*[\"'<])"
        ),
    )
    for axis, size, edge in ((0, b"Width", b"Left"), (1, b"Height", b"Top"))
)


def xmp_orientation(xmp: bytes) -> int | None:
    """The ``tiff:Orientation`` of a packet, 1 to 8, or None."""
    found = _ORIENTATION.search(xmp)
    return int(found[2]) if found else None


def upright_xmp(xmp: bytes) -> bytes:
    """``xmp`` with ``tiff:Orientation`` set to 1, otherwise byte for byte the same."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def sized_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """``xmp`` with the pixel dimensions it states set to those of the output."""
    for axis, pattern in _SIZES:
        xmp = pattern.sub(rb"\g<1>%d" % (width, height)[axis], xmp)
    return xmp


def scaled_xmp(xmp: bytes, scale: tuple[float, float]) -> bytes:
    """``xmp`` with the pixels in which it places a panorama on its sphere ``scale`` (across, down)
    times as large."""
    for axis, pattern in _PANORAMA:
        xmp = pattern.sub(partial(_times, scale[axis]), xmp)
    return xmp


def _times(factor: float, found: re.Match[bytes]) -> bytes:
    return found[1] + b"%d" % round(int(found[2]) * factor)


def decoded(text: bytes) -> str:
    """Text of no known encoding: UTF-8, else that of Windows in western Europe."""
    text = text.rstrip(b"\x00")
    for encoding in ("utf-8", "cp1252"):
        try:
            return text.decode(encoding)
        except UnicodeDecodeError:
            continue
    return text.decode("latin-1")


def whole_dpi(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """``dpi`` without the rounding of dots a metre: 299.9994 was 300. None for nonsense."""
    if dpi is None or not all(0.01 < value < 1e6 for value in dpi):
        return None
    across, down = (round(v) if abs(v - round(v)) < 0.02 else round(v, 4) for v in dpi)
    return float(across), float(down)


def dots_a_metre(dpi: tuple[float, float]) -> tuple[int, int]:
    """Dots an inch as whole dots a metre."""
    return round(dpi[0] / 0.0254), round(dpi[1] / 0.0254)

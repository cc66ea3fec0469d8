"""Writing a photo: back to the source's colours, depth and channels, with all it said beside.

What a container cannot hold is left out and said so, never silently. Equal input gives equal
bytes: nothing written depends on the time or the machine's name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo import colour
from restore_batch.stages.photo.formats.encoders import ENCODERS, Picture, heif_can_write
from restore_batch.stages.photo.formats.tiff_write import exif_with_resolution
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.source import TITLES, Container, one_line

BitDepth = Literal["keep", 8, 16]
Format = Literal["keep", "png", "jpeg", "tiff", "webp", "avif"]

# The first is the usual one. JPX and bare codestreams (.jpx, .j2k) are read, not written.
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "avif": (".avif",),
    "jpeg2000": (".jp2",),
    "bmp": (".bmp", ".dib"),
    "heif": (".heic", ".heif", ".hif"),
}


@dataclass(frozen=True)
class _Holds:
    """What a container can keep. ``text``: the keys of text entries, None for any."""

    most_px: int
    alpha: bool = True
    deep: bool = False
    grey: bool = True
    icc: bool = True
    exif: bool = True
    xmp: bool = True
    iptc: bool = False
    dpi: bool = False
    text: frozenset[str] | None = frozenset()


_HOLDS: dict[str, _Holds] = {
    "jpeg": _Holds(65500, alpha=False, iptc=True, dpi=True, text=frozenset({"Comment"})),
    "png": _Holds(2**31 - 1, deep=True, iptc=True, dpi=True, text=None),
    "tiff": _Holds(2**32 - 1, deep=True, iptc=True, dpi=True),
    "webp": _Holds(16383, grey=False),
    "avif": _Holds(65536),
    "heif": _Holds(16384, deep=True),
    "jpeg2000": _Holds(2**31 - 1, deep=True, iptc=True, dpi=True),
    "bmp": _Holds(2**31 - 1, alpha=False, icc=False, exif=False, xmp=False, dpi=True),
}


def suffix_for(container: str, format: Format, original_suffix: str) -> str:
    """The suffix of the output for a source of ``container``, with its dot.

    The original suffix stays where it is one of the output's container ("photo.JPG" keeps it);
    a JPEG called .png becomes .jpg. GIF is kept as PNG, camera raw as TIFF, HEIF as JPEG where
    no HEIF encoder is installed.
    """
    target: str = format
    if format == "keep":
        target = {"gif": "png", "raw": "tiff"}.get(container, container)
        if target == "heif" and not heif_can_write():
            target = "jpeg"
    known = _SUFFIXES[target]
    return original_suffix if original_suffix.lower() in known else known[0]


def _container_of(path: Path) -> Container:
    for container, suffixes in _SUFFIXES.items():
        if path.suffix.lower() in suffixes:
            return container  # type: ignore[return-value]
    every = ", ".join(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
    raise MediaError(f"{path.name}: cannot write {path.suffix or 'no suffix'!r} (known: {every})")


def write(
    frame: Frame,
    meta: PhotoMeta,
    path: Path,
    *,
    quality: int | None = None,
    bit_depth: BitDepth = "keep",
) -> tuple[str, ...]:
    """Encode ``frame`` to ``path``, in the container of its suffix; the folder must exist.

    ``quality``: 1 to 100 for lossy containers; None chooses one that loses nothing visible.
    ``bit_depth``: "keep" is that of the source. Returns warnings: what the container cannot
    hold. Raises MediaError; a partial file may then be left behind.
    """
    container = _container_of(path)
    holds = _HOLDS[container]
    if max(frame.width, frame.height) > holds.most_px:
        raise MediaError(
            f"{path.name}: {frame.width}x{frame.height} is too large for {TITLES[container]} "
            f"(at most {holds.most_px} pixels a side); choose another output.format"
        )
    warnings: list[str] = []
    meta = _fitting(meta, frame, container, warnings)
    picture = _picture(frame, meta, container, bit_depth, warnings)
    try:
        warnings += ENCODERS[container](picture, meta, path, quality)
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # encoders raise OSError, ValueError, their own …
        raise MediaError(
            f"{path.name}: cannot be written as {TITLES[container]}: {one_line(error)}"
        ) from error
    return tuple(warnings)


def _fitting(meta: PhotoMeta, frame: Frame, container: Container, warnings: list[str]) -> PhotoMeta:
    """The metadata that ``container`` can hold, with the sizes it states set to the frame's."""
    holds = _HOLDS[container]
    lost = [
        name
        for name, value, held in (
            ("EXIF", meta.exif, holds.exif),
            ("XMP", meta.xmp, holds.xmp),
            ("IPTC", meta.iptc, holds.iptc),
        )
        if value and not held
    ]
    texts = {k: v for k, v in meta.text.items() if holds.text is None or k in holds.text}
    lost += [f"text entry {key!r}" for key in meta.text if key not in texts]
    exif = meta.exif if holds.exif else None
    dpi = meta.dpi
    if dpi is not None and not holds.dpi:
        if holds.exif and exif is None:
            exif = exif_with_resolution(dpi)
        elif exif is None or exif_block.resolution(exif) is None:
            lost.append("resolution")
    if lost:
        warnings.append(f"{TITLES[container]} cannot hold {', '.join(lost)}: not kept")
    xmp = meta.xmp if holds.xmp else None
    return dataclasses.replace(
        meta,
        exif=exif_block.sized(exif, frame.width, frame.height) if exif else None,
        xmp=metadata.sized_xmp(xmp, frame.width, frame.height) if xmp else None,
        iptc=meta.iptc if holds.iptc else None,
        text=texts,
    )


def _picture(
    frame: Frame,
    meta: PhotoMeta,
    container: Container,
    bit_depth: BitDepth,
    warnings: list[str],
) -> Picture:
    holds = _HOLDS[container]
    title = TITLES[container]
    wanted = (16 if meta.bits > 8 else 8) if bit_depth == "keep" else bit_depth
    if wanted == 16 and not holds.deep:
        asked = meta.bits if bit_depth == "keep" else 16
        warnings.append(f"{title} is written with 8 bits a channel, not {asked}")
        wanted = 8
    if frame.alpha_hw is not None and not holds.alpha:
        warnings.append(f"{title} cannot hold transparency: flattened over white")
    grey = frame.grey and holds.grey
    icc, convert = _profile(meta.icc, grey=grey, container=container)
    if meta.icc is not None and not holds.icc and not colour.is_srgb(meta.icc):
        warnings.append(f"{title} cannot hold a colour profile: written as sRGB")

    def rows(block: slice) -> np.ndarray:
        return _rows(frame, block, bits=wanted, grey=grey, keep_alpha=holds.alpha, icc=convert)

    has_alpha = frame.alpha_hw is not None and holds.alpha
    return Picture(
        rows=rows,
        width=frame.width,
        height=frame.height,
        channels=(1 if grey else 3) + has_alpha,
        bits=wanted,
        has_alpha=has_alpha,
        icc=icc,
    )


def _profile(
    icc: bytes | None, *, grey: bool, container: Container
) -> tuple[bytes | None, bytes | None]:
    """The profile to embed, and the one to convert to (None: the pixels stay sRGB)."""
    if icc is None or not _HOLDS[container].icc:
        return None, None
    space = colour.space_of(icc)
    if colour.is_srgb(icc):
        # A grey picture with an RGB profile breaks the rules of all but these two.
        allowed = space == ("grey" if grey else "rgb") or (grey and container in {"jpeg", "tiff"})
        return (icc if allowed else None), None
    if space == ("grey" if grey else "rgb") and colour.is_writable(icc):
        return icc, icc
    return None, None


def _rows(
    frame: Frame, block: slice, *, bits: int, grey: bool, keep_alpha: bool, icc: bytes | None
) -> np.ndarray:
    """(h, W, C) finished samples of some rows."""
    samples = frame.rgb_hwc[block]
    alpha = None if frame.alpha_hw is None else frame.alpha_hw[block]
    if alpha is not None and not keep_alpha:
        samples, alpha = _over_white(samples, alpha), None
    if frame.grey:
        samples = _luma(samples)
    if icc is not None:
        rgb = np.repeat(samples, 3, axis=2) if frame.grey else samples
        samples = colour.from_srgb(colour.full_depth(rgb), icc)
    elif not grey and samples.shape[2] == 1:
        samples = np.repeat(samples, 3, axis=2)
    depth = colour.full_depth if bits == 16 else colour.to_8_bits
    if alpha is None:
        return depth(samples)
    return np.concatenate([depth(samples), depth(alpha)[..., None]], axis=2)


def _over_white(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    top = int(np.iinfo(samples.dtype).max)
    cover = alpha[..., None].astype(np.uint64)
    mixed = samples.astype(np.uint64) * cover + top * (top - cover)
    return ((mixed + top // 2) // top).astype(samples.dtype)


def _luma(samples: np.ndarray) -> np.ndarray:
    """Rec. 601 luma, (h, W, 1); exactly the channel's value where all three are equal."""
    wide = samples.astype(np.uint32)
    luma = (wide[..., 0] * 299 + wide[..., 1] * 587 + wide[..., 2] * 114 + 500) // 1000
    return luma.astype(samples.dtype)[..., None]

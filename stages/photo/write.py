"""Writing a photo: back to the source's colours, depth and channels, with all it said beside.

What a format cannot hold is left out and said so, never silently. Equal input gives equal
bytes: nothing written depends on the time or the machine's name.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.files import naming
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo import colour
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.formats.base import Format, WrittenFormat
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import extras
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.stages.photo.metadata.places.moving import moved
from restore_batch.stages.photo.raster import Picture
from restore_batch.stages.photo.source import one_line
from restore_batch.stages.photo.verdict import BitDepth, losses, too_large, written_bits

_WORTH_SAYING = 0.001
"""Share of pixels."""


def suffix_for(container: str, format: str, original_suffix: str) -> str:
    """The suffix of the output for a source of ``container``, with its dot.

    ``format``: name of a format that can be written, or "keep". The original suffix stays where
    it is one of the output's format ("photo.JPG" keeps it); a JPEG called .png becomes .jpg.
    Raises UsageError for a format that is not known or not written.
    """
    known = _suffixes(container, format, catalogue.formats())
    return original_suffix if original_suffix.lower() in known else known[0]


@lru_cache(maxsize=256)
def _suffixes(container: str, format: str, formats: tuple[Format, ...]) -> tuple[str, ...]:
    """Those that the result may have, the usual one first; asked for each of a million."""
    target = catalogue.named(container).kept_as if format == "keep" else format
    return catalogue.written_named(target).written_suffixes


def _format_of(path: Path) -> WrittenFormat:
    format = catalogue.of_suffix(path.suffix)
    if format is None:
        known = ", ".join(s for known in catalogue.written() for s in known.written_suffixes)
        written = path.suffix or "no suffix"
        raise MediaError(f"{path.name}: cannot write {written!r} (known: {known})")
    return format


def write(
    frame: Frame,
    meta: PhotoMeta,
    path: Path,
    *,
    quality: int | None = None,
    bit_depth: BitDepth = "keep",
    name: str = "",
) -> tuple[str, ...]:
    """Encode ``frame`` to ``path``, in the format of its suffix; the folder must exist.

    ``quality``: 1 to 100 for lossy formats; None chooses one that loses nothing visible.
    ``bit_depth``: "keep" is that of the source. ``name``: what errors call the result; that of
    ``path`` unless given. Returns warnings: what the format cannot hold. Raises MediaError; a
    partial file may then be left behind.
    """
    format = _format_of(path)
    name = name or path.name
    why_not = too_large(format, frame.width, frame.height)
    if why_not:
        raise MediaError(f"{name}: {why_not}")
    warnings: list[str] = []
    meta = _fitting(meta, frame, format, warnings)
    picture = _picture(frame, meta, format, bit_depth, warnings)
    if meta.exif is not None and meta.icc is not None and picture.icc is None:
        meta = dataclasses.replace(meta, exif=exif_block.as_srgb(meta.exif))
    try:
        with naming(path):
            warnings += format.encode(picture, meta, path, quality)
    except MediaError as error:
        raise MediaError(str(error).replace(path.name, name)) from error
    except MemoryError:
        raise
    except Exception as error:  # encoders raise OSError, ValueError, their own …
        raise MediaError(
            f"{name}: cannot be written as {format.title}: {one_line(error)}"
        ) from error
    return tuple(warnings)


def _fitting(
    meta: PhotoMeta, frame: Frame, format: WrittenFormat, warnings: list[str]
) -> PhotoMeta:
    """The metadata that ``format`` can hold, with the sizes it states set to the frame's."""
    held, keys = format.carries, format.text_keys
    exif = meta.exif if "exif" in held else None
    xmp = meta.xmp if "xmp" in held else None
    iptc = meta.iptc if "iptc" in held else None
    lost = [
        name
        for name, value, kept in (
            ("EXIF", meta.exif, exif),
            ("XMP", meta.xmp, xmp),
            ("IPTC", meta.iptc, iptc),
        )
        if value and not kept
    ]
    texts = {k: v for k, v in meta.text.items() if keys is None or k in keys}
    lost += [f"text entry {key!r}" for key in meta.text if key not in texts]
    if meta.dpi is not None and "dpi" not in held:
        if "exif" in held and exif is None:
            exif = exif_block.with_resolution(meta.dpi)
        elif exif is None or exif_block.resolution(exif) is None:
            lost.append("resolution")
    if lost:
        warnings.append(f"{format.title} cannot hold {', '.join(lost)}: not kept")
    size, before = (frame.width, frame.height), meta.size
    if xmp and before and before != size:
        xmp = metadata.scaled_xmp(xmp, (size[0] / before[0], size[1] / before[1]))
    meta = dataclasses.replace(meta, exif=exif, xmp=xmp)
    if before and before != size:
        meta, misplaced = moved(meta, Change.sized(before, size))
        warnings += misplaced
    kept, not_kept = extras.fitting(meta, size, format.stores_extras, format.title)
    warnings += not_kept
    return dataclasses.replace(
        meta,
        exif=exif_block.sized(meta.exif, frame.width, frame.height) if meta.exif else None,
        xmp=metadata.sized_xmp(meta.xmp, frame.width, frame.height) if meta.xmp else None,
        iptc=iptc,
        text=texts,
        extras=kept,
    )


def _picture(
    frame: Frame,
    meta: PhotoMeta,
    format: WrittenFormat,
    bit_depth: BitDepth,
    warnings: list[str],
) -> Picture:
    wanted = written_bits(meta.bits, bit_depth) if max(format.bit_depths) > 8 else 8
    warnings += losses(format, meta.bits, frame.alpha_hw is not None, bit_depth)
    grey = frame.grey and format.holds_grey
    has_alpha = frame.alpha_hw is not None and format.holds_alpha
    flattened = frame.alpha_hw is not None and not has_alpha
    stored = None if flattened else _stored(meta, frame)
    icc, convert = _profile(meta, frame, stored, grey=grey, format=format, warnings=warnings)
    stored = None if convert is None else stored
    if stored is None and meta.outside_srgb >= _WORTH_SAYING:
        warnings.append(
            f"{meta.outside_srgb:.1%} of its pixels have colours outside sRGB, which move to its "
            "edge"
        )

    depth = colour.full_depth if wanted == 16 else colour.to_8_bits

    def rows(block: slice) -> np.ndarray:
        samples, alpha = _colours(frame, block, grey=grey, keep_alpha=has_alpha, icc=convert)
        if convert is not None and stored is not None and meta.icc is not None:
            samples = colour.restored_to_profile(samples, stored[block], meta.icc)
            samples = colour.between(samples, meta.icc, convert)
        elif convert is not None:
            samples = colour.from_srgb(samples, convert)
        return depth(samples) if alpha is None else _beside(depth(samples), depth(alpha))

    is_finished = (
        not (grey or frame.grey) and frame.alpha_hw is None and convert is None
        and frame.rgb_hwc.dtype.itemsize * 8 == wanted and frame.rgb_hwc.flags.c_contiguous
    )  # fmt: skip
    return Picture(
        rows=rows,
        width=frame.width,
        height=frame.height,
        channels=(1 if grey else 3) + has_alpha,
        bits=wanted,
        has_alpha=has_alpha,
        icc=icc,
        finished=frame.rgb_hwc if is_finished else None,
    )


def _stored(meta: PhotoMeta, frame: Frame) -> np.ndarray | None:
    """The source's samples where they are those of the frame, which no stage enlarged."""
    stored = meta.stored
    same_size = stored is not None and stored.shape[:2] == (frame.height, frame.width)
    return stored if same_size else None


def _profile(
    meta: PhotoMeta,
    frame: Frame,
    stored: np.ndarray | None,
    *,
    grey: bool,
    format: WrittenFormat,
    warnings: list[str],
) -> tuple[bytes | None, bytes | None]:
    """The profile to embed, and the one to convert to (None: the pixels stay sRGB)."""
    elsewhere = meta.icc_made and meta.container != format.name
    icc = meta.icc_elsewhere if elsewhere else meta.icc
    if icc is None:
        return None, None
    if "icc" not in format.carries:
        if not colour.is_srgb(icc):
            warnings.append(f"{format.title} cannot hold a colour profile: written as sRGB")
        return None, None
    if not colour.is_srgb(icc) and not colour.is_writable(icc):
        # A scanner's may only go one way: then nothing that was changed can go back.
        fits = colour.space_of(icc) == ("grey" if grey else "rgb")
        if fits and stored is not None and colour.is_unchanged(frame.rgb_hwc, stored, icc):
            return icc, icc
        warnings.append("its colour profile can be read but not written: the output is sRGB")
        icc = colour.srgb_profile()
    return _embedded(icc, grey=grey, format=format, warnings=warnings)


def _embedded(
    icc: bytes, *, grey: bool, format: WrittenFormat, warnings: list[str]
) -> tuple[bytes | None, bytes | None]:
    """The same for a profile that goes both ways, in a format that has profiles."""
    space, needed = colour.space_of(icc), "grey" if grey else "rgb"
    has_tones = grey and space == "rgb" and colour.has_srgb_tones(icc)
    if space == needed and not colour.is_srgb(icc):
        return icc, icc
    if space == needed or (has_tones and format.grey_takes_rgb_profile):
        return icc, None
    if has_tones:
        warnings.append(
            f"{format.title} cannot hold an RGB profile beside grey: left out, the tones are sRGB's"
        )
    return None, None


def _colours(
    frame: Frame, block: slice, *, grey: bool, keep_alpha: bool, icc: bytes | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(h, W, C) sRGB of some rows, and their transparency; three channels of uint16 where they
    are to be converted to ``icc``."""
    samples = frame.rgb_hwc[block]
    alpha = None if frame.alpha_hw is None else frame.alpha_hw[block]
    if alpha is not None and not keep_alpha:
        samples, alpha = _over_white(samples, alpha), None
    if frame.grey:
        samples = _luma(samples)
    if samples.shape[2] == 1 and (icc is not None or not grey):
        samples = np.repeat(samples, 3, axis=2)
    return samples if icc is None else colour.full_depth(samples), alpha


def _beside(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([samples, alpha[..., None]], axis=2)


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

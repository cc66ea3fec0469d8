"""What formats read and written by Pillow's plugins have in common.

The plugins are called directly, not through ``Image.open``: its limit on pixels is global to the
process, ours belongs to the job and is checked before any decoder is called.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from restore_batch.stages.media import Extra, PhotoMeta
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.raster import (
    Header,
    Picture,
    Raster,
    grey_if_neutral,
    split_alpha,
)
from restore_batch.stages.rows import by_rows


def header(picture: ImageFile.ImageFile, bits: int = 8) -> Header:
    """What the plugin found when it opened the file."""
    frames = getattr(picture, "n_frames", 1)
    return Header(
        *picture.size,
        bits,
        1 if picture.mode in {"1", "L", "LA"} else 3,
        picture.has_transparency_data,
        frames,
        exif_block.stated_orientation(exif_of(picture.info)),
        notes=first_of(frames),
    )


def raster(
    picture: ImageFile.ImageFile,
    container: str,
    *,
    lossless: bool,
    bits: int = 8,
    pixels: np.ndarray | None = None,
    from_palette: bool = False,
    extras: tuple[Extra, ...] = (),
) -> Raster:
    """The first picture of a file. ``pixels``: decoded by another codec, over the full range;
    ``from_palette``: the colours come from a palette, whatever the plugin's mode says;
    ``extras``: what else the file holds."""
    info = dict(picture.info)
    samples, space, alpha = split_alpha(plain(picture) if pixels is None else pixels)
    if picture.mode == "P" or from_palette:
        samples, space = grey_if_neutral(_three(samples))
    comment = info.get("comment", b"")
    comment = metadata.decoded(comment) if isinstance(comment, bytes) else comment
    meta = PhotoMeta(
        container=container,
        bits=bits,
        exif=exif_of(info),
        xmp=info.get("xmp") or None,
        icc=info.get("icc_profile") or None,
        dpi=info.get("dpi"),
        text={"Comment": comment} if comment else {},
        quality_hint={"lossless": lossless},
        extras=extras,
    )
    return Raster(samples, space, meta, alpha)


def first_of(frames: int) -> tuple[str, ...]:
    """The note that an animation becomes a picture."""
    return (f"animated: only the first of its {frames} frames is kept",) if frames > 1 else ()


def exif_of(info: Mapping) -> bytes | None:
    """The EXIF block among the facts that a Pillow plugin gathered, without its prefix."""
    value = info.get("exif")
    return bytes(value).removeprefix(b"Exif\x00\x00") or None if value else None


def plain(picture: Image.Image) -> np.ndarray:
    """Samples of one of the modes L, LA, RGB and RGBA; ``picture`` is closed."""
    transparent = picture.has_transparency_data
    if picture.mode == "1":
        return _samples(picture, "L")
    if picture.mode not in {"L", "LA", "RGB", "RGBA"} or (
        transparent and not picture.mode.endswith("A")
    ):
        return _samples(picture, "RGBA" if transparent else "RGB")
    return loaded(picture)


def loaded(picture: Image.Image) -> np.ndarray:
    """All samples of a picture as they are; ``picture`` is closed."""
    return _samples(picture, picture.mode)


def _samples(picture: Image.Image, mode: str) -> np.ndarray:
    """Row by row, because Pillow holds four bytes a pixel and copies them twice on their way."""
    picture.load()

    def step(rows: slice) -> np.ndarray:
        some = picture.crop((0, rows.start, picture.width, rows.stop))
        return np.asarray(some if picture.mode == mode else some.convert(mode))

    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (picture.height, picture.width, channels)[: 2 + (channels > 1)]
    out = by_rows(picture.height, picture.width, step, np.empty(shape, np.uint8))
    picture.close()
    return out


def _three(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def saved(picture: Picture, plugin: str, **options: Any) -> bytes:
    """The file that a plugin makes; options of None are left out."""
    buffer = io.BytesIO()
    array = picture.whole()
    if picture.channels == 2:
        array = np.concatenate([np.repeat(array[..., :1], 3, axis=2), array[..., 1:]], axis=2)
    Image.fromarray(array).save(buffer, plugin, **given(**options))
    return buffer.getvalue()


def given(**options: Any) -> dict[str, Any]:
    """``options`` without those of None."""
    return {name: value for name, value in options.items() if value is not None}

"""What a decoder hands over, and what an encoder is given: samples as stored in the file, before
orientation and colour management or after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colorimetry import Stated
from restore_batch.stages.photo.colour import Space
from restore_batch.stages.rows import by_rows


@dataclass(frozen=True)
class Header:
    """What a file's header says. ``width`` and ``height`` as stored; ``orientation`` is the EXIF
    value still to be applied; ``channels`` are those of colour, without alpha. ``refusal``: why
    such a file is not decoded, or ""; ``notes``: what of it is not carried over."""

    width: int
    height: int
    bits: int
    channels: int
    has_alpha: bool = False
    pages: int = 1
    orientation: int = 1
    refusal: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded file.

    ``samples``: (H, W, C) uint8 or uint16 over the full range, C by ``space``; Lab in ICC's
    16-bit encoding. ``alpha_hw``: (H, W) of the same dtype. ``orientation``: None where EXIF
    and XMP decide, 1 where the decoder has applied it. ``meta``: as found, unchecked. ``stated``:
    what the container says of the colours, where there is no profile. ``damage``: what of the
    picture is missing or wrong, or "".
    """

    samples: np.ndarray
    space: Space
    meta: PhotoMeta
    alpha_hw: np.ndarray | None = None
    orientation: int | None = None
    warnings: tuple[str, ...] = field(default_factory=tuple)
    stated: Stated = Stated()  # noqa: RUF009 - frozen
    damage: str = ""

    def cropped(self, rows: slice, columns: slice) -> Raster:
        """Only these rows and columns, as stored."""
        alpha = None if self.alpha_hw is None else self.alpha_hw[rows, columns]
        return replace(self, samples=self.samples[rows, columns], alpha_hw=alpha)


@dataclass(frozen=True)
class Picture:
    """Finished samples on demand: ``rows(block)`` is (h, W, channels) uint8 or uint16 for ``bits``
    of 8 or 16, the transparency last. ``finished``: all of them, where they are those of a frame
    already, which stay as they are."""

    rows: Callable[[slice], np.ndarray]
    width: int
    height: int
    channels: int
    bits: int
    has_alpha: bool
    icc: bytes | None
    finished: np.ndarray | None = None

    def whole(self, *, bgr: bool = False) -> np.ndarray:
        """(H, W) for one channel, else (H, W, channels), to be read only; ``bgr``: in OpenCV's
        order."""
        if self.finished is not None and not bgr:
            return self.finished
        dtype = np.uint16 if self.bits == 16 else np.uint8
        out = np.empty((self.height, self.width, self.channels), dtype)
        by_rows(self.height, self.width, self.rows, out[..., ::-1] if bgr else out)
        return out[..., 0] if self.channels == 1 else out


def full_range(samples: np.ndarray, bits: int) -> np.ndarray:
    """Integers of ``bits`` bits, 1 to 16, to the full range of uint8 (``bits`` <= 8) or uint16."""
    if bits in {8, 16}:
        return samples
    top = (1 << bits) - 1
    target = np.uint8 if bits < 8 else np.uint16
    steps = np.arange(top + 1, dtype=np.uint32)
    table = ((steps * np.iinfo(target).max + top // 2) // top).astype(target)
    return table[np.minimum(samples, top)]


def split_alpha(pixels: np.ndarray) -> tuple[np.ndarray, Space, np.ndarray | None]:
    """(H, W) or (H, W, 1 to 4) grey or RGB with or without alpha: samples, space and alpha."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colours = pixels.shape[2] - (pixels.shape[2] in {2, 4})
    alpha = np.ascontiguousarray(pixels[..., colours]) if colours < pixels.shape[2] else None
    return pixels[..., :colours], "grey" if colours == 1 else "rgb", alpha


def grey_if_neutral(samples: np.ndarray) -> tuple[np.ndarray, Space]:
    """RGB samples of a palette picture as one channel where no pixel has a colour."""
    red = samples[..., 0]
    if np.array_equal(red, samples[..., 1]) and np.array_equal(red, samples[..., 2]):
        return red[..., None], "grey"
    return samples, "rgb"


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """``array`` (H, W, ...) turned and mirrored as EXIF ``orientation`` asks, contiguous."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        array = array[::-1]
    if orientation in {2, 3, 6, 7}:
        array = array[:, ::-1]
    return np.ascontiguousarray(array)

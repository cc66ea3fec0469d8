"""What a photo's header already decides: whether it will be refused, and what its result loses.

Asked by the plan and by the run, so that the one never promises what the other refuses.
"""

from __future__ import annotations

from typing import Literal

from restore_batch.stages.geometry import output_size
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata.extras import FILM

BitDepth = Literal["keep", 8, 16]


def refusal(
    width: int,
    height: int,
    max_megapixels: float,
    target: WrittenFormat | None = None,
    scale: float = 1.0,
) -> str:
    """Why a photo of this size in pixels is not restored, in one line without its name; "" where
    nothing speaks against it. ``target``: the format that the picture, ``scale`` times as large, is
    written in."""
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        return (
            f"{width}x{height} is {megapixels:g} megapixels, more than "
            f"limits.max_megapixels ({max_megapixels:g})"
        )
    if target is None:
        return ""
    return too_large(target, *output_size(width, height, scale))


def too_large(target: WrittenFormat, width: int, height: int) -> str:
    """Why a result of this size cannot be written, or ""."""
    if max(width, height) <= target.max_side_px:
        return ""
    return (
        f"the result would be {width}x{height}, too large for {target.title} (at most "
        f"{target.max_side_px} pixels a side); choose another photos.format"
    )


def losses(
    target: WrittenFormat, bits: int, has_alpha: bool, bit_depth: BitDepth
) -> tuple[str, ...]:
    """What ``target`` cannot hold of pictures of ``bits`` bits a channel, a line each."""
    lines = []
    if written_bits(bits, bit_depth) == 16 and max(target.bit_depths) == 8:
        asked = bits if bit_depth == "keep" else 16
        lines.append(f"{target.title} is written with 8 bits a channel, not {asked}")
    if has_alpha and not target.holds_alpha:
        lines.append(f"{target.title} cannot hold transparency: flattened over white")
    return tuple(lines)


def holds_films(target: WrittenFormat | None, container: str) -> bool:
    """Whether ``target`` can hold the films inside photos of the format ``container``."""
    return target is not None and target.name == container and FILM in target.stores_extras


def written_bits(bits: int, bit_depth: BitDepth) -> Literal[8, 16]:
    """Bits a channel that a source of ``bits`` should be written with."""
    if bit_depth == "keep":
        return 16 if bits > 8 else 8
    return bit_depth

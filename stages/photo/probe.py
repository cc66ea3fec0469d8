"""What a photo is, by its header."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """What a photo is, by its header.

    ``container``: name of its format. ``width`` and ``height`` as it will be seen (upright);
    ``channels`` of colour, without alpha; ``pages``: pages, frames or pictures in the file.
    ``refusal``: why such a file is never decoded, or ""; ``notes``: what of it is not carried
    over.
    """

    container: str
    width: int
    height: int
    bits: int
    channels: int
    has_alpha: bool
    pages: int
    size_bytes: int
    refusal: str = ""
    notes: tuple[str, ...] = ()

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

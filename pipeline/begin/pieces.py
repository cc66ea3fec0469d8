"""Pieces of photos at their own resolution, with all of a face where one is: what a trial restores.

A whole scan would take minutes to say what a piece of it shows in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.pipeline.begin.sample import Seen
from restore_batch.stages.photo.read import read

_AROUND_A_FACE = 2.2
"""Side of a piece over that of its face: hair, chin and the place where it is pasted show."""
_LARGEST = 2.5
"""A piece with a face may be so many times as wide as one without."""
_BOUNDS = Bounds(time_s=600.0)

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Piece:
    """A part of a photo, written to ``path``. ``box``: left, top, right, bottom in its pixels."""

    seen: Seen
    path: Path
    box: Box

    @property
    def is_whole(self) -> bool:
        left, top, right, bottom = self.box
        facts = self.seen.item.facts
        return (right - left, bottom - top) == (facts["width"], facts["height"])

    @property
    def megapixels(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) / 1e6


def cut_pieces(
    seen: Sequence[Seen], folder: Path, side_px: int, max_megapixels: float
) -> list[Piece]:
    """Write a PNG of a piece of each photo to ``folder``; those that cannot be read are left out.

    Depth and grey stay as they are; colours are sRGB. Photos of at most ``side_px`` are taken
    whole.
    """
    asked = [
        Piece(each, folder / f"{number:02}.png", _box(each, side_px))
        for number, each in enumerate(seen, 1)
    ]
    requests = [(piece.seen.item.source.source, str(piece.path), piece.box) for piece in asked]
    with Isolated(_Cut(max_megapixels), _BOUNDS) as cutting:
        answers = list(cutting.answers(requests))
    return [
        piece
        for piece, answer in zip(asked, answers, strict=True)
        if not isinstance(answer, Lost) and not answer["error"]
    ]


def _box(seen: Seen, side_px: int) -> Box:
    """Around the largest face that fits, else around the largest, else the middle."""
    width, height = int(seen.item.facts["width"]), int(seen.item.facts["height"])
    x, y, side = width / 2, height / 2, float(side_px)
    fitting = [face for face in seen.faces if _side(face) * _AROUND_A_FACE <= side_px * _LARGEST]
    for left, top, right, bottom in (fitting or seen.faces)[:1]:
        x, y = (left + right) / 2, (top + bottom) / 2
        wanted = _AROUND_A_FACE * max(right - left, bottom - top)
        side = min(max(side, wanted), side_px * _LARGEST)
    columns, rows = min(round(side), width), min(round(side), height)
    left_px = round(min(max(x - columns / 2, 0), width - columns))
    top_px = round(min(max(y - rows / 2, 0), height - rows))
    return left_px, top_px, left_px + columns, top_px + rows


def _side(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], box[3] - box[1])


@dataclass(frozen=True)
class _Cut:
    max_megapixels: float

    def open(self) -> None:
        """Nothing: there are no networks."""

    def __call__(self, request: tuple[str, str, Box]) -> Mapping[str, Any]:
        source, path, (left, top, right, bottom) = request
        try:
            frame, _, _ = read(source, self.max_megapixels)
        except MediaError as error:
            return {"error": str(error)}
        part = frame.rgb_hwc[top:bottom, left:right]
        pixels = part[..., 0] if frame.grey else part[..., ::-1]
        coded = cv2.imencode(".png", np.ascontiguousarray(pixels))[1]
        Path(path).write_bytes(coded.tobytes())
        return {"error": ""}

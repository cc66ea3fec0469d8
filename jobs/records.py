"""What the manifest takes in and gives out, as plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FaceRow:
    """One face as it is kept: pixels of the upright source."""

    frame: int
    box_xyxy: tuple[float, float, float, float]
    landmarks_xy: tuple[tuple[float, float], ...]
    score: float
    restored: bool
    identity: float | None
    blend: float
    note: str


@dataclass(frozen=True)
class Result:
    """What a finished unit hands over for its commit."""

    staged_path: str
    size_bytes: int
    sha256: str
    width: int
    height: int
    faces: tuple[FaceRow, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    faces_of_parts: int = 0
    """Faces recorded with the parts that this unit joins."""


@dataclass(frozen=True)
class Recorded:
    """What the manifest kept of a unit that is done."""

    face_count: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ItemStatus:
    """One line of ``restore-batch status``."""

    output: str
    source: str
    state: str
    faces: int
    attempts: int
    error: str
    warnings: tuple[str, ...]
    stand_in: str

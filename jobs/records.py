"""What the manifest takes in and gives out, as plain frozen records.

A file on its way is a :class:`StagedResult` until its commit and a :class:`CommittedResult` after
it. What people ask for is the item, not the file: :class:`ItemStatus` and :class:`ItemAtWork`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Quality = Mapping[str, Any]
"""Figures ``before`` and ``after`` (``sharpness``, ``noise``, ``niqe``, those that there are), the
mean of as many ``pictures``: one of a photo, of a film the frames that were looked at."""


def longer_side_px(box_xyxy: Sequence[float]) -> float:
    """Of a box (left, top, right, bottom) in pixels, at least 1."""
    left, top, right, bottom = box_xyxy
    return max(right - left, bottom - top, 1.0)


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

    @property
    def side_px(self) -> float:
        """How large it is: the longer side of its box."""
        return longer_side_px(self.box_xyxy)


def frame_of_largest(sides_px: Iterable[tuple[int, float]]) -> int | None:
    """The frame of a film that is shown where one must stand for all: the first of those with its
    largest face. ``sides_px``: frames and how large a face in each is; None without any."""
    largest = min(((-side, frame) for frame, side in sides_px), default=None)
    return None if largest is None else largest[1]


@dataclass(frozen=True)
class SidecarFile:
    """A file beside a result, under the result's name and ``suffix`` (``.mask.png``)."""

    suffix: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class StagedResult:
    """A file in the staging folder, and all that is to be recorded of it with its commit.

    ``sha256``: of the file, as its worker read it back. ``seconds``: by stage. ``sidecars`` lie in
    the staging folder under the file's name there and their suffixes.
    """

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
    sidecars: tuple[SidecarFile, ...] = ()
    repaired: float | None = None
    """The share of its pixels, in [0, 1], that were filled; None where no damage was looked for."""
    source_sha256: str = ""
    """Of the original that it was made from; "" where that was on record before."""
    quality: Quality | None = None


@dataclass(frozen=True)
class CommittedResult:
    """A file that is in its place, as recorded. ``unit``: the id of the unit that it is of.

    ``sha256``: of the file; ``source_sha256``: of the original. ``face_count``: of a film, those
    of all its parts. ``repaired``: the share of its pixels that were filled, or None.
    """

    unit: str
    sha256: str
    source_sha256: str
    face_count: int
    warnings: tuple[str, ...]
    repaired: float | None = None
    quality: Quality | None = None


class SourceNote(NamedTuple):
    """What is to be noted of a source. ``stamp`` (size, times) and ``probe`` (what read the header,
    and with which options) say how long ``sha256`` and ``header`` hold."""

    source: str
    stamp: str
    sha256: str | None
    header: Mapping[str, Any] | None
    probe: str


class NotedSource(NamedTuple):
    """What is noted of a source: its ``stamp`` (size, times) at that time, its checksum, and its
    header with the probe that has read it, None where there is none."""

    stamp: str
    sha256: str | None
    read_by: str | None
    header: Mapping[str, Any] | None = None

    def is_of(self, stamp: str) -> bool:
        """Whether nothing speaks of a change, of a source with this stamp now."""
        return self.stamp == stamp

    def may_be_of(self, stamp: str) -> bool:
        """The same, also where less was noted than is looked at now."""
        return self.is_of(stamp) or stamp.startswith(f"{self.stamp} ")


class MadeWith(NamedTuple):
    """What is on record of how a result was made: see :class:`restore_batch.jobs.units.Unit`."""

    base_key: str
    face_key: str
    face_count: int
    source_sha256: str


@dataclass(frozen=True)
class ItemStatus:
    """How an item stands: its newest state, and why it failed. ``stand_in``: path of the copy of
    its original that lies there instead of a result, or ''. ``repaired``: the share of its pixels
    that were filled, or None. ``stage``: where it failed, or ''."""

    output: str
    source: str
    state: str
    faces: int
    attempts: int
    error: str
    warnings: tuple[str, ...]
    stand_in: str
    repaired: float | None = None
    stage: str = ""


@dataclass(frozen=True)
class ItemAtWork:
    """An item that the newest run has begun and not brought to an end. ``segments_done``,
    ``segments_begun``: of a film, those that are committed, and those that are not."""

    output: str
    source: str
    attempts: int
    segments_done: int
    segments_begun: int

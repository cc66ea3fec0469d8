"""What a film's units lead to: its index to segments, its parts to their join.

The driver settles one unit after another; this module says which units follow. Parts lie below
the output folder until their film is joined, so that a run that was ended goes on with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from restore_batch.errors import MediaError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.units import Unit, digest
from restore_batch.stages.film.work import (
    PART_SUFFIX,
    Audio,
    FilmIndex,
    IndexWork,
    JoinWork,
    SegmentWork,
)
from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.types import Segment, VideoFormat

_FAULTS_TOLD = 20
Value = TypeVar("Value")


@dataclass(frozen=True)
class FilmOptions:
    """How the films of a job are restored. ``scale``: output over input size."""

    wish: VideoWish
    scale: float
    index: IndexWork
    audio: Audio = "copy"
    as_frames: bool = False
    """Results are folders of pictures; ``output`` of a unit is then the index in such a folder."""
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass
class _Film:
    join: Unit
    source_sha256: str
    format: VideoFormat | None = None
    index: FilmIndex | None = None
    parts: list[Unit] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    warnings: tuple[str, ...] = ()


class Films:
    """The films a run has begun. Every method that returns units means: these come next."""

    def __init__(self, manifest: Manifest, options: FilmOptions, *, verify: bool = False) -> None:
        self._manifest, self._options, self._verify = manifest, options, verify
        self._begun: dict[str, _Film] = {}
        self._failed: set[str] = set()
        self._of: dict[str, str] = {}
        """Film (the id of its join) of each unit at work."""

    @property
    def unfinished(self) -> frozenset[str]:
        """Films without a result (the ids of their joins): another run may need their parts."""
        return frozenset(self._begun) | self._failed

    def begin(self, join: Unit, source_sha256: str) -> Unit:
        """The unit that indexes the film whose result is ``join``."""
        index = replace(
            join, id=f"{join.id}-index", kind="index", payload=self._options.index,
            label=f"{join.output}: index",
        )  # fmt: skip
        self._manifest.expect(join, source_sha256)
        self._begun[join.id] = _Film(join, source_sha256)
        self._of[index.id] = join.id
        return index

    def indexed(self, unit: Unit, index: FilmIndex, warnings: tuple[str, ...]) -> list[Unit]:
        """The segments that are still to be done, or the join when none is.

        Raises MediaError when the film cannot be written as the job wants it.
        """
        film = self._begun[self._of[unit.id]]
        film.index = index
        try:
            film.format, notes = resolve_format(
                self._options.wish, index.facts, self._options.scale, unit.source
            )
        except ValueError as error:
            raise MediaError(str(error)) from None
        del self._of[unit.id]
        film.warnings = (*warnings, *notes)
        film.parts = [self._part(film, segment) for segment in index.segments]
        pending = [
            part for part in film.parts
            if self._manifest.state_of(part, verify=self._verify) != "done"
        ]  # fmt: skip
        film.missing = {part.id for part in pending}
        self._of |= dict.fromkeys(film.missing, film.join.id)
        started = [self._manifest.start(part, film.source_sha256) for part in pending]
        return started or [self._join(film)]

    def part_done(self, unit: Unit) -> list[Unit]:
        """The join, once this was the last part."""
        if unit.id not in self._of:
            return []
        film = self._begun[self._of.pop(unit.id)]
        film.missing.discard(unit.id)
        return [] if film.missing else [self._join(film)]

    def part_lost(self, unit: Unit) -> list[Unit]:
        """The segment again without restoration: a film with a plain stretch is a film. Nothing
        for other units, and when that was lost too."""
        work = unit.payload
        if unit.id not in self._of or not isinstance(work, SegmentWork) or work.plain:
            return []
        film = self._begun[self._of[unit.id]]
        return [
            self._manifest.start(
                replace(unit, payload=replace(work, plain=True)), film.source_sha256
            )
        ]

    def given_up(self, unit: Unit) -> Unit | None:
        """The join of a film that fails with ``unit``, to be recorded as the film's failure; None
        where it has failed before, or was not begun."""
        film = self._begun.pop(self._of.get(unit.id, unit.id), None)
        if film is None:
            return None
        self._of = {k: v for k, v in self._of.items() if v != film.join.id}
        self._failed.add(film.join.id)
        return self._manifest.start(film.join, film.source_sha256)

    def wants(self, unit: Unit) -> bool:
        """Whether a unit still leads to something; no part of a film that has failed does."""
        return unit.kind != "segment" or unit.id in self._of

    def joined(self, unit: Unit) -> tuple[int, tuple[str, ...]]:
        """Faces of all parts, and what is to be told about the film; it is finished."""
        film = self._begun[unit.id]
        results = (self._manifest.result_of(part) for part in film.parts)
        kept = [result for result in results if result is not None]
        told = [text for part in kept for text in part.warnings]
        return sum(part.face_count for part in kept), (*film.warnings, *shortened(told))

    def forget(self, unit: Unit) -> None:
        """The film of ``unit`` is committed."""
        self._begun.pop(unit.id, None)

    def _part(self, film: _Film, segment: Segment) -> Unit:
        join = film.join
        last = segment.first + segment.own_count - 1
        return replace(
            join,
            id=digest({"film": join.id, "segment": segment.number, "first": segment.first}),
            kind="segment",
            output=f"{PARTS}/{join.id}/{segment.number:06d}{PART_SUFFIX}",
            payload=SegmentWork(_known(film.index).facts, segment, _known(film.format)),
            label=f"{join.output}: frames {segment.first} to {last}",
        )

    def _join(self, film: _Film) -> Unit:
        parts = [
            (str(self._manifest.output_dir / part.output), segment)
            for part, segment in zip(film.parts, _known(film.index).segments, strict=True)
        ]
        work = JoinWork(
            _known(film.index).facts, _known(film.format), tuple(parts), self._options.audio,
            self._options.metadata,
            str((self._manifest.output_dir / film.join.output).parent)
            if self._options.as_frames else "",
            self._options.index.preview_s is not None,
        )  # fmt: skip
        return self._manifest.start(replace(film.join, payload=work), film.source_sha256)


def shortened(warnings: Sequence[str]) -> tuple[str, ...]:
    """Warnings as a list somebody reads: the first of each kind, and how many more there are."""
    kinds: dict[str, list[str]] = {}
    for text in warnings:
        kinds.setdefault(re.sub(r"[\d.]+", "#", text), []).append(text)
    told: list[str] = []
    for alike in kinds.values():
        told += alike[:_FAULTS_TOLD]
        if len(alike) > _FAULTS_TOLD:
            told.append(f"… and {len(alike) - _FAULTS_TOLD} more frames like these")
    return tuple(told)


def _known(value: Value | None) -> Value:
    assert value is not None, "a film has parts only once it is indexed"
    return value

"""What a film's units lead to: its index to segments, its parts to their join.

The driver settles one unit after another; this module says which units follow. Parts lie below
the output folder until their film is joined, so that a run that was ended goes on with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.records import Quality
from restore_batch.jobs.units import FilmIndex, Join, Segment, Unit, digest
from restore_batch.pipeline.drive.quality import mean_quality
from restore_batch.stages.film.work import PART_SUFFIX, IndexedFilm, JoinWork, SegmentWork
from restore_batch.stages.media import RepairRecord
from restore_batch.stages.video.types import FrameRange

_FAULTS_TOLD = 20


@dataclass
class _Film:
    join: Join[JoinWork]
    source_sha256: str
    """"" until it is read."""
    index: IndexedFilm | None = None
    parts: list[Segment[SegmentWork]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    warnings: tuple[str, ...] = ()
    source_state: str = ""
    faces_before: int = 0
    """In the parts that earlier runs have done."""


class Films:
    """The films a run has begun. Every method that returns units means: these come next."""

    def __init__(self, manifest: Manifest, *, verify: bool = False) -> None:
        self._manifest, self._verify = manifest, verify
        self._begun: dict[str, _Film] = {}
        self._failed: set[str] = set()
        self._failed_unread = False
        self._of: dict[str, str] = {}
        """Film (the id of its join) of each unit at work."""

    @property
    def unfinished(self) -> frozenset[str]:
        """Films without a result (the ids of their joins): another run may need their parts."""
        return frozenset(self._begun) | self._failed

    def drop_parts_of_others(self) -> None:
        """Remove the parts of all films but the unfinished. Of one that failed before it was read
        nobody knows which are its parts: then all stay."""
        if not self._failed_unread:
            self._manifest.keep_parts_of(self.unfinished)

    def begin(self, join: Join[JoinWork], source_sha256: str) -> FilmIndex:
        """The unit that indexes the film whose result is ``join``."""
        index = FilmIndex(
            **{**_common(join), "id": f"{join.id}-index", "label": f"{join.output}: index"}
        )
        self._manifest.expect(join, source_sha256)
        self._begun[join.id] = _Film(join, source_sha256)
        self._of[index.id] = join.id
        return index

    def read(self, unit: FilmIndex, join: Join[JoinWork], source_sha256: str) -> None:
        """The source of a film was read when it was indexed, and this is what its result is: what
        its parts are found by."""
        begun = self._of[unit.id]
        film = self._begun.pop(begun)
        film.join, film.source_sha256 = join, source_sha256
        self._begun[join.id], self._of[unit.id] = film, join.id
        if join.id != begun:
            self._manifest.expect(join, source_sha256, instead_of=begun)

    def indexed(
        self,
        unit: FilmIndex,
        index: IndexedFilm,
        warnings: tuple[str, ...],
        source_state: str = "",
    ) -> list[Unit]:
        """The segments that are still to be done, or the join when none is. ``source_state``: of
        the source as it was indexed."""
        film = self._begun[self._of.pop(unit.id)]
        film.index = index
        film.warnings, film.source_state = warnings, source_state
        film.parts = [_part(film.join, index, frames) for frames in index.segments]
        pending = [
            part for part in film.parts
            if self._manifest.state_of(part, verify=self._verify) != "done"
        ]  # fmt: skip
        film.missing = {part.id for part in pending}
        before = (self._manifest.result_of(p) for p in film.parts if p.id not in film.missing)
        film.faces_before = sum(part.face_count for part in before if part is not None)
        self._of |= dict.fromkeys(film.missing, film.join.id)
        started: list[Unit] = [self._manifest.start(part, film.source_sha256) for part in pending]
        return started or [self._join(film)]

    def part_done(self, unit: Segment[SegmentWork]) -> list[Unit]:
        """The join, once this was the last part."""
        if unit.id not in self._of:
            return []
        film = self._begun[self._of.pop(unit.id)]
        film.missing.discard(unit.id)
        return [] if film.missing else [self._join(film)]

    def without_restoration(self, unit: Unit, because: str) -> list[Unit]:
        """A segment that failed, ``because`` of what is said in one line, once more with its frames
        only enlarged: a film with a plain stretch is a film. Nothing for other units, and where
        that has failed too."""
        if unit.id not in self._of or not isinstance(unit, Segment) or unit.work.plain_because:
            return []
        film = self._begun[self._of[unit.id]]
        plainly = replace(unit, work=replace(unit.work, plain_because=because))
        return [self._manifest.start(plainly, film.source_sha256)]

    def given_up(self, unit: Unit) -> Unit | None:
        """The join of a film that fails with ``unit``, to be recorded as the film's failure; None
        where it has failed before, or was not begun."""
        film = self._begun.pop(self._of.get(unit.id, unit.id), None)
        if film is None:
            return None
        self._of = {k: v for k, v in self._of.items() if v != film.join.id}
        self._failed.add(film.join.id)
        self._failed_unread |= not film.source_sha256
        return self._manifest.start(film.join, film.source_sha256)

    def wants(self, unit: Unit) -> bool:
        """Whether a unit still leads to something; no part of a film that has failed does."""
        return not isinstance(unit, Segment) or unit.id in self._of

    def joined(self, unit: Join[JoinWork]) -> tuple[int, tuple[str, ...]]:
        """Faces of all parts, and what is to be told about the film; it is finished."""
        film = self._begun[unit.id]
        results = (self._manifest.result_of(part) for part in film.parts)
        kept = [result for result in results if result is not None]
        told = [text for part in kept for text in part.warnings]
        return sum(part.face_count for part in kept), (*film.warnings, *shortened(told))

    def repairs(self, unit: Join[JoinWork]) -> tuple[RepairRecord, ...]:
        """What was repaired of the film, as of one picture; nothing where none was."""
        parts = self._begun[unit.id].parts
        results = [self._manifest.result_of(part) for part in parts]
        counts = [part.work.frames.own_count for part in parts]
        filled = [
            count * result.repaired
            for count, result in zip(counts, results, strict=True)
            if result is not None and result.repaired is not None
        ]
        return (RepairRecord(sum(filled) / sum(counts)),) if filled else ()

    def quality(self, unit: Join[JoinWork]) -> Quality | None:
        """The mean figures of the frames that were looked at, in all parts that have any."""
        results = (self._manifest.result_of(part) for part in self._begun[unit.id].parts)
        return mean_quality([each.quality for each in results if each and each.quality])

    def forget(self, unit: Unit) -> int:
        """The film of ``unit`` is committed. The faces in parts that earlier runs have done."""
        film = self._begun.pop(unit.id, None)
        return 0 if film is None else film.faces_before

    def _join(self, film: _Film) -> Unit:
        index = film.index
        assert index is not None, "a film has parts only once it is indexed"
        parts = [
            (str(self._manifest.output_dir / part.output), part.work.frames) for part in film.parts
        ]
        folder = str((self._manifest.output_dir / film.join.output).parent)
        restored = any(map(self._has_restored_faces, film.parts))
        moment = self._manifest.frame_of_largest_face([part.id for part in film.parts])
        work = JoinWork(
            index.facts, index.format, tuple(parts), folder, restored, film.source_sha256,
            film.source_state, moment,
        )  # fmt: skip
        return self._manifest.start(replace(film.join, work=work), film.source_sha256)

    def _has_restored_faces(self, part: Unit) -> bool:
        result = self._manifest.result_of(part)
        return result is not None and any(f.restored for f in self._manifest.faces_in(result))


def _part(join: Join[JoinWork], index: IndexedFilm, frames: FrameRange) -> Segment[SegmentWork]:
    last = frames.first + frames.own_count - 1
    changed = {
        "id": digest({"film": join.id, "segment": frames.number, "first": frames.first}),
        "output": f"{PARTS}/{join.id}/{frames.number:06d}{PART_SUFFIX}",
        "label": f"{join.output}: frames {frames.first} to {last}",
    }
    return Segment(
        **{**_common(join), **changed}, work=SegmentWork(index.facts, frames, index.format)
    )


def _common(join: Join[JoinWork]) -> dict[str, Any]:
    """What the other units of a film share with its join."""
    return {field.name: getattr(join, field.name) for field in fields(Unit)}


def shortened(warnings: Sequence[str]) -> tuple[str, ...]:
    """Warnings as a list somebody reads: the first of each kind, each once, and how many more
    there are."""
    kinds: dict[str, list[str]] = {}
    for text in dict.fromkeys(warnings):
        kinds.setdefault(re.sub(r"[\d.]+", "#", text), []).append(text)
    told: list[str] = []
    for alike in kinds.values():
        told += alike[:_FAULTS_TOLD]
        if len(alike) > _FAULTS_TOLD:
            told.append(f"… and {len(alike) - _FAULTS_TOLD} more frames like these")
    return tuple(told)

"""The headers of a job's files: read in processes of their own, and kept by a manifest.

A file whose header ends its reader, or never lets go of it, is a file that cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import repeat
from typing import Any

from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.inputs import SourceFile
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import digest
from restore_batch.pipeline.plan.facts import Facts
from restore_batch.pipeline.plan.films import is_film, plain_facts
from restore_batch.pipeline.plan.header_reader import ERROR, ReadHeader
from restore_batch.stages.photo.probe import Probe
from restore_batch.stages.video.types import ColourTags, StreamFacts, VideoFacts

VERSION = 3
"""Raised when the same file gives another header with the same fields."""

BOUNDS = Bounds(time_s=60.0, memory_bytes=4 << 30)
"""What the header of one file may take: a thousand times what any took, slow networks allowed
for."""
_MOST_PROCESSES = 3
_HEADERS_A_PROCESS = 2000
"""Fewer are read sooner than another process is started."""
_MOST_TOGETHER = 16
"""Headers that a process is asked for at once: to wait for each costs more than to read it."""
_LEAN = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""Nothing is computed; and threads would take address space, which is what is bounded."""

ProbeCache = Callable[[Sequence[SourceFile]], Iterator[Mapping[str, Any] | None]]
"""The headers of sources that are known already, or what :func:`note_lost` noted; None for others.
"""


@dataclass(frozen=True, slots=True)
class HeaderRead:
    """What a header says, as plain data, or the ``error``: why it cannot be read. ``lost``: trying
    cost a process, so that it is not tried again unasked."""

    facts: Mapping[str, Any]
    error: str = ""
    lost: bool = False


class HeaderReaders:
    """Reads the headers of a job's files; leaving the context ends its processes. ``soon``: there
    will be some to read."""

    def __init__(self, job: Job, *, soon: bool = False) -> None:
        self._isolated = Isolated(
            ReadHeader(job.video.frame_rate, job.limits.max_megapixels), BOUNDS, _LEAN
        )
        if soon:
            self._isolated.start()  # and imports codecs while files are still looked for

    def __enter__(self) -> HeaderReaders:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End its processes."""
        self._isolated.__exit__()

    def read(
        self, sources: Sequence[SourceFile], probed: ProbeCache | None = None, *, of: int = 0
    ) -> list[HeaderRead]:
        """The headers of ``sources``, in their order; those that are ``probed`` cost no process.

        ``of``: how many there are in all, where others follow. Raises ExecutorError where no
        process can be started.
        """
        known = list(probed(sources) if probed else repeat(None, len(sources)))
        unknown = [source for source, header in zip(sources, known, strict=True) if header is None]
        read = self._read(unknown, max(of, len(unknown)))
        return [next(read) if header is None else header_read(header) for header in known]

    def _read(self, sources: Sequence[SourceFile], of: int) -> Iterator[HeaderRead]:
        most = min(_MOST_PROCESSES, os.cpu_count() or 1, 1 + of // _HEADERS_A_PROCESS)
        for source, answer in zip(sources, self._answers(sources, most), strict=True):
            if isinstance(answer, Lost):
                text = (
                    f"{source.source}: reading its header {answer.reason}; it is damaged or made to"
                    " do harm: take it out of the inputs, or save it anew with another program"
                )
                yield HeaderRead({}, text, lost=True)
            elif is_unreadable(answer):
                yield HeaderRead({}, answer[ERROR])
            elif is_film(source.source):
                yield HeaderRead(plain_facts(answer))
            else:
                yield HeaderRead(Facts(answer))

    def _answers(self, sources: Sequence[SourceFile], most: int) -> list[dict[str, Any] | Lost]:
        """Of ``sources`` that are asked for together and are lost, each once more by itself, since
        nobody knows which it was."""
        together = min(_MOST_TOGETHER, max(1, len(sources) // (8 * most)))
        found = self._asked(sources, together, most)
        again = [n for n, answer in enumerate(found) if isinstance(answer, Lost)]
        if together > 1 and again:
            alone = self._asked([sources[number] for number in again], 1, most)
            for number, answer in zip(again, alone, strict=True):
                found[number] = answer
        return found

    def _asked(
        self, sources: Sequence[SourceFile], together: int, most: int
    ) -> list[dict[str, Any] | Lost]:
        requests = [
            [
                (source.source, is_film(source.source))
                for source in sources[first : first + together]
            ]
            for first in range(0, len(sources), together)
        ]
        found: list[dict[str, Any] | Lost] = []
        answers = self._isolated.answers(requests, most)
        for request, answer in zip(requests, answers, strict=True):
            found += [answer] * len(request) if isinstance(answer, Lost) else answer
        return found


def header_read(header: Mapping[str, Any]) -> HeaderRead:
    """A header as it was noted."""
    if is_unreadable(header):
        return HeaderRead({}, header[ERROR], lost=True)
    return HeaderRead(header)


def note_lost(manifest: Manifest, source: SourceFile, job: Job, error: str) -> None:
    """Keep why the header of ``source`` cannot be read, so that planning does not try again."""
    header, probe = {ERROR: error}, probe_key(source.source, job)
    manifest.note_source(source.source, source.stamp, None, header, probe)


def is_unreadable(header: Mapping[str, Any]) -> bool:
    """Whether ``header`` only says why there is none."""
    return ERROR in header


def probe_key(source: str, job: Job) -> str:
    """What would read the header of ``source`` for ``job``: the version and the fields of the
    probe, and the options it is made with. A header read by another is read again."""
    return ProbeKeys(job).of(source)


class ProbeKeys:
    """:func:`probe_key` of many sources of one job: there are only a few kinds."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._keys: dict[tuple[bool, bool], str] = {}

    def of(self, source: str) -> str:
        """The key of a source."""
        kind = (is_film(source), is_numbered(source))
        if kind not in self._keys:
            self._keys[kind] = digest(self._parts(*kind))
        return self._keys[kind]

    def _parts(self, of_film: bool, numbered: bool) -> dict[str, object]:
        parts: dict[str, object] = {"version": VERSION}
        kinds = (VideoFacts, StreamFacts, ColourTags) if of_film else (Probe,)
        parts["fields"] = [
            [field.name, str(field.type)] for kind in kinds for field in fields(kind)
        ]
        if numbered:
            parts["frame_rate"] = self._job.video.frame_rate
        return parts

"""Photos in a plan: which files may be one, what becomes of them, what a job may ask of a format.

The formats say it themselves (:mod:`restore_batch.stages.photo.formats`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from restore_batch.jobs.mistakes import Mistake, did_you_mean
from restore_batch.jobs.outputs import suffix_of
from restore_batch.jobs.source import json_schema
from restore_batch.jobs.spec import Job
from restore_batch.stages.photo import verdict
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.formats.base import Format, WrittenFormat
from restore_batch.stages.photo.metadata.extras import without_films
from restore_batch.stages.photo.probe import Probe
from restore_batch.stages.video.probe import VIDEO_SUFFIXES

_DEEP = 16


def media_suffixes() -> frozenset[str]:
    """Of the files that are taken from a folder: photos and films, in lower case, with a dot."""
    return catalogue.suffixes() | VIDEO_SUFFIXES


def _probe_of(plain: Mapping[str, Any]) -> Probe:
    return Probe(**{**plain, "notes": tuple(plain["notes"])})


@lru_cache(maxsize=256)
def _target(suffix: str, formats: tuple[Format, ...]) -> WrittenFormat | None:
    """The format that a result of this suffix is written in; asked for each of a million."""
    return catalogue.of_suffix(suffix)


def photo_refusal(plain: Mapping[str, Any], job: Job, output: str) -> str:
    """Why a photo with these facts, whose result is called ``output``, is not restored, or ""."""
    target = _target(suffix_of(output.rpartition("/")[2]), catalogue.formats())
    limit = job.limits.max_megapixels
    said: str = plain["refusal"]
    size = plain["width"], plain["height"]
    return said or verdict.refusal(*size, limit, target, job.background.scale)


def photo_notes(plain: Mapping[str, Any], job: Job, output: str) -> tuple[str, ...]:
    """What a run will leave out of a photo, a line each."""
    if not plain:
        return ()
    found = _probe_of(plain)
    target = _target(suffix_of(output.rpartition("/")[2]), catalogue.formats())
    if target is None:
        return found.notes
    notes = found.notes
    if job.photos.extras == "keep":
        notes = without_films(notes)
    lost = verdict.losses(target, found.bits, found.has_alpha, job.photos.bit_depth)
    return (*notes, *lost)


def job_schema() -> dict[str, Any]:
    """JSON Schema of job files with the photo formats that can be asked for."""
    schema = json_schema()
    schema["$defs"]["Photos"]["properties"]["format"]["enum"] = _choices()
    return schema


def _choices() -> list[str]:
    return ["keep", *(format.name for format in catalogue.written())]


def photo_mistakes(job: Job) -> Iterator[Mistake]:
    """Where the section ``photos`` asks for what its format cannot do."""
    asked = job.photos
    if asked.format == "keep":
        return
    formats = {format.name: format for format in catalogue.written()}
    chosen = formats.get(asked.format)
    if chosen is None:
        hint = did_you_mean(asked.format, _choices())
        expected = f"expected one of {', '.join(_choices())}, got {asked.format!r}{hint}"
        yield Mistake("photos.format", expected)
        return
    if not chosen.can_write:
        text = f"there is no encoder of {chosen.title} here: choose another format"
        yield Mistake("photos.format", text)
    if asked.quality is not None and not chosen.takes_quality:
        text = f"{chosen.name} is lossless and takes no quality"
        yield Mistake("photos.quality", text)
    if asked.bit_depth == _DEEP and _DEEP not in chosen.bit_depths:
        deep = [name for name, format in formats.items() if _DEEP in format.bit_depths]
        use = f"{', '.join(deep[:-1])} or {deep[-1]}"
        text = f"{chosen.name} cannot hold {_DEEP} bits a channel: use {use}"
        yield Mistake("photos.bit_depth", text)

"""How long a header that a manifest keeps may be used: what it depends on beside its file."""

from __future__ import annotations

from dataclasses import fields

from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import digest
from restore_batch.pipeline.plan.films import is_film
from restore_batch.stages.photo.probe import Probe
from restore_batch.stages.video.types import ColourTags, StreamFacts, VideoFacts

VERSION = 2
"""Raised when the same file gives another header with the same fields."""


def probe_key(source: str, job: Job) -> str:
    """What would read the header of ``source`` for ``job``: the version and the fields of the
    probe, and the options it is made with. A header read by another is read again."""
    parts: dict[str, object] = {"version": VERSION}
    kinds = (VideoFacts, StreamFacts, ColourTags) if is_film(source) else (Probe,)
    parts["fields"] = [[field.name, str(field.type)] for kind in kinds for field in fields(kind)]
    if is_numbered(source):
        parts["frame_rate"] = job.video.frame_rate
    return digest(parts)

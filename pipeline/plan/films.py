"""Films in a plan: what their headers say, how they are written, which stages they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.plan.stages import make_stage
from restore_batch.stages.film.frames_out import INDEX_NAME
from restore_batch.stages.film.index import IndexFilm
from restore_batch.stages.video.colour.convert import colour_warnings, refuse_hdr
from restore_batch.stages.video.format import output_suffix, resolve_format
from restore_batch.stages.video.limits import size_refusal
from restore_batch.stages.video.probe import is_video
from restore_batch.stages.video.streams.choice import left_out_of_pictures, stream_warnings
from restore_batch.stages.video.types import VideoFacts

_FACTS = TypeAdapter(VideoFacts)


def is_film(source: str) -> bool:
    """Whether a source is a film, by its name: headers are not read for this."""
    return is_numbered(source) or is_video(source)


def plain_facts(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the header of a film says, as plain data that the manifest can keep, from the fields of
    its VideoFacts."""
    plain: dict[str, Any] = _FACTS.dump_python(facts_of(fields), mode="json")
    return plain


def facts_of(plain: Mapping[str, Any]) -> VideoFacts:
    """The facts again that :func:`plain_facts` gave."""
    return _FACTS.validate_python(plain)


def film_suffix(plain: Mapping[str, Any], job: Job, source_name: str) -> str:
    """Suffix of the result of a film with these facts; that of a folder of pictures leads to its
    index."""
    if job.video.output == "frames":
        return f".frames/{INDEX_NAME}"
    return output_suffix(index_stage(job).wish, facts_of(plain), source_name)


def film_refusal(plain: Mapping[str, Any], job: Job) -> str:
    """Why a film with these facts is not even begun, or "". They may have been noted by a run that
    allowed for larger frames."""
    return size_refusal(plain["width"], plain["height"], job.limits.max_megapixels)


def film_notes(plain: Mapping[str, Any], job: Job, source: str) -> tuple[str, ...]:
    """What a run will change or leave out of a film, a line each, beside restoring it."""
    if not plain:
        return ()
    facts = facts_of(plain)
    try:
        refuse_hdr(facts, job.video.tonemap, source)
        chosen, notes = resolve_format(index_stage(job).wish, facts, job.background.scale, source)
    except (RestoreBatchError, ValueError) as error:
        return (f"will fail: {error}",)
    if job.video.output == "frames":
        beside = left_out_of_pictures(facts, job.video.audio)
    else:
        beside = stream_warnings(facts, chosen.container, job.video.audio)
    return (*facts.warnings, *colour_warnings(facts), *notes, *beside)


def index_stage(job: Job) -> IndexFilm:
    """The stage that decides how the films of a job are cut and encoded."""
    made = make_stage(IndexFilm, job, {}).stage
    assert isinstance(made, IndexFilm)
    return made

"""Films in a plan: what their headers say, how they are written, which stages they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from restore_batch.errors import RestoreBatchError
from restore_batch.files import sha256_of
from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import digest
from restore_batch.pipeline.drive.films import FilmOptions
from restore_batch.pipeline.plan.choose import Choice, Role
from restore_batch.pipeline.plan.made_by import film_comment, provenance_of
from restore_batch.stages.base import Stage
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.steady.follow import CONTEXT_FRAMES
from restore_batch.stages.film.frames_out import INDEX_NAME
from restore_batch.stages.film.index import IndexFilm
from restore_batch.stages.film.join import JoinFilm
from restore_batch.stages.film.preview import Preview
from restore_batch.stages.film.segment import Film
from restore_batch.stages.film.source import probe_film
from restore_batch.stages.film.work import IndexWork, Reading
from restore_batch.stages.video.colour.convert import colour_warnings, refuse_hdr
from restore_batch.stages.video.format import VideoWish, output_suffix, resolve_format
from restore_batch.stages.video.join import will_drop
from restore_batch.stages.video.probe import is_video
from restore_batch.stages.video.types import VideoFacts

_FACTS = TypeAdapter(VideoFacts)


def is_film(source: str) -> bool:
    """Whether a source is a film, by its name: headers are not read for this."""
    return is_numbered(source) or is_video(source)


def film_facts(source: str, job: Job) -> dict[str, Any]:
    """What the header of a film says, as plain data that the manifest can keep.

    Raises MediaError.
    """
    facts = probe_film(source, job.video.frame_rate)
    plain: dict[str, Any] = _FACTS.dump_python(facts, mode="json")
    return plain


def film_content(source: str) -> str:
    """Checksum of a film: of its file, or of the names and contents of its pictures."""
    if not is_numbered(source):
        return sha256_of(Path(source))
    pictures = sorted(path for path in Path(source).parent.iterdir() if path.is_file())
    return digest({path.name: sha256_of(path) for path in pictures})


def facts_of(plain: Mapping[str, Any]) -> VideoFacts:
    """The facts again that :func:`film_facts` gave."""
    return _FACTS.validate_python(plain)


def film_suffix(plain: Mapping[str, Any], job: Job, source_name: str) -> str:
    """Suffix of the result of a film with these facts; that of a folder of pictures leads to its
    index."""
    if job.video.output == "frames":
        return f".frames/{INDEX_NAME}"
    return output_suffix(_wish(job), facts_of(plain), source_name)


def film_notes(plain: Mapping[str, Any], job: Job, source: str) -> tuple[str, ...]:
    """What a run will change or leave out of a film, a line each, beside restoring it."""
    if not plain:
        return ()
    facts = facts_of(plain)
    try:
        refuse_hdr(facts, job.video.tonemap, source)
        chosen, notes = resolve_format(_wish(job), facts, job.background.scale, source)
    except (RestoreBatchError, ValueError) as error:
        return (f"will fail: {error}",)
    return (
        *facts.warnings,
        *colour_warnings(facts),
        *notes,
        *will_drop(facts, chosen.container, job.video.audio),
    )


def film_options(job: Job, choices: Mapping[Role, Choice]) -> FilmOptions:
    """How the films of a job are restored."""
    comment = film_comment(provenance_of(choices))
    return FilmOptions(
        _wish(job),
        job.background.scale,
        IndexWork(
            job.video.segment_s,
            CONTEXT_FRAMES if job.video.steady else 0,
            job.video.frame_rate,
            job.video.preview_s,
        ),
        job.video.audio,
        job.video.output == "frames",
        (("comment", comment),) if comment else (),
    )


def film_stages(
    job: Job, detect: Detect | None, per_frame: Sequence[Stage]
) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Stages for the workers that read, and for those that restore.

    ``per_frame``: the photo stages between decode and encode; they are shared, not loaded twice.
    """
    reading = Reading(job.video.deinterlace, job.video.tonemap)
    film = Film(
        detect,
        [stage for stage in per_frame if stage is not detect],
        job.background.scale,
        reading=reading,
        steady=job.video.steady,
        deflicker=job.video.deflicker,
    )
    preview = () if job.video.preview_s is None else (Preview(detect, reading),)
    return (IndexFilm(job.limits.max_megapixels, reading), JoinFilm()), (*preview, film)


def _wish(job: Job) -> VideoWish:
    video = job.video
    if video.output == "frames":  # decoded again when they are written, so nothing may be lost
        return VideoWish(codec="ffv1", container="mkv", bit_depth=video.bit_depth)
    return VideoWish(
        codec=video.codec,
        container=video.container,
        crf=video.crf,
        preset=video.preset,
        pixel_format=video.pixel_format,
        encoder=video.encoder,
        bit_depth=video.bit_depth,
    )

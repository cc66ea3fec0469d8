"""What a schema cannot know to be wrong: formats, models and stages that are not there."""

from __future__ import annotations

from collections.abc import Iterator

from restore_batch.errors import JobFileError
from restore_batch.jobs.mistakes import Mistake
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.choose import Choice, choose_models, model_mistakes
from restore_batch.pipeline.plan.photos import photo_mistakes
from restore_batch.pipeline.plan.provenance import provenance_mistakes
from restore_batch.pipeline.plan.resources import Site
from restore_batch.pipeline.plan.stages import stage_mistakes
from restore_batch.stages.base import Role


def planned_mistakes(job: Job) -> Iterator[Mistake]:
    """All that is wrong with a job whatever its inputs are and whatever weights are here."""
    yield from photo_mistakes(job)
    yield from stage_mistakes(job)
    yield from provenance_mistakes(job)
    yield from model_mistakes(job)


def checked_choices(
    loaded: LoadedJob, store: Store, *, fetch: bool, site: Site | None = None
) -> dict[Role, Choice]:
    """The models of a job in which nothing else is wrong either; with ``fetch`` their weights are
    brought here. Raises JobFileError with every mistake at its place."""
    job = loaded.job
    problems = loaded.placed(
        [*photo_mistakes(job), *stage_mistakes(job), *provenance_mistakes(job)]
    )
    try:
        choices = choose_models(loaded, store, fetch=fetch and not problems, site=site)
    except JobFileError as error:
        problems += error.problems
    if problems:
        raise JobFileError(problems)
    return choices


def check_photos(loaded: LoadedJob) -> None:
    """Raise JobFileError where the names of results could not be told."""
    problems = loaded.placed(photo_mistakes(loaded.job))
    if problems:
        raise JobFileError(problems)

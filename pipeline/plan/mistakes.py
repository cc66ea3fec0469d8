"""What a schema cannot know to be wrong: formats, models and stages that are not there."""

from __future__ import annotations

from collections.abc import Iterator

from restore_batch.errors import JobFileError
from restore_batch.jobs.mistakes import Mistake
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.plan.choose import model_mistakes
from restore_batch.pipeline.plan.photos import photo_mistakes
from restore_batch.pipeline.plan.stages import stage_mistakes


def planned_mistakes(job: Job) -> Iterator[Mistake]:
    """All that is wrong with a job whatever its inputs are and whatever weights are here."""
    yield from photo_mistakes(job)
    yield from stage_mistakes(job)
    yield from model_mistakes(job)


def check_job(loaded: LoadedJob) -> None:
    """Raise JobFileError with every such mistake, each at its place."""
    problems = loaded.placed(planned_mistakes(loaded.job))
    if problems:
        raise JobFileError(problems)

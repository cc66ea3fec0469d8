"""Provenance in a plan: who signs, tried before anything runs, and what cannot be signed."""

from __future__ import annotations

from collections.abc import Iterator

from restore_batch.jobs.mistakes import Mistake
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.plan.choose import Choice
from restore_batch.stages.credentials.sign import try_signer, why_unsigned
from restore_batch.stages.credentials.signer import SignerError


def provenance_mistakes(job: Job) -> Iterator[Mistake]:
    """What is wrong with the certificate or the key that a job signs with."""
    if job.provenance.sign is None:
        return
    try:
        try_signer(job.provenance.sign)
    except SignerError as error:
        option = f".{error.option}" if error.option else ""
        yield Mistake(f"provenance.sign{option}", str(error))


def provenance_notes(job: Job, output: str) -> tuple[str, ...]:
    """Why the result at ``output`` will not be signed though a job signs, in a line."""
    reason = why_unsigned(output) if job.provenance.sign is not None else ""
    return (reason,) if reason else ()


def unmarked_notes(job: Job, restorer: Choice | None) -> tuple[str, ...]:
    """Where people are invented and no result will say so, in a line."""
    card = restorer.card if restorer is not None else None
    if job.provenance.metadata or card is None or not card.imagines:
        return ()
    return (f"{card.name} imagines faces, and no result will say so (provenance.metadata)",)

"""A job tried on pieces of a few photos: what they look like before and after, and how long all of
it would take, from what these took.

The job is the same but for its inputs and its output, which is a folder that goes away.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from restore_batch.errors import UsageError
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job, Photos
from restore_batch.pipeline.begin.pieces import Piece, cut_pieces
from restore_batch.pipeline.begin.sample import Seen, look, most_different, photos_of, spread
from restore_batch.pipeline.compare.comparison import ComparisonPlan
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import RunOptions, plan_job, run_job
from restore_batch.text import plural

_LOOKED_AT_EACH = 2
"""Photos that are looked at for each one that is tried."""


@dataclass(frozen=True)
class Tried:
    """``after``: the results of ``pieces``, None where one failed, for ``failed``: why, by the name
    of its photo. ``seconds``: that all photos of the job would take, None where nothing was
    restored. ``films``: how many there are, which are not in it."""

    pieces: Sequence[Piece]
    after: Sequence[Path | None]
    failed: Mapping[str, str]
    seconds: float | None
    photos: int
    films: int


@contextmanager
def trial(
    loaded: LoadedJob, number: int, side_px: int, tell: Callable[[str], None]
) -> Iterator[Tried]:
    """Try a job on ``number`` of its photos. Within, the pieces and results are there to look at.

    ``tell`` is given a line before each step that takes long. Raises UsageError where there is
    nothing to try, JobFileError, and what ends a run.
    """
    plan = plan_job(loaded, "some")
    if isinstance(plan, ComparisonPlan):
        raise UsageError("a preview is of one restorer, and this job compares several; run it")
    photos = photos_of(plan)
    if not photos:
        raise UsageError(
            "a preview is of photos, and there is none that can be restored; of films"
            " `restore-batch run … --preview 3s` restores some seconds"
        )
    in_all = round(len(photos) * plan.stands_for)
    candidates = spread(photos, _LOOKED_AT_EACH * number)
    tell(f"looking at {len(candidates)} of {plural(in_all, 'photo')}")
    seen = look(plan, candidates)
    chosen = most_different(seen, number)
    with tempfile.TemporaryDirectory(prefix="restore-batch-preview-") as folder:
        originals, results = Path(folder, "in"), Path(folder, "out")
        originals.mkdir()
        pieces = cut_pieces(chosen, originals, side_px, plan.job.limits.max_megapixels)
        if not pieces:
            raise UsageError("none of the photos that were looked at can be read")
        tell(f"restoring pieces of {plural(len(pieces), 'photo')}")
        summary = run_job(_of_pieces(loaded.job, originals, results), Unwatched(), RunOptions())
        if summary.interrupted:
            raise KeyboardInterrupt
        if summary.aborted:
            raise UsageError(f"the preview was given up: {summary.aborted}")
        after = [results / piece.path.name for piece in pieces]
        by_path = {str(piece.path): piece.seen.item.source.relative for piece in pieces}
        yield Tried(
            pieces,
            [path if path.is_file() else None for path in after],
            {by_path.get(source, source): reason for source, _, reason in summary.failed},
            _seconds(plan, seen, pieces, summary) if summary.done else None,
            in_all,
            sum(item.is_film and not item.error for item in plan.items),
        )


def _of_pieces(job: Job, originals: Path, results: Path) -> LoadedJob:
    changes = {"inputs": (str(originals),), "output": results, "exclude": (), "report": False,
               "on_error": "skip", "photos": Photos()}  # fmt: skip
    return LoadedJob(job.model_copy(update=changes))


def _seconds(
    plan: Plan, seen: Sequence[Seen], pieces: Sequence[Piece], summary: Summary
) -> float | None:
    """What all photos take all workers together: work on pictures by their megapixels, work on
    faces by how many there are in the photos that were looked at."""
    stages = {stage.name: stage for group in plan.groups for stage in group.stages}
    photos = photos_of(plan)
    restored_mp = sum(piece.megapixels for piece in pieces)
    by_size = plan.stands_for * sum(item.megapixels for item in photos) / restored_mp
    faces = plan.stands_for * len(photos) * sum(len(each.faces) for each in seen) / len(seen)
    by_faces = faces / summary.faces if summary.faces else 0.0
    spent = 0.0
    for name, busy_s in summary.busy.items():
        stage = stages.get(name)
        spent += busy_s * (by_faces if stage is not None and stage.of_faces else by_size)
    return spent / plan.share.workers

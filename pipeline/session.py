"""From a job file to a finished run: what the command line and the Python API both do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from restore_batch.jobs.inputs import SourceFile
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import FOLDER, output_folders, results_of
from restore_batch.jobs.source import LoadedJob, Overrides, load_job
from restore_batch.jobs.spec import Job
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.compare.comparison import (
    ComparisonPlan,
    open_comparison,
    plan_comparison,
)
from restore_batch.pipeline.drive.run import Run
from restore_batch.pipeline.drive.summary import Summary, Watcher
from restore_batch.pipeline.engine.opening import site_of, with_sight
from restore_batch.pipeline.plan.headers import (
    HeaderReaders,
    ProbeCache,
    ProbeKeys,
    is_unreadable,
)
from restore_batch.pipeline.plan.items import Headers
from restore_batch.pipeline.plan.mistakes import planned_mistakes
from restore_batch.pipeline.plan.plan import Plan, make_plan
from restore_batch.pipeline.plan.resources import Site

Progress = Callable[..., None]
_SOURCES_AT_ONCE = 500
"""Whose headers are asked for together."""


@dataclass(frozen=True)
class RunOptions:
    """What a run may be told beside its job. ``verify``: read every original again and every
    result that is there; ``retry``: try again what failed before."""

    verify: bool = False
    retry: bool = False


def read_job(path: str | os.PathLike[str], overrides: Overrides = ()) -> LoadedJob:
    """A job file as :func:`restore_batch.jobs.source.load_job` reads it. Raises JobFileError with
    the mistakes of the schema and those in models' names and options at once."""
    return load_job(path, overrides, planned_mistakes)


def store_for(job: Job, progress: Any = None) -> Store:
    """The weights of a job, as its ``weights`` section says."""
    weights = job.weights
    return Store(
        Path(weights.dir) if weights.dir else None,
        download=weights.download,
        mirrors=weights.mirrors,
        accept_licences=weights.accept_licences,
        progress=progress,
    )


class Runnable(Protocol):
    """A run that is ready to go: of a job, or of a comparison."""

    def drain(self) -> None:
        """Finish what is in flight and stop."""
        ...

    def execute(self) -> Summary:
        """Do all pending work."""
        ...


def plan_job(loaded: LoadedJob, headers: Headers = "all") -> Plan | ComparisonPlan:
    """Plan without touching the output folder, and no network but that of a job's cluster.
    ``headers``: which are read; in a comparison all are."""
    with site_of(loaded.job) as site:
        plan = _plan(loaded, store_for(loaded.job), site, fetch=False, headers=headers)
        return plan if isinstance(plan, ComparisonPlan) else with_sight(plan)


@contextmanager
def open_run(
    loaded: LoadedJob, watcher: Watcher, options: RunOptions, progress: Any = None
) -> Iterator[Runnable]:
    """Take the output folder, finish what an earlier run left half-way, and plan the rest."""
    # Planned before any folder is made: a job with mistakes leaves nothing behind.
    store = store_for(loaded.job, progress)
    with ExitStack() as held:
        # They take a moment to start; where nothing was run yet there will be headers to read.
        is_first = not any((each / FOLDER).exists() for each in output_folders(loaded.job).values())
        soon = is_first and not loaded.job.restore.compare
        readers = held.enter_context(HeaderReaders(loaded.job, soon=soon))
        site = held.enter_context(site_of(loaded.job))
        plan = _plan(
            loaded, store, site, fetch=True, retry=options.retry, read_again=options.verify,
            headers="later", readers=readers,
        )  # fmt: skip
        if isinstance(plan, ComparisonPlan):
            yield held.enter_context(
                open_comparison(plan, watcher, verify=options.verify, retry=options.retry)
            )
            return
        manifest = held.enter_context(Manifest.open(plan.output_dir, results_of(plan.job)))
        manifest.recover()
        if options.retry:
            manifest.forget_failures()
        yield Run(
            plan, manifest, watcher, verify=options.verify, retry=options.retry, readers=readers
        )


def run_job(loaded: LoadedJob, watcher: Watcher, options: RunOptions) -> Summary:
    """Run a job to its end."""
    with open_run(loaded, watcher, options) as run:
        return run.execute()


def _plan(
    loaded: LoadedJob,
    store: Store,
    site: Site,
    *,
    fetch: bool,
    retry: bool = False,
    read_again: bool = False,
    headers: Headers = "all",
    readers: HeaderReaders | None = None,
) -> Plan | ComparisonPlan:
    compares = bool(loaded.job.restore.compare)
    make: Callable[..., Plan | ComparisonPlan]
    make = plan_comparison if compares else partial(make_plan, headers=headers, readers=readers)
    make = partial(make, site=site)
    if read_again:
        return make(loaded, store, fetch=fetch)
    # What an earlier run noted of the originals; in a comparison every restorer's manifest did.
    existing = Manifest.read(next(iter(output_folders(loaded.job).values())))
    if existing is None:
        return make(loaded, store, fetch=fetch)
    with existing:
        return make(loaded, store, fetch=fetch, probed=_probe_cache(existing, loaded.job, retry))


def _probe_cache(manifest: Manifest, job: Job, retry: bool) -> ProbeCache:
    def known(sources: Sequence[SourceFile]) -> Iterator[Mapping[str, Any] | None]:
        probes = ProbeKeys(job)
        for first in range(0, len(sources), _SOURCES_AT_ONCE):
            asked = [
                (each.source, each.stamp, probes.of(each.source))
                for each in sources[first : first + _SOURCES_AT_ONCE]
            ]
            for header in manifest.noted_headers(asked):
                again = retry and header is not None and is_unreadable(header)
                yield None if again else header

    return known

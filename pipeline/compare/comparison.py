"""Several restorers on the same pictures: a run for each, then a contact sheet a picture.

Every restorer has a folder of its name below the output, with a manifest of its own: it is
planned, committed, resumed and locked as any job. The sheets are in a folder beside them, with a
manifest that knows which results each was made of, so that only those are drawn again whose
results changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from restore_batch import __version__
from restore_batch.errors import JobFileError, Problem
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import SHEETS, assign_outputs, output_folders
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.units import Unit
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.compare.sheets import SHEET_STAGE, Sheets
from restore_batch.pipeline.drive.run import Run
from restore_batch.pipeline.drive.summary import Summary, Watcher
from restore_batch.pipeline.engine.backend import Outcome
from restore_batch.pipeline.plan.headers import ProbeCache
from restore_batch.pipeline.plan.items import Inputs, Item, find_items
from restore_batch.pipeline.plan.plan import Plan, make_plan
from restore_batch.pipeline.plan.resources import Site
from restore_batch.text import plural


@dataclass(frozen=True)
class ComparisonPlan:
    """The plans of all restorers, by the names of their folders. ``sheets``: the path of each
    item's contact sheet, relative to ``sheets_dir``."""

    loaded: LoadedJob
    items: tuple[Item, ...]
    systems: Mapping[str, Plan]
    sheets: tuple[str, ...]

    @property
    def output_dir(self) -> Path:
        return Path(self.loaded.job.output)

    @property
    def sheets_dir(self) -> Path:
        return self.output_dir / SHEETS


@dataclass
class ComparisonSummary(Summary):
    """The runs of all restorers as one: an item counts once for each of them.

    ``sheets``: contact sheets drawn, ``sheets_unchanged``: those that were there already,
    ``without_faces``: pictures that have none. Sheets that failed are among ``failed``.
    """

    sheets: int = 0
    sheets_unchanged: int = 0
    sheets_failed: int = 0
    without_faces: int = 0

    @property
    def left(self) -> int:
        """Results that this run did not come to."""
        return super().left + self.sheets_failed

    def closing(self) -> str:
        """One line on the sheets."""
        text = f"{self.sheets} contact sheets drawn, {self.sheets_unchanged} unchanged"
        if self.without_faces:
            text += f"; none for {plural(self.without_faces, 'picture')} without faces"
        return f"{text}; they are in {self.output_dir / SHEETS}"


# --- planning ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _SystemJob(LoadedJob):
    """The job of one restorer; its mistakes are reported where the comparison names it."""

    number: int = 0

    def problem(self, path: str, message: str, *, at_key: bool = False) -> Problem:
        section, _, option = path.partition(".")
        if section == "restore" and option.partition(".")[0] in ("model", "options"):
            path = f"restore.compare.{self.number}.{option}"
        return super().problem(path, message, at_key=at_key)


def split(loaded: LoadedJob) -> dict[str, LoadedJob]:
    """The job of each restorer compared, by the name of its folder."""
    job, given = loaded.job, {f.name: getattr(loaded, f.name) for f in fields(loaded)}
    jobs: dict[str, LoadedJob] = {}
    for number, system in enumerate(job.restore.compare):
        restore = job.restore.model_copy(
            update={"model": system.model, "options": dict(system.options), "compare": ()}
        )
        one = job.model_copy(
            update={
                "restore": restore,
                "output": Path(job.output) / system.folder,
                "report": False,
            }
        )
        jobs[system.folder] = _SystemJob(**{**given, "job": one, "number": number})
    return jobs


def plan_comparison(
    loaded: LoadedJob,
    store: Store,
    *,
    fetch: bool,
    probed: ProbeCache | None = None,
    site: Site | None = None,
) -> ComparisonPlan:
    """Plan all restorers, as ``make_plan`` does. Raises JobFileError with the mistakes of all of
    them at once."""
    inputs = Inputs()
    problems: list[Problem] = []
    systems: dict[str, Plan] = {}
    try:
        # Against the folder of all results: one restorer's are no input of another.
        inputs = find_items(loaded, probed)
    except JobFileError as error:
        problems += error.problems
    for name, one in split(loaded).items():
        try:
            systems[name] = make_plan(one, store, fetch=fetch, inputs=inputs, site=site)
        except JobFileError as error:
            problems += error.problems
    if problems:
        raise JobFileError(list(dict.fromkeys(problems)))
    planned = next(iter(systems.values())).items
    names = [(item.source.relative, ".jpg") for item in planned]
    return ComparisonPlan(loaded, planned, systems, tuple(assign_outputs(names)))


# --- running -----------------------------------------------------------------------------------


@contextmanager
def open_comparison(
    plan: ComparisonPlan, watcher: Watcher, *, verify: bool, retry: bool
) -> Iterator[Comparison]:
    """Take all folders of a comparison and finish what an earlier run left half-way in them."""
    with ExitStack() as opened:
        manifests = {
            name: opened.enter_context(Manifest.open(folder))
            for name, folder in output_folders(plan.loaded.job).items()
        }
        for manifest in manifests.values():
            manifest.recover()
            if retry:
                manifest.forget_failures()
        yield Comparison(plan, manifests, watcher, verify=verify)


class Comparison:
    """One run of a comparison, with the interface of a :class:`Run`."""

    def __init__(
        self,
        plan: ComparisonPlan,
        manifests: Mapping[str, Manifest],
        watcher: Watcher,
        *,
        verify: bool,
    ) -> None:
        self._plan, self._manifests, self._verify = plan, manifests, verify
        self._drained = False
        self._current: Run | None = None
        total = len(plan.items) * len(plan.systems)
        passed_over = next(iter(plan.systems.values())).passed_over
        self.summary = ComparisonSummary(plan.output_dir, total=total, passed_over=passed_over)
        self._joint = _Joint(plan, watcher, self.summary)

    def drain(self) -> None:
        """Finish what workers are at and stop; the rest stays for the next run."""
        self._drained = True
        if self._current is not None:
            self._current.drain()

    def execute(self) -> ComparisonSummary:
        """Run all restorers, then draw the sheets. Raises what ends a run as a whole."""
        summary = self.summary
        began = time.monotonic()
        for name, plan in self._plan.systems.items():
            if self._drained:
                break
            run = Run(plan, self._manifests[name], self._joint, verify=self._verify)
            self._current = run
            self._joint.follow(name)
            self._joint.absorb(run.execute())
            if summary.interrupted or summary.aborted:
                break
        summary.interrupted = not summary.aborted and summary.left > 0
        if not (summary.interrupted or summary.aborted):
            self._draw_sheets()
        summary.seconds = time.monotonic() - began
        return summary

    def _draw_sheets(self) -> None:
        summary, manifest = self.summary, self._manifests[SHEETS]
        loaded = self._plan.loaded
        manifest.begin_run(__version__, loaded.name, loaded.job.model_dump(mode="json"), [])
        sheets = Sheets(self._plan.items, self._plan.sheets, self._plan.systems, manifest)
        try:
            for outcome in sheets.make(lambda: self._drained, verify=self._verify):
                setattr(summary, outcome.counted_as, getattr(summary, outcome.counted_as) + 1)
                if outcome.error:
                    source = outcome.item.source.source
                    summary.failed.append((source, SHEET_STAGE, outcome.error))
        except KeyboardInterrupt:
            self._drained = True
        summary.interrupted = self._drained
        manifest.end_run("interrupted" if self._drained else "finished")


class _Joint:
    """Shows the runs of all restorers to one watcher as a single run."""

    def __init__(self, plan: ComparisonPlan, watcher: Watcher, summary: ComparisonSummary) -> None:
        self._plan, self._watcher, self._summary = plan, watcher, summary
        self._begun = False
        self._name = ""
        self._before = Summary(plan.output_dir)
        self._failed = self._warned = 0
        self._known: set[tuple[str, str]] = set()

    def follow(self, name: str) -> None:
        """The run of restorer ``name`` is next."""
        self._name = name
        self._before = replace(self._summary, busy=dict(self._summary.busy))
        self._failed = self._warned = 0

    def begin(self, plan: Plan, summary: Summary) -> None:
        """Said once: the plans differ in their restorer only."""
        if not self._begun:
            self._begun = True
            self._watcher.begin(replace(plan, loaded=self._plan.loaded), self._summary)

    def started(self, unit: Unit) -> None:
        self._watcher.started(self._named(unit))

    def ended(self, unit: Unit) -> None:
        self._watcher.ended(self._named(unit))

    def update(self, outcome: Outcome, summary: Summary) -> None:
        self.absorb(summary)
        self._watcher.update(replace(outcome, unit=self._named(outcome.unit)), self._summary)

    def absorb(self, part: Summary) -> None:
        """Bring the joint summary up to date with the current run's."""
        whole, before = self._summary, self._before
        for count in ("done", "unchanged", "faces", "segments", "segments_done"):
            setattr(whole, count, getattr(before, count) + getattr(part, count))
        for stage, seconds in part.busy.items():
            whole.busy[stage] = before.busy.get(stage, 0.0) + seconds
        for source, stage, reason in part.failed[self._failed :]:
            whole.failed.append((source, stage, f"{self._name}: {reason}"))
        # What is said of an original is said once, not once for each restorer.
        whole.warned += [w for w in part.warned[self._warned :] if w not in self._known]
        self._known.update(part.warned[self._warned :])
        self._failed, self._warned = len(part.failed), len(part.warned)
        whole.notes, whole.interrupted, whole.aborted = part.notes, part.interrupted, part.aborted

    def _named(self, unit: Unit) -> Unit:
        return replace(unit, output=f"{self._name}/{unit.output}")

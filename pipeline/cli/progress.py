"""What a run shows: a live view on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from restore_batch.jobs.labels import passed_over_line
from restore_batch.jobs.units import Join, Unit
from restore_batch.pipeline.cli.screen import Screen
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.engine.backend import Done, Outcome
from restore_batch.pipeline.engine.scheduler import DRAIN_S
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.text import duration, legible, plural

_AT_WORK_SHOWN = 4
_FAILURES_SHOWN = 50
_TIME_LEFT = f"what is in flight has {DRAIN_S:g} s to finish"


class Quiet(Unwatched):
    """Shows nothing while running; at the end only what failed."""

    def __init__(self) -> None:
        self.err = Screen(stderr=True)

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def download(self, *progress: Any) -> None:
        """Nothing."""

    def interrupted(self) -> None:
        """Nothing."""

    def finish(self, summary: Summary, job: str) -> None:
        """Failures to stderr."""
        for source, _, reason in summary.failed:
            self.err.say(_named(source, reason))
        if summary.aborted:
            self.err.say(f"aborted: {summary.aborted}")


class Plain(Quiet):
    """One line an item, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self.out = Screen()

    def begin(self, plan: Plan, summary: Summary) -> None:
        for note in summary.notes:
            self.say(f"note: {note}")
        self.say(f"{plural(summary.total, 'item')} to {plan.job.output}")

    def update(self, outcome: Outcome, summary: Summary) -> None:
        count = f"[{summary.done + summary.unchanged + len(summary.failed)}/{summary.total}]"
        self.say(f"{count} {_line(outcome)}")

    def download(self, *progress: Any) -> None:
        """Downloads are silent here: a log is no place for a bar."""

    def interrupted(self) -> None:
        self.say(f"interrupted: {_TIME_LEFT} (Ctrl-C again stops at once)")

    def say(self, text: str) -> None:
        """One line, whatever is in it."""
        self.out.say(text)

    def finish(self, summary: Summary, job: str) -> None:
        for source, text in summary.warned:
            self.say(f"warning: {_named(source, text)}")
        for source, _, reason in summary.failed[:_FAILURES_SHOWN]:
            self.say(f"failed: {_named(source, reason)}")
        if len(summary.failed) > _FAILURES_SHOWN:
            rest = len(summary.failed) - _FAILURES_SHOWN
            self.say(f"failed: {rest} more; `restore-batch status {job} --failed` lists them")
        for text in summary.earlier:
            self.say(f"note: {text}")
        passed_over = passed_over_line(summary.passed_over)
        if passed_over:
            self.say(passed_over)
        self.say(_closing(summary, job))


class LiveView(Plain):
    """Counts, faces, rate, time left, what is at work, and where the time goes."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"), console=self.out,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._live = Live(self, console=self.out, refresh_per_second=4, transient=True)
        self._at_work: dict[str, tuple[str, float]] = {}
        self._summary: Summary | None = None
        self._began = time.monotonic()
        self._stopping = False
        self._fetch = Progress(
            TextColumn("fetching {task.description}", markup=False), BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"), console=self.out,
        )  # fmt: skip
        self._fetching: dict[str, TaskID] = {}

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, plan: Plan, summary: Summary) -> None:
        super().begin(plan, summary)
        self._summary, self._began = summary, time.monotonic()
        self._task = self._bar.add_task("restoring", total=summary.total, detail="starting")
        self._live.start()

    def started(self, unit: Unit) -> None:
        self._at_work[unit.id] = (unit.label or unit.source, time.monotonic())

    def ended(self, unit: Unit) -> None:
        self._at_work.pop(unit.id, None)

    def update(self, outcome: Outcome, summary: Summary) -> None:
        self.ended(outcome.unit)
        if not isinstance(outcome, Done):
            self.say(_line(outcome))

    def download(self, *progress: Any) -> None:
        """(file name, bytes so far, bytes in all or None) from the weight store."""
        name, so_far, total = progress
        if name not in self._fetching:
            self._fetch.start()
            self._fetching[name] = self._fetch.add_task(str(name), total=total)
        self._fetch.update(self._fetching[name], completed=so_far, total=total)
        if total and so_far >= total:
            self._fetch.stop()

    def interrupted(self) -> None:
        self._stopping = True

    def __rich__(self) -> Group:
        summary = self._summary
        if summary is None or self._task is None:
            return Group()
        finished = summary.done + len(summary.failed)
        elapsed = time.monotonic() - self._began
        detail = plural(summary.faces, "face")
        if len(summary.failed):
            detail += f", {len(summary.failed)} failed"
        if summary.segments:
            detail += f", {summary.segments_done} of {plural(summary.segments, 'segment')}"
        # What cannot be read fails at once: it says nothing of how long the others take.
        if steps := summary.done + summary.segments_done:
            steps_left = summary.left + summary.segments_left
            detail += f", {steps / elapsed * 60:.1f}/min"
            detail += f", {duration(steps_left * elapsed / steps)} left"
        count = finished + summary.unchanged
        self._bar.update(self._task, completed=count, detail=detail)
        parts: list[Any] = [self._bar]
        now = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for source, since in sorted(self._at_work.values(), key=lambda w: w[1])[:_AT_WORK_SHOWN]:
            table.add_row("  ", Text(legible(source)[-60:]), duration(now - since))
        parts.append(table)
        if total := sum(summary.busy.values()):
            shares = sorted(summary.busy.items(), key=lambda entry: -entry[1])
            text = "  ".join(f"{name} {100 * spent / total:.0f}%" for name, spent in shares)
            parts.append(Text(f"  time spent: {text}", style="dim"))
        if self._stopping:
            text = f"  {_TIME_LEFT}; Ctrl-C again stops at once"
            parts.append(Text(text, style="yellow"))
        return Group(*parts)


def watcher_for(*, quiet: bool) -> Quiet | Plain | LiveView:
    """The view that fits where the output goes."""
    if quiet:
        return Quiet()
    return LiveView() if sys.stdout.isatty() else Plain()


def _line(outcome: Outcome) -> str:
    if not isinstance(outcome, Done):
        return f"failed: {outcome.unit.source} (why is said at the end)"
    chunk = outcome.chunk
    faces = sum(len(records) for records in chunk.records)
    spent = duration(sum(chunk.seconds.values()))
    name = outcome.unit.label or outcome.unit.output
    if isinstance(outcome.unit, Join):
        return f"{name}: joined, {spent}"
    return f"{name}: {plural(faces, 'face')}, {spent}"


def _named(source: str, message: str) -> str:
    # Messages are kept in the manifest as they are shown.
    source, message = legible(source), legible(message)
    return message if source in message else f"{source}: {message}"


def _closing(summary: Summary, job: str) -> str:
    if summary.aborted:
        return f"aborted: {summary.aborted}"
    where = f"results are in {summary.output or summary.output_dir}"
    if summary.interrupted:
        kept = ""
        if summary.segments_done:
            kept = f" ({plural(summary.segments_done, 'segment')} of films done and kept)"
        return (
            f"interrupted: {summary.done} restored, {summary.left} left{kept}; {where};"
            f" `restore-batch run {job}` goes on from here"
        )
    if not summary.done and not summary.failed:
        all_of_it = (
            "the result is" if summary.unchanged == 1 else f"all {summary.unchanged:,} results are"
        )
        return f"nothing to do: {all_of_it} there and unchanged; {where}"
    parts = [f"{summary.done:,} restored ({plural(summary.faces, 'face')})"]
    if summary.unchanged:
        parts.append(f"{summary.unchanged:,} unchanged")
    if summary.failed:
        again = f"`restore-batch retry {job}` tries them again"
        parts.append(f"{len(summary.failed):,} failed ({again})")
    return f"{', '.join(parts)} in {duration(summary.seconds)}; {where}"

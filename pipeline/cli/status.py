"""``restore-batch status``: what the manifest of a job says, also while it runs, and from machines
that have no more of it than the copy beside its results."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.interrupts import INTERRUPTED
from restore_batch.pipeline.cli.output import say, say_json
from restore_batch.pipeline.places import named, nothing_run, place_of
from restore_batch.text import duration, legible, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from restore_batch.jobs.manifest import Manifest
    from restore_batch.jobs.records import ItemAtWork, ItemStatus
    from restore_batch.pipeline.places import Place

_CUT_OFF = "was cut off"
_FAILED_LISTED = 20
_AT_WORK_SHOWN = 8
_LINE_S = 10.0
"""How often a watch says a line without a terminal."""
_LOOKING_SHARE = 0.1
"""Of its time that a watch may read the ledger, however long that is."""


@click.command()
@click.argument("job", type=click.Path())
@click.option("--all", "everything", is_flag=True, help="List every item.")
@click.option("--failed", is_flag=True, help="List everything that failed, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every item.")
@click.option(
    "--watch", is_flag=True, help="Go on showing it until the run ends; changes nothing of the run."
)
def status(job: str, everything: bool, failed: bool, as_json: bool, watch: bool) -> None:
    """Show what is done, at work, failed and left of JOB: a job file, an output folder, or the URL
    of results in a bucket.

    Where the job's state is on another machine, the copy beside the results says how far it was.
    """
    asked = named(job)
    if watch and (everything or failed or as_json):
        raise UsageError("--watch shows the whole run: leave out --all, --failed and --json")
    with ExitStack() as opened:
        place = opened.enter_context(place_of(asked))
        if watch:
            _watch(place)
        standing = _Standing(place, opened, place.goes_on)
        if not standing.manifests:
            raise nothing_run(job, asked.folder)
        listed = "failed" if failed else None
        seen = place.seen()
        if as_json:
            plain = {
                "output_dir": str(asked.folder),
                "copy": None if seen is None else asdict(seen),
                "counts": standing.counts,
                "left": standing.left,
                "at_work": [asdict(item) for item in standing.at_work],
                "items": [asdict(item) for item in standing.items(listed)],
                "last_run": standing.last_run,
            }
            say_json(plain)
            return
        if seen is not None:
            say(str(seen))
        if everything or failed:
            for item in standing.items(listed):
                _print(item.state, item)
        else:
            _print_summary(standing)
        _print_totals(standing)


class _Standing:
    """How far a job is: one manifest, or those of all restorers that it compares."""

    def __init__(self, place: Place, opened: ExitStack, goes_on: Callable[[], bool]) -> None:
        from restore_batch.jobs.manifest import Manifest

        self.as_of = place.now()
        self.manifests: dict[str, Manifest] = {}
        for name, folder in place.folders.items():
            if (manifest := Manifest.read(folder)) is not None:
                self.manifests[f"{name}/" if name else ""] = opened.enter_context(manifest)
        self.counts: Counter[str] = Counter()
        self.at_work: list[ItemAtWork] = []
        self.last_run: dict[str, Any] | None = None
        not_begun = 0
        for prefix, manifest in self.manifests.items():
            self.counts.update(manifest.counts())
            self.at_work += [
                replace(item, output=prefix + item.output) for item in manifest.at_work()
            ]
            self.last_run = manifest.last_run() or self.last_run
            not_begun += manifest.not_begun()
        self.outcome = ""
        """How the last run ended, if there was one."""
        if self.last_run is not None:
            self.outcome = self.last_run["outcome"] or ("is going on" if goes_on() else _CUT_OFF)
        if self.outcome == _CUT_OFF:
            self.at_work = []  # nobody is at it any more
        unfinished = self.counts["pending"] + self.counts["staged"]
        self.left = not_begun + max(0, unfinished - len(self.at_work))

    def items(self, state: str | None = None, most: int = -1) -> Iterator[ItemStatus]:
        """Items in ``state``, or all, of one manifest after another; at most ``most`` of each."""
        for prefix, manifest in self.manifests.items():
            for item in manifest.items(state, most):
                yield replace(item, output=prefix + item.output)


def _print_summary(standing: _Standing) -> None:
    for current in standing.at_work:
        begun = current.segments_done + current.segments_begun
        detail = f"segments done: {current.segments_done} of the {begun} begun" if begun else ""
        _print_line("at work", current.output, detail)
    failed = list(standing.items("failed", _FAILED_LISTED))[:_FAILED_LISTED]
    for item in failed:
        _print("failed", item)
    if more := standing.counts["failed"] - len(failed):
        say(f"… and {more} more that failed: --failed lists them")


def _print(state: str, item: ItemStatus) -> None:
    faces = plural(item.faces, "face")
    filled = f", {item.repaired:.2%} filled" if item.repaired else ""
    why = f"{item.stage}: {item.error}" if item.stage else item.error
    detail = f"{faces}{filled}" if state == "done" else why
    stand_in = f"; the original stands in: {item.stand_in}" if item.stand_in else ""
    _print_line(state, item.output, f"{detail}{stand_in}")


def _print_line(state: str, output: str, detail: str) -> None:
    say(f"{state:8} {output}  {detail}".rstrip())


def _print_totals(standing: _Standing) -> None:
    outcome = standing.outcome
    say(_counted(standing) + (f"; last run {outcome}" if outcome else ""))


def _counted(standing: _Standing) -> str:
    counts = standing.counts
    parts = [f"{counts[state]:,} {state}" for state in ("done", "failed") if counts[state]]
    parts += [f"{len(standing.at_work):,} at work"] if standing.at_work else []
    parts += [f"{standing.left:,} left"] if standing.left else []
    return ", ".join(parts) or "nothing begun"


# -- a run that goes on ---
def _watch(place: Place) -> None:
    """Show how a run goes until it ends, whatever ends it; where none goes on, say so."""
    view: _Lines | _Picture | None = None
    try:
        while place.goes_on():
            began = time.monotonic()
            if view is None:
                if (seen := place.seen()) is not None:
                    say(str(seen))
                view = _Picture() if sys.stdout.isatty() else _Lines()
            with ExitStack() as opened:
                standing = _Standing(place, opened, lambda: True)
                if standing.manifests:
                    view.show(standing)
            spent = time.monotonic() - began
            time.sleep(max(place.looks_s, spent / _LOOKING_SHARE))
    except KeyboardInterrupt:
        if view is not None:
            view.close()
        say("no longer watched; the run goes on")
        raise click.exceptions.Exit(INTERRUPTED) from None
    if view is None:
        say("no run is going on there (one that is still planning cannot be seen)")
    else:
        view.close()


class _Pace:
    """How fast items come to an end while they are watched."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def told(self, standing: _Standing) -> str:
        ended = standing.counts["done"] + standing.counts["failed"]
        if self._first is None:
            self._first = standing.as_of, ended
        since, before = self._first
        if ended <= before:
            return ""
        each_s = (standing.as_of - since) / (ended - before)
        left = duration((standing.left + len(standing.at_work)) * each_s)
        return f"{60 / each_s:.1f}/min, {left} left"


class _Lines:
    """A line now and then, where something has changed."""

    def __init__(self) -> None:
        self._pace = _Pace()
        self._said, self._said_at = "", float("-inf")

    def show(self, standing: _Standing) -> None:
        line, now = _counted(standing), time.monotonic()
        pace = self._pace.told(standing)
        if line != self._said and now - self._said_at >= _LINE_S:
            self._said, self._said_at = line, now
            say("; ".join(filter(None, (line, pace))))

    def close(self) -> None:
        """The totals follow."""


class _Picture:
    """A bar, the pace, and what is at work, drawn anew on a terminal."""

    def __init__(self) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from restore_batch.pipeline.cli.screen import Screen

        screen = Screen()
        self._pace = _Pace()
        self._bar = Progress(
            TextColumn("[bold]restoring"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"), console=screen,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, detail="")
        self._live = Live(console=screen, auto_refresh=False, transient=True)
        self._live.start()

    def show(self, standing: _Standing) -> None:
        ended = standing.counts["done"] + standing.counts["failed"]
        total = ended + standing.left + len(standing.at_work)
        failed = f"{standing.counts['failed']:,} failed" if standing.counts["failed"] else ""
        detail = ", ".join(filter(None, (failed, self._pace.told(standing))))
        self._bar.update(self._task, completed=ended, total=total, detail=detail)
        self._live.update(self._drawn(standing), refresh=True)

    def _drawn(self, standing: _Standing) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for item in standing.at_work[:_AT_WORK_SHOWN]:
            segments = item.segments_done + item.segments_begun
            detail = f"{item.segments_done} of {plural(segments, 'segment')}" if segments else ""
            table.add_row("  ", Text(legible(item.output)[-60:]), detail)
        if (more := len(standing.at_work) - _AT_WORK_SHOWN) > 0:
            table.add_row("  ", f"… and {more:,} more at work")
        return Group(self._bar, table)

    def close(self) -> None:
        self._live.stop()

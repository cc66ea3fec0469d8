"""``restore-batch run`` and ``retry``."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

import click

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.pipeline.cli.begin.asked import CommandInput, asks
from restore_batch.pipeline.cli.crash import crash_of_a_run
from restore_batch.pipeline.cli.interrupts import interruptible
from restore_batch.pipeline.cli.output import say, say_json
from restore_batch.pipeline.cli.streams import UNSHOWN, goes_on, lost
from restore_batch.pipeline.drive.summary import Summary

if TYPE_CHECKING:
    from restore_batch.jobs.spec import Job
    from restore_batch.pipeline.report.writing import Report

_REPORT_SHARE, _REPORT_LEAST_S = 0.1, 30.0
"""What previews may take at the end of a run, of the time that it took."""
_QUIET = click.option("--quiet", "-q", is_flag=True, help="Print nothing but failures.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON summary object.")
_NOTIFY = click.option(
    "--notify", "notifies", is_flag=True,
    help="Ring the terminal's bell at the end, and tell the desktop where there is one.",
)  # fmt: skip
_VERIFY = click.option(
    "--verify", is_flag=True,
    help="Read every original and every result that is there, and redo what changed.",
)  # fmt: skip
_PREVIEW = click.option(
    "--preview", metavar="SECONDS",
    help="Restore only some seconds of each film, where the most faces are (3s), to a folder"
    " `preview` in the output.",
)  # fmt: skip


@click.command()
@asks
@_QUIET
@_JSON
@_VERIFY
@_PREVIEW
@_NOTIFY
def run(
    asked: CommandInput,
    quiet: bool,
    as_json: bool,
    verify: bool,
    preview: str | None,
    notifies: bool,
) -> None:
    """Restore photos, films and folders, or everything a JOB file names; goes on where an earlier
    run ended.

    `restore-batch run scans -o scans-restored` restores a folder, and keeps what was asked for as
    a job file in its output.

    Exit codes: 0 all done, 1 some items failed, 2 wrong job or usage, 3 aborted,
    130 interrupted (run the same command again to go on).
    """
    if preview is not None:
        asked = _of_preview(asked, preview)
    _run(asked, quiet, as_json, verify=verify, again=False, notifies=notifies)


@click.command()
@asks
@_QUIET
@_JSON
@_NOTIFY
def retry(asked: CommandInput, quiet: bool, as_json: bool, notifies: bool) -> None:
    """Run again, as `run` does, with another try for what failed."""
    _run(asked, quiet, as_json, verify=False, again=True, notifies=notifies)


def _of_preview(asked: CommandInput, preview: str) -> CommandInput:
    try:
        seconds = float(preview.strip().removesuffix("s"))
    except ValueError:
        raise UsageError(f"--preview: expected seconds such as 3s, got {preview!r}") from None
    from restore_batch.jobs.path_options import as_written

    job = asked.read().loaded.job
    flags: list[tuple[str, str, object]] = [("--preview", "video.preview_s", seconds)]
    if job.state is not None:
        flags.append(("--preview", "state", as_written(f"{job.state}/preview")))
    return replace(asked, output=f"{job.output}/preview").with_flags(*flags)


def _run(
    asked: CommandInput, quiet: bool, as_json: bool, *, verify: bool, again: bool, notifies: bool
) -> None:
    from restore_batch.jobs.outputs import FOLDER, folder_of
    from restore_batch.pipeline.cli.progress import watcher_for
    from restore_batch.pipeline.compare.comparison import ComparisonSummary
    from restore_batch.pipeline.session import RunOptions, open_run

    goes_on("the run")
    watcher = watcher_for(quiet=quiet or as_json)
    job = asked.read()
    options = RunOptions(verify, again)
    folder = folder_of(job.loaded.job.output, job.loaded.job.state) / FOLDER
    with ExitStack() as to_the_end:
        to_the_end.enter_context(crash_of_a_run(folder))
        with open_run(job.loaded, watcher, options, watcher.download) as current:
            # Only now: a job that cannot be run leaves nothing behind.
            name = job.keep()

            def end() -> None:
                current.drain()
                watcher.interrupted()

            to_the_end.enter_context(interruptible(end))
            with watcher:
                summary = current.execute()
        _records(job.loaded.job, summary)
        is_comparison = isinstance(summary, ComparisonSummary)
        if not as_json:
            watcher.finish(summary, name)
            if isinstance(summary, ComparisonSummary) and not quiet:
                say(summary.closing())
        report = None if is_comparison else _report(job.loaded.job, summary)
        if as_json:
            page = None if report is None else str(report.page)
            say_json({**summary.as_dict(), "report": page})
        elif report is not None and not quiet:
            from restore_batch.pipeline.cli.report import lines

            for line in lines(report):
                say(line)
        if notifies:
            _notify(summary)
        _exit(summary, asked_for_json=as_json)


def _records(job: Job, summary: Summary) -> None:
    """The records that a job wants of a run that came to its end."""
    asked = job.provenance
    if summary.interrupted or summary.aborted or not (asked.crate or asked.premis):
        return
    from restore_batch.jobs.outputs import (
        CRATE,
        PREMIS_EVENTS,
        PREMIS_OBJECTS,
        SHEETS,
        output_folders,
    )
    from restore_batch.pipeline.provenance.writing import records_in, write_records

    wanted = {CRATE: asked.crate, PREMIS_OBJECTS: asked.premis, PREMIS_EVENTS: asked.premis}
    is_news = bool(summary.done or summary.failed)
    for name, folder in output_folders(job).items():
        there = {record: record in records_in(folder) or not wanted[record] for record in wanted}
        if name == SHEETS or (not is_news and all(there.values())):
            continue
        try:
            write_records(folder, crate=asked.crate, with_premis=asked.premis)
        except Exception as error:
            # As with a report: all results are there.
            told = str(error) if isinstance(error, RestoreBatchError) else repr(error)
            say(f"no record of provenance: {told}", err=True)


def _report(job: Job, summary: Summary) -> Report | None:
    """The report of a run that came to its end; None where none is wanted or can be written."""
    if not job.report or summary.interrupted or summary.aborted:
        return None
    from restore_batch.pipeline.report.writing import write_report

    within_s = max(_REPORT_LEAST_S, _REPORT_SHARE * summary.seconds)
    end = time.monotonic() + within_s
    asked = Event()
    try:
        with interruptible(asked.set):
            return write_report(
                summary.output_dir,
                is_stopped=lambda: asked.is_set() or time.monotonic() > end,
                longest_s=within_s,
            )
    except Exception as error:
        # All results are there: what cannot be shown is no failure of the run, whatever it is.
        told = str(error) if isinstance(error, RestoreBatchError) else repr(error)
        say(f"no report: {told}", err=True)
        return None


def _notify(summary: Summary) -> None:
    from restore_batch.pipeline.cli.begin.notify import notify

    state = "aborted" if summary.aborted else "interrupted" if summary.interrupted else "finished"
    counts = f"{summary.done:,} restored, {len(summary.failed):,} failed"
    notify(f"restore-batch: {state}", f"{counts}; {summary.output or summary.output_dir}")


def _exit(summary: Summary, *, asked_for_json: bool) -> None:
    code = summary.exit_code
    if asked_for_json and not code and lost():
        code = UNSHOWN  # the results are there, but a script would take nothing for an answer
    # The workers are gone and the manifest is closed; nothing is left to clean up.
    # Interpreter exit would only add ways to fail: a second Ctrl-C may have cut off a library's
    # own clean-up, and a thread of the local engine may still be freeing a network.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

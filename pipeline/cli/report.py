"""``restore-batch report``: a page to look at, of what was restored."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.interrupts import interruptible
from restore_batch.pipeline.cli.output import say, say_json
from restore_batch.pipeline.cli.status import nothing_run, places
from restore_batch.text import plural

if TYPE_CHECKING:
    from restore_batch.pipeline.report.writing import Progress, Report

_TOLD_EVERY_S = 5.0


@click.command()
@click.argument("output", type=click.Path())
@click.option("--to", "to", type=click.Path(), metavar="FOLDER",
              help="Write the report there instead of to OUTPUT/report.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(output: str, to: str | None, quiet: bool, as_json: bool) -> None:
    """Write a page that shows what was restored in OUTPUT (an output folder or a job file).

    Before and after of every picture and film, each face, warnings, failures, options, models. Open
    the page with any browser; nothing is asked of a network. A run may be going on. Ctrl-C ends
    the making of previews and writes the page with those that are there.
    """
    from restore_batch.jobs.outputs import SHEETS
    from restore_batch.pipeline.report.writing import write_report

    folder, found = places(output)
    found = {name: place for name, place in found.items() if name != SHEETS}
    begun = [place for place in found.values() if _was_run(place)]
    if not begun:
        raise nothing_run(output, folder)
    if to is not None and len(found) > 1:
        raise UsageError(f"{folder}: several restorers have results there; name one's folder")
    stopped = Event()
    written = []
    with interruptible(stopped.set, within_s=None):
        for place in begun:
            told = _told(quiet or as_json)
            target = None if to is None else Path(to)
            written.append(write_report(place, target, is_stopped=stopped.is_set, progress=told))
    if as_json:
        say_json({"reports": [plain(each) for each in written]})
        return
    for each in written:
        for line in lines(each, brief=quiet):
            say(line)


def _was_run(place: Path) -> bool:
    from restore_batch.jobs.history import History

    opened = History.read(place)
    if opened is None:
        return False
    opened.close()
    return True


def plain(written: Report) -> dict[str, object]:
    """A report as JSON says it."""
    return {
        "page": str(written.page), "items": written.items, "previews_made": written.made,
        "previews_left": written.left, "previews_failed": written.failed,
    }  # fmt: skip


def lines(written: Report, *, brief: bool = False) -> list[str]:
    """What is said of a report; the last line is its address."""
    said = []
    if written.left and not brief:
        said.append(
            f"the report lacks previews of {plural(written.left, 'item')};"
            f" `restore-batch report {written.page.parent.parent}` makes them"
        )
    if written.failed and not brief:
        said.append(
            f"of {plural(written.failed, 'item')} no previews can be made; the report says why"
        )
    return [*said, f"report: {written.page.absolute().as_uri()}"]


def _told(silent: bool) -> Progress:
    """A line every few seconds while previews are made."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if not silent and time.monotonic() - last > _TOLD_EVERY_S:
            last = time.monotonic()
            say(f"previews: {done:,} of {total:,}")

    return told

"""``restore-batch report``: a page to look at, of what was restored."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.interrupts import interruptible
from restore_batch.pipeline.cli.output import every_few_seconds, say, say_json
from restore_batch.pipeline.places import named, nothing_run, place_of
from restore_batch.text import plural

if TYPE_CHECKING:
    from restore_batch.pipeline.report.writing import Report


@click.command()
@click.argument("output", type=click.Path())
@click.option("--to", "to", type=click.Path(), metavar="FOLDER",
              help="Write the report there instead of to OUTPUT/report.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(output: str, to: str | None, quiet: bool, as_json: bool) -> None:
    """Write a page that shows what was restored in OUTPUT: an output folder, a job file, or the URL
    of results in a bucket.

    Before and after of every picture and film, each face, warnings, failures, options, models. Open
    the page with any browser; nothing is asked of a network. A run may be going on. Ctrl-C ends
    the making of previews and writes the page with those that are there.
    """
    from restore_batch.jobs.outputs import SHEETS, folder_of
    from restore_batch.pipeline.report.writing import write_report

    asked = named(output)
    stopped = Event()
    written = []
    with ExitStack() as opened:
        place = opened.enter_context(place_of(asked))
        found = {name: folder for name, folder in place.folders.items() if name != SHEETS}
        begun = [folder for folder in found.values() if _was_run(folder)]
        if not begun:
            raise nothing_run(output, asked.folder)
        if to is not None and len(found) > 1:
            raise UsageError(
                f"{asked.folder}: several restorers have results there; name one's folder"
            )
        seen = place.seen()
        if seen is not None and not (quiet or as_json):
            say(str(seen))
        opened.enter_context(interruptible(stopped.set, within_s=None))
        for folder in begun:
            told = every_few_seconds("previews", silent=quiet or as_json)
            target = None if to is None else Path(to)
            # A state that is elsewhere may be in a folder that is not mounted here.
            own = folder if seen is None else folder_of(asked.url)
            page = write_report(
                own, target, is_stopped=stopped.is_set, progress=told, ledger_dir=folder,
                place="" if seen is None else str(seen),
            )  # fmt: skip
            written.append(page)
    if as_json:
        copy = {} if seen is None else {"copy": asdict(seen)}
        say_json({"reports": [plain(each) for each in written], **copy})
        return
    for each in written:
        again = f"{output} --to {to}" if to is not None else output if seen is not None else ""
        for line in lines(each, brief=quiet, again=again):
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


def lines(written: Report, *, brief: bool = False, again: str = "") -> list[str]:
    """What is said of a report; the last line is its address. ``again``: with what `report` makes
    it again, by default the folder that it lies in."""
    said = []
    if written.left and not brief:
        said.append(
            f"the report lacks previews of {plural(written.left, 'item')};"
            f" `restore-batch report {again or written.page.parent.parent}` makes them"
        )
    if written.failed and not brief:
        said.append(
            f"of {plural(written.failed, 'item')} no previews can be made; the report says why"
        )
    return [*said, f"report: {written.page.absolute().as_uri()}"]

"""``restore-batch preview``: a job tried on a few photos."""

from __future__ import annotations

from pathlib import Path

import click

from restore_batch.pipeline.cli.begin.asked import CommandInput, asks
from restore_batch.pipeline.cli.output import say, say_json


@click.command()
@asks
@click.option("-n", "number", type=click.IntRange(1, 100), default=9, show_default=True,
              help="How many photos.")  # fmt: skip
@click.option("--side", "side_px", type=click.IntRange(64, 4096), default=384, show_default=True,
              metavar="PIXELS", help="Side of the piece that is restored of a large photo; where a"
              " face needs more, up to 2.5 times as much.")  # fmt: skip
@click.option("--to", "to", type=click.Path(path_type=Path), metavar="FILE",
              help="The sheet, a JPEG. [NAME-preview.jpg]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def preview(asked: CommandInput, number: int, side_px: int, to: Path | None, as_json: bool) -> None:
    """Restore pieces of a few photos, as different as there are, and show them on one sheet.

    Says how long all photos would take, by these. Nothing is written to the output of the job.
    """
    from restore_batch.pipeline.begin.trial import trial
    from restore_batch.pipeline.begin.trial_sheet import expect_free, write_sheet
    from restore_batch.text import duration, plural

    job = asked.read()
    name = Path(asked.arguments[0]).resolve().stem or "photos"
    path = Path(f"{name}-preview.jpg") if to is None else to
    expect_free(path)
    with trial(job.loaded, number, side_px, lambda line: say(line, err=True)) as tried:
        write_sheet(tried, f"{name}: before and after", path)
    if as_json:
        say_json(
            {
                "sheet": str(path.absolute()),
                "photos": [piece.seen.item.source.source for piece in tried.pieces],
                "failed": dict(tried.failed), "seconds_in_all": tried.seconds,
                "photos_in_all": tried.photos, "films_in_all": tried.films,
            }
        )  # fmt: skip
        return
    for source, reason in tried.failed.items():
        say(f"failed: {source}: {reason}")
    if tried.seconds is not None:
        photos = "1 photo" if tried.photos == 1 else f"all {tried.photos:,} photos"
        come = "comes" if tried.films == 1 else "come"
        films = f"; {plural(tried.films, 'film')} {come} on top" if tried.films else ""
        say(f"{photos} would take about {duration(tried.seconds)}, by what these took{films}")
    say(f"preview: {path.absolute().as_uri()}")

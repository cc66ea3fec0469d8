"""``restore-batch provenance`` and ``restore-batch bag``: what is handed over with results."""

from __future__ import annotations

from pathlib import Path

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.output import say
from restore_batch.pipeline.places import nothing_run, places
from restore_batch.text import plural


@click.command()
@click.argument("output", type=click.Path())
@click.option("--premis", "with_premis", is_flag=True,
              help="Write premis.xml and premis-events.csv, too.")  # fmt: skip
def provenance(output: str, with_premis: bool) -> None:
    """Describe what was made in OUTPUT (an output folder or a job file) for others: an RO-Crate.

    It becomes `ro-crate-metadata.json` in the folder, as a run writes it at its end.
    """
    from restore_batch.jobs.outputs import FOLDER, SHEETS
    from restore_batch.pipeline.provenance.writing import write_records

    folder, found = places(output)
    chosen = [place for name, place in found.items() if name != SHEETS]
    if not any((place / FOLDER).is_dir() for place in chosen):
        raise nothing_run(output, folder)
    for place in chosen:
        for path in write_records(place, with_premis=with_premis):
            say(str(path))


@click.command()
@click.argument("output", type=click.Path())
@click.option("--to", "-o", "to", type=click.Path(), metavar="FOLDER", required=True,
              help="The bag, a folder that is not there yet.")  # fmt: skip
@click.option(
    "--info", multiple=True, metavar="NAME=TEXT",
    help="A line of bag-info.txt, such as Source-Organization='City Archive'.",
)  # fmt: skip
def bag(output: str, to: str, info: tuple[str, ...]) -> None:
    """Copy a finished OUTPUT (an output folder or a job file) into a BagIt bag, and validate it.

    In it are the results, their records (RO-Crate, PREMIS) and the job, each compared with the
    checksum that is on record. Nothing in OUTPUT is touched, and no bag is ever overwritten.
    """
    from restore_batch.jobs.outputs import FOLDER
    from restore_batch.pipeline.provenance.bag import make_bag

    folder, found = places(output)
    if not any((place / FOLDER).is_dir() for place in found.values()):
        raise nothing_run(output, folder)
    if len(found) > 1:
        raise UsageError(f"{folder}: several restorers have results there; name one's folder")
    lines = dict(map(_line, info))
    made = make_bag(next(iter(found.values())), Path(to), lines)
    if made.failed:
        say(f"not in the bag, since without a result: {plural(made.failed, 'item')}", err=True)
    say(f"{made.path}: {plural(made.files, 'file')}, {plural(made.size_bytes, 'byte')}, valid")


def _line(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip() or ":" in name or "\n" in text:
        raise UsageError(f"--info: expected NAME=TEXT, got {text!r}")
    return name.strip(), value.strip()

"""``restore-batch repair-manifest``: a damaged manifest rebuilt, so that no result is lost."""

from __future__ import annotations

from pathlib import Path

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.output import say
from restore_batch.pipeline.places import places

_NAMED = 5


@click.command("repair-manifest")
@click.argument("output", type=click.Path())
def repair_manifest(output: str) -> None:
    """Rebuild the manifest of OUTPUT (an output folder or a job file) after damage or loss.

    Every result is read and compared with its recorded checksum. Those that are intact are not
    made again by the next run; nothing else in the folder is touched, and what is left of the
    old manifest is kept beside the new one.
    """
    folder, found = places(output)
    if not found:
        raise UsageError(f"{folder}: nothing was run there yet, so there is nothing to repair")
    for place in found.values():
        _repair(place)


def _repair(folder: Path) -> None:
    from restore_batch.jobs.proof.repair import repair

    def tell(text: str) -> None:
        say(f"{folder}: {text}")

    done = repair(folder)
    if done.aside is None:
        tell("the manifest is sound; nothing was changed")
        return
    tell(f"the manifest is rebuilt; {_count(done.taken, 'result')} proven and taken over")
    if done.again:
        what = _count(len(done.again), "result")
        tell(f"{what} missing or altered, for the next run to make again: {_named(done.again)}")
    if done.unproven:
        what = _count(len(done.unproven), "other file")
        tell(f"{what} that nothing proves to be of this job, left alone: {_named(done.unproven)}")
    tell(f"what was there is kept in {done.aside}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _named(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")

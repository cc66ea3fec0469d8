"""``restore-batch degrade``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.output import say
from restore_batch.pipeline.cli.streams import goes_on
from restore_batch.text import plural


@click.command()
@click.argument("inputs", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A folder.")
@click.option("--recipe", "-r", help="How: --list names all.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="The same seed makes the same damage.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="List the recipes.")
@click.option("--quiet", "-q", is_flag=True, help="Print failures only.")
def degrade(
    inputs: tuple[str, ...],
    output: Path | None,
    recipe: str | None,
    seed: int,
    listed: bool,
    quiet: bool,
) -> None:
    """Make bad pictures of good ones, to restore and to compare with `evaluate`.

    INPUTS are pictures, folders or patterns. Writes a PNG of each and degraded.json, which records
    what was drawn for it. Exit codes: 0 all made, 1 some failed, 2 wrong usage.
    """
    from restore_batch.pipeline.evaluate.degrading import degrade_folder, recipes

    if listed:
        for name, title, source in recipes():
            say(f"{name:12} {title} ({source})")
        return
    if not inputs or output is None or recipe is None:
        raise UsageError("expected INPUTS -o FOLDER --recipe NAME; --list names the recipes")
    goes_on("the work")
    done = degrade_folder(inputs, output, recipe, seed)
    for _, reason in done.failed:
        say(f"restore-batch: {reason}", err=True)
    if not quiet:
        made = plural(len(done.made), "picture")
        say(f"{made} made bad by {recipe}, seed {seed}; see {done.record}")
    if done.failed:
        sys.exit(1)

"""``restore-batch crops``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from restore_batch.pipeline.cli.output import say
from restore_batch.pipeline.cli.streams import goes_on
from restore_batch.text import plural


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="A folder.")
@click.option("--side", type=click.IntRange(32, 2048), default=256, show_default=True,
              help="Side of the crops in pixels.")  # fmt: skip
@click.option("--least", type=click.IntRange(16), default=128, show_default=True,
              help="Leave out faces whose crop is narrower in the picture, in pixels.")  # fmt: skip
@click.option("--detector", default="auto", show_default=True, help="A model that finds faces.")
@click.option("--quiet", "-q", is_flag=True, help="Print failures only.")
def crops(
    inputs: tuple[str, ...], output: Path, side: int, least: int, detector: str, quiet: bool
) -> None:
    """Cut the faces out of INPUTS (pictures, folders, patterns), aligned as restorers want them.

    Writes a PNG of each face and faces.csv, which lists them with their sharpness, sharpest
    first: the best of them are what `restore-batch train` learns from. Crops that are there
    already are kept. Exit codes: 0 all read, 1 some pictures failed, 2 wrong usage.
    """
    from restore_batch.pipeline.training.face_crops import INDEX, collect_faces

    goes_on("the work")

    def seen(source: str) -> None:
        if not quiet:
            say(source, err=True)

    done = collect_faces(inputs, output, side_px=side, least_px=least, detector=detector, seen=seen)
    for source, reason in done.failed:
        say(f"restore-batch: {reason if source in reason else f'{source}: {reason}'}", err=True)
    if not quiet:
        kept = f", {done.kept} of them there already" if done.kept else ""
        say(f"{plural(len(done.crops), 'face')}{kept}; listed in {output / INDEX}")
    if done.failed:
        sys.exit(1)

"""``restore-batch init``: a job file from what is in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.output import say

_LOOK_AT = 12


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "to", type=click.Path(path_type=Path), metavar="FILE",
              help="The job file. [FOLDER.yaml, here]")  # fmt: skip
@click.option("--faces", "look_at", type=click.IntRange(0), default=_LOOK_AT, show_default=True,
              metavar="NUMBER", help="In how many photos to look for faces.")  # fmt: skip
def init(folder: Path, to: Path | None, look_at: int) -> None:
    """Look at what is in FOLDER and write a job file for it, with comments that say why each option
    is as it is.

    `run`, `plan` and `preview` take it as it is. A file that is there is never replaced.
    """
    from restore_batch.jobs.path_options import as_written
    from restore_batch.pipeline.begin.job_file import job_file
    from restore_batch.pipeline.begin.survey import survey

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; name one with photos or films in it")
    source = folder.resolve()
    path = Path(f"{source.name or 'photos'}.yaml") if to is None else to
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already; name another file with --to")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: its folder is not there; make it, or name another with --to")
    # Beside the job file, but never among the originals.
    base = path.absolute().parent.resolve()
    beside = source if base.is_relative_to(source) else base / source.name
    output = beside.with_name(f"{source.name or 'photos'}-restored")
    found = survey(source, output, look_at, lambda line: say(line, err=True))
    names = [_relative(each, base) for each in (source, output)]
    inputs, results = map(as_written, names)
    text = job_file(found, str(path), [inputs], results)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already; name another file with --to") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        say(line.removeprefix("#").strip())
    say(f"job file: {path}")


def _relative(path: Path, base: Path) -> str:
    """``path`` as a job file in ``base`` says it: relative where that leads down, or next to it."""
    relative = os.path.relpath(path, base)
    return str(path) if relative.startswith(os.path.join("..", "..")) else relative  # noqa: PTH118

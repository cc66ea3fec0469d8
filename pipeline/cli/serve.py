"""``restore-batch serve``: the report of a run while it goes on."""

from __future__ import annotations

import contextlib
import os
from threading import Event

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.interrupts import interruptible
from restore_batch.pipeline.cli.output import say
from restore_batch.pipeline.places import nothing_run, places

_NICE = 5
"""Behind the run that is looked at, and not so far that its news come late."""


@click.command()
@click.argument("output", type=click.Path())
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Listen there; other machines then need the token in the address.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), metavar="NUMBER",
              help="Listen on this port.  [default: 8765, or another that is free]")  # fmt: skip
@click.option("--token", "with_token", is_flag=True,
              help="Ask for a token here too: others have accounts on this machine.")  # fmt: skip
def serve(output: str, host: str, port: int | None, with_token: bool) -> None:
    """Show OUTPUT (an output folder or a job file) in a browser, also while a run goes on.

    The page of `report`, told of every result as it comes: counts, pace, what is at work. It only
    looks on; nothing is written to OUTPUT. Ctrl-C ends it, and no run.
    """
    from restore_batch.jobs.outputs import FOLDER, SHEETS
    from restore_batch.pipeline.serve.server import served

    folder, found = places(output)
    begun = [place for name, place in found.items() if name != SHEETS and (place / FOLDER).is_dir()]
    if not begun:
        raise nothing_run(output, folder)
    if len(begun) > 1:
        raise UsageError(
            f"{folder}: several restorers have results there; name one's folder, such as {begun[0]}"
        )
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    ended = Event()
    with interruptible(ended.set), served(begun[0], host, port, with_token=with_token) as address:
        say(f"{begun[0]}: {address}")
        say("Ctrl-C ends this, and no run")
        ended.wait()

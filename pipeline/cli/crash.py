"""What is said of an error that nobody has foreseen: where its log is, and how to go on."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import click

from restore_batch import __version__
from restore_batch.errors import RestoreBatchError
from restore_batch.pipeline.cli.output import say

CRASHED = RestoreBatchError.exit_code
"""Not Python's own 1: a run says by it that some items have failed."""
_PACKAGES = ("ray", "torch", "torchvision", "av", "opencv-python", "numpy", "pillow")
"""Whose versions say most of what may have gone wrong."""


class RunCrashedError(Exception):
    """A run has met an error that nobody has foreseen, its cause. ``folder``: of its manifest."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


@contextmanager
def crash_of_a_run(folder: Path) -> Iterator[None]:
    """Raise RunCrashedError for an unforeseen error within."""
    try:
        yield
    except (RestoreBatchError, click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        raise RunCrashedError(folder) from error


def say_crashed(error: Exception, arguments: Sequence[str]) -> None:
    """Write the log of ``error``, met by a command with ``arguments``, and say where it is."""
    run = error if isinstance(error, RunCrashedError) else None
    cause = error.__cause__ if run is not None and error.__cause__ is not None else error
    text = _log(cause, arguments)
    place = _written(text, run.folder if run is not None else None)
    told = " ".join(f"{type(cause).__name__}: {cause}".split())
    say(f"restore-batch: a fault of its own, not of your files: {told}", err=True)
    if place is None:
        for line in text.splitlines():
            say(line, err=True)
    else:
        say(f"restore-batch: please report it; all about it is in {place}", err=True)
    if run is not None:
        say("restore-batch: what is done is kept; the same command goes on from there", err=True)


def _log(error: BaseException, arguments: Sequence[str]) -> str:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} is missing")
    lines = [
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        shlex.join(["restore-batch", *arguments]),
        f"restore-batch {__version__}, Python {sys.version.split()[0]}, {platform.platform()}",
        ", ".join(versions),
        "",
        *traceback.format_exception(error),
    ]
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"


def _written(text: str, folder: Path | None) -> Path | None:
    """Where the log lies now; beside the manifest, or where that cannot be written, elsewhere."""
    name = f"crash-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.log"
    places = [Path(tempfile.gettempdir()) / f"restore-batch-{name}"]
    if folder is not None and folder.is_dir():
        places.insert(0, folder / name)
    for place in places:
        try:
            # Never into what is there: others may write to the folder of temporary files.
            with place.open("x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return place
    return None

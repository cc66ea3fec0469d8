"""What commands print, a line at a time. Nothing else in this folder writes to the terminal.

A line is one line, whatever names, tags or words of others are in it: they can neither end it nor
make the terminal do anything. JSON is told apart by its own escapes.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import click

from restore_batch.text import legible

_EVERY_S = 5.0


def say(line: str, *, err: bool = False) -> None:
    """Print ``line``, on standard error with ``err``."""
    click.echo(legible(line), err=err)


def say_json(value: Any) -> None:
    """Print ``value`` as JSON in ASCII: a name that is not UTF-8 keeps its surrogate escapes."""
    click.echo(json.dumps(value, indent=2))


def every_few_seconds(what: str, *, silent: bool, err: bool = False) -> Callable[[int, int], None]:
    """Whoever is called with what is done and how much it is in all: a line now and then, such as
    ``previews: 20 of 300``; none where it is to be ``silent``."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if not silent and time.monotonic() - last > _EVERY_S:
            last = time.monotonic()
            say(f"{what}: {done:,} of {total:,}", err=err)

    return progress


def warn_in_lines() -> None:
    """From now on a Python warning, too, is a line: its text may be that of another package."""

    def one_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        return f"{category.__name__}: {legible(str(message))}\n"

    warnings.formatwarning = one_line

"""The command line, called in this process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from restore_batch.pipeline.cli.main import main


@dataclass(frozen=True)
class Called:
    """How a call ended and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


@contextmanager
def captured() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What is printed meanwhile, and what goes to standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        yield out, err


def call(*arguments: object) -> Called:
    """What ``restore-batch ARGUMENTS`` does."""
    with captured() as (out, err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return Called(ended.value.code or 0, out.getvalue(), err.getvalue())  # type: ignore[arg-type]

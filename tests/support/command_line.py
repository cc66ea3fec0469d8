"""The command line, called in this process."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
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


def call(*arguments: object) -> Called:
    """What ``restore-batch ARGUMENTS`` does."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return Called(ended.value.code or 0, out.getvalue(), err.getvalue())  # type: ignore[arg-type]

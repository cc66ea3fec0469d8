"""The errors a user can meet. Each is one line: what, expected what, what to do."""

from __future__ import annotations

import traceback
from dataclasses import dataclass


class RestoreBatchError(Exception):
    """Base of all errors that are shown without a traceback."""

    exit_code = 3

    @property
    def lines(self) -> tuple[str, ...]:
        """What to show, a line each; line ends in a name are not line ends."""
        return (str(self),)


@dataclass(frozen=True)
class Problem:
    """One mistake in a job file, at the place where it stands."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


_LONGEST_TRACE = 20_000


def trace_of(error: BaseException) -> str:
    """The traceback of an error that nobody has foreseen, its end where it is long; "" for those
    that say all in their line."""
    if isinstance(error, RestoreBatchError):
        return ""
    return "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]


class JobFileError(RestoreBatchError):
    """The job file or an override is wrong; holds every mistake found, not just the first."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(p) for p in problems))

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(map(str, self.problems))


class UsageError(RestoreBatchError):
    """A wrong flag or argument."""

    exit_code = 2


class WeightsError(RestoreBatchError):
    """A weight file is missing, damaged, not what it claims, or not safe to load."""

    exit_code = 2


class LicenceError(RestoreBatchError):
    """Non-commercial weights were asked for without accepting their licence."""

    exit_code = 2


class MediaError(RestoreBatchError):
    """One input cannot be read, or one output cannot be written; costs that item alone."""


class OutputLockedError(RestoreBatchError):
    """Another run is writing to the same output folder."""

    exit_code = 2


class ExecutorError(RestoreBatchError):
    """The engine itself cannot go on (Ray cannot start, no worker comes up)."""

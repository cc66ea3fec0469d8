"""A job that is looked at where its state is not: by the copy of its ledger beside the results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.path_options import store_url
from restore_batch.jobs.results.copied_ledger import CopiedLedger
from restore_batch.text import duration


@dataclass(frozen=True)
class CopySeen:
    """The copy that was looked at. ``host``: the machine that wrote it; ``written``: when, in
    seconds since 1970, ``age_s`` ago, by the clock of the store. ``run``: whether the run that
    wrote it seems to go on, was cut off (or cannot reach the store), or has ended."""

    url: str
    host: str
    written: float
    age_s: float
    run: Literal["goes on", "was cut off", "has ended"]

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.written, UTC)
        seems = {
            "goes on": "seems to go on", "was cut off": "was cut off, or cannot reach the store",
        }.get(self.run, self.run)  # fmt: skip
        return (
            f"{self.url}: as of {at:%Y-%m-%d %H:%M:%S} UTC, {duration(self.age_s)} ago, by the copy"
            f" of the ledger there; the run on {self.host} {seems}"
        )


def seen(url: str, copied: CopiedLedger) -> CopySeen:
    """What is to be said of a copy as it is now."""
    noted = copied.noted
    run: Literal["goes on", "was cut off", "has ended"] = "has ended"
    if noted.is_open:
        run = "goes on" if noted.goes_on else "was cut off"
    return CopySeen(url, noted.host, noted.written, noted.age_s, run)


def has_ledger(folder: Path) -> bool:
    """Whether the state of a job is in ``folder``. Raises ManifestError where it cannot be read."""
    manifest = Manifest.read(folder)
    if manifest is None:
        return False
    manifest.close()
    return True


@contextmanager
def copy_at(url: str, state: Path) -> Iterator[CopiedLedger]:
    """The copy of the ledger beside the results at ``url``, in a temporary folder while this lasts;
    ``state``: where the state of that output would be, and is not.

    Raises UsageError where results cannot go to ``url`` or no copy is there, and what
    :class:`CopiedLedger` raises.
    """
    with TemporaryDirectory(prefix="restore-batch-copy-", ignore_cleanup_errors=True) as folder:
        try:
            copied = CopiedLedger(url, Path(folder))
        except RestoreBatchError as error:
            raise type(error)(
                f"{error} (no state of this job is in {state}; of a job that sets `state`, name the"
                " job file or that folder)"
            ) from None
        yield copied


def output_url(text: str) -> str:
    """The output that a user names by a URL, as jobs have it. Raises UsageError."""
    try:
        return store_url(text)
    except ValueError as error:
        raise UsageError(str(error)) from None

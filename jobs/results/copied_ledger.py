"""A ledger that is read from its copy beside the results, by who has no state of the job here.

The copy is brought to a folder that reads as the job's own would. Nothing of it goes back.
"""

from __future__ import annotations

from pathlib import Path

from restore_batch.errors import UsageError
from restore_batch.jobs.results.base import FOLDER
from restore_batch.jobs.results.noted_copy import NAME, NotedCopy, fetch_copy, noted_copy
from restore_batch.jobs.results.place import note_store
from restore_batch.jobs.results.s3_calls import TO_READ, Bucket

_FIRST_TRIES = 2
"""A wrong address is told soon."""


class CopiedLedger:
    """The copy below ``url`` as it was when it was last asked for. ``folder``: takes the place of
    the job's local folder; ``noted``: what the store said of the copy that is there."""

    def __init__(self, url: str, folder: Path) -> None:
        """``folder`` is empty, and the caller's to remove. Raises UsageError where there is no
        copy, StoreError where the store cannot be used, RestoreBatchError for a copy that is
        damaged or of a newer version."""
        self.folder = folder
        self._bucket = Bucket(url, TO_READ)
        (folder / FOLDER).mkdir()
        note_store(folder, {"url": url})
        self.noted = self._fetched(_FIRST_TRIES)

    def refresh(self) -> None:
        """Ask the store again; the copy is fetched where it is another by its entity tag. Raises as
        the first time."""
        now = noted_copy(self._bucket)
        is_same = now is not None and now.tag == self.noted.tag
        self.noted = now if now is not None and is_same else self._fetched()

    def _fetched(self, tries: int = 0) -> NotedCopy:
        path = self.folder / NAME
        fetched = path.with_name("manifest.fetched")
        found = fetch_copy(self._bucket, fetched, tries)
        if found is None:
            # Tells a missing bucket from a missing object.
            self._bucket.call("list_objects_v2", Prefix=self._bucket.key(NAME), MaxKeys=1)
            raise UsageError(
                f"{self._bucket.url}: no copy of a ledger lies there ({NAME}); expected the"
                " `output` of a job that was run"
            )
        fetched.replace(path)
        return found

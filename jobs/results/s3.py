"""Results in a bucket: a finished upload puts a file in its place.

Each object says in its metadata which content it has and of which job it is. Nothing is replaced
that is not this job's: it is looked at before an upload, and the upload itself is made under the
condition that nothing has come there since.
"""

from __future__ import annotations

import errno
import hashlib
import mimetypes
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.results.base import FOLDER, Look, Move, Uncommitted, in_the_way
from restore_batch.jobs.results.ledger_copy import LedgerCopy
from restore_batch.jobs.results.local import LocalResults
from restore_batch.jobs.results.s3_calls import AGAIN_AFTER_S, Bucket, ChangedError, GoneError
from restore_batch.jobs.results.uploads import PART_BYTES, Uploads

_CONTENT, _JOB = "restore-batch-sha256", "restore-batch-job"
_AT_ONCE = 8
_TRIES = 3


@dataclass(frozen=True)
class _Object:
    """What a store says of an object. ``content``, ``job``: what was noted with it, or ""."""

    size_bytes: int
    tag: str
    content: str
    job: str

    @property
    def look(self) -> Look:
        return Look(self.size_bytes, _stamp(self.tag))


class S3Results:
    """Results below ``url``; ``folder``: the local folder of the job, with its ledger, what is
    staged, and the parts of films."""

    def __init__(self, url: str, folder: Path, part_bytes: int = PART_BYTES) -> None:
        own = folder / FOLDER
        self._bucket = Bucket(url)
        self._local = LocalResults(folder)
        self._uploads = Uploads(self._bucket, own / "uploads", part_bytes)
        self._copy = LedgerCopy(self._bucket, self._uploads, own)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="object")
        self._fault: ManifestError | None = None
        self._listings: dict[str, dict[str, Look]] = {}
        """What lies in each folder that was asked for, by name: as it was then, and what this
        process has changed since."""

    def where(self, name: str) -> str:
        return self._local.where(name) if _is_own(name) else f"{self._bucket.url}/{name}"

    def is_taken(self, name: str) -> bool:
        """As it was when its folder was listed: what counts is looked at when it is put there."""
        return self._local.is_taken(name) if _is_own(name) else name in self._listing(name)

    def says_ours(self, name: str) -> bool:
        found = None if _is_own(name) else self._head(name)
        return found is not None and found.job == self._copy.job

    def looks(self, names: Sequence[str]) -> list[Look | None]:
        return [
            self._local.looks([name])[0] if _is_own(name) else self._listing(name).get(name)
            for name in names
        ]

    def content(self, name: str) -> str | None:
        return self._local.content(name) if _is_own(name) else self._bucket.content(name)

    def holds(self, name: str, sha256: str | None) -> bool:
        """Told by what was noted with the object when it was put there."""
        if _is_own(name):
            return self._local.holds(name, sha256)
        found = self._head(name)
        return found is not None and sha256 is not None and found.content == sha256

    def put(self, moves: Sequence[Move]) -> list[Look | Uncommitted]:
        """Side by side. Raises StoreError where the store cannot be used; what has got there then
        is found by the next run."""
        own = [move for move in moves if _is_own(move.name)]
        looks = dict(zip((move.name for move in own), self._local.put(own), strict=True))
        sent = {
            move.name: self._pool.submit(self._put, move)
            for move in moves
            if not _is_own(move.name)
        }
        # None goes on once the run is over.
        wait(sent.values())
        return [looks[m.name] if m.name in looks else sent[m.name].result() for m in moves]

    def keep_as(self, name: str, other: str) -> None:
        """The store copies it."""
        if self._head(other) is not None:
            raise FileExistsError(errno.EEXIST, "it is there already", self.where(other))
        self._bucket.copy(name, other)
        self._note(other, self.looks([name])[0])

    def remove(self, name: str) -> None:
        if _is_own(name):
            self._local.remove(name)
            return
        with suppress(GoneError):
            self._bucket.call("delete_object", Key=self._bucket.key(name))
        self._note(name, None)

    @property
    def notes(self) -> tuple[str, ...]:
        return (self._copy.gone_on_from,) if self._copy.gone_on_from else ()

    def begin(self, manifest: Path) -> None:
        self._uploads.abort_left()
        self._copy.claim(manifest)

    def check(self) -> None:
        if self._fault is None:
            self._copy.check()

    def end(self, manifest: Path | None) -> None:
        if manifest is None or self._fault is not None:
            self._copy.leave()
        else:
            self._copy.send_last(manifest)

    # -- inner --------------------------------------------------------------------------------
    def _put(self, move: Move) -> Look | Uncommitted:
        if self._fault is not None:
            raise self._fault  # the others need not find that out again
        try:
            look = self._sent(move)
        except ManifestError as error:
            self._fault = error
            raise
        except (OSError, RestoreBatchError) as error:
            return error
        self._note(move.name, look)
        # Only now: until then it is what the upload can be begun again from.
        move.staged.unlink(missing_ok=True)
        return look

    def _sent(self, move: Move) -> Look:
        size = move.staged.stat().st_size
        for _ in range(_TRIES):
            there = self._head(move.name)
            if there is not None:
                if there == _Object(size, there.tag, move.sha256, self._copy.job):
                    return there.look  # by an upload whose end nobody heard of
                if not (move.replaces or there.job == self._copy.job):
                    raise in_the_way(self.where(move.name))
            with suppress(ChangedError, GoneError):
                return self._send(move, there)
            time.sleep(random.uniform(*AGAIN_AFTER_S))
        raise RestoreBatchError(
            f"{self.where(move.name)}: it changes while a result is to be put there; see who else"
            " writes there, and run again"
        )

    def _send(self, move: Move, there: _Object | None) -> Look:
        """Upload if what was ``there`` still is."""
        key, described = self._bucket.key(move.name), self._described(move)
        size_bytes = move.staged.stat().st_size
        condition = {"IfNoneMatch": "*"} if there is None else {"IfMatch": there.tag}

        def unchanged() -> dict[str, Any]:
            # A large file takes its time, and some stores know no conditions.
            if self._uploads.in_parts(move.staged) and self._head(move.name) != there:
                raise ChangedError
            return condition

        tag = self._uploads.put(move.staged, move.sha256, key, unchanged, **described)
        return Look(size_bytes, _stamp(tag))

    def _described(self, move: Move) -> dict[str, Any]:
        kind, _ = mimetypes.guess_type(move.name)
        noted = {_CONTENT: move.sha256, _JOB: self._copy.job}
        return {"Metadata": noted, "ContentType": kind or "application/octet-stream"}

    def _head(self, name: str) -> _Object | None:
        with suppress(GoneError):
            answer = self._bucket.call("head_object", Key=self._bucket.key(name))
            noted = answer.get("Metadata", {})
            return _Object(
                answer["ContentLength"],
                answer["ETag"],
                noted.get(_CONTENT, ""),
                noted.get(_JOB, ""),
            )
        return None

    def _listing(self, name: str) -> dict[str, Look]:
        """The folder of ``name``."""
        folder = name.rpartition("/")[0]
        if folder not in self._listings:
            self._listings[folder] = self._listed(folder)
        return self._listings[folder]

    def _note(self, name: str, look: Look | None) -> None:
        listing = self._listings.get(name.rpartition("/")[0], {})
        if look is None:
            listing.pop(name, None)
        else:
            listing[name] = look

    def _listed(self, folder: str) -> dict[str, Look]:
        found: dict[str, Look] = {}
        prefix = self._bucket.key(f"{folder}/" if folder else "")
        asked: dict[str, Any] = {"Prefix": prefix, "Delimiter": "/"}
        while True:
            answer = self._bucket.call("list_objects_v2", **asked)
            for each in answer.get("Contents", ()):
                found[self._bucket.name(each["Key"])] = Look(each["Size"], _stamp(each["ETag"]))
            if not answer.get("IsTruncated"):
                return found
            asked["ContinuationToken"] = answer["NextContinuationToken"]


def _is_own(name: str) -> bool:
    return name.startswith(f"{FOLDER}/")


def _stamp(tag: str) -> int:
    """An entity tag as a number that SQLite holds."""
    return int(hashlib.sha256(tag.strip('"').encode()).hexdigest()[:15], 16)

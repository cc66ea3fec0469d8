"""The copy of a ledger beside the results in a bucket: whose they are, and what to go on from.

A job claims a bucket's prefix by putting its copy there, and nobody else's results go there then.
On another machine, or where the local ledger was lost, a run goes on from the copy; from then on
the state that it was made of is refused.
"""

from __future__ import annotations

import random
import socket
import sqlite3
import time
import uuid
import warnings
from contextlib import closing
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, unquote

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.files import publish, sha256_of, sync_file
from restore_batch.jobs.database import create
from restore_batch.jobs.proof.faults import fault_of_file
from restore_batch.jobs.results.base import FOLDER
from restore_batch.jobs.results.place import note_store, noted_store
from restore_batch.jobs.results.s3_calls import (
    AGAIN_AFTER_S,
    Bucket,
    ChangedError,
    GoneError,
    StoreError,
)
from restore_batch.jobs.results.uploads import Uploads

NAME = f"{FOLDER}/manifest.sqlite"
EVERY_S = 300.0
_SHARE = 0.1
"""Of the time that may go into copies."""
_ALIVE_S = 3 * EVERY_S
_TRIES = 3
_FIRST_TRIES = 2
"""A wrong address is told soon."""


@dataclass(frozen=True)
class _Identity:
    """``job``: what all objects of a job say; ``holder``: the state that it is gone on with."""

    url: str
    job: str
    holder: str


@dataclass(frozen=True)
class _Copy:
    """What a store says of the copy. ``age_s``: since it was written."""

    tag: str
    job: str
    holder: str
    host: str
    is_open: bool
    age_s: float
    size_bytes: int


class LedgerCopy:
    """The copy in ``bucket`` of the ledger in ``own``, the job's own folder."""

    def __init__(self, bucket: Bucket, uploads: Uploads, own: Path) -> None:
        self._bucket, self._uploads, self._own = bucket, uploads, own
        self._identity: _Identity | None = None
        self._tag = ""
        self._next = 0.0
        self._copying: Thread | None = None
        self._fault: RestoreBatchError | None = None

    @property
    def job(self) -> str:
        """What objects of this job say."""
        return "" if self._identity is None else self._identity.job

    def claim(self, manifest: Path) -> None:
        """Make sure that the results there are of this ledger, which may not be there yet: where
        there is none, it is fetched. Raises RestoreBatchError where they are of another, or cannot
        be written; OutputLockedError while a run elsewhere goes on."""
        # Tells a missing bucket from a missing object.
        prefix = self._bucket.key("")
        self._bucket.call("list_objects_v2", Prefix=prefix, MaxKeys=1, tries=_FIRST_TRIES)
        known, there = self._known(), self._look()
        if there is None:
            identity = known or _Identity(self._bucket.url, uuid.uuid4().hex, uuid.uuid4().hex)
        elif known is not None and there.holder == known.holder:
            identity = known
        elif manifest.exists():
            raise RestoreBatchError(
                f"{self._bucket.url}: results of another ledger are there, last written by a run on"
                f" {there.host}; run it there, or choose another output (this ledger is"
                f" {self._own.parent})"
            )
        elif there.is_open and there.age_s < _ALIVE_S:
            raise OutputLockedError(
                f"{self._bucket.url}: a run on {there.host} was writing there"
                f" {there.age_s / 60:.0f} minutes ago; wait for it, or"
                f" {(_ALIVE_S - there.age_s) / 60:.0f} minutes if it is gone"
            )
        else:
            identity = _Identity(self._bucket.url, there.job, uuid.uuid4().hex)
        self._identity, self._tag = identity, "" if there is None else there.tag
        # Whatever moment a kill comes at: who has claimed results knows it, or nobody has.
        if there is None:
            note_store(self._own.parent, asdict(identity))
        if there is None or manifest.exists():
            if not manifest.exists():
                create(manifest)
            self._send(manifest, is_open=True)
        else:
            self._go_on_from_copy(manifest, identity)

    def keep(self, manifest: Path, *, last: bool = False) -> None:
        """Send a copy, if it is time for one; the ``last`` always. Raises StoreError where the
        results have been taken over by another run."""
        if self._copying is not None and (last or not self._copying.is_alive()):
            self._copying.join()
            self._copying = None
        if isinstance(self._fault, _TakenOverError):
            if not last:
                raise self._fault
        elif last:
            self._try_to_send(manifest, is_open=False)
            if self._fault is not None:
                warnings.warn(
                    f"the copy of the ledger beside the results is not up to date: {self._fault}",
                    stacklevel=2,
                )
        elif self._copying is None and time.monotonic() > self._next:
            self._copying = Thread(target=self._try_to_send, args=(manifest,), daemon=True)
            self._copying.start()

    # -- inner --------------------------------------------------------------------------------
    def _try_to_send(self, manifest: Path, *, is_open: bool = True) -> None:
        try:
            self._fault = None
            self._send(manifest, is_open=is_open)
        except (RestoreBatchError, OSError, sqlite3.Error) as error:
            if not isinstance(error, RestoreBatchError):
                error = RestoreBatchError(str(error))
            self._fault = error

    def _send(self, manifest: Path, *, is_open: bool) -> None:
        began = time.monotonic()
        copy = self._own / "manifest.copy"
        try:
            _copy(manifest, copy)
            self._put(copy, is_open=is_open)
        finally:
            copy.unlink(missing_ok=True)
        took_s = time.monotonic() - began
        self._next = time.monotonic() + max(EVERY_S, took_s / _SHARE)

    def _put(self, copy: Path, *, is_open: bool) -> None:
        identity = self._identity
        assert identity is not None
        noted = {
            "job": identity.job, "holder": identity.holder, "host": quote(socket.gethostname()),
            "open": "yes" if is_open else "no",
        }  # fmt: skip
        there = None
        for _ in range(_TRIES):
            try:
                self._tag = self._uploads.put(
                    copy, sha256_of(copy), self._bucket.key(NAME), self._condition, Metadata=noted
                )
                return
            except (ChangedError, GoneError):
                # A call whose answer was lost is made again, and finds its own copy there.
                there = self._look_again()
                if there is None or there.holder not in ("", identity.holder):
                    break
                self._tag = there.tag
                if there.holder and there.size_bytes == copy.stat().st_size:
                    return
        raise self._taken_over(there)

    def _condition(self) -> dict[str, Any]:
        return {"IfMatch": self._tag} if self._tag else {"IfNoneMatch": "*"}

    def _look_again(self) -> _Copy | None:
        time.sleep(random.uniform(*AGAIN_AFTER_S))
        return self._look()

    def _taken_over(self, there: _Copy | None) -> _TakenOverError:
        who = "somebody" if there is None else f"a run on {there.host}"
        return _TakenOverError(
            f"{self._bucket.url}: {who} has taken the results over, or removed the copy of their"
            " ledger, while this run was writing there; see to that and run again"
        )

    def _look(self) -> _Copy | None:
        try:
            answer = self._bucket.call(
                "head_object", Key=self._bucket.key(NAME), tries=_FIRST_TRIES
            )
        except GoneError:
            return None
        noted = answer.get("Metadata", {})
        return _Copy(
            answer["ETag"], noted.get("job", ""), noted.get("holder", ""),
            unquote(noted.get("host", "another machine")), noted.get("open") == "yes",
            _age_s(answer), answer["ContentLength"],
        )  # fmt: skip

    def _go_on_from_copy(self, manifest: Path, identity: _Identity) -> None:
        fetched = manifest.with_name("manifest.fetched")
        try:
            self._bucket.fetch(NAME, fetched)
            self._send(fetched, is_open=True)
            note_store(self._own.parent, asdict(identity))
            sync_file(fetched)
            publish(fetched, manifest)
        except GoneError:
            raise self._taken_over(None) from None
        except sqlite3.Error as error:
            raise RestoreBatchError(
                f"{self._bucket.url}/{NAME}: this copy of the ledger cannot be read ({error});"
                " choose another output"
            ) from None
        except OSError as error:
            raise fault_of_file(error, manifest) from None

    def _known(self) -> _Identity | None:
        noted = noted_store(self._own.parent)
        if noted is None:
            return None
        if noted["url"] != self._bucket.url:
            raise RestoreBatchError(
                f"{self._own.parent}: it is the state of the output {noted['url']}; choose another"
                " folder for `state`"
            )
        return _Identity(**noted)


class _TakenOverError(StoreError):
    pass


def _age_s(answer: dict[str, Any]) -> float:
    """By the clock of the store."""
    headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
    now = parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time.time()
    return max(0.0, now - answer["LastModified"].timestamp())


def _copy(manifest: Path, copy: Path) -> None:
    """The ledger as of one moment, in one file, whoever writes to it meanwhile."""
    copy.unlink(missing_ok=True)
    reading = f"{manifest.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(reading, uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")

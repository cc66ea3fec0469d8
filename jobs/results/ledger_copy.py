"""The copy of a ledger beside the results in a bucket: whose they are, and what to go on from.

A job claims a bucket's prefix by putting its copy there, and nobody else's results go there then.
On another machine, or where the local ledger was lost, a run goes on from the copy; from then on
the state that it was made of is refused. While a run goes on a thread sends the newest, so that it
can be watched from elsewhere; what that meets never ends the run, unless it was taken over.
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
from pathlib import Path
from threading import Event, Thread
from typing import Any

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.files import publish, sha256_of, sync_file
from restore_batch.jobs.database import create
from restore_batch.jobs.proof.faults import fault_of_file
from restore_batch.jobs.proof.looking import Stamp, stamp_of
from restore_batch.jobs.results import noted_copy as noting
from restore_batch.jobs.results.noted_copy import NAME, NotedCopy, fetch_copy, noted_copy, notes_for
from restore_batch.jobs.results.place import note_store, noted_store
from restore_batch.jobs.results.s3_calls import (
    AGAIN_AFTER_S,
    Bucket,
    ChangedError,
    GoneError,
    StoreError,
)
from restore_batch.jobs.results.uploads import Uploads
from restore_batch.text import duration

EVERY_S = 30.0
_SHARE = 0.1
"""Of the time that may go into copies."""
_BYTES_A_SECOND = 1 << 20
"""That copies may come to: a bucket that keeps versions keeps them all."""
_TRIES = 3
_FIRST_TRIES = 2
"""A wrong address is told soon."""


@dataclass(frozen=True)
class _Identity:
    """``job``: what all objects of a job say; ``holder``: the state that it is gone on with."""

    url: str
    job: str
    holder: str


class LedgerCopy:
    """The copy in ``bucket`` of the ledger in ``own``, the job's own folder."""

    def __init__(self, bucket: Bucket, uploads: Uploads, own: Path) -> None:
        self._bucket, self._uploads, self._own = bucket, uploads, own
        self._identity: _Identity | None = None
        self._tag = ""
        self._sent: tuple[Stamp | None, float] = None, 0.0
        """What the last copy was made of, and when."""
        self._next_s, self._pause_s = noting.AT_LATEST_S, EVERY_S
        self._sender: Thread | None = None
        self._ended = Event()
        self._fault: RestoreBatchError | None = None
        self._is_warned = False
        self.gone_on_from = ""
        """What is to be said of where the job is gone on from."""

    @property
    def job(self) -> str:
        """What objects of this job say."""
        return "" if self._identity is None else self._identity.job

    def claim(self, manifest: Path) -> None:
        """Make sure that the results there are of this ledger, which may not be there yet: where
        there is none, it is fetched. From then on copies are sent, until :meth:`leave`.

        Raises RestoreBatchError where the results are of another ledger, or cannot be written;
        OutputLockedError while a run elsewhere goes on."""
        # Tells a missing bucket from a missing object.
        prefix = self._bucket.key("")
        self._bucket.call("list_objects_v2", Prefix=prefix, MaxKeys=1, tries=_FIRST_TRIES)
        known, there = self._known(), noted_copy(self._bucket, _FIRST_TRIES)
        if there is None:
            identity = known or _Identity(self._bucket.url, uuid.uuid4().hex, uuid.uuid4().hex)
        elif known is not None and there.holder == known.holder:
            identity = known
        elif manifest.exists() and known is not None and known.job == there.job:
            raise RestoreBatchError(
                f"{self._bucket.url}: a run on {there.host} has gone on with the job; run it there,"
                f" or remove {self._own} to go on here from the copy of that ledger"
            )
        elif manifest.exists():
            raise RestoreBatchError(
                f"{self._bucket.url}: results of another ledger are there, last written by a run on"
                f" {there.host}; run it there, or choose another output (this ledger is"
                f" {self._own.parent})"
            )
        elif there.goes_on:
            raise OutputLockedError(
                f"{self._bucket.url}: a run on {there.host} was writing there"
                f" {there.age_s / 60:.0f} minutes ago; wait for it, or"
                f" {(there.alive_s - there.age_s) / 60:.0f} minutes if it is gone"
            )
        else:
            identity = _Identity(self._bucket.url, there.job, uuid.uuid4().hex)
        self._identity, self._tag = identity, "" if there is None else there.tag
        # Whatever moment a kill comes at: who has claimed results knows it, or nobody has.
        if there is None:
            note_store(self._own.parent, asdict(identity))
        try:
            if there is None or manifest.exists():
                if not manifest.exists():
                    create(manifest)
                self._send(manifest, is_open=True)
            else:
                self._go_on_from_copy(manifest, identity)
                self.gone_on_from = _gone_on_from(self._bucket.url, there)
        except _TakenOverError as error:
            raise OutputLockedError(
                f"{self._bucket.url}: {error.who} wrote there at the same moment; wait for it"
            ) from None
        self._sender = Thread(target=self._send_again, args=(manifest,), daemon=True)
        self._sender.start()

    def check(self) -> None:
        """Raise StoreError where the results have been taken over by another run. That a copy
        could not be sent is told once."""
        fault = self._fault
        if isinstance(fault, _TakenOverError):
            raise fault
        if fault is not None and not self._is_warned:
            self._is_warned = True
            _warn("cannot be sent, so that others see an older one; it is tried again", fault)

    def send_last(self, manifest: Path) -> None:
        """Send the copy of a run that has ended."""
        self.leave()
        if not isinstance(self._fault, _TakenOverError):
            self._try_to_send(manifest, is_open=False)
            if self._fault is not None:
                _warn("is not up to date", self._fault)

    def leave(self) -> None:
        """Send no more copies; one that is under way is waited for."""
        self._ended.set()
        if self._sender is not None:
            self._sender.join()

    # -- inner --------------------------------------------------------------------------------
    def _send_again(self, manifest: Path) -> None:
        while not self._ended.wait(self._pause_s):
            self._try_to_send(manifest, is_open=True)
            if isinstance(self._fault, _TakenOverError):
                return

    def _try_to_send(self, manifest: Path, *, is_open: bool) -> None:
        try:
            stamp, at = self._sent
            is_late = time.monotonic() - at > noting.AT_LATEST_S
            if not is_open or is_late or stamp != stamp_of(manifest):
                self._send(manifest, is_open=is_open)
            self._fault = None
        except (RestoreBatchError, OSError, sqlite3.Error) as error:
            if not isinstance(error, RestoreBatchError):
                error = RestoreBatchError(str(error))
            self._fault = error

    def _send(self, manifest: Path, *, is_open: bool) -> None:
        began = time.monotonic()
        copy = self._own / "manifest.copy"
        try:
            stamp = stamp_of(manifest)
            _copy(manifest, copy)
            least_s = copy.stat().st_size / _BYTES_A_SECOND
            promised_s = max(self._next_s, least_s)
            self._put(copy, is_open=is_open, next_s=promised_s)
        finally:
            copy.unlink(missing_ok=True)
        self._sent = stamp, began
        least_s = max(least_s, (time.monotonic() - began) / _SHARE)
        self._next_s = max(noting.AT_LATEST_S, least_s)
        self._pause_s = min(max(EVERY_S, least_s), promised_s)

    def _put(self, copy: Path, *, is_open: bool, next_s: float) -> None:
        identity = self._identity
        assert identity is not None
        sha256, there = sha256_of(copy), None
        noted = notes_for(
            identity.job, identity.holder, socket.gethostname(), sha256, is_open=is_open,
            next_s=next_s,
        )  # fmt: skip
        for _ in range(_TRIES):
            try:
                self._tag = self._uploads.put(
                    copy, sha256, self._bucket.key(NAME), self._condition, Metadata=noted
                )
                return
            except (ChangedError, GoneError):
                # A call whose answer was lost is made again, and finds its own copy there.
                there = self._look_again()
                if there is None or there.holder not in ("", identity.holder):
                    break
                self._tag = there.tag
                if (there.holder, there.sha256, there.is_open) == (
                    identity.holder, sha256, is_open,
                ):  # fmt: skip
                    return
        raise self._taken_over(there)

    def _condition(self) -> dict[str, Any]:
        return {"IfMatch": self._tag} if self._tag else {"IfNoneMatch": "*"}

    def _look_again(self) -> NotedCopy | None:
        time.sleep(random.uniform(*AGAIN_AFTER_S))
        return noted_copy(self._bucket)

    def _taken_over(self, there: NotedCopy | None) -> _TakenOverError:
        who = "somebody" if there is None else f"a run on {there.host}"
        return _TakenOverError(
            who,
            f"{self._bucket.url}: {who} has taken the results over, or removed the copy of their"
            " ledger, while this run was writing there; see to that and run again",
        )

    def _go_on_from_copy(self, manifest: Path, identity: _Identity) -> None:
        fetched = manifest.with_name("manifest.fetched")
        try:
            if fetch_copy(self._bucket, fetched) is None:
                raise self._taken_over(None)
            self._send(fetched, is_open=True)
            note_store(self._own.parent, asdict(identity))
            sync_file(fetched)
            publish(fetched, manifest)
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
    """``who``: by whom."""

    def __init__(self, who: str, text: str) -> None:
        super().__init__(text)
        self.who = who


def _gone_on_from(url: str, there: NotedCopy) -> str:
    how = "was cut off" if there.is_open else "had ended"
    return (
        f"{url}: gone on with from the copy of the ledger there, {duration(there.age_s)} old, of a"
        f" run on {there.host} that {how}; what is newer, and parts of films, are made again"
    )


def _warn(what: str, fault: RestoreBatchError) -> None:
    warnings.warn(f"the copy of the ledger beside the results {what}: {fault}", stacklevel=3)


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

"""The copy of a ledger beside results in a bucket: what the store says of it, and fetching it.

Who sends it says with it whose it is, on which machine, whether a run goes on, and when the next
copy comes at the latest. What is overdue by several times that is of a run that was cut off.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from restore_batch.errors import RestoreBatchError
from restore_batch.files import sha256_of
from restore_batch.jobs.database import connect_reading
from restore_batch.jobs.proof.faults import DamagedManifestError
from restore_batch.jobs.results.base import FOLDER
from restore_batch.jobs.results.s3_calls import Bucket, GoneError

NAME = f"{FOLDER}/manifest.sqlite"
AT_LATEST_S = 300.0
"""After which a run sends another copy at the latest, unless it says more."""
OVERDUE = 3
"""Of the time in which a copy was to come: after that nobody waits for it any more."""
_TRIES = 5


@dataclass(frozen=True)
class NotedCopy:
    """What a store says of a copy. ``job``: what all objects of the job say; ``holder``: the state
    that it is gone on with; ``host``: the machine that wrote it; ``sha256``: of its content, "" of
    copies of earlier versions. ``is_open``: whether its run was going on; ``next_s``: in which time
    another was to come. ``written``: seconds since 1970, ``age_s``: since then, both by the clock
    of the store."""

    tag: str
    job: str
    holder: str
    host: str
    sha256: str
    is_open: bool
    next_s: float
    written: float
    age_s: float

    @property
    def alive_s(self) -> float:
        """For how long after it was written its run is taken to go on."""
        return OVERDUE * self.next_s

    @property
    def goes_on(self) -> bool:
        """Whether its run seems to go on."""
        return self.is_open and self.age_s < self.alive_s


def notes_for(
    job: str, holder: str, host: str, sha256: str, *, is_open: bool, next_s: float
) -> dict[str, str]:
    """What is noted with a copy, to be read by :func:`noted_copy`."""
    return {
        "job": job, "holder": holder, "host": quote(host), "open": "yes" if is_open else "no",
        "sha256": sha256, "next": f"{next_s:.0f}",
    }  # fmt: skip


def noted_copy(bucket: Bucket, tries: int = 0) -> NotedCopy | None:
    """What the store says of the copy in ``bucket``; None where there is none. Raises StoreError
    where it cannot be asked, after so many tries (0: as many as are made of all calls)."""
    try:
        answer = bucket.call("head_object", Key=bucket.key(NAME), tries=tries)
    except GoneError:
        return None
    noted = answer.get("Metadata", {})
    written = answer["LastModified"].timestamp()
    return NotedCopy(
        tag=answer["ETag"],
        job=noted.get("job", ""),
        holder=noted.get("holder", ""),
        host=unquote(noted.get("host", "another machine")),
        sha256=noted.get("sha256", ""),
        is_open=noted.get("open") == "yes",
        next_s=_seconds(noted.get("next", "")),
        written=written,
        age_s=max(0.0, _now(answer) - written),
    )


def fetch_copy(bucket: Bucket, path: Path, tries: int = 0) -> NotedCopy | None:
    """Write the copy to ``path``, and what the store says of it; None where there is none.
    ``tries``: of the first look at it.

    Raises StoreError where the store or the disk cannot be used, RestoreBatchError for a copy that
    is damaged or of a newer version.
    """
    for _ in range(_TRIES):
        before = noted_copy(bucket, tries)
        if before is None:
            return None
        with suppress(GoneError):
            bucket.fetch(NAME, path)
            fault = _fault_in(path, f"{bucket.url}/{NAME}", before)
            now = noted_copy(bucket)
            # A large object comes in pieces, which may be of two copies.
            if now is not None and now.tag == before.tag:
                if fault is not None:
                    raise fault
                return now
    raise RestoreBatchError(f"{bucket.url}/{NAME}: it changes too quickly to be read; ask again")


def _fault_in(path: Path, shown: str, noted: NotedCopy) -> RestoreBatchError | None:
    """Why the ledger at ``path`` cannot be read, in words about ``shown``."""
    try:
        database = connect_reading(path)
        assert database is not None
        with closing(database):
            (found,) = database.execute("PRAGMA quick_check (1)").fetchone()
        reason = "" if found == "ok" else str(found).replace("*** in database main ***", "")
        if noted.sha256 and sha256_of(path) != noted.sha256:
            reason = reason or "it is not what was sent"
    except DamagedManifestError as error:
        reason = error.reason
    except RestoreBatchError as error:
        return RestoreBatchError(str(error).replace(str(path), shown))
    if not reason:
        return None
    return RestoreBatchError(
        f"{shown}: this copy of the ledger is damaged ({' '.join(reason.split())}); run the job"
        f" where its state is, on {noted.host}, which sends a good one, or choose another output"
    )


def _seconds(noted: str) -> float:
    try:
        return max(float(noted), AT_LATEST_S)
    except ValueError:
        return AT_LATEST_S


def _now(answer: dict[str, Any]) -> float:
    headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
    return parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time.time()

"""Calls to a bucket: tried again while that can help, their errors said in one line.

botocore repeats a call for some seconds itself; an outage of the store or the network takes longer.
Waiting times double and are drawn at random, so that those who wait do not come back all at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from restore_batch.files import sha256_of
from restore_batch.jobs.proof.faults import ManifestError

Answer = TypeVar("Answer")

TRIES = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 20.0
AGAIN_AFTER_S = (0.2, 0.6)
"""When a condition does not hold: a call whose answer was lost may still be carried out."""
_AGAIN = frozenset(
    {
        "BadDigest", "ConditionalRequestConflict", "IncompleteBody", "InternalError",
        "OperationAborted", "RequestTimeout", "RequestTimeTooSkewed", "ServiceUnavailable",
        "SlowDown", "Throttling", "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_CHANGED = frozenset({"412", "PreconditionFailed"})
TO_WRITE = (
    "results need s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject,"
    " s3:AbortMultipartUpload and s3:ListBucketMultipartUploads"
)
TO_READ = "to look at them needs s3:ListBucket and s3:GetObject"


class StoreError(ManifestError):
    """The store cannot be used. It ends a run, which can be gone on with."""


class ChangedError(Exception):
    """A condition of a call does not hold: something else lies there than was thought."""


class GoneError(Exception):
    """What a call is about is not there."""


class Bucket:
    """The bucket and prefix that ``url`` names (``s3://bucket/prefix``)."""

    def __init__(self, url: str, rights: str = TO_WRITE) -> None:
        """``rights``: what is said to be needed where access is denied. Raises StoreError where
        there is no support for the URL."""
        self.url, self._rights = url, rights
        try:
            from fsspec.core import url_to_fs

            # An instance of its own: those that read originals repeat calls as s3fs likes.
            self._fs, path = url_to_fs(url, skip_instance_cache=True)
            self._fs.retries = 1
            self.bucket, prefix, _ = self._fs.split_path(path)
        except ImportError:
            raise StoreError(
                f"{url}: s3:// needs a package: pip install 'restore-batch[s3]'"
            ) from None
        except Exception as error:  # whatever a configuration of fsspec holds
            raise StoreError(f"{url}: {_text(error)}") from None
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def key(self, name: str) -> str:
        """The key of an object by its name below the URL."""
        return self._prefix + name

    def name(self, key: str) -> str:
        """What :meth:`key` made ``key`` of."""
        return key.removeprefix(self._prefix)

    def call(self, method: str, *, tries: int = 0, **arguments: Any) -> dict[str, Any]:
        """What a method of botocore's client answers, after so many tries (0: as many as are made
        of all calls). Safe to be called from any thread.

        Raises GoneError, ChangedError, and StoreError for all that trying again does not help.
        """

        def step() -> dict[str, Any]:
            return self._fs.call_s3(method, Bucket=self.bucket, **arguments)  # type: ignore[no-any-return]

        return self._tried(method, step, tries)

    def content(self, name: str) -> str | None:
        """Checksum of an object, read for it; None where there is none. Raises StoreError."""

        def step() -> str:
            with self._fs.open(f"{self.bucket}/{self.key(name)}", "rb") as file:
                return sha256_of(file)

        with suppress(GoneError):
            return self._tried("get_object", step)
        return None

    def fetch(self, name: str, path: Path) -> None:
        """Write an object's content to ``path``. Raises GoneError, StoreError."""
        source = f"{self.bucket}/{self.key(name)}"
        self._tried("get_object", lambda: self._fs.get_file(source, str(path)))

    def copy(self, name: str, other: str) -> None:
        """Copy an object within the store, of whatever size. Raises GoneError, StoreError."""
        source, target = (f"{self.bucket}/{self.key(each)}" for each in (name, other))
        self._tried("copy_object", lambda: self._fs.copy(source, target))

    def _tried(self, what: str, step: Callable[[], Answer], tries: int = 0) -> Answer:
        tries = tries or TRIES
        for tried in range(1, tries + 1):
            try:
                return step()
            except Exception as error:  # s3fs translates some, passes on others of many bases
                again = self._judged(error, what)
                if tried == tries:
                    raise again from None
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tried - 1))
            time.sleep(wait_s * random.uniform(0.5, 1))
        raise AssertionError("a last try returns or raises")

    def _judged(self, error: Exception, method: str) -> StoreError:
        """What is said if this was the last try; raises where another cannot help."""
        status, code = _status_of(error)
        if code == "NoSuchBucket":
            raise StoreError(
                f"{self.url}: there is no bucket {self.bucket!r}; make it or change `output`"
            ) from None
        if code in _CHANGED:
            raise ChangedError from None
        if code in _MISSING or code == "NoSuchUpload" or isinstance(error, FileNotFoundError):
            raise GoneError from None
        if _lacks_credentials(error):
            raise StoreError(
                f"{self.url}: no credentials were found; set AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role"
            ) from None
        reason = " ".join(filter(None, (code, _text(error))))
        unanswered = StoreError(
            f"{self.url}: the store does not answer ({reason}); what is done stays done, run again"
            " when it does"
        )
        if code in _AGAIN or status >= 500 or status == 429:
            return unanswered
        if status in (401, 403):
            raise StoreError(f"{self.url}: access denied ({reason}); {self._rights}") from None
        if status or not _is_of_the_way(error):
            raise StoreError(f"{self.url}: {method} was refused ({reason})") from None
        return unanswered


def _status_of(error: BaseException | None) -> tuple[int, str]:
    """Status and code that a store answered with; 0 and "" where it did not."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and "Error" in response:
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return int(status or 0), str(response["Error"].get("Code", ""))
        error = error.__cause__
    return 0, ""


def _lacks_credentials(error: Exception) -> bool:
    from botocore import exceptions

    return isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.ProfileNotFound,
    )


def _is_of_the_way(error: Exception) -> bool:
    """Whether an error is one of the connection."""
    import aiohttp
    from botocore import exceptions

    kinds = (
        exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError,
        exceptions.ResponseStreamingError, aiohttp.ClientError, asyncio.TimeoutError,
        ConnectionError, TimeoutError,
    )  # fmt: skip
    return isinstance(error, kinds)


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

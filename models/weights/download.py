"""Downloads one file: resumed where it was cut, tried again, from mirrors, checked at the end.

What has arrived lies in ``<target>.part`` with a note of its origin beside it, so that a
later attempt (or process) goes on from there. The target appears by a rename, whole and
checked, or not at all. Only http(s) and ``file://`` addresses are followed, and a redirect
from https to http is refused: a first use without a published checksum trusts the transport.

No address is trusted to end: what is longer than published (or than ``MOST_BYTES``, or half of what
is free) is given up as soon as that is seen, and so is one that hardly gives anything. The next one
is asked then.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import restore_batch
from restore_batch.errors import WeightsError
from restore_batch.files import publish, settle
from restore_batch.models.weights.pace import Watch, watched_handlers
from restore_batch.models.weights.part import Origin, Part

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes that have arrived, and all bytes (None: not known)."""

MOST_BYTES = 4 << 30
"""Of a file whose size was not published."""

_BLOCK_BYTES = 1 << 18
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_LENGTH = re.compile(r"[0-9]{1,19}")
_PLACE = re.compile(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19}|\*)")


@dataclass(frozen=True)
class Fetched:
    """Where a file came from, and its size and checksum as it arrived."""

    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Patience:
    """How long to go on: attempts without progress, the silence allowed, the first pause.

    ``least_bytes_s``: what must arrive a second, on the mean of ``timeout_s`` seconds.
    """

    attempts: int = 4
    timeout_s: float = 30.0
    backoff_s: float = 1.0
    least_bytes_s: float = 1000.0

    @property
    def least_bytes(self) -> int:
        """What counts as progress."""
        return max(1, round(self.least_bytes_s * self.timeout_s))


class _Refused(Exception):  # noqa: N818 - control flow between this module's functions
    """This address will not give the file; the next may."""


class _StalledError(ConnectionError):
    """The connection was shut because it hardly gave anything."""


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """Download ``target`` from the first of ``urls`` that gives the right file.

    ``sha256`` (hex, or its first digits) and ``size_bytes`` are what was published, None where
    nothing was. Raises WeightsError that lists every address with what went wrong there.
    """
    patience = patience or Patience()
    target.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for url in urls:
        transfer = _Transfer(
            url,
            target,
            sha256=sha256,
            size_bytes=size_bytes,
            progress=progress,
            patience=patience,
        )
        try:
            return transfer.run()
        except _Refused as fault:
            faults.append(f"{url}: {fault}")
    raise WeightsError(
        f"{target.name} could not be downloaded ({'; '.join(faults) or 'no address is known'})"
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in {"http", "https"}:
            raise _Refused(f"redirects to {newurl}, and only http and https are followed")
        if req.full_url.startswith("https:") and scheme != "https":
            raise _Refused("redirects from https to http, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Transfer:
    """One file from one address."""

    def __init__(
        self,
        url: str,
        target: Path,
        *,
        sha256: str | None,
        size_bytes: int | None,
        progress: Progress | None,
        patience: Patience,
    ) -> None:
        self.url = url
        self.target = target
        self.sha256 = sha256
        self.size_bytes = size_bytes
        self.progress = progress
        self.patience = patience
        self.part = Part(target)

    def run(self) -> Fetched:
        resumed = self._continues()
        size_bytes, sha256 = self._received()
        fault = self._fault(size_bytes, sha256)
        if fault and resumed:
            # The bytes that lay there may have been the wrong ones: once more from the start.
            self.part.discard()
            size_bytes, sha256 = self._received()
            fault = self._fault(size_bytes, sha256)
        if fault:
            self.part.discard()
            raise _Refused(fault)
        publish(self.part.path, self.target)
        self.part.forget_origin()
        return Fetched(self.url, size_bytes, sha256)

    def _received(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 of the .part file, once all of it is there."""
        self._receive()
        return settle(self.part.path)

    def _fault(self, size_bytes: int, sha256: str) -> str | None:
        if self.size_bytes is not None and size_bytes != self.size_bytes:
            return f"is {size_bytes} bytes, {self.size_bytes} expected"
        if self.sha256 is not None and not sha256.startswith(self.sha256):
            return f"has sha256 {sha256}, {self.sha256} expected: damaged or not that file"
        return None

    def _receive(self) -> None:
        """Fill the .part file, trying again as long as bytes keep coming."""
        tries = 0
        most = self.part.size_bytes
        while True:
            stalled = False
            try:
                self._attempt()
                return
            except urllib.error.HTTPError as error:
                fault = f"HTTP {error.code} {_reason(error)}"
                if error.code not in _TEMPORARY:
                    raise _Refused(fault) from None
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in _FULL:
                    self.part.discard()
                    raise WeightsError(f"no space left for {self.target}") from None
                fault, stalled = _reason(error), isinstance(error, _StalledError)
                if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                    raise _Refused(fault) from None
            except ValueError as error:  # an address, or one it redirects to, that is none
                raise _Refused(_reason(error)) from None
            if self.part.size_bytes - most >= self.patience.least_bytes and not stalled:
                tries, most = 0, self.part.size_bytes
            else:
                tries += 1
            if tries >= self.patience.attempts:
                raise _Refused(f"{fault} (tried {tries} times)")
            time.sleep(self.patience.backoff_s * 2**tries)

    def _attempt(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme == "file":
            self._copy(Path(urllib.request.url2pathname(parts.path)))
            return
        if parts.scheme not in {"http", "https"}:
            raise _Refused(f"{parts.scheme or 'no'} scheme: only http, https and file are read")
        have = self.part.size_bytes if self._continues() else 0
        headers = {
            "User-Agent": f"restore-batch/{restore_batch.__version__}",
            "Accept-Encoding": "identity",
        }
        if have:
            headers["Range"] = f"bytes={have}-"
            validator = self.part.origin().validator
            if validator:
                headers["If-Range"] = validator
        request = urllib.request.Request(self.url, headers=headers)
        patience = self.patience
        with Watch(patience.timeout_s, patience.least_bytes) as watch:
            slow = _StalledError(
                f"gave less than {patience.least_bytes / 1000:g} kB in {patience.timeout_s:g} s"
            )
            try:
                self._ask(request, have, watch)
            except (OSError, http.client.HTTPException):
                if watch.fired:
                    raise slow from None
                raise
            if watch.fired:  # a body without a length seems to end there
                raise slow

    def _ask(self, request: urllib.request.Request, have: int, watch: Watch) -> None:
        opener = urllib.request.build_opener(_Redirects, *watched_handlers(watch))
        try:
            response = opener.open(request, timeout=self.patience.timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                # The part is as long as the file or longer: the checksum cannot tell which.
                self.part.discard()
                raise ConnectionError("the file changed at its source") from None
            raise
        with response:
            self._store(response, have, watch)

    def _store(self, response: http.client.HTTPResponse, have: int, watch: Watch) -> None:
        headers = response.headers
        if headers.get_content_type() == "text/html":
            raise _Refused("answers with a web page instead of the file")
        coding = headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise _Refused(f"sends the file as {coding}, and only as it is was asked for")
        goes_on = response.status == 206 and have > 0
        if response.status != 200 and not goes_on:
            raise _Refused(f"HTTP {response.status} instead of the file")
        start = have if goes_on else 0
        total = self._total(response, start)
        limit = self._limit(total, start)
        if not goes_on:
            etag = headers.get("ETag") or ""
            # A weak ETag says nothing about the bytes, so If-Range may not use it.
            validator = etag if etag and not etag.startswith("W/") else ""
            self.part.begin(Origin(self.url, validator or headers.get("Last-Modified") or ""))
        with self.part.appending() as sink:
            self._pump(response, sink, start, total, limit, watch)
        if total is not None and self.part.size_bytes < total:
            raise ConnectionError(
                f"the connection ended at {self.part.size_bytes} of {total} bytes"
            )

    def _total(self, response: http.client.HTTPResponse, start: int) -> int | None:
        """Bytes of the whole file by the headers of a response that begins at ``start``."""
        if start:
            place = _PLACE.fullmatch(response.headers.get("Content-Range") or "")
            if place is None or int(place[1]) != start:
                self.part.discard()
                raise ConnectionError("the server resumed at another place")
            if place[2] != "*":
                return int(place[2])
        length = response.headers.get("Content-Length")
        if length is None:
            return None
        if not _LENGTH.fullmatch(length):
            raise _Refused(f"announces {length[:40]!r} bytes")
        return start + int(length)

    def _limit(self, total: int | None, start: int) -> int:
        """The most bytes that the .part file may come to. Raises what ends this address where
        that is announced to be passed."""
        free = shutil.disk_usage(self.target.parent).free
        if self.size_bytes is not None:
            if total is not None and total != self.size_bytes:
                self.part.discard()
                raise _Refused(f"is {total} bytes, {self.size_bytes} expected")
            if self.size_bytes - start > free:
                megabytes = self.size_bytes / 1e6
                raise WeightsError(f"no space for {self.target}: it takes {megabytes:.0f} MB")
            return self.size_bytes
        limit = min(MOST_BYTES, start + free // 2)
        if total is not None and total > limit:
            self.part.discard()
            raise _Refused(
                f"announces {total / 1e6:.0f} MB, at most {limit / 1e6:.0f} MB are taken here"
            )
        return limit

    def _copy(self, source: Path) -> None:
        try:
            if not source.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if not source.is_file():
                raise _Refused("is no file")
            stream = source.open("rb")
        except OSError as error:
            raise _Refused(str(error.strerror).lower()) from None
        total = source.stat().st_size
        limit = self._limit(total, 0)
        self.part.begin()
        with stream, self.part.appending() as sink:
            self._pump(stream, sink, 0, total, limit, None)

    def _pump(
        self,
        source: Any,
        sink: IO[bytes],
        start: int,
        total: int | None,
        limit: int,
        watch: Watch | None,
    ) -> None:
        done = start
        # Without a promise one more than allowed, so that going on is told from having ended.
        end = limit + 1 if total is None else total
        while done < end and (block := source.read1(min(_BLOCK_BYTES, end - done))):
            done += len(block)
            if done > limit:
                self.part.discard()
                raise _Refused(f"gives more than {limit} bytes, the most that are taken")
            sink.write(block)
            if watch is not None:
                watch.received += len(block)
            if self.progress is not None:
                self.progress(self.target.name, done, total)

    def _continues(self) -> bool:
        """Whether the part can be gone on with: the same address, and a way to be sure."""
        origin = self.part.origin()
        certain = bool(origin.validator) or self.sha256 is not None
        return self.part.size_bytes > 0 and origin.url == self.url and certain


def _reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = str(getattr(error, "reason", "") or error)
    return " ".join(text.split()) or type(error).__name__

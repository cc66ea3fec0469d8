"""Downloads one file: resumed where it was cut, tried again, from mirrors, checked at the end.

What has arrived lies in ``<target>.part`` with a note of its origin beside it, so that a
later attempt (or process) goes on from there. The target appears by a rename, whole and
checked, or not at all. Only http(s) and ``file://`` addresses are followed, and a redirect
from https to http is refused: a first use without a published checksum trusts the transport.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import restore_batch
from restore_batch.errors import WeightsError
from restore_batch.files import publish, settle

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes that have arrived, and all bytes (None: not known)."""

_BLOCK_BYTES = 1 << 18
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Fetched:
    """Where a file came from, and its size and checksum as it arrived."""

    url: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Patience:
    """How long to go on: attempts without any new byte, the silence allowed, the first pause."""

    attempts: int = 4
    timeout_s: float = 30.0
    backoff_s: float = 1.0


@dataclass(frozen=True)
class _Origin:
    """What the bytes in the .part file are a part of."""

    url: str
    validator: str


class _Refused(Exception):  # noqa: N818 - control flow between this module's functions
    """This address will not give the file; the next may."""


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


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
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
        self.part = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")

    def run(self) -> Fetched:
        resumed = self._continues()
        size_bytes, sha256 = self._received()
        fault = self._fault(size_bytes, sha256)
        if fault and resumed:
            # The bytes that lay there may have been the wrong ones: once more from the start.
            self._discard()
            size_bytes, sha256 = self._received()
            fault = self._fault(size_bytes, sha256)
        if fault:
            self._discard()
            raise _Refused(fault)
        publish(self.part, self.target)
        self.note.unlink(missing_ok=True)
        return Fetched(self.url, size_bytes, sha256)

    def _received(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 of the .part file, once all of it is there."""
        self._receive()
        return settle(self.part)

    def _fault(self, size_bytes: int, sha256: str) -> str | None:
        if self.size_bytes is not None and size_bytes != self.size_bytes:
            return f"is {size_bytes} bytes, {self.size_bytes} expected"
        if self.sha256 is not None and not sha256.startswith(self.sha256):
            return f"has sha256 {sha256}, {self.sha256} expected: damaged or not that file"
        return None

    def _receive(self) -> None:
        """Fill the .part file, trying again as long as bytes keep coming."""
        tries = 0
        most = self._have()
        while True:
            try:
                self._attempt()
                return
            except urllib.error.HTTPError as error:
                if error.code not in _TEMPORARY:
                    raise _Refused(f"HTTP {error.code} {error.reason}") from None
                fault = f"HTTP {error.code} {error.reason}"
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno == 28:
                    raise WeightsError(f"no space left for {self.target}") from None
                fault = str(getattr(error, "reason", "") or error) or type(error).__name__
            tries = 0 if self._have() > most else tries + 1
            most = max(most, self._have())
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
        have = self._have() if self._continues() else 0
        headers = {
            "User-Agent": f"restore-batch/{restore_batch.__version__}",
            "Accept-Encoding": "identity",
        }
        if have:
            headers["Range"] = f"bytes={have}-"
            validator = self._origin().validator
            if validator:
                headers["If-Range"] = validator
        request = urllib.request.Request(self.url, headers=headers)
        opener = urllib.request.build_opener(_NoDowngrade)
        try:
            response = opener.open(request, timeout=self.patience.timeout_s)
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                # The part is as long as the file or longer: the checksum cannot tell which.
                self._discard()
                raise ConnectionError("the file changed at its source") from None
            raise
        with response:
            self._store(response, have)

    def _store(self, response: http.client.HTTPResponse, have: int) -> None:
        if response.headers.get_content_type() == "text/html":
            raise _Refused("answers with a web page instead of the file")
        goes_on = response.status == 206 and have > 0
        start = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        place = response.headers.get("Content-Range") or ""
        if goes_on and not place.startswith(f"bytes {start}-"):
            self._discard()
            raise ConnectionError("the server resumed at another place")
        if total is not None and total - start > shutil.disk_usage(self.part.parent).free:
            raise WeightsError(f"no space for {self.target}: it takes {total / 1e6:.0f} MB")
        if not goes_on:
            etag = response.headers.get("ETag") or ""
            # A weak ETag says nothing about the bytes, so If-Range may not use it.
            validator = etag if etag and not etag.startswith("W/") else ""
            # Emptied before the note is written: the note must never speak for older bytes.
            self.part.write_bytes(b"")
            self._remember(validator or response.headers.get("Last-Modified") or "")
        with self.part.open("ab") as sink:
            self._pump(response, sink, start, total)
        if total is not None and self._have() < total:
            raise ConnectionError(f"the connection ended at {self._have()} of {total} bytes")

    def _copy(self, source: Path) -> None:
        try:
            stream = source.open("rb")
        except OSError as error:
            raise _Refused(str(error.strerror).lower()) from None
        with stream, self.part.open("wb") as sink:
            self._pump(stream, sink, 0, source.stat().st_size)

    def _pump(self, source: Any, sink: IO[bytes], start: int, total: int | None) -> None:
        done = start
        while block := source.read(_BLOCK_BYTES):
            sink.write(block)
            done += len(block)
            if self.progress is not None:
                self.progress(self.target.name, done, total)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _origin(self) -> _Origin:
        try:
            return _Origin(**json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Origin("", "")

    def _continues(self) -> bool:
        """Whether the .part file can be gone on with: the same address, and a way to be sure."""
        origin = self._origin()
        certain = bool(origin.validator) or self.sha256 is not None
        return self._have() > 0 and origin.url == self.url and certain

    def _remember(self, validator: str) -> None:
        self.note.write_text(json.dumps(asdict(_Origin(self.url, validator))), encoding="utf-8")

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

"""A web server on this machine that serves files from memory and misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass
class Page:
    """One address. ``cut_after``: for each of the first requests the bytes sent before the
    connection is closed. ``statuses``: error statuses of the first requests."""

    body: bytes
    ranges: bool = True
    etag: str | None = '"v1"'
    content_type: str = "application/octet-stream"
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Site:
    """``address`` and the pages by path."""

    address: str
    pages: dict[str, Page]

    def put(self, path: str, page: Page) -> str:
        self.pages[path] = page
        return self.address + path


class _Handler(BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, Page]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        page = self.pages.get(self.path)
        if page is None:
            self._empty(404)
            return
        page.requests.append({key.lower(): value for key, value in self.headers.items()})
        if page.location is not None:
            self._empty(302, page.location)
            return
        if page.statuses:
            self._empty(page.statuses.pop(0))
            return
        start = self._start(page)
        if start > 0 and start >= len(page.body):
            self._empty(416)
            return
        body = page.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"
            )
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", page.content_type)
        if page.etag:
            self.send_header("ETag", page.etag)
        self.end_headers()
        self.wfile.write(body[: page.cut_after.pop(0)] if page.cut_after else body)

    def _start(self, page: Page) -> int:
        wanted = self.headers.get("Range")
        if wanted is None or not page.ranges:
            return 0
        condition = self.headers.get("If-Range")
        if condition is not None and condition != page.etag:
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    def _empty(self, status: int, location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server on this machine; gone at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def site() -> Iterator[Site]:
    """A running server; gone at the end."""
    pages: dict[str, Page] = {}
    with serving(type("Handler", (_Handler,), {"pages": pages})) as address:
        yield Site(address, pages)

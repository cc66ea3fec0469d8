"""Connections that must keep giving: one that stalls or drips is shut, wherever it is read."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.request
from types import TracebackType
from typing import Any


class Watch:
    """While it lasts: shuts the connections added to it once fewer than ``least_bytes`` were
    counted within ``window_s`` seconds. ``fired``: it has.

    A timeout of the socket alone does not do: it begins again with every byte.
    """

    def __init__(self, window_s: float, least_bytes: int) -> None:
        self.window_s, self.least_bytes = window_s, least_bytes
        self.received = 0
        self.fired = False
        self._connections: list[socket.socket] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="download pace", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def add(self, connection: socket.socket) -> None:
        self._connections.append(connection)
        if self.fired:  # while this one was being opened
            _shut(connection)

    def _look(self) -> None:
        before = 0
        while not self._ended.wait(self.window_s):
            received = self.received
            if received - before < self.least_bytes:
                self.fired = True
                for connection in self._connections:
                    _shut(connection)
                return
            before = received


def watched_handlers(watch: Watch) -> tuple[urllib.request.BaseHandler, ...]:
    """Handlers of http and https for an opener whose connections ``watch`` looks after."""
    return _Http(watch), _Https(watch)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        # The plain socket's own: that of TLS would take the session from under a reader.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    def __init__(self, *place: Any, **settings: Any) -> None:
        self._watch: Watch = settings.pop("watch")
        super().__init__(*place, **settings)

    def connect(self) -> None:
        super().connect()
        self._watch.add(self.sock)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req, watch=self._watch)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, watch=self._watch)

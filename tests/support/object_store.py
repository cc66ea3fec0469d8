"""A real S3 server on this machine (moto's, in a process of its own), and a network that fails.

`Store` is the server, its bucket and a plain client, and what the fixtures ``server`` and ``store``
give to any test that asks for them; `Faulty` a TCP proxy before it, which cuts connections off
wherever it is told to.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restore_batch.jobs.results import s3_calls

BUCKET = "archive"
_NEVER = 1 << 60
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_SLOW_DOWN), _SLOW_DOWN)
)


class Store:
    """``url``: of the server. ``environment``: what makes a process talk to it."""

    def __init__(self, url: str) -> None:
        import boto3
        from botocore.config import Config

        self.url = url
        self.environment = environment(url)
        self.client: Any = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key",
            aws_secret_access_key="secret", config=Config(max_pool_connections=50),
        )  # fmt: skip

    def reset(self) -> None:
        """An empty bucket, and nothing else."""
        self._tell("reset")
        self.client.create_bucket(Bucket=BUCKET)

    def set_calls_without_rights(self, count: float) -> None:
        """How many calls are answered before the server asks for rights, which nobody has."""
        self._tell("reset-auth", str(count).encode())

    def _tell(self, what: str, data: bytes = b"") -> None:
        request = urllib.request.Request(
            f"{self.url}/moto-api/{what}", data, {"Content-Type": "text/plain"}, method="POST"
        )
        urllib.request.urlopen(request, timeout=30).close()

    def objects(self, prefix: str = "", *, own: bool = False) -> dict[str, bytes]:
        """All objects of the bucket by key; with ``own`` also those that a job keeps for itself."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {
            key.removeprefix(prefix): self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
            if own or ".restore-batch/" not in key
        }

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def uploads(self) -> list[str]:
        """The keys of uploads in parts that nobody finished."""
        answer = self.client.list_multipart_uploads(Bucket=BUCKET)
        return [each["Key"] for each in answer.get("Uploads", ())]


def environment(url: str) -> dict[str, str]:
    """What makes a process take ``url`` for S3."""
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }  # fmt: skip


def talk_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process take ``url`` for S3."""
    for name, value in environment(url).items():
        monkeypatch.setenv(name, value)
    forget()


def forget() -> None:
    """s3fs keeps its connections, and with them the address."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


@contextlib.contextmanager
def serving(log: Path) -> Iterator[Store]:
    """A server in a process of its own."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=out, stderr=out, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        found = None
        while found is None:
            assert server.poll() is None, log.read_text()
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            threading.Event().wait(0.05)
        store = Store(found[0])
        store.reset()
        yield store
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """That of all tests of a module."""
    with serving(tmp_path_factory.mktemp("server") / "log") as store:
        yield store


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Emptied, and talked to by this process."""
    server.reset()
    talk_to(server.url, monkeypatch)
    monkeypatch.setattr(s3_calls, "_FIRST_WAIT_S", 0.05)
    yield server
    forget()


class Faulty:
    """A TCP proxy before ``target``. ``faults``: how many connections are cut off, each after at
    most ``most_bytes`` in both directions together, drawn at random; ``refusals``: how many have
    503 for an answer. ``holds``: asked with what a client sends and how much all have sent, whether
    from then on nobody is answered. While ``down`` is set all connections end."""

    def __init__(
        self,
        target: str,
        *,
        faults: int = 0,
        refusals: int = 0,
        most_bytes: int = 1,
        seed: int = 0,
        holds: Callable[[bytes, int], bool] = lambda data, total: False,
    ) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target, self._holds = (host, int(port)), holds
        self._faults, self._most_bytes, self._draw = faults, most_bytes, random.Random(seed)
        self._refusals = refusals
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut = self._total = 0
        self.held, self.down = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            refused = self._refusals > 0 and self._draw.random() < 0.5
            self._refusals -= refused
        if refused:
            with client, contextlib.suppress(OSError):
                client.recv(65536)
                client.sendall(_REFUSAL)
            return
        server = socket.create_connection(self._target)
        left = [self._draw.randrange(1, self._most_bytes + 1)]
        threads = [
            threading.Thread(target=self._pump, args=(*ends, left), daemon=True)
            for ends in ((client, server, True), (server, client, False))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
        server.close()

    def _pump(
        self, source: socket.socket, sink: socket.socket, is_request: bool, left: list[int]
    ) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and not self.down.is_set():
                with self._lock:
                    self._total += len(data) * is_request
                    if is_request and self._holds(data, self._total):
                        self.held.set()
                    ends = left[0] <= len(data) and self.cut < self._faults
                    data = data[: left[0]] if ends else data
                    left[0] = _NEVER if ends else left[0] - len(data)
                    self.cut += ends
                if self.held.is_set() and not is_request:
                    return  # an open connection, and no answer
                sink.sendall(data)
                if ends:
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

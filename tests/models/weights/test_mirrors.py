"""Servers that lie about sizes, never end, stall, or lead elsewhere: each is given up with one
line, the next one is asked, and the disk is not filled."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from restore_batch.errors import WeightsError
from restore_batch.models.weights import cache as weight_cache
from restore_batch.models.weights import download
from restore_batch.models.weights.download import Patience, fetch

from support.web import Page, Site, site

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
SIZE = len(BODY)
HASTY = Patience(attempts=2, timeout_s=0.4, backoff_s=0.0, least_bytes_s=10_000)
ENDLESS_BYTES = 64 << 20
"""Where a body that should have been given up long before ends after all."""

Answer = Callable[[socket.socket, bytes], None]


@contextmanager
def mirror(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each connection with ``answer``: its address, and the requests."""
    requests: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with self.request as connection:
                request = b""
                while b"\r\n\r\n" not in request and (more := connection.recv(4096)):
                    request += more
                requests.append(request)
                with contextlib.suppress(OSError):  # the client has hung up, as it should
                    answer(connection, request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/evil.pth", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def good() -> Iterator[tuple[str, Site]]:
    with site() as running:
        yield running.put("/good.pth", Page(BODY)), running


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def says(*lines: str, body: bytes = BODY, status: str = "200 OK") -> Answer:
    return lambda connection, request: connection.sendall(head(*lines, status=status) + body)


def endlessly(*lines: str, chunked: bool = False) -> Answer:
    block = bytes(1 << 16)
    piece = b"%x\r\n%s\r\n" % (len(block), block) if chunked else block

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head(*lines))
        for _ in range(ENDLESS_BYTES // len(block)):
            connection.sendall(piece)

    return answer


def drips(first: bytes, then: bytes = b"x") -> Answer:
    """``first``, then a byte now and again for as long as anybody listens."""

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(first)
        for _ in range(2000):
            time.sleep(0.05)
            connection.sendall(then)

    return answer


def stalls(first: bytes) -> Answer:
    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(first)
        connection.settimeout(60)
        connection.recv(1)

    return answer


def cuts(after: int) -> Answer:
    """Closes after so few bytes, and goes on there when asked again."""

    def answer(connection: socket.socket, request: bytes) -> None:
        start = 0
        if b"bytes=" in request:
            start = int(request.split(b"bytes=")[1].split(b"-")[0])
        place = f"Content-Range: bytes {start}-{SIZE - 1}/{SIZE}"
        lines = (place, f"Content-Length: {SIZE - start}", 'ETag: "a"')
        status = "206 Partial Content" if start else "200 OK"
        connection.sendall(head(*lines, status=status) + BODY[start : start + after])

    return answer


HUGE = f"Content-Length: {2**62}"
EXACT = f"Content-Length: {SIZE}"
HOSTILE: dict[str, tuple[Answer, str]] = {
    "huge length": (endlessly(HUGE), "is 4611686018427387904 bytes, 1048576 expected"),
    "negative length": (endlessly("Content-Length: -1"), "announces '-1' bytes"),
    "length in words": (endlessly("Content-Length: ten"), "announces 'ten' bytes"),
    "length in another script": (endlessly("Content-Length: \xb2"), "announces '²' bytes"),
    "endless body": (endlessly(), "gives more than 1048576 bytes"),
    "endless chunks": (
        endlessly("Transfer-Encoding: chunked", chunked=True),
        "gives more than 1048576 bytes",
    ),
    "too short, and says so": (
        says("Content-Length: 9", body=BODY[:9]),
        "is 9 bytes, 1048576 expected",
    ),
    "too short without a length": (says(body=BODY[:9]), "is 9 bytes, 1048576 expected"),
    "longer than it says": (says(EXACT, body=BODY[::-1] + BODY), "has sha256"),
    "closes in the middle": (cuts(100), "the connection ended at 200 of 1048576 bytes"),
    "chunk sizes that are none": (
        says("Transfer-Encoding: chunked", body=b"zz\r\n" + BODY),
        "IncompleteRead",
    ),
    "a part nobody asked for": (
        says(EXACT, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", status="206 Partial Content"),
        "HTTP 206 instead of the file",
    ),
    "nothing": (says(body=b"", status="204 No Content"), "HTTP 204 instead of the file"),
    "zipped bomb": (
        says("Content-Encoding: gzip", body=gzip.compress(bytes(ENDLESS_BYTES))),
        "sends the file as gzip",
    ),
    "leads to a file": (
        says("Location: file:///etc/passwd", "Content-Length: 0", body=b"", status="302 Found"),
        "Redirection to url 'file:///etc/passwd' is not allowed",
    ),
    "leads to ftp": (
        says("Location: ftp://127.0.0.1/a", "Content-Length: 0", body=b"", status="302 Found"),
        "redirects to ftp://127.0.0.1/a, and only http and https are followed",
    ),
    "leads in a circle": (
        says("Location: /evil.pth", "Content-Length: 0", body=b"", status="302 Found"),
        "HTTP 302 The HTTP server returned a redirect error that would lead to an infinite loop",
    ),
    "leads nowhere": (
        says("Location: http://[bad/", "Content-Length: 0", body=b"", status="302 Found"),
        "Invalid IPv6 URL",
    ),
    "no http": (says(body=b"", status="\x1b[31m"), "HTTP/1.1"),
    "headers without end": (
        lambda connection, request: connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000),
        "got more than 100 headers",
    ),
    "a header without end": (
        lambda connection, request: connection.sendall(b"HTTP/1.1 200 OK\r\nA: " + bytes(1 << 20)),
        "got more than 65536 bytes when reading header line",
    ),
    "sends nothing": (stalls(b""), "in 0.4 s"),
    "sends half of a header": (stalls(b"HTTP/1.1 200 OK\r\nA: "), "in 0.4 s"),
    "stalls in the body": (stalls(head(EXACT) + BODY[:5000]), "in 0.4 s"),
    "drips headers": (drips(b"HTTP/1.1 200 OK\r\nA: "), "gave less than 4 kB in 0.4 s"),
    "drips the body": (drips(head(EXACT, 'ETag: "a"')), "gave less than 4 kB in 0.4 s"),
    "drips without a length": (drips(head()), "gave less than 4 kB in 0.4 s"),
    "drips a chunk's size": (
        drips(head("Transfer-Encoding: chunked"), b"0"),
        "gave less than 4 kB in 0.4 s",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mirror_costs_one_line_and_the_next_is_asked(
    name: str, good: tuple[str, Site], tmp_path: Path
) -> None:
    answer, said = HOSTILE[name]
    with mirror(answer) as (url, requests):
        with pytest.raises(WeightsError) as caught:
            fetch([url], tmp_path / "a", sha256=SHA256, size_bytes=SIZE, patience=HASTY)
        assert requests
        got = fetch([url, good[0]], tmp_path / "a", sha256=SHA256, size_bytes=SIZE, patience=HASTY)
    message = str(caught.value)
    assert f"{url}: " in message
    assert said in message or (said.startswith("in 0.4") and "timed out" in message)
    assert "\n" not in message
    assert got.url == good[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mirror_leaves_at_most_a_part_of_the_known_size(
    name: str, tmp_path: Path
) -> None:
    with mirror(HOSTILE[name][0]) as (url, _), pytest.raises(WeightsError):
        fetch([url], tmp_path / "a", sha256=SHA256, size_bytes=SIZE, patience=HASTY)
    assert not (tmp_path / "a").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= SIZE


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (endlessly(HUGE), "announces 4611686018427 MB, at most 2 MB are taken here"),
        (endlessly(), "gives more than 2000000 bytes, the most that are taken"),
        (
            endlessly("Transfer-Encoding: chunked", chunked=True),
            "gives more than 2000000 bytes, the most that are taken",
        ),
    ],
    ids=["announced", "endless", "chunks"],
)
def test_without_a_published_size_there_is_a_bound(
    answer: Answer,
    said: str,
    good: tuple[str, Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "MOST_BYTES", 2_000_000)
    with mirror(answer) as (url, _):
        with pytest.raises(WeightsError, match=said):
            fetch([url], tmp_path / "a", patience=HASTY)
        assert not list(tmp_path.iterdir())
        assert fetch([url, good[0]], tmp_path / "a", patience=HASTY).url == good[0]


def test_without_a_published_size_half_of_the_free_space_is_never_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=3_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with mirror(endlessly()) as (url, _), pytest.raises(WeightsError, match="than 1500000 bytes"):
        fetch([url], tmp_path / "a", patience=HASTY)
    assert not list(tmp_path.iterdir())


def test_a_shorter_range_than_asked_for_is_gone_on_with_and_not_taken_for_the_end(
    tmp_path: Path,
) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        start = int(request.split(b"bytes=")[1].split(b"-")[0]) if b"bytes=" in request else 0
        end = min(start + 100_000, SIZE)
        lines = (f"Content-Length: {end - start}", 'ETag: "a"')
        if not start:
            connection.sendall(head(EXACT, 'ETag: "a"') + BODY[:end])
            return
        place = f"Content-Range: bytes {start}-{end - 1}/{SIZE}"
        connection.sendall(head(place, *lines, status="206 Partial Content") + BODY[start:end])

    with mirror(answer) as (url, requests):
        fetch([url], tmp_path / "a", patience=HASTY)
    assert (tmp_path / "a").read_bytes() == BODY
    assert len(requests) == 11


def test_a_mirror_with_an_untrusted_certificate_is_asked_once(
    good: tuple[str, Site], tmp_path: Path
) -> None:
    pair = tmp_path / "pair.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        [*made, "-keyout", str(pair), "-out", str(tmp_path / "c.pem")],
        check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", pair)
    folder = tmp_path / "cache"
    listening = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            accepted.append(connection)
            with suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}/a"
    try:
        with pytest.raises(WeightsError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch([url], folder / "a", patience=HASTY)
        assert len(accepted) == 1
        assert fetch([url, good[0]], folder / "a", patience=HASTY).url == good[0]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.mark.parametrize("url", ["http://[bad/", "http:///", f"http://{'a' * 70}.invalid/"])
def test_an_address_that_is_none_is_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch([url], tmp_path / "a", patience=HASTY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["endless", "pipe", "folder"])
def test_a_mirror_folder_may_hold_anything(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "there"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match="is no file"):
        fetch([place.as_uri()], tmp_path / "a", patience=HASTY)


# -- what others have put into the folder -------------------------------------------------------


@pytest.mark.parametrize("planted", [".part", ".part.json", ""])
@pytest.mark.parametrize("how", ["link", "hard link", "dangling link"])
def test_a_planted_link_is_replaced_and_never_followed(
    planted: str, how: str, good: tuple[str, Site], tmp_path: Path
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "cache"
    folder.mkdir()
    place = folder / f"a{planted}"
    if how != "dangling link":
        victim.write_bytes(b"mine")
    if how == "hard link":
        place.hardlink_to(victim)
    else:
        place.symlink_to(victim)
    fetch([good[0]], folder / "a", sha256=SHA256, patience=HASTY)
    assert (folder / "a").read_bytes() == BODY
    assert not (folder / "a").is_symlink()
    assert [path.name for path in folder.iterdir()] == ["a"]
    if how == "dangling link":
        assert not victim.exists()
    else:
        assert victim.read_bytes() == b"mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of other users")
@pytest.mark.parametrize("level", ["card", "incoming", "cache"])
def test_a_link_of_another_user_in_the_cache_is_not_followed(level: str, tmp_path: Path) -> None:
    cache, victim = tmp_path / "cache", tmp_path / "victim"
    victim.mkdir()
    card = cache / "card"
    place = {"card": card, "incoming": card / ".incoming", "cache": cache}[level]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(victim)
    os.lchown(place, 65534, 65534)
    with pytest.raises(WeightsError, match=rf"{place} is a link of another user \(uid 65534\)"):
        weight_cache.make_folder(card / ".incoming")
    os.lchown(place, os.geteuid(), -1)
    weight_cache.make_folder(card / ".incoming")


def test_a_cache_that_others_can_write_to_is_told_apart(tmp_path: Path) -> None:
    assert weight_cache.open_to_others(tmp_path / "absent") == ""
    tmp_path.chmod(0o755)
    assert weight_cache.open_to_others(tmp_path) == ""
    tmp_path.chmod(0o777)
    assert weight_cache.open_to_others(tmp_path) == "can be written by every user"


def test_a_cache_that_is_a_file_or_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    for place in (tmp_path / "cache", tmp_path / "cache" / "card", Path("/proc/none")):
        with pytest.raises(WeightsError, match=r"cannot be written .*RESTORE_BATCH_WEIGHTS_DIR"):
            weight_cache.make_folder(place)

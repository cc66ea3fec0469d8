"""The server: its socket, its threads, the folder for its previews; begun and ended as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.jobs.outputs import REPORT, REPORT_MARK
from restore_batch.pipeline.serve.board import Board
from restore_batch.pipeline.serve.files import open_below
from restore_batch.pipeline.serve.pictures import Pictures
from restore_batch.pipeline.serve.watch import Watch

LOOPBACK = "127.0.0.1"
PORT = 8765
_LOOPBACK_NAMES = frozenset({"localhost"})
_CLOSE_S = 3
_MOST_CONNECTIONS = 500


@contextmanager
def served(
    output_dir: Path, host: str = LOOPBACK, port: int | None = None, *, with_token: bool = False
) -> Iterator[str]:
    """Serve ``output_dir`` while the block lasts; gives the address to open.

    ``port``: None for :data:`PORT`, or any other where that is taken. A token is part of the
    address where ``host`` is reached from other machines, or ``with_token``. Nothing is written to
    the output folder. Raises UsageError where nobody can listen at that address or the packages
    of the extra are missing, ManifestError where there is no manifest to look at.
    """
    try:
        import uvicorn

        from restore_batch.pipeline.serve.app import Site
        from restore_batch.pipeline.serve.gate import TOKEN, Door, Gate
    except ModuleNotFoundError as error:
        raise UsageError(
            f"serving needs the package {error.name}: pip install 'restore-batch[serve]'"
        ) from None
    output_dir = output_dir.absolute()
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(_listening(host, port))
        address, bound = listening.getsockname()[:2]
        is_open = not ipaddress.ip_address(address.partition("%")[0]).is_loopback
        token = secrets.token_urlsafe(24) if is_open or with_token else ""
        names = {host.lower(), socket.gethostname().lower()}
        door = Door(
            _LOOPBACK_NAMES | (names if is_open else set()), is_open, token,
            f"restore-batch-{bound}",
        )  # fmt: skip
        folder = opened.enter_context(
            tempfile.TemporaryDirectory(prefix="restore-batch-serve-", ignore_cleanup_errors=True)
        )
        pictures = Pictures(output_dir, Path(folder))
        opened.callback(pictures.close)
        board = Board(pictures.of)
        pictures.made = board.made
        watch = Watch(output_dir, board, pictures)
        watch.start()
        opened.callback(watch.end)
        ended = threading.Event()
        site = Site(output_dir, _identity(output_dir), board, pictures, ended)
        server = uvicorn.Server(
            uvicorn.Config(
                Gate(site.app(), door), log_config=None, access_log=False, lifespan="off",
                ws="none", http="h11", loop="asyncio", proxy_headers=False, server_header=False,
                timeout_graceful_shutdown=_CLOSE_S, limit_concurrency=_MOST_CONNECTIONS,
            )
        )  # fmt: skip
        # In a thread of its own: signals are the main thread's, which waits for them.
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            server.should_exit = True
            thread.join()

        opened.callback(end)
        shown = f"/?{TOKEN}={token}" if token else "/"
        yield f"http://{_name(host, address)}:{bound}{shown}"


def _listening(host: str, port: int | None) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port or PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: no such address ({error})") from None
    family, _, _, _, place = found[0]
    for number in [PORT, 0] if port is None else [port]:
        try:
            return socket.create_server((place[0], number), family=family, backlog=128)
        except OSError as error:
            reason = error.strerror or str(error)
            if port is None and number:
                continue  # somebody is there, such as a server of another output
    raise UsageError(f"{host}, port {number}: nobody can listen there ({reason}); name another")


def _name(host: str, address: str) -> str:
    if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        return socket.gethostname()  # all addresses of this machine
    return f"[{host}]" if ":" in host else host


def _identity(output_dir: Path) -> str:
    """What browsers keep ratings under: the same as in the output's own report, where it has
    one."""
    with contextlib.suppress(OSError, ValueError, AttributeError, RestoreBatchError):
        with open_below(output_dir / REPORT, REPORT_MARK) as file:
            known = str(json.load(file).get("id") or "")
        if known:
            return known
    return hashlib.sha256(str(output_dir).encode("utf-8", "replace")).hexdigest()[:16]
